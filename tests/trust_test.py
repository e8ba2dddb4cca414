#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trust_test.py: the tools that test the tests, each in its short form: planted faults, proofs, sanitizers.

What they say at length is for `make mutants`, `make proofs` and `make check-full`. Here each must work, and
notice what is wrong: a tool that has stopped to notice passes for ever.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
SANITIZED = ["cc", "-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class Missing(Exception):
    """What this machine lacks."""


def run(*command):
    done = subprocess.run([str(word) for word in command], cwd=TOP, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def mutants__the_list__fits_the_code():
    """R73: as good as all can be planted, by a test that there is."""
    status, said = run("scripts/mutants", "--list")
    wrong = [line for line in said.splitlines() if ": IT CANNOT" in line or ": there is no" in line]
    return status == 0 and said.count("\n") >= 150, "\n".join(wrong) or said[-400:]


def proofs__the_smallest__hold_and_find_faults():
    """R76"""
    if shutil.which("spin") is None:
        raise Missing("program spin")
    status, said = run("scripts/check-proofs", "--quick")
    return status == 0, said


def sanitized(folder, headers):
    """The target `words` of tests/fuzz, with its corpus and some damage to it, as run-tests judges it."""
    program = pathlib.Path(folder, "words")
    status, said = run(*SANITIZED, f"-I{headers}", "-Iinclude", f"{headers}/words.c", f"{headers}/driver.c",
                       "control/words.c", "-o", program)
    if status != 0:
        return status, said
    script = pathlib.Path(folder, "script")
    script.write_text(f"#!/bin/sh\nexec {program} {TOP}/tests/fuzz/corpus/words 1 100\n", encoding="utf-8")
    script.chmod(0o755)
    return run("scripts/run-tests", script)


def sanitizers__a_byte_beyond_the_end__is_a_failure():
    """R77: and without it, nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        status, said = sanitized(folder, TOP / "tests/fuzz")
        if status != 0:
            return False, said
        wrong = pathlib.Path(folder, "fuzz")
        shutil.copytree(TOP / "tests/fuzz", wrong, ignore=shutil.ignore_patterns("corpus"))
        header = (wrong / "fuzz.h").read_text(encoding="utf-8")
        assert "malloc(size + 1)" in header
        (wrong / "fuzz.h").write_text(header.replace("malloc(size + 1)", "malloc(size)"), encoding="utf-8")
        status, said = sanitized(folder, wrong)
        return status != 0 and "heap-buffer-overflow" in said, said[-400:]


def main():
    passed = failed = skipped = 0
    for case in (mutants__the_list__fits_the_code, proofs__the_smallest__hold_and_find_faults,
                 sanitizers__a_byte_beyond_the_end__is_a_failure):
        try:
            right, said = case()
        except Missing as what:
            skipped += 1
            print(f"SKIPPED {case.__name__}: needs {what}")
            continue
        passed, failed = passed + right, failed + (not right)
        if not right:
            print(f"FAILED {case.__name__}\n{said}\n    replay: python3 tests/trust_test.py")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed != 0


sys.exit(main())
