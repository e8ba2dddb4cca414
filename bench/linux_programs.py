#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""linux_programs.py BUILD_DIR: redis and memcached under `memplug run` beside the same on plain jemalloc.

Both servers are up at the same time, hold the same data and are loaded by turns. Two ratios: requests
a second, which on a busy machine says as much about the machine, and CPU time of the server per
request, which does not. Then the same while blocks leave the pool all the time; and, since whoever
moves needs a CPU as well, the plain server while blocks of the other one's pool leave, which has
nothing to do meanwhile: no pool can do better than that on the same CPUs. What is not installed is
left out, and the output says so.
"""
import contextlib
import ctypes.util
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROUNDS = 7
KEYS, VALUE_BYTES = 200_000, 1000
DEPTH = 100                     # memcached requests that are sent at once
CONNECTIONS = 4
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid, thread):
    """CPU time of a process, or of its first thread only."""
    path = f"/proc/{pid}/task/{pid}/stat" if thread else f"/proc/{pid}/stat"
    fields = pathlib.Path(path).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def wait_for(port):
    for _ in range(600):
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.05)
    sys.exit(f"no server at port {port}")


class Redis:
    name, needs, main_thread = "redis", ("redis-server", "redis-benchmark"), True

    @staticmethod
    def command(port):
        return ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]

    def __init__(self, port):
        self.port = port
        wait_for(port).close()
        self.run("set", 2 * KEYS)

    def run(self, kind, number):
        words = ["redis-benchmark", "-p", self.port, "-t", kind, "-n", number, "-r", KEYS,
                 "-d", VALUE_BYTES, "-P", 16, "-q"]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)

    def load(self):
        """Some requests; returns how many."""
        self.run("get", 150_000)
        self.run("set", 150_000)
        return 300_000


class Memcached:
    name, needs, main_thread = "memcached", ("memcached",), False

    @staticmethod
    def command(port):
        user = ["-u", "root"] if os.getuid() == 0 else []
        return ["memcached", "-t", "4", "-m", "1024", "-p", str(port), *user]

    def __init__(self, port):
        self.links = [wait_for(port) for _ in range(CONNECTIONS)]
        self.value = b"x" * VALUE_BYTES
        self.at = 0
        for start in range(0, KEYS, DEPTH):
            self.talk([self.links[0]], start, True)

    def talk(self, links, start, store):
        """A batch of requests for keys from start on, on each link, and all the answers."""
        for i, link in enumerate(links):
            keys = [(start + i * DEPTH + k) * 7919 % KEYS for k in range(DEPTH)]
            link.sendall(b"".join(
                b"set k%d 0 0 %d\r\n%b\r\n" % (key, VALUE_BYTES, self.value) if store else
                b"get k%d\r\n" % key for key in keys))
        end = b"STORED\r\n" if store else b"END\r\n"
        for link in links:
            got, seen = b"", 0
            while seen < DEPTH:
                got = got[-len(end) + 1:] + link.recv(1 << 20)
                seen += got.count(end)

    def load(self):
        for turn in range(500):
            self.talk(self.links, self.at, turn % 5 == 0)
            self.at += DEPTH * CONNECTIONS
        return 500 * DEPTH * CONNECTIONS


class Pool:
    """The command, for one pool."""

    def __init__(self, command, name):
        self.command, self.name = command, name

    def __call__(self, *words):
        return subprocess.run([self.command, "-p", self.name, *words], check=True,
                              capture_output=True, text=True).stdout

    def blocks(self):
        return [block["index"] for block in json.loads(self("list", "--json"))["blocks"]]


class Mover(threading.Thread):
    """Takes out the block that has been there longest and plugs a new one, while it is let."""

    def __init__(self, pool):
        super().__init__(daemon=True)
        self.pool = pool
        self.go, self.ended = threading.Event(), threading.Event()
        self.nr_left = self.nr_refused = 0

    def run(self):
        while not self.ended.is_set():
            for block in self.pool.blocks():
                self.go.wait()
                if self.ended.is_set():
                    return
                self.exchange(block)

    def exchange(self, block):
        """A refusal is an answer, too: something else changed the pool just then. The next block has its turn."""
        try:
            self.pool("remove", str(block), "--deadline", "60")
            self.nr_left += 1
            self.pool("add", "128M")
        except subprocess.CalledProcessError:
            self.nr_refused += 1

    def end(self):
        self.ended.set()
        self.go.set()
        self.join()


@contextlib.contextmanager
def process(words, env):
    running = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


def measure(client, pid):
    """Requests a second, and microseconds of the server's CPU time per request."""
    start, used = time.monotonic(), cpu_seconds(pid, client.main_thread)
    number = client.load()
    seconds = time.monotonic() - start
    return number / seconds, (cpu_seconds(pid, client.main_thread) - used) / number * 1e6


