#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_tools_test.py BUILD_DIR [SECONDS]: lsmem, chmem and stress-ng as they are, on the blocks of a
program that works meanwhile, with the tree bound over the machine's memory blocks (R48).
"""
import json
import subprocess
import sys

import tree_pool
from tree_pool import MEMORY, check

# Replaces what it has all the time and looks whether it is right, until its input ends.
PROGRAM = """
import select, sys
have = {}
n = wrong = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for key in range(n % 97, 60000, 97):
        wrong += key in have and have[key] != b"%d " % key * 60
        have[key] = b"%d " % key * 60
    n += 1
print("wrong", wrong + (n < 10), flush=True)
"""
BLOCK = 16 << 20


def tool(*words, status=0):
    check(tree_pool.is_ours(MEMORY), "the tree is no longer where the tools look")
    done = subprocess.run(words, capture_output=True, text=True)
    check(done.returncode == status, *words, "ended with", done.returncode, done.stderr, done.stdout)
    return done.stdout


def blocks(pool):
    return {block["index"]: block for block in json.loads(pool.command("list", "--json"))["blocks"]}


def numbers(text):
    """4-5,9: as lsmem writes blocks."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def lsmem_agrees(pool, *options):
    """What lsmem says is what the pool says, block by block."""
    text = tool("lsmem", "--json", "--bytes", "-o", "RANGE,SIZE,STATE,REMOVABLE,BLOCK,NODE,ZONES",
                *options)
    have, said = blocks(pool), {}
    for line in json.loads(text)["memory"]:
        first, last = (int(address, 16) for address in line["range"].split("-"))
        check(last + 1 - first == line["size"], "size of", line)
        check(line["node"] == 0, "node of", line)
        check(line["removable"] == (line["state"] == "online"), "removable of", line)
        for number in numbers(line["block"]):
            said[number] = line
    check(set(said) == set(have), "lsmem has", sorted(said), "the pool", sorted(have))
    for number, line in said.items():
        check(line["state"] == have[number]["state"], "block", number, line)
        if line["state"] == "online":
            check(line["zones"] == have[number]["zone"], "block", number, line)


def state(pool, *which):
    have = blocks(pool)
    return {have[number]["state"] for number in which}


def test_lsmem(pool, sysroot):
    text = tool("lsmem")
    check("Total online memory:" in text and "256M" in text, text)
    check(len(tool("lsmem", "--all", "-n", "--summary=never").splitlines()) == 16, "lsmem --all")
    lsmem_agrees(pool)
    lsmem_agrees(pool, "--sysroot", sysroot)
    pool.command("offline", "13")
    pool.command("remove", "9")
    lsmem_agrees(pool)
    lsmem_agrees(pool, "--all")
    lsmem_agrees(pool, "--sysroot", sysroot)
    pool.command("add", "16M")
    pool.command("online", "13")


def test_chmem(pool):
    first, last = 10 * BLOCK, 12 * BLOCK - 1
    tool("chmem", "-d", f"0x{first:x}-0x{last:x}")
    check(state(pool, 10, 11) == {"offline"}, "chmem -d RANGE")
    tool("chmem", "-e", f"0x{first:x}-0x{last:x}")
    check(state(pool, 10, 11) == {"online"}, "chmem -e RANGE")
    tool("chmem", "-d", "-b", "0-1")
    check(state(pool, 0, 1) == {"offline"}, "chmem -d -b")
    tool("chmem", "-e", "-b", "0-1", "-z", "Normal")
    check({blocks(pool)[number]["zone"] for number in (0, 1)} == {"Normal"}, "chmem -z Normal")
    tool("chmem", "-d", "-b", "0-1")
    tool("chmem", "-e", "-b", "0-1", "-z", "Movable")
    check({blocks(pool)[number]["zone"] for number in (0, 1)} == {"Movable"}, "chmem -z Movable")
    tool("chmem", "-d", "48M")
    offline = [number for number, block in blocks(pool).items() if block["state"] == "offline"]
    check(len(offline) == 3, "chmem -d SIZE", offline)
    lsmem_agrees(pool)
    tool("chmem", "-e", "48M")
    check(state(pool, *offline) == {"online"}, "chmem -e SIZE")
    # There is no block 0 any more: they must still learn that there are zones.
    pool.command("remove", "0")
    tool("chmem", "-d", "-b", "1")
    tool("chmem", "-e", "-b", "1", "-z", "Normal")
    check(blocks(pool)[1]["zone"] == "Normal", "chmem -z without block 0")
    lsmem_agrees(pool)
    tool("chmem", "-d", "-b", "0", status=1)
    pool.command("add", "16M")


def test_stress(pool, seconds):
    tool("stress-ng", "--memhotplug", "1", "-t", str(seconds))
    lsmem_agrees(pool)
    moved = sum(int(pool.command("get", name)) for name in ("moved_pages", "relabelled_pages"))
    check(moved > 0, "nothing has moved")


def test(pool, seconds):
    pool.run("--boot", "256M", "--max", "256M", "--block-size", "16M", program=PROGRAM)
    sysroot = pool.mount("--sysroot")
    pool.cover(pool.mount())
    test_lsmem(pool, sysroot)
    test_chmem(pool)
    test_stress(pool, seconds)
    pool.command("check")
    pool.program.stdin.close()
    said = pool.program.stdout.readline()
    check(said == "wrong 0\n", "the program said", said)
    check(pool.program.wait() == 0, "the program ended with", pool.program.returncode)


tree_pool.enter("unshare", "lsmem", "chmem", "stress-ng")
tree_pool.run_test("tree_tools", test,
                   int(sys.argv[2]) if len(sys.argv) > 2 else 30)
