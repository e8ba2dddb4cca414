# SPDX-License-Identifier: MIT
"""faults_test.py BUILD_DIR: every system call of ours fails, one at a time, under a real program (R74).

A session: a program that checks its memory is started in a pool, blocks come and go, are resized, go to
a file and come back, are looked at; the program forks; it ends. First it runs once with nothing
failing, and failing.c writes down which calls there are. Then it runs again for each place in the code
that makes one (--all: for every number), with that call failing once, and from then on always;
and with waits that a signal ends. A short session also runs with pairs of calls failing (--pairs N: so many, by --seed).

What must hold: the program lives and its memory is right; each command ends, with 0 or with 1 and a
sentence; one that failed has changed no block. When it failed once, the verifier finds nothing, and
blocks can be added and removed afterwards. Nothing of ours is left when the program has ended.

Options: --every N (each Nth place: a small part, for `make test`), --all, --only KIND:NUMBER:NAME (once,
ever, signal; pair:NUMBER:NUMBER; as a failure prints it).
"""
import argparse
import concurrent.futures
import json
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading

NAMES = [None, "open", "open64", "read", "ioctl", "poll", "socket", "bind", "listen", "accept4", "connect",
         "send", "recv", "getsockopt", "setsockopt", "unlink", "mkdir", "renameat2", "fstat64", "stat64",
         "lstat64", "fstatfs64", "ftruncate64", "memfd_create", "flock", "nanosleep", None, None,
         "clone", "getrlimit64", "setrlimit64", "access", "readlink", "setsid", "sched_getaffinity",
         "process_vm_readv", "process_vm_writev"]
HEAD = struct.Struct("8I")
CALLS_MAX = 65536
BOUND = 60
EVER = 0xffffffff
PER_PLACE = 3


class Failure(Exception):
    pass


def check(good, *what):
    if not good:
        raise Failure(" ".join(str(word) for word in what))


class Page:
    """What is shared with failing.c."""

    def __init__(self, path):
        with open(path, "wb") as file:
            file.truncate(HEAD.size + 8 * CALLS_MAX)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.interrupt, self.first, self.last, self.only, self.second = 0, EVER, EVER, 0, EVER

    def arm(self, on):
        self.memory[:24] = struct.pack("6I", on, self.interrupt, self.first, self.last, self.only, self.second)

    def count(self):
        return HEAD.unpack_from(self.memory)[6:]

    def calls(self):
        number = min(self.count()[0], CALLS_MAX)
        return [struct.unpack_from("2I", self.memory, HEAD.size + 8 * i) for i in range(number)]


