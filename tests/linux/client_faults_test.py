# SPDX-License-Identifier: MIT
"""client_faults_test.py BUILD_DIR: every system call of the command and of the mount fails (R74).

Each command runs once with nothing failing, and fail_calls.c writes down which calls it makes, its
libraries' included. Then it runs again for each of them, with that call failing once, with it and
all later ones of its name failing, and with waits that a signal ends; short ones also with each pair of
calls failing. So does the daemon of `memplug mount`, while somebody reads, lists and writes in the tree.

What must hold: nobody hangs or dies of a signal; a command that says 0 has said and done all that it
says when nothing fails; one that does not says why; a read of the tree gives what it always gives, or
an error; a daemon that ended has left no mount. The pool is before the change or after it, and its
verifier finds nothing.

Options: --every N (each Nth call, and fewer of the pairs), --only KIND:NUMBER:WORDS (as a failure prints it).
"""
import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

import tree_pool
from tree_pool import check

BOUND = 30
NONE = "-1"  # the number of no call
# OUTPUT: a file whose text counts as said; RECORDING, SCENARIO: files that are there.
LOOKS = ["list --all", "list --json", "ps", "status", "nodes", "why 32", "get", "get block_size_bytes --json",
         "metrics", "metrics --json", "map", "map --svg OUTPUT", "check", "resize 2G --dry-run",
         "offline 1 --dry-run", "evacuate 0 --dry-run", "help list", "poison", "replay RECORDING",
         "sim --from RECORDING", "sim SCENARIO --svg OUTPUT"]
PARTIAL = ["ps", "status"]  # they say what they could not learn
PAIRS = ["list --json", "get block_size_bytes --json", "map --svg OUTPUT", "replay RECORDING", "online 33"]
SCENARIO = "host 64G\nblock 128M\nadd 1G\nuse 50%\nremove 512M\n"
CHANGES = ["online 33", "set auto_online_blocks online", "add 128M --offline"]
# What libfuse itself does with /dev/fuse, and how it takes a lack of memory, is its own.
OF_THE_MOUNT = ("openat,socket,connect,sendto,recvfrom,poll,ppoll,getsockopt,eventfd2,pidfd_open,newfstatat,"
                "getdents64,fcntl,setsid,chdir")
TREE = """
import os, sys
def show(what):
    try:
        print(what())
    except OSError as error:
        print("E", error.errno)
def text(path):
    with open(path) as file:
        return file.read().strip()
def store(path, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)
os.chdir(sys.argv[1])
show(lambda: text("block_size_bytes"))
show(lambda: sorted(os.listdir(".")))
show(lambda: text("memory32/state"))
show(lambda: os.readlink("memory32/node0"))
show(lambda: store("memory33/state", b"online"))
show(lambda: store("memory33/state", b"offline"))
show(lambda: sorted(os.listdir("memory33")))
show(lambda: text("memory33/state"))
"""


def alike(text):
    """What must not differ: counters and times may."""
    return re.sub(r"[\d.]+", "0", text)


