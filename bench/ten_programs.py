#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ten_programs.py BUILD_DIR: ten programs start to end under `memplug run`, beside their own malloc and jemalloc.

Each runs by turns as it is, with jemalloc preloaded, and in a pool; the CPU time of the process and
all its children counts, the least of the rounds. Then how much of the anonymous memory of three
of them is in the pool with --mmap: what is private, writable, without a file, not a stack, and at
least as large as --mmap asks, by /proc/PID/smaps, in the light of what the pool says is committed.
Last an array that grows by realloc. What is not installed is left out, and the output says so.
"""
import ctypes.util
import math
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROUNDS = 3
VARIANTS = ("plain", "jemalloc", "pool")

LIST = "x = list(range(6000000)); y = {i: str(i) for i in range(300000)}; print(len(x), len(y))"
SQL = """create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<300000)
insert into t select x, hex(x * 7919) from c; create index i on t(b); select count(*), min(b) from t;"""
PERL = 'my %h; $h{$_ % 200000} .= "x$_" for 1..600000; print scalar(keys %h), "\\n";'
NODE = "let a=[];for(let i=0;i<600000;i++)a.push({i,s:'x'+i});console.log(a.length)"
JAVA = """import java.util.*;
public class Churn { public static void main(String[] a) throws Exception {
HashMap<Integer,String> m = new HashMap<>(); long s = 0;
for (int i = 0; i < 1500000; i++) { m.put(i % 400000, "value" + i); byte[] b = new byte[500]; s += b.length; }
System.out.println(m.size() + " " + s); System.out.flush(); if (a.length > 0) Thread.sleep(600000); } }
"""
VECTORS = """#include <cstdio>
#include <map>
#include <string>
#include <vector>
#include <unistd.h>
int main(int argc, char **) { std::vector<std::vector<int>> v(2000); std::map<int, std::string> m;
for (int i = 0; i < 20000000; i++) v[i % 2000].push_back(i);
for (unsigned i = 0; i < 300000; i++) m[(int)(i * 7919 % 1000003)] = std::string(i % 200, 'x');
printf("%zu %zu\\n", v[7].size(), m.size()); fflush(stdout); if (argc > 1) pause(); }
"""
GROW = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) { size_t size = 1 << 20, end = (size_t)400 << 20; int moved = 0;
char *p = malloc(size); memset(p, 1, size);
while (size < end) { size_t more = size + size / 8; if (more > end) more = end;
char *old = p; p = realloc(p, more); moved += p != old; memset(p + size, 2, more - size); size = more; }
printf("%d\\n", moved); return 0; }
"""


def prepare(folder):
    """Sources and inputs; None for what cannot be built here."""
    files = {"Churn.java": JAVA, "vectors.cc": VECTORS, "grow.c": GROW}
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "big.c").write_text("\n".join(
        f"int f{i}(int x) {{ for (int i = 0; i < x; i++) x ^= i * {i}; return x; }}" for i in range(800)))
    for command in (["javac", "Churn.java"], ["g++", "-O2", "-o", "vectors", "vectors.cc"],
                    ["gcc", "-O2", "-o", "grow", "grow.c"]):
        if shutil.which(command[0]):
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with (folder / "numbers").open("w") as out:
        out.writelines(f"{i * 7919 % 1000003}\n" for i in range(800000))
    if shutil.which("git"):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "-q", "repo"], cwd=folder, check=True)
        for turn in range(12):
            for i in range(40):
                (folder / "repo" / f"f{i}").write_text("\n".join(str(k * turn) for k in range(i * 100)))
            subprocess.run([*git, "add", "."], cwd=folder / "repo", check=True)
            subprocess.run([*git, "commit", "-qm", "x"], cwd=folder / "repo", check=True)


PROGRAMS = {
    "Python list": [os.path.realpath(sys.executable), "-c", LIST],
    "sqlite": ["sqlite3", ":memory:", SQL],
    "gcc": ["gcc", "-O2", "-c", "big.c", "-o", "/dev/null"],
    "sort": ["sort", "-n", "--parallel=2", "numbers", "-o", "/dev/null"],
    "xz": ["xz", "-T2", "-1", "-k", "-c", "numbers"],
    "perl hash": ["perl", "-e", PERL],
    "git repack": ["git", "-C", "repo", "repack", "-adfq"],
    "node": ["node", "-e", NODE],
    "java": ["java", "-cp", ".", "Churn"],
    "C++ vectors": ["./vectors"],
}
WITH_MMAP = ("node", "java")


