# SPDX-License-Identifier: MIT
"""What the tests of the tree share: a private mount namespace, a pool, its tree, raw file access.

Nothing outside of the namespace is mounted or touched: enter() runs the test again inside of one;
Pool.cover() binds the tree over the machine's memory blocks there, and no tool runs before it was
seen that what is at that path is ours. Exit status 77 is a skip, and the last line says what it needs (scripts/machine.py).
"""
import ctypes
import errno
import os
import shutil
import socket
import json
import subprocess
import sys
import tempfile
import time

MEMORY = "/sys/devices/system/memory"
FUSE_MAGIC = 0x65735546
PYTHON = "/usr/bin/python3"  # not a wrapper that runs others: they would have pools, too


def skip(why):
    print(why, file=sys.stderr)
    sys.exit(77)


def enter(*programs):
    """Skip without what is needed; run the rest of the script in a mount namespace of its own."""
    if os.geteuid() != 0:
        skip("needs root")
    if not os.path.exists("/dev/fuse"):
        skip("needs file /dev/fuse")
    for program in programs:
        if shutil.which(program) is None:
            skip(f"needs program {program}")
    if os.environ.get("MEMPLUG_TREE_TEST") != str(os.getppid()):
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
            skip("needs mount-namespaces")
        # unshare becomes the test, so our number is its parent's.
        done = subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable,
                               *sys.argv],
                              env={**os.environ, "MEMPLUG_TREE_TEST": str(os.getpid())})
        sys.exit(done.returncode)


def error_name(error):
    return {95: "EOPNOTSUPP", 133: "EHWPOISON"}.get(error.errno) or errno.errorcode[error.errno]


class Failure(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failure(" ".join(str(word) for word in what))


def retry(what, seconds=60):
    """A machine that is starved takes its time; a minute is only so that there is an end."""
    for _ in range(seconds * 50):
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise Failure("it never happened")


class Pool:
    """A pool of a program, its tree, and its socket."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.memplug = f"{self.build}/cli/memplug"
        self.folder = tempfile.mkdtemp()
        self.name = f"tree-{os.getpid()}"
        self.mounts, self.processes = [], []
        self.program = None

    def start(self, command):
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.processes.append(self.program)

    def machine(self, what="machine"):
        """The pool of tree_pool.c; ask() talks to it."""
        self.start([f"{self.build}/tests/linux/tree-pool", self.name, str(what)])
        check(self.program.stdout.readline() == "ready\n", "tree-pool does not start")

    def run(self, *options, program):
        """`memplug run` of an ordinary program."""
        self.start([self.memplug, "run", "--name", self.name, *options, "--", PYTHON, "-c", program])
        retry(lambda: self.command("list", quiet=True) is not None)

    def ask(self, line):
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()
        return json.loads(self.program.stdout.readline())

    def command(self, *words, quiet=False):
        done = subprocess.run([self.memplug, "-p", self.name, *words], capture_output=True,
                              text=True)
        if done.returncode != 0:
            if quiet:
                return None
            raise Failure(f"memplug {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def mount(self, *options):
        at = f"{self.folder}/mnt{len(self.mounts)}"
        os.mkdir(at)
        said = subprocess.run([self.memplug, "-p", self.name, "mount", *options, at],
                              capture_output=True, text=True)
        if said.returncode != 0 and "without libfuse" in said.stderr:
            skip("needs library fuse3")
        check(said.returncode == 0, "memplug mount:", said.stderr)
        self.mounts.append(at)
        return at

    def mount_foreground(self, *options):
        """The same with the daemon in our hands."""
        at = f"{self.folder}/mnt{len(self.mounts)}"
        os.mkdir(at)
        daemon = subprocess.Popen([self.memplug, "-p", self.name, "mount", "-f", *options, at])
        self.processes.append(daemon)
        self.mounts.append(at)
        retry(lambda: is_ours(at) or daemon.poll() is not None)
        check(daemon.poll() is None, "memplug mount -f ended")
        return at, daemon

    def cover(self, tree):
        """Bind the tree over the machine's memory blocks, in this namespace."""
        check(os.environ.get("MEMPLUG_TREE_TEST"), "not in a namespace of our own")
        if not os.path.isdir(MEMORY):
            skip(f"needs file {MEMORY}")
        subprocess.run(["mount", "--bind", tree, MEMORY], check=True)
        self.mounts.append(MEMORY)
        check(is_ours(MEMORY), "what covers the machine's memory blocks is not ours")

    def uncover(self):
        self.mounts.remove(MEMORY)
        subprocess.run(["umount", MEMORY], check=True)

    def end(self):
        # All of them: a daemon that has one left would keep this namespace, and so itself, alive.
        for at in reversed(self.mounts):
            subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL)
        for process in self.processes:
            end_process(process)
        shutil.rmtree(self.folder, ignore_errors=True)


def end_process(process):
    """At the end of its input, or, if that is no word for it, by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_fuse(path):
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == FUSE_MAGIC


def is_ours(path):
    """A FUSE file system with an attribute that the kernel does not have."""
    return is_fuse(path) and os.path.exists(f"{path}/pool_pid")


def read(path, offset=None, size=4096):
    """The contents as the kernel would give them, or the name of an error."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return "open:" + error_name(error)
    try:
        return os.pread(fd, size, offset or 0)
    except OSError as error:
        return error_name(error)
    finally:
        os.close(fd)


def write(path, data, offset=0):
    """How many bytes were written, or the name of an error."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as error:
        return "open:" + error_name(error)
    try:
        return str(os.pwrite(fd, data, offset))
    except OSError as error:
        return error_name(error)
    finally:
        os.close(fd)


def socket_path(pool):
    folder = "/run/memplug"
    return folder + "/" + next(name for name in os.listdir(folder) if name.endswith(f"-{pool.name}.sock"))


def socket_send(pool, request, **fields):
    """One request by the protocol itself; the connection that its answer comes over."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(socket_path(pool))
    connection.sendall(json.dumps({"request": request, **fields}).encode() + b"\n")
    return connection


def socket_answer(connection):
    with connection:
        return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))


def socket_ask(pool, request, **fields):
    return socket_answer(socket_send(pool, request, **fields))


def run_test(name, test, *args):
    """Run it with a pool of the build that is named first; whatever happens, nothing of it is left."""
    pool = Pool(sys.argv[1])
    try:
        test(pool, *args)
    except (Failure, AssertionError, OSError) as error:
        print(f"{name}: {error!r}\nreplay: {sys.executable} {' '.join(sys.argv)}", file=sys.stderr)
        sys.exit(1)
    finally:
        pool.end()
