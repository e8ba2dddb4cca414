#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_test.py - what bench/run makes of the tables of a benchmark, and scripts of that."""
import importlib.machinery
import importlib.util
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


ENGINE = """blocks of 128 MiB, fresh instances: ns of CPU time per block, median of 5
  blocks        TiB       add    online   offline    remove     RSS MiB
       1      0.000       971       901      7672       831         0.0
      16      0.002       110       168       608       105         1.0
  524288     64.000        76       158       150        51         2.0

one more page or block: ns of CPU time, median of 41
  blocks         page  add, online       remove  on-node add
   64000          170          311          351          471

ms of CPU time beyond a deadline of 1 to 8 ms, half of the blocks leaving
  blocks   offline   dry run     scrub   compact       add
   64000      0.20      0.16      0.25      0.01      0.00

order 0, 65536 pages: ns of CPU time for one alloc + free pair, median of 41
               repeat       bulk     random  T2 repeat  T2 random      xfree  instructions
memplug          10.8       21.2       36.2       10.9       31.8       46.4            57
jemalloc         11.4      326.9      915.8       11.5      898.3     1472.4             -

order 9, 512 pages: ns of CPU time for one alloc + free pair, median of 41
               repeat       bulk     random  T2 repeat  T2 random      xfree  instructions
memplug          12.9       48.6       56.6       13.5       94.4      245.7            61
"""
LINUX = """
a full block of ram leaves, 124 MiB of data: ms of CPU time, median of 5
  pieces of    4 KiB    2.601 ms   copying it    14.2 ms   bytes copied 0
  pieces of   64 KiB    0.181 ms   copying it    14.1 ms   bytes copied 0
  pieces of 2048 KiB    0.063 ms   copying it    14.0 ms   bytes copied 0

a full block goes to a device and back, ms of CPU time: the first time, later, back; memcpy / to, memcpy / back; median of 5
memfd, contiguous                      32.1     38.2     34.3     0.40     0.46
memfd, scattered in 64 KiB            240.1    247.2    186.3     0.06     0.08
hugetlb, 2 MiB pages                   14.1     14.2     27.3     0.66     0.34
hugetlb, the kernel alone              12.1     10.2     20.3     0.93     0.47

plug and online, ram: ms, ms of CPU time, ms to remove all, RSS MiB; median of 5
128 MiB                                 0.1        0.2        0.3        4.0
64 TiB                                140.0      132.0       50.0       68.0

fork with 1 GiB of touched heap: ms in a pool, ms plain, ratio; median of 5
fork()                                  8.0        7.0       1.14
fork(), child ends, wait               18.0       17.0       1.06
"""
SERVERS = """
under memplug run: thousand requests a second, the same plain, ratio, ratio by CPU time;
median of 5 turns
redis, nothing moves                    700        800       0.87       0.93
plain redis, another's blocks leave             750        800       0.94       0.96
    9 blocks left with 100 MiB of data in 20 s, a third of it quiet; 1 requests refused
"""
PROGRAMS = """
CPU seconds, start to end     plain  jemalloc    pool   pool/plain  pool/jemalloc
Python list                    0.35      0.34    0.33     0.99        1.00
geometric mean                                            0.98        1.01

realloc of one array from 1 to 400 MiB: CPU ms, times moved
plain                        255      9
pool, huge pages              51      0
"""
# What the page shall say of these, a row of each table.
WANTED = """| memplug | 10.8 | 21 | 36 | 32 | 46 |
| memplug | 12.9 | 49 | 57 | 94 | 246 |
| 1 | 128 MiB | 971 | 901 | 7,672 | 831 |
| 16 | 2 GiB | 110 | 168 | 608 | 105 |
| 524,288 | 64 TiB | 76 | 158 | 150 | 51 |
| 64,000 | 170 | 311 | 351 | 471 |
| 64,000 | 0.20 | 0.16 | 0.25 | 0.01 | 0.00 |
| 64 TiB | 140 | 132 | 50 | 68 |
| leaves, nothing copied | 2.6 | 0.18 | 0.06 |
| copying the same memory | 14.2 | 14.1 | 14.0 |
| one range | 32 | 38 | 34 | 0.40, 0.46 |
| scattered in 64 KiB | 240 | 247 | 186 | 0.06, 0.08 |
| hugetlb, pages of 2 MiB | 14.1 | 14.2 | 27 | 0.66, 0.34 |
| hugetlb, the kernel alone | 12.1 | 10.2 | 20 | 0.93, 0.47 |
| Python list | 0.35 | 0.34 | 0.33 | 0.99 | 1.00 |
| geometric mean | | | | 0.98 | 1.01 |
| redis, nothing moves | 700 | 800 | 0.87 | 0.93 |
| plain redis, another's blocks leave | 750 | 800 | 0.94 | 0.96 |
| plain | 255 | 9 |
| pool, huge pages | 51 | 0 |
| fork(), child ends, wait | 18.0 | 17.0 | 1.06 |
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


def page__of_kept_tables__has_their_figures_and_nothing_else_is_changed(folder):
    before = (TOP / "docs/PERFORMANCE.md").read_text()
    page = pathlib.Path(folder, "PERFORMANCE.md")
    page.write_text(before)
    bench(folder, f"cat <<'END'\n{ENGINE}END")
    file = pathlib.Path(folder, "bench.json")
    result = json.loads(file.read_text())
    run = load_run()
    result["parts"] |= {"linux": run.tables_of(LINUX.splitlines()), "servers": run.tables_of(SERVERS.splitlines()),
                        "programs": run.tables_of(PROGRAMS.splitlines())}
    file.write_text(json.dumps(result))
    said = subprocess.run([TOP / "scripts/performance", file, page], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stdout, said
    after = page.read_text().splitlines()
    missing = [row for row in WANTED.splitlines() if row not in after]
    assert not missing, "\n".join(missing)
    others = [line for line in before.splitlines() if line[:1] != "|" and not line.startswith("Measured ")]
    assert [line for line in after if line[:1] != "|" and not line.startswith("Measured ")] == others
    assert pathlib.Path(folder, "bench.svg").exists()


def page__of_a_part_alone__keeps_the_rest(folder):
    before = (TOP / "docs/PERFORMANCE.md").read_text()
    page = pathlib.Path(folder, "PERFORMANCE.md")
    page.write_text(before)
    bench(folder, f"cat <<'END'\n{TABLES}END")
    said = subprocess.run([TOP / "scripts/performance", f"{folder}/bench.json", page], capture_output=True, text=True)
    assert said.returncode == 0 and "has not measured it: linux: fork" in said.stdout, said
    assert before[before.index("## Taking"):] == page.read_text()[page.read_text().index("## Taking"):]


def part__that_fails__is_named_and_what_it_printed_is_kept(folder):
    said = bench(folder, f"cat <<'END'\n{TABLES}END\nexit 3")
    assert said.returncode == 1 and "engine failed with status 3" in said.stderr, said
    assert json.loads(pathlib.Path(folder, "bench.json").read_text())["parts"]["engine"], said


def load_run():
    """bench/run as a module; it has no .py."""
    name = "bench_run"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(TOP / "bench/run")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