class Session:
    def __init__(self, build, folder):
        self.memplug, self.folder = f"{build}/cli/memplug", folder
        self.build, self.said, self.once, self.short = build, [], True, False
        self.page = Page(f"{folder}/page")
        self.env = {**os.environ, "XDG_RUNTIME_DIR": folder, "MEMPLUG_RUNTIME_DIR": f"{folder}/run",
                    "MEMPLUG_FAILING": f"{folder}/page",
                    "MEMPLUG_HEAP_LIBRARY": f"{build}/tests/linux/libheap-failing.so"}
        os.mkdir(f"{folder}/run", 0o700)
        with open(f"{folder}/device", "wb") as file:
            file.truncate(16 << 20)
        self.program = None

    def start(self):
        self.errors = open(f"{self.folder}/err", "w+", encoding="utf-8")
        self.program = subprocess.Popen(
            [self.memplug, "run", "--name", "faults", "--boot", "32M", "--max", "256M", "--block-size", "4M",
             "--", f"{self.build}/tests/linux/fault-program"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=self.env, text=True)
        return self.hear("started")

    def read_errors(self):
        self.errors.seek(0)
        return self.errors.read().strip()

    def hear(self, word):
        watch = threading.Timer(BOUND, self.program.kill)
        watch.start()
        heard = self.program.stdout.readline().strip()
        watch.cancel()
        if heard == word:
            return True
        status, why = self.program.wait(BOUND), self.read_errors()
        # jemalloc says so, and falls over, when its very first mapping is refused: before there is a pool.
        if word == "started" and status == -signal.SIGSEGV and why.startswith("<jemalloc>: Cannot allocate"):
            return False
        check(word == "started" and status == 1 and why,
              f"the program ended with {status} in place of '{word}': {self.read_errors()}")
        return False                   # it had not begun, and why is said

    def round(self, word="go"):
        self.program.stdin.write(word + "\n")
        self.program.stdin.flush()
        self.hear("round")

    def ask(self, *words):
        """The status of a command, its output; whether the pool is before or after is known()."""
        try:
            done = subprocess.run([self.memplug, "-p", "faults", *words], capture_output=True, text=True,
                                  env=self.env, timeout=BOUND, check=False)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"memplug {' '.join(words)} does not end") from late
        check(done.returncode in (0, 1, 3), f"memplug {' '.join(words)}: status {done.returncode}: {done.stderr}")
        check(done.returncode == 0 or done.stderr.strip(), f"memplug {' '.join(words)}: no word of why")
        if done.returncode != 0:
            self.said.append(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.returncode, done.stdout

    def blocks(self):
        """State of each block; None: it cannot be asked now."""
        self.page.arm(0)
        status, said = self.ask("list", "--json")
        self.page.arm(1)
        if status != 0:
            return None
        return {b["index"]: (b["state"], b["zone"], b["backing"]) for b in json.loads(said)["blocks"]}

    def change(self, *words):
        before = self.blocks()
        status, said = self.ask(*words)
        after = self.blocks()
        # Where the answer itself was lost, the command says so, and cannot know more.
        unknown = status == 1 and "before it answered" in self.said[-1]
        if status == 1 and not unknown and before is not None and after is not None:
            check(before == after or self.may_grow(before, after), f"memplug {' '.join(words)} failed "
                  f"({self.said[-1]}), but the blocks are others: {before} {after}")
        self.round()
        return re.findall(r"\d+", said.replace("block", "")) if status == 0 else []

    @staticmethod
    def may_grow(before, after):
        """The heap may have taken a block meanwhile."""
        return all(after.get(block) == state for block, state in before.items())

    def run_short(self):
        self.change("add", "16M")
        self.change("remove", "0-1")
        self.round("fork")

    def run_steps(self):
        self.change("add", "16M")
        self.change("offline", "9-10")
        self.change("online", "9-10")
        self.change("remove", "0-1")
        self.change("add", "8M", "--backing", f"file:{self.folder}/device")
        self.change("remove", "2-3")
        self.round("fork")
        self.change("resize", "64M")
        self.ask("why", "1-9")
        self.ask("get", "total_bytes")
        self.ask("metrics")
        self.change("resize", "40M")
        self.round("fork")

    def end(self):
        self.program.stdin.close()
        try:
            status = self.program.wait(BOUND)
        except subprocess.TimeoutExpired as late:
            raise Failure("the program does not end") from late
        check(status == 0, f"the program ended with {status}: {self.read_errors()}")

    def run(self):
        try:
            self.page.arm(1)
            if not self.start():
                return
            if self.short:
                self.run_short()
            else:
                self.run_steps()
            self.page.arm(0)
            if self.once and self.blocks() is not None:
                self.page.arm(0)
                check(self.ask("check")[0] == 0, "the verifier:", self.said[-1:])
                check(self.ask("add", "4M")[0] == 0, "no block can be added any more:", self.said[-1:])
            self.page.arm(0)
            self.end()
        finally:
            if self.program is not None and self.program.poll() is None:
                self.program.kill()
                self.program.wait()
            self.page.arm(0)


def name_of(call):
    return f"system call {call[0] - 1000}" if call[0] >= 1000 else NAMES[call[0]]


def run_one(build, kind, number, name=0):
    """None, or what went wrong; and which calls there were. name: of the call that fails for ever, or of
    a pair the second number."""
    folder = tempfile.mkdtemp(prefix="mf.")
    session = Session(build, folder)
    session.once, session.short = kind != "ever", kind == "pair"
    session.page.interrupt = kind == "signal"
    if number is not None:
        session.page.first, session.page.last = number, EVER if kind == "ever" else number + 1
        session.page.only = name if kind == "ever" else 0
        session.page.second = name if kind == "pair" else EVER
    wrong = None
    try:
        session.run()
    except (Failure, OSError, ValueError) as error:
        wrong = f"{error}"
    calls = session.page.calls()
    if wrong and number is not None and number < len(calls):
        wrong = (f"{kind}:{number}:{name} ({name_of(calls[number])} at {calls[number][1]:#x}): "
                 f"{wrong}")
    shutil.rmtree(folder, ignore_errors=True)
    return wrong, calls


def places(calls, every, all_of_them):
    """The numbers of the calls to fail: the first few from each place in the code."""
    if all_of_them:
        return list(range(len(calls)))
    seen, numbers = {}, []
    for number, call in enumerate(calls):
        seen[call] = seen.get(call, 0) + 1
        if seen[call] <= PER_PLACE:
            numbers.append(number)
    return numbers[::every]


def pairs(calls, number, seed):
    """Some of all pairs of places."""
    firsts = [calls.index(call) for call in dict.fromkeys(calls)]
    every = [(a, b) for a in firsts for b in firsts if a < b]
    return random.Random(seed).sample(every, min(number, len(every)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    args = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if args.only:
        kind, number, name = args.only.split(":")
        jobs = [(kind, int(number), int(name))]
    else:
        jobs = []
        for kinds in (("once", "ever"), ("signal",), ("pair",)):
            wrong, calls = run_one(args.build, kinds[0], None)
            if wrong:
                print(f"with nothing failing: {wrong}", file=sys.stderr)
                return 1
            if kinds == ("pair",):
                jobs += [("pair", *pair) for pair in pairs(calls, args.pairs, args.seed)]
            else:
                jobs += [(kind, n, calls[n][0]) for kind in kinds for n in places(calls, args.every, args.all)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4 * os.cpu_count()) as pool:
        for wrong, _ in pool.map(lambda job: run_one(args.build, *job), jobs):
            if wrong:
                failed += 1
                print(f"{wrong}\nreplay: {sys.executable} {sys.argv[0]} {args.build} "
                      f"--only {wrong.split(' ')[0]}", file=sys.stderr)
    print(f"{len(jobs) - failed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
