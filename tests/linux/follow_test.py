#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""follow_test.py BUILD_DIR [STEPS]: a pool that follows the limit of its cgroup (R71).

First on files that look like a cgroup's: what the pool may have, what it says of it. Then in a cgroup
of our own, whose limit falls to just above the live data, step by step: the data stays right, and a
malloc that goes too far fails. Without --follow the same steps end otherwise: the kernel refuses the
limit, or the program is killed.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import machine # noqa: E402

PYTHON = "/usr/bin/python3"
KIB, MIB = 1 << 10, 1 << 20
TRIGGER = b"some 200000 2000000\0"
# All of two seconds: what else is done on this machine never makes that come.
NEVER = b"some 2000000 2000000\0"
# Keeps every third of its pieces of so many KiB, and churns: each line says how many more, and of how many KiB.
PROGRAM = """
import sys
size = int(sys.argv[1]) << 10
data = [bytes([i % 251]) * size for i in range(360)]
data = data[::3]
print("ready", flush=True)
for line in sys.stdin:
    pieces, kib = line.split()
    try:
        more = [b"x" * (int(kib) << 10) for _ in range(int(pieces))]
        said = "ok"
    except MemoryError:
        said = "refused"
    more = None
    if any(piece != bytes([i * 3 % 251]) * size for i, piece in enumerate(data)):
        said = "damaged"
    print(said, flush=True)
"""
# Has two mappings: each line says which becomes how large, in MiB; -1: one more, for a moment.
MAPPER = """
import mmap, sys
def map_some(mib):
    return mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
held = [map_some(200), map_some(100)]
for mapping in held:
    mapping.write(b"x" * len(mapping))
print("ready", flush=True)
for line in sys.stdin:
    at, mib = map(int, line.split())
    try:
        if at < 0:
            map_some(mib).close()
        else:
            held[at].resize(mib << 20)
        said = "ok"
    except OSError:
        said = "refused"
    if any(mapping[99 << 20] != ord("x") for mapping in held if len(mapping) > 99 << 20):
        said = "damaged"
    print(said, flush=True)
"""


def status_of(program):
    """Whatever it says of the rest."""
    return subprocess.run([program.memplug, "-p", program.name, "status"], capture_output=True,
                          text=True).stdout


def companions(program, of):
    """Of each process with the program's command line, which is not the program: its number, and something of it."""
    found = []
    own = pathlib.Path(f"/proc/{program.process.pid}/cmdline").read_bytes()
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if place.name != str(program.process.pid) and (place / "cmdline").read_bytes() == own:
                found.append((int(place.name), of(place)))
        except OSError:
            continue  # it has ended
    return found


def companions_open(program, path):
    return any(is_open for _, is_open in companions(
        program, lambda place: any(os.readlink(file) == str(path) for file in (place / "fd").iterdir())))


def kill_leader(program):
    """The companion with the threads; the other one takes over."""
    both = companions(program, lambda place: len(list((place / "task").iterdir())))
    os.kill(max(both, key=lambda each: each[1])[0], signal.SIGKILL)


def retry(what, seconds=60):
    for _ in range(seconds * 20):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