def cpu_of(command, env, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def there(command, folder):
    return (folder / command[0]).exists() if command[0].startswith("./") else shutil.which(command[0])


def compare(memplug, jemalloc, folder):
    ratios = {"plain": [], "jemalloc": []}
    print(f"\n{'CPU seconds, start to end':26}{'plain':>9}{'jemalloc':>10}{'pool':>8}"
          f"{'/ plain':>9}{'/ jemalloc':>12}")
    for name, command in PROGRAMS.items():
        if not there(command, folder):
            print(f"{name:26}left out: {command[0]} is not installed")
            continue
        options = ["--mmap"] if name in WITH_MMAP else []
        run = [memplug, "run", "--boot", "512M", *options, "--", *command]
        ways = {"plain": (command, os.environ),
                "jemalloc": (command, {**os.environ, "LD_PRELOAD": jemalloc}),
                "pool": (run, os.environ)}
        least = dict.fromkeys(VARIANTS, math.inf)
        for _ in range(ROUNDS):
            for variant in VARIANTS:
                least[variant] = min(least[variant], cpu_of(*ways[variant], folder))
        for variant, list_ in ratios.items():
            list_.append(least["pool"] / least[variant])
        print(f"{name:26}{least['plain']:9.2f}{least['jemalloc']:10.2f}{least['pool']:8.2f}"
              f"{ratios['plain'][-1]:9.2f}{ratios['jemalloc'][-1]:12.2f}", flush=True)
    means = [math.exp(sum(map(math.log, list_)) / len(list_)) for list_ in ratios.values()]
    print(f"{'geometric mean':53}{means[0]:9.2f}{means[1]:12.2f}")


def anonymous(pid, least):
    """Bytes of anonymous memory, and those in mappings that --mmap and the heap are about."""
    text = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    everything = inside = 0
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
        head = block.split("\n", 1)[0].split()
        start, end = (int(word, 16) for word in head[0].split("-"))
        held = int(re.search(r"^Anonymous:\s+(\d+)", block, re.M)[1]) << 10
        everything += held
        own = end - start > 200 << 30      # the pool's own table
        if len(head) == 5 and head[1] == "rw-p" and end - start >= least and not own:
            inside += held
    return everything, inside


def share(memplug, folder, name, command):
    pool = f"share-{os.getpid()}"
    child = subprocess.Popen([memplug, "run", "--mmap", "--name", pool, "--boot", "512M", "--", *command],
                             cwd=folder, stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        committed = int(subprocess.run([memplug, "-p", pool, "get", "committed_bytes"], check=True,
                                       capture_output=True).stdout)
        everything, inside = anonymous(child.pid, 256 << 10)
        print(f"{name:26}{everything >> 20:6} MiB anonymous, {min(inside, committed) / everything:.2f} in the pool "
              f"({committed >> 20} MiB committed)", flush=True)
    finally:
        child.kill()
        child.wait()


def shares(memplug, folder):
    print("\nshare of a program's anonymous memory that is in the pool with --mmap")
    keep = "; import sys, time; sys.stdout.flush(); time.sleep(600)"
    for name, command in {"python": [os.path.realpath(sys.executable), "-c", LIST + keep], "C++": ["./vectors", "stay"],
                          "node": ["node", "-e", NODE + ";setTimeout(()=>0,600000)"],
                          "java": ["java", "-cp", ".", "Churn", "stay"]}.items():
        if there(command, folder):
            share(memplug, folder, name, command)


def growth(memplug, jemalloc, folder):
    print("\nrealloc of one array from 1 to 400 MiB: CPU ms, times moved")
    for variant, command, env in (("plain", [], os.environ),
                                  ("jemalloc", [], {**os.environ, "LD_PRELOAD": jemalloc}),
                                  ("pool", [memplug, "run", "--boot", "512M", "--"], os.environ),
                                  ("pool, huge pages", [memplug, "run", "--boot", "512M", "--huge", "large",
                                                        "--"], os.environ)):
        best = min(cpu_of([*command, "./grow"], env, folder) for _ in range(ROUNDS))
        moved = subprocess.run([*command, "./grow"], env=env, cwd=folder, check=True,
                               capture_output=True, text=True).stdout.strip()
        print(f"{variant:26}{best * 1e3:6.0f} {moved:>6}", flush=True)


def main():
    memplug = pathlib.Path(sys.argv[1]).resolve() / "cli/memplug"
    jemalloc = ctypes.util.find_library("jemalloc")
    if not memplug.exists() or jemalloc is None:
        print("ten programs: left out: memplug run or jemalloc is missing")
        return
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_RUNTIME_DIR"] = name
        folder = pathlib.Path(name)
        prepare(folder)
        compare(str(memplug), jemalloc, folder)
        shares(str(memplug), folder)
        growth(str(memplug), jemalloc, folder)


if __name__ == "__main__":
    main()
