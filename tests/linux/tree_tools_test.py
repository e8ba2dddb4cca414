#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_tools_test.py BUILD_DIR [SECONDS]: lsmem, chmem and stress-ng as they are, on the blocks of a
program that works meanwhile, with the tree bound over the machine's memory blocks (R48).
"""
import json
import os
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


def configure(firmware, block, on, memmap=None):
    """As chmem -c, -g and -m of util-linux 2.42, which is not in Debian, do. An error, or "done"."""
    files = f"{firmware}/memory/memory{block}"
    there = int(tree_pool.read(f"{files}/config"))
    if memmap is not None and not there:
        said = tree_pool.write(f"{files}/memmap_on_memory", f"{memmap}".encode())
        if said != "1":
            return said
    if not there and not on:
        return "already deconfigured"
    said = tree_pool.write(f"{files}/config", f"{on}".encode())
    return "done" if said == "1" else said


def test_firmware(pool, tree):
    """Deviation: firmware. chmem -c adds blocks, -g removes them, -m says where their descriptors go."""
    firmware = f"{tree}/firmware"
    names = os.listdir(f"{firmware}/memory")
    check(len(names) == 16, "as many as --max lets the pool have", names)
    pool.command("set", "max_bytes", "320M")
    check(len(os.listdir(f"{firmware}/memory")) == 20, "max_bytes")
    before = blocks(pool)
    check(configure(firmware, 17, 1, memmap=0) == "done", "-c -m 0")
    check(configure(firmware, 18, 1) == "done", "-c")
    have = blocks(pool)
    check(set(have) - set(before) == {17, 18}, "-c adds", set(have) - set(before))
    check([have[block]["memmap"] for block in (17, 18)] == ["external", "self"], "-m")
    check({have[block]["state"] for block in (17, 18)} == {"offline"}, "what firmware adds is offline")
    lsmem_agrees(pool)
    tool("chmem", "-e", "-b", "17-18")
    check(state(pool, 17, 18) == {"online"}, "chmem -e")
    check(configure(firmware, 17, 0) == "EBUSY" and set(blocks(pool)) == set(have), "-g of what is online")
    check(configure(firmware, 17, 1) == "done" and set(blocks(pool)) == set(have), "-c again")
    tool("chmem", "-d", "-b", "17-18")
    for block in (17, 18):
        check(configure(firmware, block, 0) == "done", "-g")
        check(configure(firmware, block, 0) == "already deconfigured", "-g again")
    check(set(blocks(pool)) == set(before), "-g removes")
    check(pool.command("get", "firmware/memory17/memmap_on_memory") == "0\n", "what -m said stays")
    pool.command("set", "max_bytes", "256M")


def test_policy(pool, tree):
    """Deviation: auto-movable. Nothing was there at the start, so nothing allows for Movable."""
    pool.command("set", "online_policy", "auto-movable")
    tool("chmem", "-d", "-b", "13")
    check(tree_pool.write(f"{tree}/memory13/state", b"online") == "6", "online")
    check(blocks(pool)[13]["zone"] == "Normal", "auto-movable", blocks(pool)[13])
    pool.command("set", "online_policy", "contig-zones")
    tool("chmem", "-d", "-b", "13")
    tool("chmem", "-e", "-b", "13", "-z", "Movable")


def test_hard_offline(pool, tree):
    """Deviation: hard-offline-moves. A page in use leaves with its data, and nobody is killed."""
    bad = []
    for number, block in blocks(pool).items():
        if block["state"] == "online" and block["used_bytes"] > BLOCK // 2:
            bad.append(number * BLOCK + BLOCK // 4)
            said = tree_pool.write(f"{tree}/hard_offline_page", f"0x{bad[-1]:x}".encode())
            check(said == str(len(f"0x{bad[-1]:x}")), "hard_offline_page", hex(bad[-1]), said)
    check(bad and pool.program.poll() is None, "no block is in use, or the program has ended")
    for address in bad:
        check(tree_pool.write(f"{tree}/hwpoison/unpoison-pfn", f"{address >> 12}".encode()).isdigit(), "unpoison")


def test_stress(pool, seconds):
    tool("stress-ng", "--memhotplug", "1", "-t", str(seconds))
    lsmem_agrees(pool)
    moved = sum(int(pool.command("get", name)) for name in ("moved_pages", "relabelled_pages"))
    check(moved > 0, "nothing has moved")


def test(pool, seconds):
    pool.run("--boot", "256M", "--max", "256M", "--block-size", "16M", program=PROGRAM)
    sysroot = pool.mount("--sysroot")
    tree = pool.mount()
    pool.cover(tree)
    test_lsmem(pool, sysroot)
    test_chmem(pool)
    test_firmware(pool, tree)
    test_policy(pool, tree)
    test_hard_offline(pool, tree)
    test_stress(pool, seconds)
    pool.command("check")
    pool.program.stdin.close()
    said = pool.program.stdout.readline()
    check(said == "wrong 0\n", "the program said", said)
    check(pool.program.wait() == 0, "the program ended with", pool.program.returncode)


tree_pool.enter("unshare", "lsmem", "chmem", "stress-ng")
tree_pool.run_test("tree_tools", test,
                   int(sys.argv[2]) if len(sys.argv) > 2 else 30)
