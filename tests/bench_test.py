#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_test.py - what bench/run makes of the tables of a benchmark, and scripts/plot-bench of that."""
import json
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
TABLES = """ns of CPU time per block
  blocks       add
       1      1883
    8192        91

order 0, 65536 pages: ns
               repeat       bulk     random  T2 random      xfree
memplug          10.8       21.2       36.2       31.8       46.4
jemalloc         11.4      326.9      915.8      898.3     1472.4

order 9, 512 pages: ns
               repeat       bulk     random  T2 random      xfree
memplug          12.9       48.6       56.6       94.4      245.7

a full block leaves: ms
  pieces of    4 KiB    2.601 ms   copying it    14.2 ms
"""


def bench(folder, script):
    """Run a benchmark that this script stands for."""
    program = pathlib.Path(folder, "bench/bench")
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return subprocess.run([TOP / "bench/run", folder, "engine"], capture_output=True, text=True)


def tables__as_they_are_printed__are_shown_and_kept(folder):
    said = bench(folder, f"cat <<'END'\n{TABLES}END")
    assert said.returncode == 0 and said.stdout.startswith(TABLES), said
    tables = json.loads(pathlib.Path(folder, "bench.json").read_text())["parts"]["engine"]
    assert tables[0] == {"title": "ns of CPU time per block", "columns": ["add"],
                         "rows": [{"name": "1", "values": [1883]}, {"name": "8192", "values": [91]}]}, tables[0]
    assert tables[1]["columns"] == ["repeat", "bulk", "random", "T2 random", "xfree"], tables[1]
    assert tables[1]["rows"][1] == {"name": "jemalloc", "values": [11.4, 326.9, 915.8, 898.3, 1472.4]}
    assert tables[3]["rows"][0]["values"][-2:] == [2.601, 14.2], tables[3]


def plot__of_kept_tables__shows_each_figure(folder):
    picture = pathlib.Path(folder, "out.svg")
    bench(folder, f"cat <<'END'\n{TABLES}END")
    subprocess.run([TOP / "scripts/plot-bench", f"{folder}/bench.json", picture], check=True)
    for figure in ("11 memplug", "327 jemalloc", "246 memplug"):
        assert f">{figure}<" in picture.read_text(), figure


def part__that_fails__is_named(folder):
    said = bench(folder, "echo half; exit 3")
    assert said.returncode == 1 and "engine failed with status 3" in said.stderr, said


def main():
    cases = [case for name, case in globals().items() if "__" in name.strip("_") and callable(case)]
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(folder)
            except AssertionError as error:
                failed += 1
                print(f"FAILED {case.__name__}: {error}\n    replay: {sys.argv[0]}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
