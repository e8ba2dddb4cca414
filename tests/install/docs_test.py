#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs_test.py BUILD_DIR | --fresh[=HOME] [CASE]: the commands of README and docs, run as they stand there (R81).

A fenced block whose first line begins with "$ " is a transcript: what its commands say must be what
is shown. In any other block of commands (```sh) each must succeed. All blocks of a page run in one
shell, in order. It begins in a folder that looks like a clone, and `make install` installs this
build; with --fresh the tree itself is the clone, and `make install` builds it and installs it below HOME, which
stays if it is named. NOT_RUN lists what is left out, and why. What only stands in a sentence must at least exist.

Measured values may differ: times, process numbers, amounts in use. "..." stands for anything.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import traceback

FRESH, _, NAMED_HOME = sys.argv[1].partition("=")
FRESH = FRESH == "--fresh"
BUILD = pathlib.Path(sys.argv[1]).resolve()
TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/*.md")])
PATIENCE = 1800 if FRESH else 60    # seconds after which a command hangs

NOT_RUN = {
    r"git clone": "it needs a network",
    r"apt-get install": "it changes the machine",
    r"make (run|test|run-sim|run-bare|bench|check-full)": "it takes minutes, and builds this build",
    r"scripts/install-deps": "it changes the machine; this test runs because it ran",
    r"(TARGETS=\S+ )?scripts/build build/gcc gcc": "it takes minutes; it made this build",
    r"scripts/check-style": "make test runs it",
}

# `make install` would build once more. BELOW is where this build thinks it is installed.
PRELUDE = r"""
make() {
    [ "$1" = install ] || { command make "$@"; return; }
    at=${2#PREFIX=}
    meson install -C "$BUILD" --no-rebuild --quiet --destdir "$HOME/staged" &&
        mkdir -p "${at%/*}" && mv "$HOME/staged$BELOW" "$at" || return
    [ ! -d "$at/lib/$MULTIARCH" ] || ln -s "$at/lib/$MULTIARCH"/* "$at/lib"
    sed -i -e "s|^prefix=.*|prefix=$at|" -e "s|^libdir=.*|libdir=$at/lib|" "$at"/lib/pkgconfig/*.pc
}
"""


class Failed(Exception):
    pass


def fences(page):
    """(line, language, text) of each fenced block of a page."""
    block = None
    for number, line in enumerate(page.read_text().split("\n"), 1):
        if not line.startswith("```"):
            if block is not None:
                block.append(line)
        elif block is None:
            start, language, block = number, line[3:].strip(), []
        else:
            yield start, language, "\n".join(block) + "\n"
            block = None


def steps(text):
    """(command, what is shown, or None) of a block; a here-document belongs to its command."""
    transcript, found, end = text.startswith("$ "), [], None
    for line in text.splitlines():
        if end is not None:
            found[-1][0] += line + "\n"
            end = None if line == end else end
        elif line.startswith("$ ") or not transcript:
            found.append([line.removeprefix("$ ") + "\n", "" if transcript else None])
            here = re.search(r"<<'?(\w+)", line)
            end = here[1] if here else None
        else:
            found[-1][1] += line + "\n"
    return [step for step in found if step[0].strip()]


def left_out(command):
    return any(re.match(words + r"\b", command) for words in NOT_RUN)


def plain(text):
    """Text with its measured values made alike."""
    text = re.sub(r"\d[\d:]*\.\d+ ?(ns|us|ms|s|[KMGT])?|\b\d+ (ns|us|ms|pages)\b", "~", text)
    text = re.sub(r'\(\d+\):|pid="\d+"', "~", text)
    text = re.sub(r"\b\d+[KMG]( in pieces of )\d+[KMG]\b", r"~\1~", text)
    text = re.sub(r"[░▒▓█]", "#", text)
    # An amount in use that happens to be round has no fraction.
    text = re.sub(r"\b\d+M( used$| *$)", r"~\1", text, flags=re.M)
    return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.strip().splitlines())


def alike(said, shown):
    return re.fullmatch(re.escape(plain(shown)).replace(r"\.\.\.", ".*"), plain(said), flags=re.S)


