#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hogs.py GROUP MARGIN_MIB SECONDS: a memory cgroup is short of memory for a while.

Processes that the kernel kills before any other take 32 MiB each. Then the limit of GROUP falls to what is
charged and a margin, and one of them after the other takes more: all but 2 MiB for a while, in which
memplug refuses what needs memory, and then until it is killed. The limit is as before after SECONDS,
after SIGTERM, or when only two of them are left: these are what the kernel can still kill while that is
noticed. Says how many were killed; fails if the kernel has killed anybody else in GROUP.
"""
import contextlib
import ctypes
import mmap
import os
import re
import signal
import sys
import time

NR, KEPT = 6, 2                        # hogs; those that are left when the limit is set back
MIB = 1 << 20
# By version of the interface: the limit; what is charged, and where kills are counted.
VERSIONS = {"memory.max": ("memory.current", "memory.events"),
            "memory.limit_in_bytes": ("memory.usage_in_bytes", "memory.oom_control")}
PR_SET_PDEATHSIG = 1
SIGNALS = [signal.SIGCHLD, signal.SIGTERM]
TRIES, BOUND_S = 100, 60


class Stopped(Exception):
    """By SIGTERM."""


class Group:
    def __init__(self, folder):
        self.folder = folder
        self.limit = next(name for name in VERSIONS if os.path.exists(f"{folder}/{name}"))
        self.used, self.events = VERSIONS[self.limit]

    def read(self, name):
        with open(f"{self.folder}/{name}", encoding="ascii") as file:
            return file.read()

    def write(self, name, value):
        with open(f"{self.folder}/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    def kills(self):
        return int(re.search(r"^oom_kill (\d+)", self.read(self.events), re.M)[1])

    def kept(self):
        """What is charged but for file pages that the kernel drops when memory is short."""
        files = re.findall(r"^(?:total_)?(?:in)?active_file (\d+)", self.read("memory.stat"), re.M)
        return int(self.read(self.used)) - sum(map(int, files[-2:]))

    def left(self):
        return int(self.read(self.limit)) - self.kept()

    def lower(self, margin):
        """Version 1 refuses what it cannot have at once: what is to be written out takes a while."""
        for _ in range(TRIES):
            try:
                self.write(self.limit, self.kept() + margin)
                return
            except OSError:
                time.sleep(0.01)


def take(size):
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
    return memory


def eat(group, most, seconds):
    """Bounded even if nobody is killed."""
    held, until = [], time.monotonic() + seconds
    while len(held) * MIB < most:
        if time.monotonic() > until or group.left() > 2 * MIB:
            held.append(take(MIB))
        time.sleep(0.001)
    return held


def be_hog(group, ready, go, margin, seconds):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    group.write("cgroup.procs", os.getpid())
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    held = [take(32 * MIB)]
    os.write(ready, b"r")
    if os.read(go, 1) == b"g":
        held += eat(group, margin + 64 * MIB, seconds)
        os.read(go, 1)


class Hog:
    def __init__(self, group, others, margin, seconds):
        ready, ready_end = os.pipe()
        go, self.go = os.pipe()
        self.begun = False
        self.pid = os.fork()
        if self.pid == 0:
            for other in [*others, self]:
                os.close(other.go)
            be_hog(group, ready_end, go, margin, seconds)
            os._exit(0)
        os.close(ready_end)
        os.close(go)
        os.read(ready, 1)
        os.close(ready)

    def begin(self):
        if not self.begun:
            self.begun = True
            with contextlib.suppress(BrokenPipeError): # killed: reap() sees that
                os.write(self.go, b"g")

    def end(self):
        os.close(self.go)


def reap(hogs, until):
    """Wait for one that is killed, and take it out; returns how many those were."""
    killed = 0
    while killed == 0 and time.monotonic() < until:
        for hog in list(hogs):
            if os.waitpid(hog.pid, os.WNOHANG)[0] != 0:
                hogs.remove(hog)
                hog.end()
                killed += 1
        if killed == 0:
            came = signal.sigtimedwait(SIGNALS, max(0, min(0.1, until - time.monotonic())))
            if came is not None and came.si_signo == signal.SIGTERM:
                raise Stopped
    return killed


def press(group, margin, seconds):
    """How many hogs were killed, and how many processes of the group the kernel killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    usual, kills, killed, hogs = group.read(group.limit).strip(), group.kills(), 0, []
    for _ in range(NR):
        hogs.append(Hog(group, hogs, margin, seconds / NR))
    try:
        group.lower(margin)
        until = time.monotonic() + seconds
        while len(hogs) > KEPT and time.monotonic() < until:
            hogs[-1].begin()
            killed += reap(hogs, until)
    except Stopped:
        pass
    finally:
        group.write(group.limit, usual)
    kills = group.kills() - kills
    until = time.monotonic() + BOUND_S
    while killed < kills and hogs and time.monotonic() < until:
        killed += reap(hogs, until)
    for hog in hogs:
        hog.end()
        os.waitpid(hog.pid, 0)
    return killed, kills


def main():
    if os.geteuid() == 0: # so that the limit is as before in time
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    killed, kills = press(Group(sys.argv[1]), int(sys.argv[2]) * MIB, float(sys.argv[3]))
    print(killed)
    if kills != killed:
        sys.exit(f"the kernel killed {kills}, of which only {killed} were to be killed")


main()
