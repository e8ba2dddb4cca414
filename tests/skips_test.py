#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""skips_test.py: nothing passes without testing (R78): what scripts/run-tests makes of skips."""
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
# What a program says, and the summary that comes of it.
CASES = {
    "skip__for_what_is_here__fails":
        ("SKIPPED a: needs file /etc: no more\n1 passed, 0 failed, 1 skipped", "1 passed, 1 failed"),
    "skip__for_what_is_nowhere__is_counted":
        ("SKIPPED a: needs program no-such-thing\n1 passed, 0 failed, 1 skipped",
         "1 passed, 0 failed, 1 skipped"),
    "skip__with_another_reason__fails":
        ("SKIPPED a: mhp_pool_create: no memory\n0 passed, 0 failed, 1 skipped", "0 passed, 1 failed"),
    "skip__for_a_need_that_nobody_knows__fails":
        ("SKIPPED a: needs luck\n0 passed, 0 failed, 1 skipped", "0 passed, 1 failed"),
    "skip__without_its_word__fails":
        ("SKIPPED a: needs program\n0 passed, 0 failed, 1 skipped", "0 passed, 1 failed"),
    "skip__without_a_line__fails": ("3 passed, 0 failed, 2 skipped", "3 passed, 1 failed"),
    "part__that_is_left_out__is_counted":
        ("SKIPPED a: needs bare-threads\n7 passed, 0 failed", "7 passed, 0 failed, 1 skipped"),
}


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "program")
        for name, (says, wanted) in CASES.items():
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n", encoding="ascii")
            program.chmod(0o755)
            done = subprocess.run([TOP / "scripts/run-tests", program], capture_output=True, text=True,
                                  env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False)
            right = done.stdout.splitlines()[-1] == wanted and (done.returncode == 0) == (", 0 f" in wanted)
            if not right:
                failed += 1
                print(f"FAILED {name}: status {done.returncode}\n{done.stdout}{done.stderr}")
    done = subprocess.run([TOP / "scripts/run-tests", "--lost", "/nowhere"], capture_output=True, text=True, check=False)
    if done.returncode != 1 or "--lost" not in done.stderr:
        failed += 1
        print(f"FAILED option__that_is_none__refused: status {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"{len(CASES) + 1 - failed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
