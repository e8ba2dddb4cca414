#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""walk_test.py BUILD_DIR: a newcomer's day on a terminal of 80x24, with nothing but `memplug help`.

Start a program, look, watch, grow, shrink, find out why not, script it, alert on it, rehearse it. What is
a table or a help fits 80 columns; what is refused says why in a sentence, and what else there is.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(sys.argv[1])
MEMPLUG = f"{BUILD}/cli/memplug"
PYTHON = "/usr/bin/python3"
PROGRAM = 'data = [bytes(1 << 20) for _ in range(200)]; print("up", flush=True); input()'
NAME = "a-service-whose-name-is-long"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def on_terminal(*words, status=0, fits=True, seconds=None):
    """What it shows on a terminal of 80x24; a command that does not end gets an interrupt."""
    bound = f"timeout -s INT {seconds} " if seconds else ""
    line = f"stty cols 80 rows 24; exec {bound}{MEMPLUG} {' '.join(words)}"
    done = subprocess.run(["script", "-qec", line, "/dev/null"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    shown = ESCAPE.sub("", done.stdout)
    assert done.returncode == status, (words, done.returncode, shown)
    too_long = [line for line in shown.splitlines() if fits and len(line) > 80]
    assert not too_long, (words, too_long)
    return shown


def test_help():
    """Every command that is named is explained, on one screen."""
    overview = on_terminal("help")
    assert len(overview.splitlines()) < 24, overview
    lines = re.findall(r"^  ([a-z, ]*[a-z])  ", overview, re.M)
    names = re.findall(r"[a-z]+", " ".join(lines))
    assert {"run", "ps", "list", "add", "remove", "why", "sim"} <= set(names)
    for name in names:
        shown = on_terminal("help", name)
        assert shown.startswith(f"usage: memplug {name}") or f"memplug [-p PID|NAME] {name}" in shown, shown
        assert len(shown.splitlines()) < 24, (name, len(shown.splitlines()))
    for wrong, said in (("fly", "memplug help lists them"), ("help fly", "memplug help lists them"),
                        ("add", "usage: memplug"), ("list --al", "--al")):
        assert said in on_terminal(*wrong.split(), status=2), wrong


def test_day(scenario):
    assert NAME[:16] in on_terminal("ps")
    assert "all is well" in on_terminal("status")
    assert "Movable" in on_terminal("list") and re.search(" ram +12[67]", on_terminal("list", "--all"))
    assert "used, by quarters" in on_terminal("map")
    on_terminal("add", "128M")
    assert "the nearest are" in on_terminal("add", "1000M", status=1)
    assert "ram" in on_terminal("nodes")
    assert "nothing keeps it" in on_terminal("why", "4")
    assert on_terminal("offline", "4", "--dry-run") == "it would work\n"
    on_terminal("remove", "4")
    assert "it is not there" in on_terminal("remove", "4", status=1)
    assert "add memory first" in on_terminal("resize", "128M", status=1)
    why = on_terminal("why", "0-3")
    assert re.search("^together: .*\\n  ", why, re.M), why  # a sentence goes on in a line of its own
    assert "the pool has no node 7; memplug nodes lists them" in on_terminal("evacuate", "7", status=1)
    assert "would remove" in on_terminal("resize", "384M", "--dry-run")
    on_terminal("resize", "384M")
    on_terminal("set", "max_bytes", "1G")
    assert on_terminal("get", "max_bytes").strip() == str(1 << 30)
    assert "no attribute 'max_byte'; memplug get lists them" in on_terminal("set", "max_byte", "1G", status=1)
    on_terminal("check")
    blocks = json.loads(on_terminal("list", "--json", fits=False))["blocks"]
    assert len(blocks) == 3
    assert "memplug_used_bytes" in on_terminal("metrics", fits=False)
    assert "unplug" in on_terminal("sim", scenario)
    events = on_terminal("monitor", "--since", "1", status=124, seconds=3)
    assert "remove         block 4" in events, events
    recorded = on_terminal("monitor", "--json", "--since", "1", status=124, fits=False, seconds=3)
    with open(f"{scenario}.recorded", "w", encoding="utf-8") as file:
        file.write(recorded)
    assert "add 640M" in on_terminal("sim", "--from", f"{scenario}.recorded", fits=False)
    assert "no pool" in on_terminal("-p", "nobody", "list", status=3)
    assert "No such file" in on_terminal("run", "--follow=/no/such/folder", "--", "true", status=2)


with tempfile.TemporaryDirectory() as folder:
    os.environ["MEMPLUG_RUNTIME_DIR"] = f"{folder}/run"
    os.mkdir(f"{folder}/run", 0o700)
    with open(f"{folder}/scenario", "w", encoding="ascii") as file:
        file.write("add 4G\nuse 50%\nfree 60%\nremove 2G\n")
    program = subprocess.Popen([MEMPLUG, "run", "--name", NAME, "--boot", "512M", "--", PYTHON, "-c", PROGRAM],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout.readline() == "up\n"
        test_help()
        test_day(f"{folder}/scenario")
    finally:
        program.terminate()
        program.communicate()
