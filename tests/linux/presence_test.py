#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""presence_test.py BUILD_DIR: nothing of ours is in a program, whatever it does to itself (R56).

A program on a pool counts its threads and descriptors, closes them, changes its user, is stopped,
forks, executes another; its pool answers all the while, and nobody else's name is taken.
"""
import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
MEMPLUG = f"{BUILD}/cli/memplug"
PYTHON = "/usr/bin/python3"  # not a wrapper that runs others
FOLDER = "/run/memplug"
BOUND = 60

PROGRAM = """
import errno, json, os, signal, sys, time
keep = []
def look():
    first = os.open("/dev/null", os.O_RDONLY)
    os.close(first)
    try:
        child = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        child = None
    return {"threads": len(os.listdir("/proc/self/task")),
            "files": sorted(os.listdir("/proc/self/fd")), "first": first, "child": child}
def grow():
    keep.append([bytes([65]) * 40000 for i in range(2500)])
def zeros():
    return all(bytes(40960) == memoryview(bytearray(40960)) for i in range(200))
def lives():
    pid = os.fork()
    if pid == 0:
        time.sleep(0.3)
        grow()
        time.sleep(600)
    return pid
def confine():
    # What makes a process kills (x86-64; elsewhere these numbers are other calls that we never make).
    import ctypes, struct
    load, equal, end = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0)]
    for number in (56, 57, 58, 435):
        code += [(equal, 0, 1, number), (end, 0, 0, 0x80000000)]
    code += [(end, 0, 0, 0x7fff0000)]
    text = b"".join(struct.pack("HBBI", *each) for each in code)
    text = ctypes.create_string_buffer(text, len(text))
    filter = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None)
    return (libc.prctl(38, 1, 0, 0, 0) or
            libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(filter))))
def confined():
    pid = os.fork()
    if pid == 0:
        confine()
        time.sleep(0.3)
        for i in range(5):
            grow()
        time.sleep(600)
    return pid
def give_up_rights():
    # capset() without a capability binds the one thread that calls it; the filter, too.
    import ctypes
    header, none = (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)()
    return ctypes.CDLL(None).capset(header, none) or confine()
def rights():
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        found.append([int(status["CapEff"], 16), int(status["CapPrm"], 16), int(status["Seccomp"])])
    return found
files = []
def take_numbers(folder):
    files.extend(os.open(f"{folder}/{i}", os.O_CREAT | os.O_RDWR) for i in range(60))
    return files[0]
def sizes():
    return sum(os.fstat(file).st_size for file in files)
for line in sys.stdin:
    try:
        answer = eval(line)
    except OSError as error:
        answer = errno.errorcode[error.errno]
    print(json.dumps(answer), flush=True)
"""


class Failure(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failure(" ".join(str(word) for word in what))


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def ask(name, *words):
    """The exit status and the answer of a command."""
    done = subprocess.run([MEMPLUG, "-p", name, *words], capture_output=True, text=True,
                          timeout=BOUND, check=False)
    return done.returncode, done.stdout + done.stderr


def retry(question, what):
    end = time.monotonic() + BOUND
    while not question():
        check(time.monotonic() < end, "never:", what)
        time.sleep(0.02)


class Program:
    """A program on a pool that carries out lines of Python."""

    def __init__(self, kind, *before, program=PROGRAM):
        self.name = f"presence-{kind}-{os.getpid()}"
        self.process = subprocess.Popen(
            [*before, MEMPLUG, "run", "--name", self.name, "--block-size", "16M", "--boot", "64M",
             "--", PYTHON, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def __enter__(self):
        self.run("1")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def run(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        check(answer != "", "the program died of", line)
        return json.loads(answer)

    def path(self, suffix=""):
        return f"{FOLDER}/{self.pid}-{self.name}{suffix}.sock"

    def ask(self, *words):
        status, text = ask(self.name, *words)
        check(status == 0, self.name, *words, "said", text)
        return text


@contextlib.contextmanager
def mounted(program):
    with tempfile.TemporaryDirectory() as tree:
        program.ask("mount", tree)
        try:
            yield tree
        finally:
            subprocess.run(["umount", tree], check=True)


def server_of(path):
    """Who listens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4],
                              sys.byteorder)


