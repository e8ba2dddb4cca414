#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sim_test.py BUILD_DIR: `memplug sim` (R72): the examples, what a report adds up to, pictures, and
scenarios that are broken, each told by its line; none may do more than be refused.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

MEMPLUG = f"{sys.argv[1]}/cli/memplug"
EXAMPLES = sorted((pathlib.Path(__file__).resolve().parent.parent.parent / "examples").glob("sim-*.txt"))
GIB = 1 << 30
BROKEN = {
    "add 4G\nfly 3": "line 2: 'fly' is no step",
    "add": "line 1: 'add' needs a size",
    "add 015": "line 1: '015' is no size",
    "add 4G big": "line 1: 'big' means nothing here",
    "add 4G\nuse 101%": "line 2: '101%' is no share",
    "add 4G\nuse": "line 2: 'use' needs a size",
    "add 4G\n\nrepeat 3\nuse 1%": "line 3: this repeat has no end",
    "add 4G\nend": "line 2: there is no repeat",
    "add 4G\nhost 1T": "line 2: 'host' comes before the first step",
    "host 4G\nadd 8G": "line 2: the host has no addresses left",
    "nodes 0\nadd 1G": "line 1: there is one node at least",
    "nodes 17\nadd 1G": "line 1: '17' is no number up to 16",
    "nodes 2\nadd 1G node=2": "line 2: 'node=2' is no node: there are 2, from 0",
    "add 1G node=": "line 1: 'node=' is no node: there are 1, from 0",
    "add 1G\nfree 1G node=0": "line 2: 'node=0' means nothing here",
    "add 1G\nnodes 2": "line 2: 'nodes' comes before the first step",
    "block 3M\nadd 4G": "a block is a power of two",
    "memmap here\nadd 4G": "line 1: memmap is self or external",
    "seed x\nadd 4G": "line 1: 'x' is no number",
    "repeat 1\n" * 9: "line 9: so many repeats",
    "add 1 2 3 4 5": "line 1: there are too many words",
    "add 4G #" + "x" * 300: "line 1: the line is too long",
    "# nothing": "there is no step",
    "host 512G\nblock 512G\nadd 1T": "line 3: the host has no addresses",
}


def sim(text, *options):
    return subprocess.run([MEMPLUG, "sim", "-", *options], input=text, capture_output=True, text=True)


def report(text):
    done = sim(text, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_examples(folder):
    assert len(EXAMPLES) >= 3
    for example in EXAMPLES:
        picture = f"{folder}/{example.stem}.svg"
        done = subprocess.run([MEMPLUG, "sim", str(example), "--svg", picture], capture_output=True,
                              text=True)
        assert done.returncode == 0 and "unplug" in done.stdout, (example, done)
        assert all(len(line) <= 80 for line in done.stdout.splitlines()), done.stdout
        tree = xml.etree.ElementTree.parse(picture)
        lines = [line for line in tree.iter() if line.tag.endswith("polyline")]
        assert len(lines) == 6 and all(line.get("points") for line in lines), picture


def test_sums():
    steps = report("add 4G\nuse 2G\nfree 1G\nremove 2G")["steps"]
    assert [step["line"] for step in steps] == [1, 2, 3, 4]
    assert [step["plugged_bytes"] for step in steps] == [4 * GIB] * 3 + [2 * GIB]
    used = [step["used_bytes"] - steps[0]["used_bytes"] for step in steps]
    assert used[1] == 2 * GIB and used[2] == GIB, used
    assert (steps[3]["asked_blocks"], steps[3]["left_blocks"]) == (16, 16)
    assert 0 < steps[0]["metadata_bytes"] <= 4 * GIB * 0.0021
    # What cannot move stays, and what holds it: nothing of a kernel zone leaves.
    said = report("add 1G kernel\nuse 50% kernel\nremove 512M")
    assert said["steps"][-1]["left_blocks"] == 0 and said["steps"][-1]["asked_blocks"] == 4
    # There is no room for what is in the blocks.
    said = report("add 1G\nuse 95%\nremove 512M")
    assert said["steps"][-1]["left_blocks"] < 4 and "room" in said["refused"], said["refused"]
    assert report("add 1G\nuse 2G")["missing_bytes"] > GIB
    twice = report("add 2G\nrepeat 3\nuse 1G small\nfree 1G\nremove 128M\nadd 128M\nend")
    assert len(twice["steps"]) == 13 and twice == report(
        "add 2G\nrepeat 3\nuse 1G small\nfree 1G\nremove 128M\nadd 128M\nend")


def test_nodes():
    """What is plugged, used and taken out on one node leaves the others as they are."""
    text = "nodes 3\nadd 2G node=0\nadd 4G node=2\nuse 50% node=2\n"
    near, none, far = report(text)["nodes"]
    assert (near["plugged_bytes"], none["plugged_bytes"], far["plugged_bytes"]) == (2 * GIB, 0, 4 * GIB)
    assert near["used_bytes"] < GIB // 100 and 1.9 * GIB < far["used_bytes"] < 2.1 * GIB, (near, far)
    said = report(text + "remove 25% node=2")
    assert [node["plugged_bytes"] for node in said["nodes"]] == [2 * GIB, 0, 3 * GIB]
    assert said["steps"][-1]["left_blocks"] == 8
    # A node that is full, or whose memory leaves, has its pages in others.
    said = report(text + "remove 100% node=2")
    assert [node["plugged_bytes"] for node in said["nodes"]][2] <= GIB // 4, said["nodes"]
    assert said["nodes"][0]["used_bytes"] > 1.7 * GIB, said["nodes"]
    shown = sim(text).stdout
    assert "\nnode 2    4G plugged, 2" in shown and "\nnode 0 " in shown, shown
    assert "\nnode" not in sim("add 1G").stdout


def test_broken():
    for text, said in BROKEN.items():
        done = sim(text)
        assert done.returncode == 1 and said in done.stderr, (text, done)
    rng = random.Random(1)
    words = ["host", "block", "memmap", "seed", "add", "use", "free", "remove", "repeat", "end", "1G",
             "64M", "10%", "kernel", "small", "0", "-1", "3", "\n", "\n", "\t", "self", "\x1b[31m", "é"]
    for _ in range(60):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(40)))
        done = sim("host 8G\n" + text)
        assert done.returncode in (0, 1), (text, done)
        assert "\x1b" not in done.stderr, (text, done)
    assert subprocess.run([MEMPLUG, "sim", "/no/such/file"], capture_output=True).returncode == 1
    assert subprocess.run([MEMPLUG, "sim"], capture_output=True).returncode == 2
    assert sim("add 1G", "--svg", "/no/such/file").returncode == 1


