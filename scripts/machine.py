# SPDX-License-Identifier: MIT
"""machine.py: what a test may need of the machine, and whether it is there.

A test that cannot run says `needs WORDS` (after a colon it may say more), with one of NEEDS first. Whoever
runs it asks complaint() about that: the machine is looked at again, here, so that a skip for what is
there, a skip for an error of ours, and a skip without a need that is known are all failures.
"""
import ctypes
import fcntl
import mmap
import os
import re
import shutil
import subprocess
import tempfile

PTRACE_TRACEME = 0
SAID = re.compile(r"needs ([^:\s]+)(?: ([^:\s]+))?(?::.*)?$")


def runs(*command):
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0
    except OSError:
        return False


def can_protect():
    """Root always can: a kernel without a full userfaultfd is none that memplug is for."""
    if os.geteuid() == 0 or os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        return True
    with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as file:
        return file.read().strip() == "1"


def can_trace():
    child = os.fork()
    if child == 0:
        os._exit(ctypes.CDLL(None).ptrace(PTRACE_TRACEME, 0, None, None) != 0)
    return os.waitpid(child, 0)[1] == 0


def make_memory_group():
    """Make a group below ours, by either version, whose memory can be limited: its folder, for whoever
    calls to remove, and the name of its limit. None: there can be none."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    places = [f"/sys/fs/cgroup{path}" for _, kinds, path in lines if kinds == ""]
    places += [f"/sys/fs/cgroup/memory{path}" for _, kinds, path in lines if "memory" in kinds.split(",")]
    for place in places:
        try:
            group = tempfile.mkdtemp(prefix="memplug-", dir=place)
        except OSError:
            continue
        os.chmod(group, 0o755)
        for limit in "memory.max", "memory.limit_in_bytes":
            if os.access(f"{group}/{limit}", os.W_OK):
                return group, limit
        os.rmdir(group)
    return None


def memory_cgroup():
    made = make_memory_group()
    if made is not None:
        os.rmdir(made[0])
    return made is not None


def can_collapse():
    """Whether the kernel makes a huge page of small ones when it is told to (Linux 6.1)."""
    size, collapse = 4 << 20, 25
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = bytes([1]) * size
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    start += -start % (2 << 20)
    return ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(2 << 20), collapse) == 0


HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


def reserve(by):
    """Ask the kernel for so many huge pages more, or less if negative. How many those are that it gave.

    Others change that number, too: whoever does has a lock on its file.
    """
    with open(HUGE_PAGES, "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = int(file.read())
        file.seek(0)
        file.write(str(max(before + by, 0)))
        file.flush()
        file.seek(0)
        return int(file.read()) - before


def can_reserve(number):
    """Whether the kernel reserves so many huge pages more; they are given back at once."""
    if not os.access(HUGE_PAGES, os.W_OK):
        return False
    got = reserve(int(number))
    reserve(-got)
    return got == int(number)


def has_rings():
    """io_uring_setup(), which has this number on every machine; containers may forbid it."""
    ring = ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))
    if ring >= 0:
        os.close(ring)
    return ring >= 0


def no_huge_pages():
    try:
        with open(HUGE_PAGES, encoding="ascii") as file:
            return int(file.read()) == 0
    except OSError:
        return False


NEEDS = {
    "root": lambda: os.geteuid() == 0,
    "program": lambda name: shutil.which(name) is not None,
    "python": lambda module: runs("/usr/bin/python3", "-c", f"import {module}"),
    "library": lambda name: runs("pkg-config", "--exists", name),
    "file": os.path.exists,
    "userfaultfd": can_protect,
    "mount-namespaces": lambda: runs("unshare", "-m", "true"),
    "user-namespaces": lambda: runs("unshare", "-U", "true"),
    "ptrace": can_trace,
    "memory-cgroup": memory_cgroup,
    "collapse": can_collapse,
    "io-uring": has_rings,
    "no-huge-pages": no_huge_pages,
    "setuid-files": lambda: not os.statvfs(".").f_flag & os.ST_NOSUID,
    "huge-pages": can_reserve,
    "no-emulation": lambda: True,
    "x86-64": lambda: os.uname().machine == "x86_64",
    # A build with a sanitizer; that with all the same tests and without one has them.
    "plain-build": lambda: False,
    # Nothing schedules threads in the bare-metal image: no machine has them.
    "bare-threads": lambda: False,
}


def has(need, *words):
    return bool(NEEDS[need](*words))


def complaint(why, emulated=False):
    """What is wrong with this reason of a skip, or None; emulated: what skips is for another machine."""
    said = SAID.match(why)
    if said is None or said[1] not in NEEDS:
        return "names no need that scripts/machine.py knows"
    words = [word for word in said.groups() if word]
    if emulated and words[0] in ("ptrace", "x86-64", "no-emulation"):
        return None
    try:
        return "the machine has it" if has(*words) else None
    except (TypeError, OSError) as error:
        return f"asks for it wrongly: {error}"
