# SPDX-License-Identifier: MIT
"""layers.py: which file uses which, by function, and the order that this must have.

A unit is a .c file with the header of its name. One unit uses another when a function that the
other one defines, or an inline function of its header, is named in it: called, or handed on. So a
declaration that is moved to another header hides nothing. Names that one file keeps to itself
(static) are nobody else's; every other name is defined once in a part.
"""
import pathlib
import re

# core/, from the bottom up: a folder sees those before it. "." is core/ itself.
CORE = ["base", "state", "tables", "memmap", "pages", "ranges", "physical", "blocks", "verify", "."]
# Parts in which no two files use each other in a circle.
PARTS = ["core", "ports/linux", "ports/bare", "ports/x86_64", "control", "bench"]
# Files that are in a circle still. The list may only get shorter: a name that is in none any more is
# a complaint, too.
ACCEPTED = {}

COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
DEFINITION = re.compile(r"^((?:static |inline |_Noreturn )*)[^\n(;={}]*\n(\w+)\([^;{}]*?\)\n\{", re.M)
WORD = re.compile(r"[A-Za-z_]\w*")
INCLUDE = re.compile(r'^\s*#\s*include\s+"(\w+)/[^"]+"')


def unit_of(path):
    return path.with_suffix("")


def folder_of(path):
    return str(path.parent.relative_to("core"))


def is_above(one, other):
    return CORE.index(one) > CORE.index(other)


class Part:
    """The units of a part and what they use of each other."""

    def __init__(self, part, text):
        self.part = part
        self.paths = [path for path in text if path.is_relative_to(part)]
        self.code = {}
        self.home = {}                   # public function -> the unit that defines it
        own = {}                         # path -> static functions
        for path in self.paths:
            code = STRING.sub('""', COMMENT.sub(lambda m: "\n" * m[0].count("\n"), "\n".join(text[path])))
            self.code[path] = code
            own[path] = set()
            for qualifier, name in DEFINITION.findall(code + "\n"):
                if path.suffix == ".c" and "static" in qualifier:
                    own[path].add(name)
                else:
                    self.home[name] = unit_of(path)
        self.uses = {unit_of(path): {} for path in self.paths}
        for path in self.paths:
            unit = unit_of(path)
            for number, line in enumerate(self.code[path].split("\n"), 1):
                for name in WORD.findall(line):
                    home = self.home.get(name)
                    if home is None or home == unit or name in own[path] or self.is_declared(path, line, name):
                        continue
                    self.uses[unit].setdefault(home, (path, number, name))

    @staticmethod
    def is_declared(path, line, name):
        """A declaration in a header is no use: the type stands before the name."""
        return path.suffix == ".h" and re.search(rf"^(?!\s*return\b)[\w\s*]*\b[\w*]+[\s*]+{name}\(", line)

    def circles(self):
        """Sets of units that use each other (Tarjan, without recursion)."""
        index, low, stack, found = {}, {}, [], []
        for root in sorted(self.uses):
            if root in index:
                continue
            work = [(root, iter(sorted(self.uses[root])))]
            index[root] = low[root] = len(index)
            stack.append(root)
            while work:
                unit, rest = work[-1]
                for used in rest:
                    if used not in index:
                        index[used] = low[used] = len(index)
                        stack.append(used)
                        work.append((used, iter(sorted(self.uses[used]))))
                        break
                    if used in stack:
                        low[unit] = min(low[unit], index[used])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[unit])
                    if low[unit] == index[unit]:
                        at = stack.index(unit)
                        if len(stack) - at > 1:
                            found.append(sorted(stack[at:]))
                        del stack[at:]
        return found


def upwards(text):
    """What core/ includes or uses that lies in a folder above."""
    core = Part("core", text)
    strangers = sorted({folder_of(path) for path in core.paths} - set(CORE))
    if strangers:
        yield f"core/{strangers[0]}: in no layer"
        return
    for path in core.paths:
        for number, line in enumerate(text[path], 1):
            found = INCLUDE.match(line)
            if found and is_above(found[1], folder_of(path)):
                yield f"{path}:{number}: {folder_of(path)} must not see {found[1]}"
    for unit, uses in core.uses.items():
        for used, (path, number, name) in uses.items():
            if is_above(folder_of(used), folder_of(unit)):
                yield f"{path}:{number}: calls upwards: {name}() of {used}"


def circles(text):
    """Files that use each other in a circle, and accepted ones that no longer do."""
    for name in PARTS:
        part, still = Part(name, text), set()
        accepted = ACCEPTED.get(name, set())
        for circle in part.circles():
            names = {str(unit.relative_to(name)) for unit in circle}
            still |= names
            if not names <= accepted:
                yield f"{name}: {' -> '.join(walk(part, circle))}"
        for gone in sorted(accepted - still):
            yield f"scripts/layers.py: {name}/{gone} is in no circle any more: take it off the list"


def walk(part, circle):
    """One way round, with the functions: a (f) -> b (g) -> a."""
    at, seen = circle[0], []
    while at not in seen:
        seen.append(at)
        at = next(unit for unit in sorted(part.uses[at]) if unit in circle)
    round_ = seen[seen.index(at):]
    for unit, used in zip(round_, round_[1:] + round_[:1]):
        path, number, name = part.uses[unit][used]
        yield f"{path}:{number} {name}()"


def summary():
    yield "enforced: in core/, a folder sees those before it: " + " ".join(CORE)
    yield "enforced: no two files use each other in a circle: " + " ".join(PARTS)
    for name, left in ACCEPTED.items():
        yield f"{name}: {len(left)} files are in a circle still"
