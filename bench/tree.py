#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree.py BUILD_DIR: what `memplug list` and the tree cost, from 1 to 64 TiB of plugged memory.

Both are taken with everything warm, the shortest of some rounds: a full readdir of the tree reads
the name of every block, list prints one range.
"""
import os
import subprocess
import sys
import tempfile
import time

ROUNDS = 5


def shortest(what):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = what()
        times.append(time.perf_counter() - start)
    return min(times), found


def count(folder):
    with os.scandir(folder) as entries:
        return sum(1 for _ in entries)


def measure(build, terabytes, folder):
    name = f"bench-tree-{os.getpid()}"
    memplug = f"{build}/cli/memplug"
    with subprocess.Popen([f"{build}/bench/bench-tree-pool", name, str(terabytes)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pool:
        if pool.stdout.readline() != "ready\n":
            raise SystemExit("the pool does not start")
        listing, _ = shortest(lambda: subprocess.run([memplug, "-p", name, "list"], check=True,
                                                     stdout=subprocess.DEVNULL))
        subprocess.run([memplug, "-p", name, "mount", folder], check=True)
        try:
            reading, entries = shortest(lambda: count(folder))
        finally:
            subprocess.run(["umount", folder], check=True)
            pool.stdin.close()
    print(f"{terabytes:4} TiB  list {listing * 1e3:6.1f} ms   readdir {reading * 1e3:7.1f} ms "
          f"{entries:8} entries {reading / entries * 1e9:6.0f} ns each")


def main():
    build = sys.argv[1]
    if not os.path.exists(f"{build}/bench/bench-tree-pool"):
        print("the tree: not measured, as this was built without libfuse")
    elif os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("the tree: not measured, as mounting it needs root and /dev/fuse")
    else:
        print("\nthe tree (one process, memory plugged and online, nothing in it)")
        with tempfile.TemporaryDirectory() as folder:
            for terabytes in (1, 4, 16, 64):
                measure(build, terabytes, folder)


main()
