# SPDX-License-Identifier: MIT
"""odd_programs_test.py BUILD_DIR: `memplug run` of files that are no programs (R38, R68).

It reads a program before it starts it, to say what will have no heap in the pool. Here that is a
file that is cut, whose tables point anywhere, or a script with an odd first line; none of them may be
executed. Each time it says that it cannot run it, and does not fall over.
"""
import os
import random
import struct
import subprocess
import sys
import tempfile

MEMPLUG = os.path.abspath(sys.argv[1]) + "/cli/memplug"
# Where in the header of an ELF file something is: offset and size.
FIELDS = {"class": (4, 1), "phoff": (32, 8), "shoff": (40, 8), "phnum": (56, 2), "shnum": (60, 2), "shstrndx": (62, 2)}


def run(folder, name, data, path=None):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)
    os.chmod(f"{folder}/{name}", 0o600)
    env = {**os.environ, "PATH": path} if path is not None else None
    done = subprocess.run([MEMPLUG, "run", "--boot", "16M", "--", name if path is not None else f"{folder}/{name}"],
                          capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode in (126, 127) and done.stderr.startswith("memplug: "), \
        f"a file that is {name}: {done.returncode}: {done.stderr}"
    return done.stderr


def put(data, at, size, value):
    return data[:at] + (value & (1 << 8 * size) - 1).to_bytes(size, "little") + data[at + size:]


def sections(data):
    """Where the entries of the table of sections are."""
    start, number = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    return [start + 64 * i for i in range(number)]


def odd_elves(good):
    for length in (0, 1, 3, 4, 16, 63, 64, 120, 500, len(good) // 2, len(good) - 1):
        yield f"cut-{length}", good[:length]
    for name, (at, size) in FIELDS.items():
        for value in (0, 1, 2**31, 2**63, 2**64 - 1, 2**64 - 64, len(good) - 1):
            yield f"{name}-{value:x}", put(good, at, size, value)
    for i, at in enumerate(sections(good)):
        for field, size in ((0, 4), (4, 4), (24, 8), (32, 8), (40, 4)):  # name, type, offset, size, link
            yield f"section-{i}-{field}", put(good, at + field, size, 2**64 - 1 - 63 * (i % 2))
    draw = random.Random(1)
    for i in range(60):
        odd = bytearray(good)
        for _ in range(20):
            odd[draw.choice((draw.randrange(64), draw.randrange(len(good)), draw.choice(sections(good))))] = \
                draw.randrange(256)
        yield f"random-{i}", bytes(odd)


def main():
    folder = tempfile.TemporaryDirectory()
    os.environ["MEMPLUG_RUNTIME_DIR"] = folder.name + "/run"
    with open("/bin/true", "rb") as file:
        good = file.read()
    for name, data in odd_elves(good):
        run(folder.name, name, data)
    for i, line in enumerate((b"#!", b"#! ", b"#!\n", b"#!" + b"x" * 300, b"#!/bin/no-such -x\n", b"#!sh\n", b"#!/usr/bin/env\n",
                              b"#!/usr/bin/env -S x\n", b"#!/usr/bin/env no-such\n", b"#!/usr/bin/env sh\n", b"#!" + b"/" * 254)):
        run(folder.name, f"script-{i}", line)
    run(folder.name, "not-found", b"", path="")
    run(folder.name, "not-found", b"", path=f":{folder.name}:/no/such:{'x' * 5000}:")
    os.mkdir(f"{folder.name}/folder")
    done = subprocess.run([MEMPLUG, "run", "--", f"{folder.name}/folder"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode in (126, 127) and done.stderr, done


try:
    main()
except AssertionError as error:
    print(f"odd_programs_test: {error}\nreplay: {sys.executable} {' '.join(sys.argv)}", file=sys.stderr)
    sys.exit(1)
