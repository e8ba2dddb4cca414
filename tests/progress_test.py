#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""progress_test.py: nothing is silent on a terminal, and in a pipe all stay terse.

What runs here waits until its line has been seen on the terminal, so a line that comes too late is
a test that ends with nothing seen. Must not know how a line looks beyond what it has to say.
"""
import os
import pathlib
import pty
import select
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
BOUND_S = 60
ENV = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm"}


def on_terminal(command, awaited, go):
    """The exit status of a command, and what it wrote on a terminal of 80 columns. When all words of
    `awaited` are there, the file `go` is made."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["sh", "-c", 'stty cols 80; exec "$@"', "-", *command], stdin=theirs,
                          stdout=theirs, stderr=theirs, env=ENV) as child:
        os.close(theirs)
        said = ""
        while select.select([ours], [], [], BOUND_S)[0]:
            try:
                said += os.read(ours, 4096).decode()
            except OSError: # the terminal is closed on the other side
                break
            if all(word in said for word in awaited):
                go.touch()
        go.touch()
        os.close(ours)
    return child.returncode, said


def in_pipe(command):
    done = subprocess.run(command, capture_output=True, text=True, env=ENV, check=False)
    return done.returncode, done.stdout + done.stderr


def waits(folder, then):
    """A program that says that it works, waits for the file `go`, and ends."""
    program = folder / "worker"
    program.write_text(f"#!/bin/sh\necho working hard\nwhile [ ! -e {folder}/go ]; do sleep 0.1; done\n{then}\n",
                       encoding="ascii")
    program.chmod(0o755)
    return program


def progress__on_a_terminal__shows_the_latest_line(folder):
    worker, log = waits(folder, "exit 3"), folder / "log"
    status, said = on_terminal([TOP / "scripts/progress", log, "Building", worker], ["Building: working hard"],
                               folder / "go")
    assert "Building: working hard" in said, said
    assert status == 3 and log.read_text(encoding="ascii") == "working hard\n", (status, said)
    assert said.endswith("\r\033[K"), f"its line stays: {said!r}"


def progress__in_a_pipe__says_nothing(folder):
    worker, log = waits(folder, "exit 3"), folder / "log"
    (folder / "go").touch()
    assert in_pipe([TOP / "scripts/progress", log, "Building", worker]) == (3, "")
    assert log.read_text(encoding="ascii") == "working hard\n"


def run_tests__on_a_terminal__says_what_runs_and_what_is_left(folder):
    worker = waits(folder, "echo 1 passed, 0 failed")
    status, said = on_terminal([TOP / "scripts/run-tests", worker], ["0 of 1 done", "worker"], folder / "go")
    assert "0 of 1 done" in said and "worker" in said, said
    assert status == 0 and said.splitlines()[-1].endswith("1 passed, 0 failed"), (status, said)


def run_tests__in_a_pipe__says_no_more_than_the_program(folder):
    worker = waits(folder, "echo 1 passed, 0 failed")
    (folder / "go").touch()
    assert in_pipe([TOP / "scripts/run-tests", worker]) == (0, "working hard\n1 passed, 0 failed\n")


CASES = [progress__on_a_terminal__shows_the_latest_line, progress__in_a_pipe__says_nothing,
         run_tests__on_a_terminal__says_what_runs_and_what_is_left, run_tests__in_a_pipe__says_no_more_than_the_program]


def main():
    failed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder))
            except AssertionError as error:
                failed += 1
                print(f"FAILED {case.__name__}: {error}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