class Shell:
    """A bash for one page. What it says is read beside it, since jobs speak when they like."""

    MARK = re.compile(r"^==== status (\d+)\n", flags=re.M)

    def __init__(self, home):
        self.said, self.news = "", threading.Condition()
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(home)}
        self.process = subprocess.Popen(["bash"], cwd=TOP if FRESH else home / "memplug",
                                        env=env if FRESH else env | self.of_build(), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        threading.Thread(target=self.read, daemon=True).start()
        self.type("" if FRESH else PRELUDE)
        self.wait_for(self.MARK.search)

    @staticmethod
    def of_build():
        """What the prelude must know."""
        options = {option["name"]: option["value"] for option in json.loads(subprocess.run(
            ["meson", "introspect", "--buildoptions", BUILD], capture_output=True, check=True).stdout)}
        return {"BUILD": str(BUILD), "BELOW": options["prefix"],
                "MULTIARCH": options["libdir"].removeprefix("lib").strip("/") or "-"}

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.said += line
                self.news.notify()

    def type(self, command):
        self.process.stdin.write(f"{command}\necho \"==== status $?\"\n")
        self.process.stdin.flush()

    def wait_for(self, true):
        """All that was said once true(it), or when patience is at its end."""
        with self.news:
            self.news.wait_for(lambda: true(self.said), PATIENCE)
            said, self.said = self.said, ""
        return said

    def run(self, command, shown):
        self.type(command)
        in_background = re.search(r"&\s*(#.*)?$", command)
        said = self.wait_for(lambda said: self.MARK.search(said) and not (
            in_background and not alike(self.MARK.sub("", said), shown)))
        mark, said = self.MARK.search(said), self.MARK.sub("", said)
        if mark is None:
            raise Failed(f"no end\n{said}")
        if shown is None and mark[1] != "0":
            raise Failed(f"status {mark[1]}\n{said}")
        if shown is not None and not alike(said, shown):
            raise Failed(f"it said\n{plain(said)}\nand not\n{plain(shown)}")

    def close(self):
        """End it, and what a failure left behind."""
        self.process.stdin.write("fusermount3 -u demo 2>/dev/null; kill $(jobs -p) 2>/dev/null\n")
        self.process.stdin.close()
        self.process.wait(PATIENCE)


def like_a_clone(home):
    """A folder memplug with what a clone has; what commands write there stays there."""
    clone = home / "memplug"
    (clone / "build").mkdir(parents=True)
    (clone / "build/gcc").symlink_to(BUILD)
    for part in TOP.iterdir():
        if part.name != "build" and not part.name.startswith("."):
            (clone / part.name).symlink_to(part)


def page__its_blocks_of_commands__do_what_it_shows(page):
    blocks = [(line, text) for line, language, text in fences(page)
              if language in ("sh", "console") or text.startswith("$ ")]
    with contextlib.nullcontext(NAMED_HOME) if NAMED_HOME else tempfile.TemporaryDirectory() as folder:
        if not FRESH:
            like_a_clone(pathlib.Path(folder))
        shell = Shell(pathlib.Path(folder))
        try:
            for line, text in blocks:
                for command, shown in steps(text):
                    if not left_out(command):
                        try:
                            shell.run(command, shown)
                        except Failed as error:
                            raise Failed(f"{page.name}:{line}: $ {command}{error}") from error
        finally:
            shell.close()


def mentioned(text, words):
    """What stands in `code` after a word, in sentences."""
    return [found[1] for code in re.findall(r"`([^`\n]+)`", text)
            for found in re.finditer(rf"(?:^|[\s;]){words}", code)]


def page__what_it_names_in_sentences__exists(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(), flags=re.M))
    wrong = [f"make {name}" for name in mentioned(text, r"make ([a-z][a-z0-9-]*)") if name not in targets]
    wrong += [name for name in mentioned(text, r"((?:scripts|docs|examples|packaging|core|ports|tests|tree|heap|"
                                         r"control|cli|bench|replay|include|lib|bindings)/[\w./*-]*)")
              if not any(TOP.glob(re.sub("[A-Z]+", "*", name.rstrip("./")) + "*"))]
    usage = subprocess.run([BUILD / "cli/memplug", "help"], capture_output=True, text=True).stdout
    lines = re.findall(r"^  ([a-z, ]*[a-z])  ", usage, re.M)
    commands = {"help", *re.findall(r"[a-z]+", " ".join(lines))}
    wrong += [f"memplug {name}" for name in mentioned(text, r"memplug (?:-p \S+ )?([a-z]+)")
              if name not in commands]
    wrong += [link for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text)
              if not (page.parent / link).exists()]
    if wrong:
        raise Failed(f"{page.name} names what is not there: {', '.join(wrong)}")


def picture__made_again__tells_the_same(_page):
    with tempfile.NamedTemporaryFile(suffix=".svg") as file:
        subprocess.run([TOP / "scripts/picture", BUILD / "cli/memplug", file.name], check=True)
        words = [re.sub(r"0x[0-9a-f]+|\d+ of", "~", text) for text in re.findall(
            r"<text[^>]*>([^<]*)", pathlib.Path(file.name).read_text())]
    shown = [re.sub(r"0x[0-9a-f]+|\d+ of", "~", text) for text in re.findall(
        r"<text[^>]*>([^<]*)", (TOP / "docs/picture.svg").read_text())]
    if words != shown:
        raise Failed(f"run scripts/picture again: it says {words}")


def not_run__each_row__is_of_use(_page):
    commands = [command for page in PAGES for _, _, text in fences(page) for command, _ in steps(text)]
    idle = [words for words in NOT_RUN if not any(re.match(words, command) for command in commands)]
    if idle:
        raise Failed(f"nothing in the documents begins like this: {idle}")


def cases():
    for case in (page__its_blocks_of_commands__do_what_it_shows,
                 page__what_it_names_in_sentences__exists):
        for page in PAGES:
            yield f"{case.__name__}:{page.name}", case, page
    yield picture__made_again__tells_the_same.__name__, picture__made_again__tells_the_same, None
    yield not_run__each_row__is_of_use.__name__, not_run__each_row__is_of_use, None


def main():
    passed = failed = 0
    for name, case, page in cases():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        try:
            case(page)
            passed += 1
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {error}")
            if not isinstance(error, Failed):
                traceback.print_exc(file=sys.stdout)
            print(f"    replay: {sys.argv[0]} {BUILD} {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
