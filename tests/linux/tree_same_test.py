#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_same_test.py BUILD_DIR [SEED STEPS]: after each step of a random session the library, the
socket, the command and the tree say the same of every block, and of every knob (R48, R51).
"""
import json
import os
import random
import sys

import tree_pool
from tree_pool import check, read, write

STATES = ["absent", "offline", "going-online", "online", "going-offline"]
ZONES = {1: "Normal", 2: "Movable"}
KNOBS = {"online_policy": ["contig-zones", "auto-movable"],
         "auto_movable_ratio": ["301", "100", "0"],
         "auto_movable_numa_aware": ["Y", "N"],
         "auto_online_blocks": ["offline", "online", "online_kernel", "online_movable"]}


class Session:
    def __init__(self, pool, tree, seed):
        self.pool, self.tree = pool, tree
        self.random = random.Random(seed)
        self.steps = [self.by_tree, self.by_command, self.add, self.remove, self.knob, self.hold]

    def block(self):
        return self.random.choice([0, 1, 2, 3, 31, 32, 33, 34, 35, 36, 37, 38])

    def by_tree(self):
        name, words = self.random.choice([
            ("state", ["offline", "online", "online_kernel", "online_movable", "x"]),
            ("online", ["0", "1", "yes"])])
        block, word = self.block(), self.random.choice(words)
        return (f"tree memory{block}/{name} {word}",
                write(f"{self.tree}/memory{block}/{name}", word.encode()))

    def by_command(self):
        block = self.block()
        words = self.random.choice([("offline", f"{block}"), ("online", f"{block}"),
                                    ("offline", f"{block},{self.block()}"),
                                    ("set", f"memory{block}/state", "offline"),
                                    ("online", f"{block}", "--zone", "kernel")])
        return " ".join(words), self.pool.command(*words, quiet=True) is not None

    def add(self):
        words = ["add", "128M", *self.random.choice([[], ["--offline"], ["--memmap", "external"]])]
        return " ".join(words), self.pool.command(*words, quiet=True) is not None

    def remove(self):
        block = str(self.block())
        return f"remove {block}", self.pool.command("remove", block, quiet=True) is not None

    def knob(self):
        name = self.random.choice(sorted(KNOBS))
        value = self.random.choice(KNOBS[name])
        if self.random.random() < 0.5:
            return f"set {name} {value}", self.pool.command("set", name, value)
        folder = "" if name == "auto_online_blocks" else "parameters/"
        return f"tree {name} {value}", write(f"{self.tree}/{folder}{name}", value.encode())

    def hold(self):
        order = self.random.choice([f"unmovable {self.block()}", "unhold"])
        return order, self.pool.ask(order)

    def library(self):
        found = {}
        for block, state, zone, node, used, free in self.pool.ask("list"):
            name = ZONES[zone] if STATES[state] == "online" else "none"
            found[block] = (STATES[state], name, node, used, free)
        return found

    def socket(self):
        found = {}
        for one in tree_pool.socket_ask(self.pool, "ranges")["ranges"]:
            for block in range(one["first"], one["first"] + one["count"]):
                said = tree_pool.socket_ask(self.pool, "get", attr=f"memory{block}")
                check(said[f"memory{block}/state"] == one["state"], "ranges and get: block", block)
                found[block] = (one["state"], one["zone"], one["node"],
                                int(said[f"memory{block}/used_bytes"]),
                                int(said[f"memory{block}/free_bytes"]))
        return found

    def command(self):
        return {one["index"]: (one["state"], one["zone"], one["node"], one["used_bytes"],
                               one["free_bytes"])
                for one in json.loads(self.pool.command("list", "--json"))["blocks"]}

    def files(self):
        found = {}
        for name in os.listdir(self.tree):
            if not name.startswith("memory"):
                continue
            folder = f"{self.tree}/{name}"
            state, zones, used, free = (
                read(f"{folder}/{file}").decode().strip()
                for file in ("state", "valid_zones", "used_bytes", "free_bytes"))
            node = next(name for name in os.listdir(folder) if name.startswith("node") and
                        os.path.islink(f"{folder}/{name}"))
            check((zones in ZONES.values()) == (state == "online"), folder, state, zones)
            check(read(f"{folder}/online") == (b"1\n" if state == "online" else b"0\n"), folder)
            found[int(name[6:])] = (state, zones if state == "online" else "none", int(node[4:]),
                                    int(used), int(free))
        return found

    def knobs_agree(self):
        said = json.loads(self.pool.command("get", "--json"))
        for name in KNOBS:
            folder = "" if name == "auto_online_blocks" else "parameters/"
            file = read(f"{self.tree}/{folder}{name}").decode().strip()
            check(file == said[name], name, file, said[name])

    def agree(self):
        library = self.library()
        for view in (self.socket, self.command, self.files):
            said = view()
            wrong = [block for block in sorted(library.keys() | said.keys())
                     if library.get(block) != said.get(block)]
            check(not wrong, f"block {wrong and wrong[0]}: the library says",
                  wrong and library.get(wrong[0]), f"{view.__name__}",
                  wrong and said.get(wrong[0]))
        self.knobs_agree()


def test(pool, seed, nr_steps):
    pool.machine()
    session = Session(pool, pool.mount(), seed)
    session.agree()
    changed = 0
    for number in range(nr_steps):
        before = session.library()
        words, answer = session.random.choice(session.steps)()
        try:
            session.agree()
        except tree_pool.Failure as failure:
            raise tree_pool.Failure(f"seed {seed}, step {number}: {words}: {answer}: "
                                    f"{failure}") from None
        changed += session.library() != before
    check(nr_steps < 50 or changed > nr_steps / 10, "nothing happened in this session:", changed)
    check(pool.ask("check") == 0, "the pool is damaged")


tree_pool.enter("unshare")
tree_pool.run_test("tree_same", test,
                   int(sys.argv[2]) if len(sys.argv) > 2 else 1,
                   int(sys.argv[3]) if len(sys.argv) > 3 else 100)