def plain_look():
    done = subprocess.run([PYTHON, "-c", PROGRAM], input="look()\n", capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


def case_counts():
    """Threads, descriptors and children are as without us, also while blocks come and go."""
    want = plain_look()
    with Program("counts") as program:
        monitor = subprocess.Popen([MEMPLUG, "-p", program.name, "monitor"],
                                   stdout=subprocess.DEVNULL)
        try:
            for words in (("list",), ("add", "32M"), ("check",), ("remove", "0"), ("list",)):
                program.ask(*words)
                check(program.run("look()") == want, "after", words, program.run("look()"), want)
        finally:
            monitor.kill()
            monitor.wait()
        if os.path.exists("/dev/fuse"):
            with mounted(program) as tree:
                with open(f"{tree}/block_size_bytes", encoding="utf-8") as file:
                    check(int(file.read(), 16) == 16 << 20, "the size of a block")
                check(program.run("look()") == want, "while it is mounted", program.run("look()"), want)
        else:
            print("SKIPPED presence_test: needs file /dev/fuse")
        check(program.run("os.dup2(0, 3)") == 3, "dup2")


def case_close():
    """A program that closes what it does not know is served, and reads zeros."""
    with Program("close") as program:
        program.run("os.closerange(3, 65536)")
        with tempfile.TemporaryDirectory() as folder:
            check(program.run(f"take_numbers({folder!r})") == 3, "the numbers that were closed")
            program.run("grow()")
            for words in (("add", "16M"), ("check",)):
                program.ask(*words)
            check(program.run("sizes()") == 0, "a descriptor of the program's is written to")
        program.run("keep.clear()")
        check(program.run("zeros()"), "memory is not zero")
        program.ask("add", "16M")
        check(program.run("os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn('/bin/true', "
                          "['true'], os.environ), 0)[1])") == 0, "a child fails")


def case_user():
    """A program changes its user, or enters a namespace."""
    with Program("user") as program:
        check(program.run("os.setresgid(65534, 65534, 65534)") is None, "setresgid")
        check(program.run("os.setresuid(65534, 65534, 65534)") is None, "setresuid")
        program.ask("list")
        check(program.run("look()")["threads"] == 1, "threads")
        # docs/SECURITY.md: the companion is who the program was.
        check(os.stat(f"/proc/{server_of(program.path())}").st_uid == os.geteuid(), "the companion has another user")
    for words in (("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                  ("unshare", "-U")):
        done = subprocess.run([MEMPLUG, "run", "--name", "presence-u", "--", *words, "true"],
                              capture_output=True, text=True, timeout=BOUND, check=False)
        check(done.returncode == 0, words, "said", done.returncode, done.stderr)


def case_rights():
    """What a program gives up, all that runs in it has given up; its pool answers all the same."""
    with Program("rights") as program:
        program.ask("list")
        check(program.run("give_up_rights()") == 0, "capset or seccomp")
        check(program.run("rights()") == [[0, 0, 2]], "who has rights left:", program.run("rights()"))
        program.run("grow()")
        for words in (("add", "16M"), ("check",)):
            program.ask(*words)
        check(program.run("rights()") == [[0, 0, 2]], "who has rights now:", program.run("rights()"))


def case_stop():
    """A stopped program's pool answers and changes."""
    with Program("stop") as program:
        os.kill(program.pid, signal.SIGSTOP)
        for words in (("list",), ("add", "32M"), ("remove", "0"), ("check",)):
            program.ask(*words)
        os.kill(program.pid, signal.SIGCONT)
        program.run("grow()")


def case_killed():
    """Somebody kills the companion: the program goes on, and is served again when it takes memory."""
    with Program("killed") as program:
        before = server_of(program.path())
        os.kill(before, signal.SIGKILL)
        retry(lambda: not os.path.exists(f"/proc/{before}") or
              "Z" in open(f"/proc/{before}/stat", encoding="utf-8").read().split(")")[1][:3],
              "it is gone")
        program.run("grow()")
        retry(lambda: ask(program.name, "list")[0] == 0, "it is served again")
        check(server_of(program.path()) != before, "nobody new listens")
        check(program.run("look()")["child"] is None, "the program has a child")


def case_both_killed():
    """Somebody kills both of the companion's processes: the program goes on, and nothing serves its
    pool until it takes memory. Only then is there somebody who can make them anew."""
    with Program("both") as program:
        leader = server_of(program.path())
        def session(pid):
            try:
                return os.getsid(pid)
            except OSError:
                return None  # it has ended
        def family():
            return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and
                    session(int(pid)) == os.getsid(leader)]
        retry(lambda: len(family()) == 2, "there are two")
        both = family()
        for signal_now in (signal.SIGSTOP, signal.SIGKILL):
            for pid in both:
                os.kill(pid, signal_now)
        retry(lambda: ask(program.name, "list")[0] != 0, "nobody serves it")
        check(program.run("look()") == plain_look(), "the program is as it was")
        check(ask(program.name, "list")[0] != 0, "somebody has come for no reason")
        program.run("grow()")
        retry(lambda: ask(program.name, "list")[0] == 0, "it is served again")
        program.ask("add", "16M")
        program.ask("check")


def case_fork():
    """A forked child that lives has a pool of its own; nothing stays of it."""
    with Program("fork") as program:
        child = program.run("lives()")
        name = f"{program.name}.{child}"
        retry(lambda: ask(name, "list")[0] == 0, "the child is served")
        status, _ = ask(name, "add", "16M")
        check(status == 0, "the child's pool does not grow")
        check("4-7" not in program.ask("list"), "the parent's pool changed")
        os.kill(child, signal.SIGKILL)
        retry(lambda: not os.path.exists(f"{FOLDER}/{child}-{name}.sock"), "its socket goes")
        program.ask("check")


def case_sandbox():
    """A child that dies of a system call that makes a process lives, and is served."""
    with Program("sandbox") as program:
        child = program.run("confined()")
        name = f"{program.name}.{child}"
        retry(lambda: ask(name, "list")[0] == 0, "the child is served")
        time.sleep(0.6)
        check(program.run(f"os.waitpid({child}, os.WNOHANG)") == [0, 0], "the child died")
        check(ask(name, "add", "16M")[0] == 0, "its pool does not grow")
        os.kill(child, signal.SIGKILL)


def case_execute():
    """The program that it executes has the same name; a program that it starts has not."""
    with Program("execute") as program:
        program.process.stdin.write("os.execv(sys.executable, [sys.executable, '-c', "
                                    "'import sys; sys.stdin.read()'])\n")
        program.process.stdin.flush()
        old = server_of(program.path())
        retry(lambda: os.path.exists(program.path()) and server_of(program.path()) != old,
              "the new program has the name")
        time.sleep(0.5)  # the old one is gone by now
        program.ask("list")
        check(not os.path.exists(program.path("-2")), "there are two")
    retry(lambda: not os.path.exists(program.path()), "the socket goes with the program")


def first_answer(program, folder):
    """What it says of max_bytes as soon as there is a socket; it is stopped meanwhile."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end and program.poll() is None:
        for path in glob.glob(f"{folder}/*.sock"):
            with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(ConnectionRefusedError):
                one.settimeout(BOUND)
                one.connect(path)
                program.send_signal(signal.SIGSTOP)
                one.sendall(b'{"request":"get","attr":"max_bytes"}\n')
                return json.load(one.makefile())
    raise Failure("nobody serves it")


def case_start():
    """It was served before --max was set up, and said 0 then."""
    for _ in range(15):
        with tempfile.TemporaryDirectory() as folder:
            with subprocess.Popen([MEMPLUG, "run", "--boot", "64M", "--max", "1G", "--block-size", "16M", "--",
                                   "/bin/sleep", "600"], env={**os.environ, "MEMPLUG_RUNTIME_DIR": folder}) as program:
                try:
                    answer = first_answer(program, folder)
                finally:
                    program.kill()
            check(answer == {"max_bytes": str(1 << 30)}, answer)


def case_names():
    """Same number and name in two PID namespaces: each keeps its socket. A dead one is replaced."""
    program = "import sys; print(1, flush=True); sys.stdin.read()"
    apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    one, two = Program("names", *apart, program=program), Program("names", *apart, program=program)
    path = f"{FOLDER}/1-{one.name}.sock", f"{FOLDER}/1-{one.name}-2.sock"
    try:
        retry(lambda: all(os.path.exists(name) for name in path), "two sockets")
        check(server_of(path[0]) != server_of(path[1]), "they are one")
    finally:
        for each in (one, two):
            each.process.kill()
            each.process.wait()
    # The end of a PID namespace ends everybody in it; whoever looks next removes what is left.
    retry(lambda: subprocess.run([MEMPLUG, "ps"], stdout=subprocess.DEVNULL, check=False) and
          not any(os.path.exists(name) for name in path), "dead sockets go")
    dead = ("import os, socket; s = socket.socket(socket.AF_UNIX); "
            f"s.bind('{FOLDER}/%d-presence-dead.sock' % os.getpid()); "
            f"os.execv('{MEMPLUG}', ['memplug', 'run', '--name', 'presence-dead', '--', "
            f"'{MEMPLUG}', '-p', 'presence-dead', 'list'])")
    check(subprocess.run([PYTHON, "-c", dead], stdout=subprocess.DEVNULL, timeout=BOUND,
                         check=False).returncode == 0, "a dead socket stays")


def case_folder():
    """A folder that somebody else made is not used: the program runs, and it is said once."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        os.mkdir(f"{top}/memplug")
        os.chmod(f"{top}/memplug", 0o777)
        words = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MEMPLUG, "run", "--",
                 "/bin/echo", "runs")
        for owner, why in ((0, "another user"), (65534, "others may write")):
            os.chown(f"{top}/memplug", owner, owner)
            done = subprocess.run(words, capture_output=True, text=True, timeout=BOUND, check=False,
                                  env={**os.environ, "XDG_RUNTIME_DIR": top})
            check(done.returncode == 0 and done.stdout == "runs\n", done.returncode, done.stdout)
            check(done.stderr.count(why) == 1, "no word of", why, "in", done.stderr)


def main():
    if os.geteuid() != 0:
        skip("needs root")
    for program in ("setpriv", "unshare"):
        if shutil.which(program) is None:
            skip(f"needs program {program}")
    wanted = sys.argv[2:]
    failed = 0
    for name, case in list(globals().items()):
        if not name.startswith("case_") or (wanted and name[5:] not in wanted):
            continue
        try:
            case()
        except (Failure, OSError, subprocess.SubprocessError) as error:
            print(f"{name[5:]}: {error}", file=sys.stderr)
            print(f"replay: python3 {sys.argv[0]} {sys.argv[1]} {name[5:]}", file=sys.stderr)
            failed += 1
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
