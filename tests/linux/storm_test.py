#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""storm_test.py BUILD_DIR PROGRAM [SECONDS [SEED]]: a program in a pool that is changed at random (R38 R40).

PROGRAM is one of the classes below. While it works, blocks come and go, as ordinary memory, on a
stand-in for a device of 4 KiB pages and on huge pages, which stand in for one of 2 MiB, pages move
between nodes, policies change, tools are killed in the middle, and so are the companion and the
mount, and memory is short in the program's cgroup, where the kernel may kill none but hogs (hogs.py).
The program must answer as it does without a pool, the verifier must be content, and no tool
may end but with the status that help names, nor refuse without a word. What is done follows from SEED
alone, step by step (--script SEED prints the first steps): a failure prints it, and what was done last.
"""
import contextlib
import glob
import hashlib
import itertools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
import machine # noqa: E402

FOLDER = tempfile.mkdtemp()
POOL = f"storm-{os.getpid()}"
BOUND = 120
HUGE_PAGES = 64                        # 128 MiB of them, if the kernel gives them, in a run that is long:
LONG = 30                              # tests beside a short one may count on none
GROUP_BYTES = 2 << 30                  # more than any of the programs takes
done_last = []
group = None                           # the cgroup of what runs in a pool, if there can be one
if sys.argv[1] != "--script":
    BUILD = os.path.abspath(sys.argv[1])
    SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    SEED = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(1 << 32)
    MEMPLUG = f"{BUILD}/cli/memplug"
    RUN = [MEMPLUG, "run", "--name", POOL, "--boot", "64M", "--block-size", "16M", "--max", "3G"]
    HOGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hogs.py")


def say(text):
    print(f"storm_test: {text}", file=sys.stderr)


class Failed(Exception):
    """What was expected and did not happen."""


def check(true, text):
    if not true:
        raise Failed(text)


# ---- programs ----

def in_pool(options, command, user=()):
    """What runs the command in a pool, and in the cgroup."""
    join = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group] if group else []
    return [*join, *user, *RUN, *options, "--", *command]


class Batch:
    """Runs to its end again and again, each time with the same output."""
    options = []

    def __init__(self):
        self.plain = self.output(self.command())
        check(self.plain, "the plain program says nothing")

    def output(self, command):
        work = tempfile.mkdtemp(dir=FOLDER)
        done = subprocess.run(command, cwd=work, capture_output=True, check=False,
                              timeout=BOUND + 2 * SECONDS, stdin=subprocess.DEVNULL)
        check(done.returncode == 0, f"status {done.returncode}: {done.stderr.decode()[-400:]}")
        result = done.stdout + b"".join(
            hashlib.sha256(open(f"{work}/{name}", "rb").read()).digest()
            for name in sorted(os.listdir(work)))
        shutil.rmtree(work)
        return result

    def work(self, until):
        rounds = 0
        while rounds == 0 or time.monotonic() < until:
            output = self.output(in_pool(self.options, self.command()))
            check(output == self.plain, "the output differs")
            rounds += 1
        return f"{rounds} runs"


class Python(Batch):
    """Lists, dictionaries, threads, and children that read what their parent built."""
    text = """
import hashlib, os, threading, time
def fork():
    for _ in range(600): # it may be refused while memory is short (CAVEATS)
        try:
            return os.fork()
        except OSError:
            time.sleep(0.1)
    return os.fork()
