#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_node_test.py BUILD_DIR: numactl, numastat and udevadm as they are, on a pool of two nodes with
the tree over the machine's in a namespace of theirs (R48).
"""
import os
import re
import signal
import subprocess

import tree_pool
from tree_pool import check, read

NODE = "/sys/devices/system/node"
PROGRAM = "import sys; sys.stdin.read()"


def tool(tree, where, *words, env=None):
    """Run it where the tree is at its place; the pool's own namespace keeps the machine's."""
    script = (f"mount --bind {tree} {where} && grep -q ' {where} .*memplug' /proc/self/mountinfo && "
              'exec "$@"')
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                           *words], capture_output=True, text=True,
                          env={**os.environ, **(env or {})})
    check(done.returncode == 0, *words, "ended with", done.returncode, done.stderr, done.stdout)
    return done.stdout


def amounts(node):
    """The lines of a meminfo, in KiB."""
    lines = re.findall(r"^Node \d+ ([^:]+): +(\d+)", read(f"{node}/meminfo").decode(), re.M)
    return {name: int(number) for name, number in lines}


def test_files(pool, nodes):
    """Deviation: nodes."""
    check(sorted(os.listdir(nodes)) == [
        "has_cpu", "has_generic_initiator", "has_memory", "has_normal_memory", "node0", "node1",
        "online", "possible"], os.listdir(nodes))
    want = {"online": b"0-1\n", "possible": b"0-15\n", "has_cpu": b"0\n", "has_memory": b"0-1\n",
            "has_normal_memory": b"\n", "has_generic_initiator": b"\n",
            "node0/distance": b"10 30\n", "node1/distance": b"30 10\n", "node1/cpulist": b"\n",
            "node1/cpumap": b"00000000\n", "node1/power/control": b"auto\n"}
    for name, text in want.items():
        check(read(f"{nodes}/{name}") == text, name, read(f"{nodes}/{name}"))
    check(read(f"{nodes}/node0/cpulist") == read(f"{NODE}/node0/cpulist"), "the CPUs")
    check({name for name in os.listdir(f"{nodes}/node1") if not re.fullmatch(r"memory\d+", name)} == {
        "cpulist", "cpumap", "distance", "meminfo", "memory_failure", "numastat", "power", "vmstat"},
        "files of a node", os.listdir(f"{nodes}/node1"))
    check({line.split()[1] for line in read(f"{nodes}/node0/numastat").splitlines()} == {b"0"}, "numastat")
    for name in ("node0/meminfo", "online"):
        check(tree_pool.write(f"{nodes}/{name}", b"1") == "open:EACCES", "writing", name)
    check(read(f"{nodes}/node2/meminfo") == "open:ENOENT", "a node that is not there")
    # The kernel's lines, as far as the machine has them, and no others.
    if os.path.exists(f"{NODE}/node0/meminfo"):
        check(set(amounts(f"{nodes}/node0")) >= set(amounts(f"{NODE}/node0")), "lines of meminfo")
    said = amounts(f"{nodes}/node1")
    check(said["MemTotal"] == said["MemFree"] + said["MemUsed"], said)
    pages = dict(line.split() for line in read(f"{nodes}/node1/vmstat").decode().splitlines())
    check(int(pages["nr_free_pages"]) * 4 == said["MemFree"], "vmstat", pages)
    pool.command("online", "--zone", "kernel", "4")
    check(read(f"{nodes}/has_normal_memory") == b"1\n", "a block for anything")


def test_blocks(nodes):
    """A block is in the folder of its node, and of no other."""
    for node, own, other in ((0, "memory0", "memory4"), (1, "memory4", "memory0")):
        check(read(f"{nodes}/node{node}/{own}/state") in (b"online\n", b"offline\n"), own)
        check(read(f"{nodes}/node{node}/{other}/state") == "open:ENOENT", other, "of another node")


def test_numactl(nodes):
    text = tool(nodes, NODE, "numactl", "-H")
    check("available: 2 nodes (0-1)" in text, text)
    check(re.search(r"^node 1 cpus:\s*$", text, re.M), text)
    check(re.search(r"^ +1: +30 +10", text, re.M), text)
    for node in (0, 1):
        size = re.search(rf"node {node} size: (\d+) MB", text)
        check(size and int(size[1]) == amounts(f"{nodes}/node{node}")["MemTotal"] >> 10, text)


def test_numastat(nodes):
    text = tool(nodes, NODE, "numastat", "-m")
    for line in ("MemTotal", "MemFree", "AnonPages"):
        row = re.search(rf"^{line} +([\d.]+) +([\d.]+) +([\d.]+)", text, re.M)
        check(row, line, text)
        for node in (0, 1):
            # A program in the first one lives meanwhile.
            want = amounts(f"{nodes}/node{node}")[line] / 1024
            check(node == 0 and line != "MemTotal" or abs(float(row[node + 1]) - want) < 0.1, text)
    check("node1" in tool(nodes, NODE, "numastat"), "numastat")


def test_udevadm(memory):
    """It wants the file system to be sysfs itself, unless it is told not to."""
    text = tool(memory, tree_pool.MEMORY, "udevadm", "info", "-a",
                "--path=/devices/system/memory/memory4",
                env={"SYSTEMD_DEVICE_VERIFY_SYSFS": "0"})
    for line in ('KERNEL=="memory4"', 'SUBSYSTEM=="memory"', 'ATTR{state}=="online"',
                 'KERNELS=="memory"'):
        check(line in text, text)


def test_covered(pool):
    """What covers the machine's nodes, such as a tree whose server stands still, is not asked."""
    at, daemon = pool.mount_foreground()
    with open(f"{pool.folder}/other", "wb") as device:
        os.posix_fallocate(device.fileno(), 0, 16 << 20)
    subprocess.run(["mount", "--bind", f"{at}/node", NODE], check=True)
    pool.mounts.append(NODE)
    daemon.send_signal(signal.SIGSTOP)
    done = subprocess.run(["timeout", "-s", "KILL", "30", pool.memplug, "-p", pool.name, "add", "16M",
                           "--backing", f"file:{pool.folder}/other"], capture_output=True, text=True)
    daemon.send_signal(signal.SIGCONT)
    check(done.returncode == 0, "add:", done)


def test(pool):
    pool.run("--boot", "64M", "--max", "512M", "--block-size", "16M", program=PROGRAM)
    with open(f"{pool.folder}/device", "wb") as device:
        os.posix_fallocate(device.fileno(), 0, 64 << 20)
    pool.command("add", "64M", "--backing", f"file:{pool.folder}/device")
    memory = pool.mount()
    pool.command("offline", "4")
    test_blocks(f"{memory}/node")
    test_files(pool, f"{memory}/node")
    test_numactl(f"{memory}/node")
    test_numastat(f"{memory}/node")
    test_udevadm(memory)
    check("MemTotal" in pool.command("get", "node1/meminfo"), "get")
    check(len(pool.command("get", "node1").splitlines()) > 6, "get of a node")
    test_covered(pool)
    pool.command("check")


tree_pool.enter("unshare", "numactl", "numastat", "udevadm")
tree_pool.run_test("tree_node", test)
