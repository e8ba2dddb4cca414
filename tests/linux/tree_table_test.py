#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_table_test.py BUILD_DIR: each row of tree_table.tsv, on a pool laid out like its machine (R48).

Where a kernel answers otherwise the row names the paragraph of docs/DEVIATIONS.md that says why; a paragraph
that no row names is named by a test of the tree, as "Deviation: NAME".
"""
import os
import pathlib
import re
import stat

import tree_pool
from tree_pool import check

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "tree_table.tsv"
DEVIATIONS = HERE.parent.parent / "docs" / "DEVIATIONS.md"
FLAGS = {"RDONLY": os.O_RDONLY, "WRONLY": os.O_WRONLY, "RDWR": os.O_RDWR,
         "WRONLY|TRUNC": os.O_WRONLY | os.O_TRUNC}

# Folders that are not among the blocks.
ELSEWHERE = {"parameters": "/sys/module/memory_hotplug", "node": "/sys/devices/system",
             "hwpoison": "/sys/kernel/debug", "vm": "/proc/sys", "firmware": "/sys"}


def plain(text):
    return (text.replace("\\n", "\n").replace("\\0", "\0").replace("\\s", " ")).encode()


def quoted(got):
    """As the table writes it."""
    if isinstance(got, str):
        return got
    return '"' + got.decode().replace("\n", "\\n") + '"'


class Table:
    def __init__(self, pool, root):
        self.pool, self.root, self.memory = pool, root, root + tree_pool.MEMORY

    def path(self, name):
        return f"{self.root}{ELSEWHERE.get(name.partition('/')[0], tree_pool.MEMORY)}/{name}"

    def do(self, order, *_):
        words = order.split(" ")
        if words[0] == "set":
            self.pool.command("set", *words[1:])
        elif words[0] == "state":
            path = f"{self.memory}/memory{words[1]}/state"
            if tree_pool.read(path) != plain(words[2] + "\n"):
                got = tree_pool.write(path, words[2].encode())
                check(got == str(len(words[2])), order, got)
        else:
            check(self.pool.ask(order) == 0, order)
        return None, None

    def open(self, name, _, want, *__):
        got = []
        for word, flags in FLAGS.items():
            try:
                os.close(os.open(self.path(name), flags))
                got.append(f"{word}=ok")
            except OSError as error:
                got.append(f"{word}={tree_pool.error_name(error)}")
        return " ".join(got), want

    def read(self, name, mode, want, *_):
        got = stat.S_IMODE(os.stat(self.path(name)).st_mode)
        check(got == int(mode, 8), name, "mode", oct(got))
        return quoted(tree_pool.read(self.path(name))), want

    def pread(self, name, where, want, *_):
        offset, size = map(int, where.split(","))
        return quoted(tree_pool.read(self.path(name), offset, size)), want

    def write(self, name, text, want, after="", *_):
        text, _, offset = text.partition("@")
        got = tree_pool.write(self.path(name), plain(text), int(offset or 0))
        if after:
            block = self.path(name.partition("/")[0])
            state = [tree_pool.read(f"{block}/{file}") for file in ("state", "valid_zones")]
            got += " " + ",".join(word.decode().strip() for word in state)
            want += " " + after
        return got, want


def test(pool):
    pool.machine()
    root = pool.mount("--sysroot")
    table = Table(pool, root)
    explained = {line[4:].strip() for line in DEVIATIONS.read_text().splitlines()
                 if line.startswith("### ")}
    wrong, named = [], set()
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line == "" or line.startswith("#"):
            continue
        op, *columns = line.split("\t")
        columns += [""] * (5 - len(columns))
        got, want = getattr(table, op)(*columns)
        if got != want:
            wrong.append(f"tree_table.tsv:{number}: {op} {columns[0]} {columns[1]!r}: {got}, "
                         f"not {want}")
        if columns[4]:
            named.add(columns[4])
    for script in HERE.glob("tree_*_test.py"):
        for names in re.findall(r"Deviation: ([a-z0-9-]+(?:, [a-z0-9-]+)*)\.", script.read_text()):
            named |= set(names.split(", "))
    for name in sorted(explained - named):
        wrong.append(f"no test looks at '{name}' of docs/DEVIATIONS.md")
    for name in sorted(named - explained):
        wrong.append(f"docs/DEVIATIONS.md does not explain '{name}'")
    check(not wrong, "\n" + "\n".join(wrong[:20]))
    check(pool.ask("unhold") == 0 and pool.ask("check") == 0, "the pool is damaged")


tree_pool.enter("unshare")
tree_pool.run_test("tree_table", test)