def compare(titles, clients, pids, mover=None):
    """A row for each title: the one in the pool, and the plain one beside the mover."""
    who = (0, 1, 0)[:1 + len(titles)]
    figures = [[] for _ in who]
    for _ in range(ROUNDS):
        for turn, client in enumerate(who):
            if mover is not None:
                (mover.go.set if turn > 0 else mover.go.clear)()
            figures[turn].append(measure(clients[client], pids[client]))
    (plain, cost_plain), *rows = ([statistics.median(each) for each in zip(*turns)] for turns in figures)
    for title, (rate, cost) in zip(titles, rows):
        print(f"{title:42} {rate / 1e3:8.0f} {plain / 1e3:10.0f} {rate / plain:10.2f} "
              f"{cost_plain / cost:10.2f}", flush=True)


def bench(kind, memplug, jemalloc, port):
    name = f"bench-{kind.name}-{os.getpid()}"
    plain_env = {**os.environ, "LD_PRELOAD": jemalloc}
    run = [str(memplug), "run", "--name", name, "--boot", "512M", "--max", "4G", "--"]
    with process(kind.command(port), plain_env) as plain, \
            process(run + kind.command(port + 1), os.environ) as ours:
        clients, pids = (kind(port), kind(port + 1)), (plain.pid, ours.pid)
        pool = Pool(memplug, name)
        compare([f"{kind.name}, nothing moves"], clients, pids)
        if pool("get", "userfaultfd").strip() != "full":
            print(f"{kind.name}, blocks leave: left out: {pool('get', 'userfaultfd').strip()}")
            return
        pool("add", "256M")
        mover = Mover(pool)
        mover.start()
        start, before = time.monotonic(), int(pool("get", "moved_pages"))
        compare([f"{kind.name}, blocks leave all the time",
                 f"plain {kind.name}, another's blocks leave"], clients, pids, mover)
        mover.end()
        moved = (int(pool("get", "moved_pages")) - before) * 4 >> 10
        print(f"    {mover.nr_left} blocks left with {moved} MiB of data in "
              f"{time.monotonic() - start:.0f} s, a third of it quiet; {mover.nr_refused} requests refused")


def main():
    memplug = pathlib.Path(sys.argv[1]).resolve() / "cli/memplug"
    jemalloc = ctypes.util.find_library("jemalloc")
    if not memplug.exists() or jemalloc is None:
        print("redis, memcached: left out: memplug run or jemalloc is missing")
        return
    print(f"\nunder memplug run: thousand requests a second, the same plain, ratio, ratio by CPU "
          f"time;\nmedian of {ROUNDS} turns")
    first_port = 20000 + os.getpid() % 3000 * 4 # below those that the kernel gives to clients
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        for i, kind in enumerate((Redis, Memcached)):
            missing = [program for program in kind.needs if shutil.which(program) is None]
            if missing:
                print(f"{kind.name}: left out: {missing[0]} is not installed")
            else:
                bench(kind, memplug, jemalloc, first_port + 2 * i)


main()