def test_from(folder):
    """A scenario from blocks that there are, which can be rehearsed as it is."""
    blocks = {0: ("online", "Normal", 1 << 20), 1: ("online", "Normal", 3 << 20),
              2: ("offline", "Normal Movable", None), 7: ("online", "Movable", 12345),
              10: ("online", "Movable", None), 11: ("online", "none", None)}
    root = pathlib.Path(folder, "blocks")
    for number, (state, zones, used) in blocks.items():
        place = root / f"memory{number}"
        place.mkdir(parents=True)
        (place / "state").write_text(state + "\n")
        (place / "valid_zones").write_text(zones + "\n")
        if used is not None:
            (place / "used_bytes").write_text(f"{used}\n")
    (root / "block_size_bytes").write_text("8000000\n")
    (root / "memory_of_others").write_text("")
    done = subprocess.run([MEMPLUG, "sim", "--from", root], capture_output=True, text=True)
    steps = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert steps == ["host 2G", "block 128M", "add 256M kernel", "add 256M", "add 128M kernel",
                     "use 4M kernel", "use 12345"], done
    assert len(report(done.stdout + "remove 128M\n")["steps"]) == 6
    for number in blocks:
        (root / f"memory{number}" / f"node{number // 7}").symlink_to(f"../../node/node{number // 7}")
    done = subprocess.run([MEMPLUG, "sim", "--from", root], capture_output=True, text=True)
    steps = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert steps == ["host 2G", "block 128M", "nodes 2", "add 256M kernel node=0", "add 256M node=1",
                     "add 128M kernel node=1", "use 4M kernel node=0", "use 12345 node=1"], done
    nodes = report(done.stdout + "remove 128M node=1\n")["nodes"]
    assert [node["plugged_bytes"] for node in nodes] == [256 << 20, 256 << 20], nodes
    for words in ["--from", "/no/such"], ["--from", folder]:
        assert subprocess.run([MEMPLUG, "sim", *words], capture_output=True).returncode == 1
    assert subprocess.run([MEMPLUG, "sim", "x", "--from", "y"], capture_output=True).returncode == 2


def test_from_recording(folder):
    """What came and what left, as a scenario, which can be rehearsed with what was in use."""
    name, recording = f"sim-{os.getpid()}", pathlib.Path(folder, "recording")
    env = {**os.environ, "MEMPLUG_RUNTIME_DIR": folder}

    def memplug(*words, status=0):
        done = subprocess.run([MEMPLUG, "-p", name, *words], env=env, capture_output=True, text=True)
        assert done.returncode == status, (words, done)
        return done.stdout

    program = subprocess.Popen([MEMPLUG, "run", "--name", name, "--boot", "64M", "--block-size", "16M", "--grow",
                                "none", "--", "/usr/bin/python3", "-c",
                                "x = bytes(40 << 20); print('up', flush=True); input()"],
                               env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout.readline() == "up\n"
        with open(recording, "w", encoding="ascii") as out, subprocess.Popen(
                [MEMPLUG, "-p", name, "monitor", "--json"], env=env, stdout=out) as monitor:
            while not recording.stat().st_size:
                assert monitor.poll() is None
                time.sleep(0.05)
            memplug("add", "32M", "--zone", "kernel")
            memplug("add", "64M")
            memplug("offline", "8")
            memplug("remove", "9")
            memplug("remove", "0-3,6-7", status=1)
            while b"offline-failed" not in recording.read_bytes():
                time.sleep(0.05)
            monitor.terminate()
    finally:
        program.kill()
        program.communicate()
    done = subprocess.run([MEMPLUG, "sim", "--from", recording], capture_output=True, text=True)
    steps = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert steps[1:] == ["block 16M", "add 64M", "add 32M kernel", "add 64M", "remove 32M",
                         "remove 64M # was refused"], done
    text = recording.read_text(encoding="ascii")
    assert sim(text, "--from", "-").returncode == 2
    again = subprocess.run([MEMPLUG, "sim", "--from", "-"], input=text, capture_output=True, text=True)
    assert again.stdout == done.stdout
    assert report(done.stdout.replace("\nadd 32M", "\nuse 40M\nadd 32M"))["steps"][-1]["asked_blocks"] == 6
    for broken in "", "{}\n", text.replace('"count":2', '"count":-2'), text[:-20]:
        done = subprocess.run([MEMPLUG, "sim", "--from", "-"], input=broken, capture_output=True, text=True)
        assert done.returncode == 1 and "line " in done.stderr, (broken[-100:], done)


with tempfile.TemporaryDirectory() as folder:
    test_from_recording(folder)
    test_examples(folder)
    test_from(folder)
test_sums()
test_nodes()
test_broken()
