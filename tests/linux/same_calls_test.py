# SPDX-License-Identifier: MIT
"""same_calls_test.py BUILD_DIR: calls for memory that a program may get wrong, in a pool and without (R38, R60).

memplug stands in for some calls of libc. What they answer to odd arguments (nothing, too much, an
address in between, what is not mapped, flags that there are not) must be what the kernel says to a
program without a pool, and what they do to memory must be the same.
"""
import os
import subprocess
import sys
import tempfile

MEMPLUG = os.path.abspath(sys.argv[1]) + "/cli/memplug"
PYTHON = "/usr/bin/python3"
PROGRAM = r"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
P, L, M = ctypes.c_void_p, ctypes.c_long, 1 << 20
libc.mmap.restype = libc.mremap.restype = P
libc.mmap.argtypes = [P, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, L]
libc.mremap.argtypes = [P, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, P]
for name in "munmap", "mprotect", "madvise", "mlockall": getattr(libc, name).restype = ctypes.c_int
BAD = ctypes.c_void_p(-1).value
def say(what, got, bases=()):
    error = errno.errorcode.get(ctypes.get_errno()) if got in (BAD, -1) else ""
    near = next((f"base{i}+{got - b:#x}" for i, b in enumerate(bases) if b <= got < b + 64 * M), "elsewhere") if got not in (BAD, -1, 0) else ""
    print(what, error or near or got)
def mmap(at, size, rights=3, flags=0x22, fd=-1, offset=0):
    return libc.mmap(at, size, rights, flags, fd, offset)
def fill(at, size):
    for page in range(0, size, 1 << 16): ctypes.memset(at + page, page >> 16 & 255, 1)
def sums(at, size):
    return sum(ctypes.c_ubyte.from_address(at + page).value for page in range(0, size, 1 << 16))
for size, rights, flags, fd, offset in ((0, 3, 0x22, -1, 0), (1 << 60, 3, 0x22, -1, 0), (M, 3, 0x20, -1, 0), (M, 3, 2, -1, 0),
                                         (M, 3, 0x22, -1, 1), (M, 3, 2, 999, 0), (1 << 47, 3, 0x22, -1, 0)):
    say(f"mmap {size:#x} {rights} {flags:#x} {fd} {offset}", mmap(None, size, rights, flags, fd, offset))
say("fixed in between", mmap(0x12345, M, 3, 0x32))
for size in (M, 24 * M):
    base = mmap(None, size); other = mmap(None, size)
    fill(base, size); fill(other, size)
    say("noreplace", mmap(base, M, 3, 0x100022), (base, other))
    for at, length in ((base + 1, M), (base, 0), (base, 1 << 60)):
        say("munmap", libc.munmap(P(at), ctypes.c_size_t(length)))
        say("mprotect", libc.mprotect(P(at), ctypes.c_size_t(length), 1) if length != 1 << 60 else -2)
        say("madvise", libc.madvise(P(at), ctypes.c_size_t(length), 4) if length != 1 << 60 else -2)
    say("advice", libc.madvise(P(base), ctypes.c_size_t(4096), 12345))
    say("rights", libc.mprotect(P(base), ctypes.c_size_t(4096), 0x1234))
    for at, old, new, flags, to in ((base + 1, 4096, 8192, 1, 0), (base, size, 0, 1, 0), (base, 0, 4096, 1, 0), (base, size, size, 99, 0),
                                    (base, size, size, 2, base + size), (base, size, size, 3, base + 1), (base, size, size, 3, base + 4096),
                                    (0x1000, 4096, 8192, 1, 0), (base, size, 1 << 60, 1, 0), (base, size, size, 1, 0),
                                    (base, size, size // 2, 0, 0)):
        say(f"mremap {old == size} {new:#x} {flags}", libc.mremap(at, old, new, flags, to), (base, other))
    print("kept", sums(base, size // 2))
    say("over another", libc.mremap(base, size // 2, size // 2, 3, other), (other,))
    print("moved", sums(other, size // 2), sums(other + size // 2, size // 2))
    libc.munmap(P(other), ctypes.c_size_t(size))
    small = mmap(None, size)
    fill(small, size)
    grown = libc.mremap(small, size, 2 * size, 1, 0)
    say("grown", 0 if grown != BAD else BAD)
    print("grown", sums(grown, size))
    say("hole", libc.munmap(P(grown + M // 2), ctypes.c_size_t(M // 4)))
    say("protect over a hole", libc.mprotect(P(grown), ctypes.c_size_t(2 * size), 3))
    say("again", 0 if mmap(grown + M // 2, M // 4, 3, 0x32) == grown + M // 2 else BAD)
    print("fresh", sums(grown + M // 2, M // 4))
    say("free", libc.madvise(P(grown), ctypes.c_size_t(size), 4))
    print("freed", sums(grown, size))
    say("all", libc.munmap(P(grown), ctypes.c_size_t(2 * size)))
for flags in 0, 4, 8, 0x100, -1:
    say(f"mlockall {flags}", libc.mlockall(flags))
say("mlockall, on fault", libc.mlockall(5)); say("munlockall", libc.munlockall())
say("mlockall, later", libc.mlockall(2)); say("munlockall", libc.munlockall())
"""


def run(*words):
    done = subprocess.run([*words, PYTHON, "-c", PROGRAM], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{words}: {done.returncode}: {done.stderr}"
    return done.stdout.splitlines()


def main():
    folder = tempfile.TemporaryDirectory()
    os.environ["MEMPLUG_RUNTIME_DIR"] = folder.name + "/run"
    plain = run()
    for options in ((), ("--mmap",)):
        there = run(MEMPLUG, "run", "--boot", "64M", "--max", "1G", *options, "--")
        odd = [f"{a!r} is {b!r}" for a, b in zip(plain, there) if a != b]
        assert len(plain) == len(there) and not odd, f"memplug run {' '.join(options)}: {odd}"


try:
    main()
except AssertionError as error:
    print(f"same_calls_test: {error}\nreplay: {sys.executable} {' '.join(sys.argv)}", file=sys.stderr)
    sys.exit(1)