total = hashlib.sha256()
for turn in range(12):
    table = {i: str(i) * (i % 50 + 1) for i in range(60000)}
    some = [bytes([i % 251]) * (i % 30000) for i in range(3000)]
    threads = [threading.Thread(target=lambda: sorted(table.values())) for _ in range(3)]
    [t.start() for t in threads]
    pid = fork()
    if pid == 0:
        os._exit(sum(len(s) for s in some) % 251)
    [t.join() for t in threads]
    total.update(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    total.update("".join(table[i] for i in range(0, 60000, 7)).encode())
print(total.hexdigest())
"""

    def command(self):
        return ["/usr/bin/python3", "-c", self.text]


class Compiler(Batch):
    """g++ and what it starts, each with a pool of its own."""

    def __init__(self):
        self.source = f"{FOLDER}/source.cc"
        with open(self.source, "w", encoding="utf-8") as file:
            file.write("#include <map>\n#include <string>\n#include <vector>\n#include <iostream>\n")
            for i in range(60):
                file.write(f"struct t{i} {{ std::map<std::string, std::vector<int>> m; "
                           f"int f(int n) {{ m[std::to_string(n)].push_back(n * {i}); "
                           "return (int)m.size(); } };\n")
        super().__init__()

    def command(self):
        return ["g++", "-O2", "-c", self.source, "-o", "out.o"]


class Java(Batch):
    """A collector's heap that the pool has because it takes what programs map themselves."""
    options = ["--mmap"]

    def __init__(self):
        self.source = f"{FOLDER}/Storm.java"
        with open(self.source, "w", encoding="utf-8") as file:
            file.write("""import java.util.*;
class Storm {
    public static void main(String[] none) {
        long sum = 0;
        Map<Integer, byte[]> map = new HashMap<>();
        for (int i = 0; i < 400000; i++) {
            map.put(i % 5000, new byte[i % 3000]);
            byte[] old = map.get((i * 7) % 5000);
            sum += old == null ? 1 : old.length;
        }
        System.out.println(sum);
    }
}
""")
        super().__init__()

    def command(self):
        return ["java", "-Xmx256m", self.source]


class Node(Batch):
    """V8's own heap."""
    options = ["--mmap"]

    def command(self):
        return ["node", "-e", "let m = new Map(), s = 0; for (let i = 0; i < 2e6; i++) { "
                "m.set(i % 50000, 'x'.repeat(i % 70) + i); s += (m.get((i * 7) % 50000) || '').length; } "
                "console.log(s)"]


class Server:
    """A server and a client that knows what must be in it."""
    options = []
    user = []

    def __init__(self):
        self.path = f"{FOLDER}/server.sock"
        self.log = open(f"{FOLDER}/server.log", "wb")
        self.random = random.Random(SEED)
        self.process = None

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(BOUND)
        client.connect(self.path)
        return client.makefile("rwb")

    def start(self):
        self.process = subprocess.Popen(in_pool(self.options, self.command(), self.user), stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return self.connect_soon()

    def connect_soon(self):
        """Not at once while it starts, or while memory is too short for a child of it."""
        end = time.monotonic() + BOUND
        while True:
            try:
                return self.connect()
            except OSError:
                check(self.process.poll() is None, "the server ended")
                check(time.monotonic() < end, "the server does not answer")
                time.sleep(0.05)

    def work(self, until):
        stream = self.start()
        try:
            return self.talk(stream, until)
        finally:
            self.process.kill()
            self.process.wait()

    def talk(self, stream, until):
        there, nr = {}, 0
        while time.monotonic() < until:
            for _ in range(200):
                key, size = self.random.randrange(8000), self.random.randrange(1, 12000)
                if self.random.randrange(3) != 0:
                    there[key] = (self.random.randrange(256), size)
                    self.put(stream, key, bytes([there[key][0]]) * size)
                else:
                    want = bytes([there[key][0]]) * there[key][1] if key in there else None
                    check(self.get(stream, key) == want, f"key {key} is wrong")
                nr += 1
        for key, (byte, size) in there.items():
            check(self.get(stream, key) == bytes([byte]) * size, f"key {key} is wrong at the end")
        check(self.process.poll() is None, "the server ended")
        return f"{nr} operations, {len(there)} keys"


class Redis(Server):
    """With children that write snapshots, of which some are refused while memory is short (CAVEATS)."""

    def command(self):
        return ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", FOLDER,
                "--save", "2 100", "--stop-writes-on-bgsave-error", "no"]

    @staticmethod
    def send(stream, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        stream.flush()

    def put(self, stream, key, value):
        self.send(stream, "SET", key, value)
        said = stream.readline()
        check(said == b"+OK\r\n", f"SET was refused: {said}")

    def get(self, stream, key):
        self.send(stream, "GET", key)
        size = int(stream.readline()[1:])
        return stream.read(size + 2)[:-2] if size >= 0 else None


class Memcached(Server):
    """Threads, and slabs that it never gives back."""

    def command(self):
        return ["memcached", "-s", self.path, "-u", "root", "-m", "400", "-t", "4"]

    def put(self, stream, key, value):
        stream.write(b"set %d 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        stream.flush()
        check(stream.readline() == b"STORED\r\n", "set was refused")

    def get(self, stream, key):
        stream.write(b"get %d\r\n" % key)
        stream.flush()
        head = stream.readline()
        if head == b"END\r\n":
            return None
        value = stream.read(int(head.split()[3]) + 2)[:-2]
        check(stream.readline() == b"END\r\n", "get has no end")
        return value


class Postgres(Server):
    """A child with a pool of its own for each client, and clients that come and go. Not as root."""

    def __init__(self):
        super().__init__()
        self.data, self.nr, self.client = f"{FOLDER}/data", 0, None
        if os.geteuid() == 0:
            self.user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        done = subprocess.run([*self.user, "initdb", "-D", self.data, "-A", "trust", "-N", "-U", "storm"],
                              check=False, capture_output=True, cwd="/")
        check(done.returncode == 0, done.stderr.decode())

    def command(self):
        return ["postgres", "-D", self.data, "-k", FOLDER, "-c", "listen_addresses=", "-c", "fsync=off"]

    def connect(self):
        client = subprocess.Popen(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", FOLDER, "-U", "storm", "postgres"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.client = client
        try:
            self.ask("create table if not exists kept (key int primary key, value bytea);")
        except OSError:
            client.kill()
            client.wait()
            raise
        return client

    def ask(self, words):
        self.client.stdin.write(words.encode() + b"\n\\echo end\n")
        self.client.stdin.flush()
        lines = []
        while not lines or lines[-1] != b"end\n":
            lines.append(self.client.stdout.readline())
            if lines[-1] == b"":
                raise OSError("the client ended")
        return b"".join(lines[:-1]).strip()

    def another_client(self):
        self.nr += 1
        if self.nr % 100 == 0:
            self.client.stdin.close()
            self.client.wait()
            self.connect_soon()

    def put(self, stream, key, value):
        self.another_client()
        self.ask(f"insert into kept values ({key}, '\\x{value.hex()}') "
                 "on conflict (key) do update set value = excluded.value;")

    def get(self, stream, key):
        self.another_client()
        value = self.ask(f"select encode(value, 'hex') from kept where key = {key};")
        return bytes.fromhex(value.decode()) if value else None


# ---- the storm ----

def script(seed):
    """Steps without end: what, its words, the seconds after which it is killed, the pause behind it. Blocks
    are numbers from 0 to 1, which lie somewhere in the list of those that there are, the fullest first."""
    for nr in itertools.count():
        draw = random.Random(f"{seed}:{nr}")
        yield *step(draw), draw.random() * 0.05


def step(draw):
    size = f"{16 * draw.randrange(1, 9)}M"
    blocks = [draw.random() ** 2 for _ in range(draw.randrange(1, 4))]
    device = draw.choice(["file:FOLDER/card0,node=1", "file:FOLDER/card1,node=1", "hugetlb:2M"])
    node = str(draw.randrange(3))
    words = [["resize", "200M"], ["add", "64M"], ["evacuate", node], ["list"]]
    steps = [
        (20, ("tool", ["add", size], None)),
        (16, ("tool", ["add", size, "--backing", device], None)),
        (20, ("tool", ["remove", blocks, "--deadline", "2"], None)),
        (8, ("tool", ["resize", f"{draw.randrange(100, 900)}M", "--deadline", "3"], None)),
        (12, ("tool", ["move", blocks, "--to", str(draw.randrange(3)), "--deadline", "2"], None)),
        (8, ("tool", ["evacuate", node, "--deadline", "5"], None)),
        (4, ("tool", ["offline", blocks, "--deadline", "1"], None)),
        (4, ("tool", ["online", blocks], None)),
        (4, ("tool", ["set", "placement", draw.choice(["local", "prefer 1", "interleave 0=2,1"])], None)),
        (3, ("tool", ["set", "tiering", draw.choice(["on", "off"])], None)),
        (3, ("tool", ["set", "huge", draw.choice(["on", "off"])], None)),
        (4, ("tool", ["check"], None)),
        (6, ("tool", draw.choice(words), draw.random() * 0.1)),
        (3, ("mount", [], None)),
        (2, ("unmount", [], None)),
        (2, ("kill_companion", [], None)),
        (14, ("pressure", [draw.randrange(4, 64), draw.random() * 5], None)),
    ]
    return draw.choices([what for _, what in steps], [weight for weight, _ in steps])[0]


@contextlib.contextmanager
def huge_pages():
    """So many more, as far as the kernel has them and we may ask."""
    taken = 0
    if SECONDS >= LONG:
        with contextlib.suppress(OSError):
            taken = machine.reserve(HUGE_PAGES)
    try:
        yield
    finally:
        if taken != 0:
            machine.reserve(-taken)


def server_of(path):
    """Who listens there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4],
                              sys.byteorder)


class Storm:
    """Changes the pool until told to stop; what went wrong is raised by join()."""

    def __init__(self):
        self.stop = threading.Event()
        self.error = None
        self.counts = {}
        self.mounted = None
        self.pressing, self.killed = None, 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            for what, words, killed_after, pause in script(SEED):
                if self.stop.is_set():
                    break
                if what == "tool":
                    self.tool(*(self.resolve(word) for word in words), killed_after=killed_after)
                else:
                    getattr(self, what)(*words)
                time.sleep(pause)
            self.no_pressure()
        except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.error = error
        self.unmount()

    def join(self):
        self.stop.set()
        self.thread.join()
        if self.error is not None:
            raise self.error

    def tool(self, *words, killed_after=None):
        """Refusals are fine: somebody else may have been faster, or there is no room."""
        process = subprocess.Popen([MEMPLUG, "-p", POOL, *words], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            out, err = process.communicate(timeout=killed_after or BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            check(killed_after is not None, f"memplug {' '.join(words)} does not end")
            done_last.append(f"{' '.join(words)}: killed")
            return ""
        done_last.append(f"{' '.join(words)}: {process.returncode} {err.decode().strip()}")
        del done_last[:-25]
        self.counts[words[0], process.returncode] = self.counts.get((words[0], process.returncode), 0) + 1
        check(process.returncode in (0, 1, 3), f"memplug {' '.join(words)}: status {process.returncode}")
        check(process.returncode == 0 or out.strip() or err.strip(),
              f"memplug {' '.join(words)}: status {process.returncode}, and not a word")
        check(words[0] != "check" or process.returncode != 1 or b"not answering" in err or
              b"gone" in err or b"ended" in err or b"closed" in err, f"the verifier: {out} {err}")
        return out.decode() if process.returncode == 0 else ""

    def resolve(self, word):
        if isinstance(word, str):
            return word.replace("FOLDER", FOLDER)
        listed = self.tool("list", "--json")
        blocks = sorted(json.loads(listed)["blocks"] if listed else [], key=lambda block: -block["used_bytes"])
        blocks = [str(block["index"]) for block in blocks]
        return ",".join(sorted({blocks[int(at * len(blocks))] for at in word})) if blocks else "0"

    def mount(self):
        self.unmount()
        folder = tempfile.mkdtemp(dir=FOLDER)
        process = subprocess.Popen([MEMPLUG, "-p", POOL, "mount", "-f", folder], stderr=subprocess.DEVNULL)
        self.mounted = (folder, process)

    def unmount(self):
        if self.mounted is None:
            return
        folder, process = self.mounted
        try:
            os.listdir(folder)
        except OSError:
            pass  # it was quicker than the mount
        process.kill()
        process.wait()
        subprocess.run(["fusermount3", "-uzq", folder], check=False, stderr=subprocess.DEVNULL)
        self.mounted = None

    def kill_companion(self):
        for name in os.listdir(FOLDER):
            if name.endswith(f"-{POOL}.sock"):
                try:
                    os.kill(server_of(f"{FOLDER}/{name}"), signal.SIGKILL)
                    done_last.append("killed the companion")
                except OSError:
                    pass  # nobody is there just now

    def pressure(self, margin_mib, seconds):
        """Begins, unless it still lasts; other steps go on meanwhile."""
        if group is None or (self.pressing is not None and self.pressing.poll() is None):
            return
        self.no_pressure()
        self.pressing = subprocess.Popen(["/usr/bin/python3", HOGS, group, str(margin_mib), f"{seconds:.3f}"],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done_last.append(f"pressure: a margin of {margin_mib} MiB for {seconds:.3f} s")

    def no_pressure(self):
        if self.pressing is None:
            return
        pressing, self.pressing = self.pressing, None
        pressing.terminate()
        out, err = pressing.communicate(timeout=BOUND)
        check(pressing.returncode in (0, -signal.SIGTERM), f"pressure: {err.decode()}")
        killed = int(out or 0) # nothing: it had hardly started
        self.killed += killed
        done_last.append(f"pressure: over, {killed} killed")


@contextlib.contextmanager
def limited_group():
    """What is in it can never take all memory of the machine."""
    global group
    made = machine.make_memory_group()
    if made is None:
        print("SKIPPED storm_test: needs memory-cgroup: memory was never short")
        yield
        return
    group = made[0]
    try:
        for name, value in (made[1], GROUP_BYTES), ("memory.swap.max", 0), ("memory.swappiness", 0):
            if os.path.exists(f"{group}/{name}"):
                with open(f"{group}/{name}", "w", encoding="ascii") as file:
                    file.write(str(value))
        yield
    finally:
        remove_group()


def remove_group():
    """Once all have ended that were started in it."""
    end = time.monotonic() + BOUND
    while True:
        try:
            os.rmdir(group)
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def cards():
    """Stand-ins for devices. The pages of one can be written out when memory is short; those of the other
    lie in a file system of memory, and count for the cgroup like a program's own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else FOLDER) as memory:
        os.symlink(f"{memory}/card", f"{FOLDER}/card1")
        places = [FOLDER, f"{FOLDER}/card0", memory, f"{memory}/card"]
        for path in places[1::2]:
            with open(path, "wb") as card:
                card.truncate(512 << 20)
        if sys.argv[2] == "postgres" and os.geteuid() == 0:
            for path in places:
                os.chown(path, pwd.getpwnam("postgres").pw_uid, -1)
        yield


def main():
    os.environ["MEMPLUG_RUNTIME_DIR"] = FOLDER
    programs = {each.__name__.lower(): each for each in
                (Python, Compiler, Java, Node, Redis, Memcached, Postgres)}
    program = programs[sys.argv[2]]()
    storm = Storm()
    try:
        worked = program.work(time.monotonic() + SECONDS)
    finally:
        storm.join()
    ok = sum(nr for (_, status), nr in storm.counts.items() if status == 0)
    print(f"{sys.argv[2]}: {worked}; {ok} of {sum(storm.counts.values())} requests were granted; "
          f"the kernel killed {storm.killed} hogs")
    check(ok > 0, "nothing was granted")
    check(storm.killed > 0 or group is None or SECONDS < LONG, "memory was never short")


def start():
    if sys.argv[1] == "--script":
        for what, words, killed_after, _pause in itertools.islice(script(int(sys.argv[2])), 40):
            print(what, *words, f"killed after {killed_after:.3f} s" if killed_after is not None else "")
        return 0
    os.environ["PATH"] += "".join(f":{path}" for path in glob.glob("/usr/lib/postgresql/*/bin"))
    needs = {"compiler": "g++", "redis": "redis-server", "python": "python3"}
    program = needs.get(sys.argv[2], sys.argv[2])
    if shutil.which(program) is None:
        say(f"needs program {program}")
        return 77
    try:
        with huge_pages(), cards(), limited_group():
            main()
    except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as error:
        say(f"{sys.argv[2]}: {error}")
        with contextlib.suppress(OSError), open(f"{FOLDER}/server.log", "rb") as log:
            say("the server said last:\n" + log.read()[-2000:].decode(errors="replace"))
        say("done last:\n    " + "\n    ".join(done_last))
        say(f"replay: python3 {sys.argv[0]} {BUILD} {sys.argv[2]} {SECONDS:g} {SEED}")
        return 1
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


sys.exit(start())