class Program:
    def __init__(self, build, name, *options, group=None, env=None, kib=1024, text=PROGRAM):
        self.memplug = f"{build}/cli/memplug"
        self.name = name
        join = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group)] if group else []
        self.process = subprocess.Popen(
            [*join, self.memplug, "run", "--name", name, *options, "--", PYTHON, "-c", text, str(kib)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        assert self.process.stdout.readline() == "ready\n", "the program does not start"

    def command(self, *words):
        return subprocess.run([self.memplug, "-p", self.name, *words], check=True,
                              capture_output=True, text=True).stdout

    def get(self, name):
        return self.command("get", name).strip()

    def size(self, of="size"):
        return sum(block[of] for block in json.loads(self.command("list", "--json"))["blocks"])

    def do(self, pieces, kib=1024):
        """Allocate so many pieces for a moment, and look at the data; "" when it was killed."""
        try:
            self.process.stdin.write(f"{pieces} {kib}\n")
            self.process.stdin.flush()
        except OSError:
            return ""
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.terminate()
        self.process.communicate()


def write(at, **files):
    for name, text in files.items():
        (at / f"memory.{name}").write_text(f"{text}\n")


def make_files(folder):
    """Below our root, at the path of the program's real cgroup: files of one that has no limit."""
    group = folder / "a/b"
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            group = folder / path.strip("/")
        elif "memory" in controllers.split(","):
            (folder / "memory" / path.strip("/")).mkdir(parents=True, exist_ok=True)
    group.mkdir(parents=True, exist_ok=True)
    write(group, max="max", high="max", current=200 * MIB,
          pressure="some avg10=0.00 avg60=0.00 avg300=0.00 total=0")
    return group


def test_files(build, folder):
    """Numbers of ours: the pool shrinks to what is in use and room for more, and grows again."""
    group = make_files(folder)
    os.mkfifo(folder / "pressure")
    # The allocator keeps all that is freed until it is asked: how much it keeps is no luck of ours.
    program = Program(build, f"follow-{os.getpid()}", f"--follow={folder}", "--max", "2G",
                      env={"MEMORY_PRESSURE_WATCH": f"{folder}/pressure",
                           "MALLOC_CONF": "dirty_decay_ms:-1"})
    try:
        retry(lambda: program.get("max_bytes") == str(2048 * MIB))
        assert (program.get("follow"), program.get("limit_bytes")) == ("on", "0")
        assert program.do(300) == "ok" and program.size() >= 400 * MIB
        write(group, max=1024 * MIB, high=264 * MIB, current=264 * MIB)
        used = 121 * MIB
        retry(lambda: program.size() < used + 64 * MIB)
        write(group, current=200 * MIB)
        retry(lambda: used < int(program.get("max_bytes")) < used + 100 * MIB)
        assert program.get("limit_bytes") == str(264 * MIB)
        retry(lambda: 200 * MIB <= int(program.get("safe_bytes")) <= 210 * MIB)
        assert "limit    264M of its cgroup; safe to lower to" in status_of(program)
        assert 'safe_bytes{pool=' in program.command("metrics")
        assert program.do(300) == "refused"
        retry(lambda: program.do(20) == "ok")  # once the pool is as large as it may be
        write(group, high="max")  # room again, but others wait for memory
        retry(lambda: program.do(300) == "ok")
        write(group, pressure="some avg10=25.00 avg60=0.00 avg300=0.00 total=0")
        retry(lambda: int(program.get("max_bytes")) < used + 112 * MIB)
        write(group, pressure="some avg10=0.50 avg60=0.00 avg300=0.00 total=0")
        retry(lambda: int(program.get("max_bytes")) > used + 512 * MIB)
        assert program.do(300) == "ok"
        # Somebody says that memory is short, as systemd would.
        (folder / "pressure").write_text("short\n")
        retry(lambda: int(program.get("max_bytes")) < used + 112 * MIB)
        retry(lambda: int(program.get("max_bytes")) > used + 512 * MIB)
        events = subprocess.run(["timeout", "2", program.memplug, "-p", program.name, "monitor",
                                 "--since", "1"], capture_output=True, text=True).stdout
        assert "the limit is 264M; safe to lower to" in events, events[-4000:]
        for why in "the limit is near", "others wait for memory", "memory is said to be short":
            assert re.search(f"follow .*; [0-9]+ blocks? ha(s|ve) left: {why}", events), (why, events[-4000:])
        # What cannot leave is not asked ten times a second.
        assert events.count("offline-failed") < 40, events[-4000:]
        program.command("set", "follow", "off")
        retry(lambda: program.get("max_bytes") == str(2048 * MIB))
        status = status_of(program)
        assert "limit " not in status, status
        assert json.loads(program.command("check", "--json"))["count"] == 0
    finally:
        program.end()


def test_pieces(build, folder):
    """What was freed inside of windows that stay in use: it counts when it is taken again."""
    group = make_files(folder)
    program = Program(build, f"follow-{os.getpid()}", f"--follow={folder}", "--max", "2G", kib=300)
    try:
        free = program.size("used_bytes") - 120 * 300 * KIB
        assert free > 60 * MIB, "nothing is free inside of windows: this shows nothing"
        assert program.do(200, 300) == "ok"
        write(group, max=600 * MIB, current=580 * MIB)
        retry(lambda: program.get("limit_bytes") == str(600 * MIB))
        retry(lambda: program.do(200, 300) == "refused")
        assert program.do(20, 300) == "ok"
        events = subprocess.run(["timeout", "2", program.memplug, "-p", program.name, "monitor",
                                 "--since", "1"], capture_output=True, text=True).stdout
        assert "malloc was refused: the limit is near" in events, events[-4000:]
        write(group, max="max")
        retry(lambda: program.do(200, 300) == "ok")
    finally:
        program.end()


def test_left(build, folder):
    """The companion that followed was killed, and nobody has begun again: off is off all the same."""
    group = make_files(folder)
    program = Program(build, f"follow-{os.getpid()}", f"--follow={folder}", "--max", "2G")
    try:
        write(group, max=264 * MIB)
        retry(lambda: program.do(300) == "refused")
        kill_leader(program)
        retry(lambda: subprocess.run([program.memplug, "-p", program.name, "set", "follow", "off"]).returncode == 0)
        assert program.do(300) == "ok"
    finally:
        program.end()


def test_resize(build, folder):
    """What mremap() changes counts as before, and its growth is bounded, wherever it goes."""
    group = make_files(folder)
    program = Program(build, f"follow-{os.getpid()}", f"--follow={folder}", "--mmap", "--max", "2G", text=MAPPER)
    try:
        write(group, max=250 * MIB, current=310 * MIB)
        retry(lambda: program.do(-1, 50) == "refused")
        assert program.do(0, 300) == "refused"
        assert program.do(-1, 50) == "refused"
        assert program.do(1, 90) == "ok"
        assert program.do(-1, 50) == "refused"
        write(group, max="max")
        retry(lambda: program.do(0, 300) == "ok")
        assert json.loads(program.command("check", "--json"))["count"] == 0
    finally:
        program.end()


def told(build, root, watch, tell, trigger=TRIGGER):
    """Somebody says by what MEMORY_PRESSURE_WATCH names that memory is short: blocks leave, for a while."""
    program = Program(build, f"follow-{os.getpid()}", f"--follow={root}", "--max", "2G",
                      env={"MEMORY_PRESSURE_WATCH": str(watch),
                           "MEMORY_PRESSURE_WRITE": base64.b64encode(trigger).decode()})
    try:
        retry(lambda: program.get("max_bytes") == str(2048 * MIB))
        tell(program)
    finally:
        program.end()


def test_told(build, folder):
    """The other forms: a socket, and one of the kernel's files, which are written to first."""
    root = folder / "no-cgroup"
    root.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/socket")
    listener.listen()
    listener.settimeout(60)

    def by_socket(program):
        with listener.accept()[0] as link:
            link.settimeout(60)
            assert link.recv(100) == TRIGGER
            link.sendall(b"short")
            retry(lambda: int(program.get("max_bytes")) < 400 * MIB)
        retry(lambda: program.get("max_bytes") == str(2048 * MIB))
        assert program.do(0) == "ok"

    with listener:
        told(build, root, f"{folder}/socket", by_socket)
    # What has no file behind it, and what is not there, is as if nobody had said anything.
    told(build, root, f"{folder}/socket", lambda program: None)
    told(build, root, "/dev/null", lambda program: None)
    plain = folder / "memory.pressure"
    plain.write_bytes(b"")
    told(build, root, plain, lambda program: retry(lambda: plain.read_bytes() == TRIGGER))
    kernels = pathlib.Path("/proc/pressure/memory")
    if kernels.exists():
        told(build, root, kernels, lambda program: retry(lambda: companions_open(program, kernels)), NEVER)


def allocates(program, mib):
    """Soon: the room that is kept for further steps fades when there are none."""
    until = time.monotonic() + 30
    while (said := program.do(mib)) == "refused" and time.monotonic() < until:
        time.sleep(0.1)
    return said == "ok"


def lower(limit, program, steps):
    """Step by step to what the data needs. How many steps it lived through."""
    for step in range(1, steps + 1):
        bytes_max = 1024 * MIB - (1024 - 220) * MIB * step // steps
        try:
            limit.write_text(str(bytes_max))
        except OSError:
            return step - 1  # version 1 refuses what it cannot reclaim
        time.sleep(0.3)
        if not allocates(program, 30):
            return step - 1
    return steps


def test_cgroup(build, group, limit, steps, follow):
    limit.write_text(str(1024 * MIB))
    options = ["--follow"] if follow else ["--max", "4G"]
    program = Program(build, f"follow-{os.getpid()}", *options, group=group)
    try:
        program.do(500)  # what a heap keeps for later is in the way of a lower limit
        lived = lower(limit, program, steps)
        grown = program.do(900)
        if follow:
            assert lived == steps, f"it lived through {lived} of {steps} steps"
            assert grown == "refused", grown
            assert program.do(0) == "ok"
        else:
            assert grown == "", f"nothing kills it: {grown}; this shows nothing"
    finally:
        program.end()


def main():
    build, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        test_files(build, folder)
        test_pieces(build, folder)
        test_left(build, folder)
        test_resize(build, folder)
        test_told(build, folder)
    finally:
        shutil.rmtree(folder)
    made = machine.make_memory_group()
    if made is None:
        print("needs memory-cgroup: only files were followed", file=sys.stderr)
        sys.exit(77)
    group, limit = pathlib.Path(made[0]), pathlib.Path(*made)
    try:
        for follow in True, False:
            test_cgroup(build, group, limit, steps, follow)
    finally:
        retry(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


main()
