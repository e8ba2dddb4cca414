#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree.py BUILD_DIR: what `memplug list` and the tree cost, from 1 to 64 TiB of plugged memory.

Both are taken with everything warm, the shortest of some rounds: a full readdir of the tree reads
the name of every block, list prints one range. Of lsmem, which reads three files and a folder of each
block, it is the CPU time that it costs the processes which serve the tree and the pool.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
BLOCKS_A_TIB = 8192


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


def cpu_seconds(name):
    """Of all processes that have this word among theirs: the server of the tree, the pool, its companion."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words, open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                if name.encode() in words.read().split(b"\0"):
                    ticks += sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))
        except OSError:
            continue  # it has ended
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_lsmem(build, folder):
    name = f"bench-tree-{os.getpid()}"
    with subprocess.Popen([f"{build}/bench/bench-tree-pool", name, "1"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as pool:
        if pool.stdout.readline() != "ready\n":
            raise SystemExit("the pool does not start")
        subprocess.run([f"{build}/cli/memplug", "-p", name, "mount", "--sysroot", folder], check=True)
        try:
            costs = []
            for _ in range(ROUNDS):
                before = cpu_seconds(name)
                subprocess.run(["lsmem", "--sysroot", folder], check=True, stdout=subprocess.DEVNULL)
                costs.append((cpu_seconds(name) - before) / BLOCKS_A_TIB * 1e3)
        finally:
            subprocess.run(["umount", folder], check=True)
            pool.stdin.close()
    print(f"   1 TiB  lsmem {min(costs):.2f} to {max(costs):.2f} ms of CPU time a block")


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
            if shutil.which("lsmem"):
                measure_lsmem(build, folder)


main()