class Clients:
    """A pool, and what its clients say when nothing fails."""

    def __init__(self, pool):
        self.pool, self.usual, self.files = pool, {}, tempfile.mkdtemp()
        self.places = {"RECORDING": f"{self.files}/recording", "SCENARIO": f"{self.files}/scenario"}
        with open(self.places["SCENARIO"], "w", encoding="utf-8") as file:
            file.write(SCENARIO)
        with open(self.places["RECORDING"], "w", encoding="utf-8") as file:
            monitor = subprocess.Popen([pool.memplug, "-p", pool.name, "monitor", "--json", "--since", "1"],
                                       stdout=file)
            # A line of what there is, and one for each event.
            tree_pool.retry(lambda: self.recorded() > 5)
            monitor.terminate()
            monitor.wait()

    def recorded(self):
        with open(self.places["RECORDING"], encoding="utf-8") as file:
            return file.read().count("\n")

    def run(self, kind, number, words):
        """A command's status, output, message, and the names of its calls."""
        with tempfile.NamedTemporaryFile("r", dir=self.files) as log, \
             tempfile.NamedTemporaryFile(dir=self.files) as output:
            places = {**self.places, "OUTPUT": output.name}
            command = [f"{self.pool.build}/tests/linux/fail-calls", kind, number, "all", log.name,
                       self.pool.memplug, "-p", self.pool.name, *(places.get(w, w) for w in words.split())]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
            except subprocess.TimeoutExpired as late:
                raise tree_pool.Failure("it does not end") from late
            with open(output.name, encoding="utf-8") as written:
                return done.returncode, done.stdout + written.read(), done.stderr, log.read().split()

    def state(self):
        """What a change changes."""
        blocks = json.loads(self.pool.command("list", "--json"))["blocks"]
        return {b["index"]: b["state"] for b in blocks}, self.pool.command("get", "auto_online_blocks")

    def undo(self, before):
        blocks, policy = self.state()
        for block in set(blocks) - set(before[0]):
            self.pool.command("remove", str(block))
        for block in before[0]:
            if blocks[block] != before[0][block]:
                self.pool.command(before[0][block], str(block))
        if policy != before[1]:
            self.pool.command("set", "auto_online_blocks", before[1].strip())

    def try_command(self, kind, number, words):
        status, said, why, calls = self.run(kind, number, words)
        check(status in (0, 1, 3), f"status {status}: {why}")
        failed = [calls[n] for n in map(int, number.split(",")) if 0 <= n < len(calls)]
        check(status == 0 or (said + why).strip() or "write" in failed, f"status {status} and no word of why")
        if status == 0 and words in PARTIAL:
            check(self.pool.name in said, "it says 0, but not which pools run")
        elif status == 0 and words in self.usual:
            check(alike(said) == self.usual[words], f"it says 0, but not all: {said}{why}")
        return status, said, calls

    def try_change(self, kind, number, words):
        before = self.state()
        status, _, calls = self.try_command(kind, number, words)
        after = self.state()
        self.undo(before)
        if number == NONE:
            self.usual[f"after {words}"] = after
        allowed = [self.usual[f"after {words}"]] + ([before] if status != 0 else [])
        check(after in allowed, f"status {status}, and the pool is {after}")
        return calls

    def try_look(self, kind, number, words):
        status, said, calls = self.try_command(kind, number, words)
        if number == NONE:
            check(status == 0 or words == "status", words, f"ends with {status} and nothing failing")
            self.usual[words] = alike(said)
        return calls

    def await_mount(self, at, daemon):
        """Whether it is there."""
        tree_pool.retry(lambda: tree_pool.is_fuse(at) or daemon.poll() is not None)
        return daemon.poll() is None

    def walk(self, at):
        """What the tree says, line by line."""
        try:
            done = subprocess.run([tree_pool.PYTHON, "-c", TREE, at], capture_output=True, text=True,
                                  timeout=BOUND, check=False)
        except subprocess.TimeoutExpired as late:
            raise tree_pool.Failure("a caller of the tree hangs") from late
        return done.stdout.splitlines()

    def try_mount(self, kind, number, words):
        at, before = tempfile.mkdtemp(dir=self.files), self.state()
        log, errors = f"{at}.log", open(f"{at}.err", "w+", encoding="utf-8")
        daemon = subprocess.Popen(
            [f"{self.pool.build}/tests/linux/fail-calls", kind, number, OF_THE_MOUNT, log,
             self.pool.memplug, "-p", self.pool.name, *words.split(), at], stderr=errors, stdout=errors)
        try:
            said = self.walk(at) if self.await_mount(at, daemon) else []
            subprocess.run(["umount", at], stderr=subprocess.DEVNULL, check=False)
            status = daemon.wait(BOUND)
        except subprocess.TimeoutExpired as late:
            raise tree_pool.Failure("the daemon does not end") from late
        finally:
            daemon.kill()
            left = subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL, check=False).returncode == 0
        errors.seek(0)
        why = errors.read().strip()
        self.undo(before)
        check(status in (0, 1, 3), f"the daemon ended with {status}: {why}")
        check(status == 0 or why, f"the daemon ended with {status} and no word of why")
        check(not left, "the daemon has ended, and its mount is left")
        usual = self.usual.setdefault(words, said)
        # Where a write failed, the state that is read afterwards is the one before.
        check(all(line in (is_usual, "online", "offline") or line.startswith("E ") for line, is_usual in zip(said, usual)),
              "the tree says", said)
        with open(log, encoding="utf-8") as file:
            return file.read().split()

    def trial(self, words):
        if words.startswith("mount"):
            return self.try_mount
        return self.try_change if words in CHANGES else self.try_look

    def attempt(self, job):
        """None, or what went wrong."""
        kind, number, words = job
        what = self.trial(words)
        try:
            what(kind, number, words)
            return None
        except tree_pool.Failure as error:
            return f"{kind}:{number}:{words}: {error}"

    def jobs(self, words, every):
        what = self.trial(words)
        for kinds in (("once", "ever"), ("signal",)):
            calls = what(kinds[0], NONE, words)
            check(kinds[0] == "signal" or len(calls) > 3, "no calls of", words)
            for number in range(0, len(calls), every):
                for kind in kinds:
                    yield kind, str(number), words
        if words in PAIRS:
            yield from (("once", pair, words) for pair in self.pairs(words)[::every * every])

    def pairs(self, words):
        """Each call with each that is still made when it has failed."""
        before, pairs = self.state(), []
        count = len(self.run("once", NONE, words)[3])
        for first in range(count):
            left = len(self.run("once", str(first), words)[3])
            pairs += [f"{first},{second}" for second in range(first + 1, left)]
            self.undo(before)
        return pairs


def test(pool, args):
    pool.machine()
    clients = Clients(pool)
    failed = nr = 0
    every_words = LOOKS + CHANGES + ["mount -f"]
    if args.only:
        kind, number, words = args.only.split(":")
        every_words = [words]
    for words in every_words:
        jobs = list(clients.jobs(words, args.every))
        if args.only:
            jobs = [(kind, number, words)]
        nr += len(jobs)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() if words in LOOKS else 1) as threads:
            for wrong in filter(None, threads.map(clients.attempt, jobs)):
                failed += 1
                print(f"{wrong}\nreplay: {sys.executable} {sys.argv[0]} {sys.argv[1]} "
                      f"--only '{':'.join(wrong.split(':')[:3])}'", file=sys.stderr)
        check(pool.ask("check") == 0, "the verifier finds something after", words)
    print(f"{nr - failed} passed, {failed} failed")
    check(failed == 0, failed, "of", nr)


parser = argparse.ArgumentParser()
parser.add_argument("build")
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--only")
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
os.environ["LC_ALL"] = "C"  # without its file the same is said in other characters
tree_pool.enter("unshare")
tree_pool.run_test("client_faults", test, parser.parse_args())
