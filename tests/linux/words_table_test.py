# SPDX-License-Identifier: MIT
"""words_table_test.py BUILD_DIR: what one may give to the command, and what cannot be, a row each (R53).

Options, files that are not what they should be, requests over HTTP, folders of devices, terminals of any size.
Each row has a status, and what is said. A command never dies of a signal, and one that fails says why.
"""
import os
import pty
import shutil
import fcntl
import socket
import struct
import subprocess
import sys
import termios

import tree_pool
from tree_pool import check

BOUND = 60
COMMANDS = ("ps status list map top add remove online offline resize why nodes move evacuate watch get set poison "
            "mount check monitor metrics sim replay run").split()

# Words, the status, and a part of what is said about it.
USAGE = [
    ("", 2, "usage"), ("nonsense", 2, "nonsense"), ("--json", 2, "usage"), ("-p", 2, "-p"), ("--nonsense", 2, "usage"),
    ("--help", 0, ""), ("--version", 0, ""), ("help", 0, ""), ("help run", 0, ""), ("help nonsense", 2, "nonsense"),
    ("-p nobody list", 3, "nobody"), ("-p 1 list", 3, "1"), ("add", 2, "add"), ("add 4M 4M", 2, "add"),
    ("add x", 1, "x"), ("add 128M --memmap gold", 2, "gold"), ("online 1 --zone gold", 2, "gold"),
    ("online", 2, "online"), ("offline 1 --deadline x", 2, "x"), ("offline x", 1, "x"),
    ("resize 1G --deadline -1", 2, "-1"), ("move 1", 2, "--to"), ("move 1 --to x", 2, "x"),
    ("move 1 --to -1", 2, "-1"), ("move 1 --to 99999999999999999999999", 2, "99999"), ("move 1 --to 9", 1, "9"),
    ("evacuate x", 2, "x"), ("evacuate 9", 1, "9"), ("evacuate 0 --to 9", 1, "9"), ("evacuate 0 --to", 2, "--to"),
    ("get nonsense", 1, "nonsense"), ("set nonsense 1", 1, "nonsense"), ("set", 2, "set"),
    ("poison --forget", 2, "address"), ("poison x", 1, "x"), ("poison 1 2", 2, "poison"),
    ("mount", 2, "mount"), ("mount /no/such/folder", 1, "/no/such/folder"), ("mount /etc/passwd", 1, "folder"),
    ("mount --nonsense /tmp", 2, "--nonsense"), ("monitor --since x", 2, "x"), ("monitor more", 2, "monitor"),
    ("metrics --listen", 2, "--listen"), ("metrics --listen=", 2, "--listen has an empty word"), ("replay", 2, "replay"), ("replay /no/such/file", 1, "/no/such/file"),
    ("replay /", 1, ""), ("sim", 2, "sim"), ("sim /no/such/file", 1, "/no/such/file"),
    ("sim --from /no/such/folder", 1, "/no/such/folder"), ("top --interval x", 2, "x"), ("top --interval 1ms", 2, "1ms"),
    ("top", 1, "terminal"), ("map --svg /no/such/folder/a.svg", 1, "/no/such/folder"),
    ("watch", 2, "watch"), ("watch /no/such/folder", 1, "/no/such/folder"), ("watch /tmp --policy eat", 2, "eat"),
    ("watch /tmp --requests /no/such/folder", 1, "/no/such/folder"), ("watch /tmp --deadline x", 2, "x"),
    ("run", 2, "program"), ("run --", 2, "program"), ("run --boot", 2, "--boot"), ("run --boot x -- true", 2, "x"),
    ("run --boot=x -- true", 2, "x"), ("run --boot=0 -- true", 2, "0"), ("run --mmap=x -- true", 2, "--mmap=x"),
    ("run --mmapped -- true", 2, "--mmapped"), ("run --grow no -- true", 2, "no"), ("run --tier=x -- true", 2, "x"),
    ("run --children no -- true", 2, "no"), ("run --huge no -- true", 2, "no"), ("run --nonsense -- true", 2, "--nonsense"),
    ("run -- /no/such/program", 127, "/no/such/program"), ("run -- nonsense-program", 127, "nonsense-program"),
    ("run -- /etc", 126, "/etc"), ("run -- /etc/passwd/x", 127, "/etc/passwd/x"), ("run --help", 0, ""),
]
# What is served over HTTP: a request, and how the answer begins; "": there is none.
REQUESTS = [
    (b"GET / HTTP/1.1\r\n\r\n", "200 OK"), (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"),
    (b"GET /metrics?x=1 HTTP/1.0\n\n", "200 OK"), (b"GET /metricsx HTTP/1.1\r\n\r\n", "404 Not Found"),
    (b"GET /nothing1 HTTP/1.1\r\n\r\n", "404 Not Found"), (b"GET /x HTTP/1.1\r\n\r\n", "404 Not Found"),
    (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method"), (b"\r\n\r\n", "405 Method"), (b"GET /", ""), (b"", ""),
    (b"x" * 100000, ""),
]
ADDRESSES = [("x" * 300 + ":0", "x" * 300), ("127.0.0.1:70000", "70000"), ("127.0.0.1:x", "127.0.0.1:x"), ("[::1:0", "[::1"),
             ("192.0.2.1:0", "192.0.2.1")]


class Table:
    def __init__(self, pool):
        self.pool, self.failed = pool, 0
        self.memplug = pool.memplug

    def run(self, *words, **more):
        return subprocess.run([self.memplug, *words], capture_output=True, text=True, timeout=BOUND, check=False,
                              stdin=subprocess.DEVNULL, **more)

    def ask(self, *words, **more):
        """With the pool named, but for what names one itself."""
        return self.run("-p", self.pool.name, *words, **more)

    def expect(self, done, what, status, said):
        """A status, or several; and a message, in one line at least, if it is not 0."""
        good = done.returncode in ([status] if isinstance(status, int) else status)
        if good and said in done.stdout + done.stderr and (done.returncode == 0 or done.stderr.strip()):
            return
        self.failed += 1
        print(f"words_table: {what}: status {done.returncode}, not {status} with '{said}': {done.stderr.strip()[:300]}",
              file=sys.stderr)


def try_usage(table):
    for words, status, said in USAGE:
        own = words.startswith("-") or words.split(" ")[0] in ("", "run", "help", "nonsense", "sim")
        done = table.run(*words.split()) if own else table.ask(*words.split())
        table.expect(done, words, status, said)
    for command in COMMANDS:
        table.expect(table.ask(command, "--nonsense"), command, 2, "--nonsense")
        table.expect(table.ask(command, "--help"), command, 0, "")
        if command not in ("run", "top", "watch", "mount", "monitor"):
            table.expect(table.ask(command, *["a"] * 9), command, (1, 2), "")


# ---- programs that cannot be in a pool, or are no programs

def elf(real, **fields):
    """A real program's file with other fields in its head; "cut": so many bytes of it."""
    places = {"class": (4, "B"), "phoff": (32, "Q"), "shoff": (40, "Q"), "phnum": (56, "H"), "shnum": (60, "H"),
              "shstrndx": (62, "H")}
    image = bytearray(real)
    for name, value in fields.items():
        if name != "cut":
            at, kind = places[name]
            struct.pack_into("<" + kind, image, at, value)
    return bytes(image[:fields.get("cut", len(image))])


def try_programs(table, folder):
    with open("/bin/true", "rb") as file:
        real = file.read()
    huge = (1 << 64) - 1
    files = {
        "empty": b"", "one": b"#", "script": b"#!", "blank": b"#! \n", "nowhere": b"#!/no/such/program\n",
        "long": b"#!" + b"/" * 400, "env": b"#!/usr/bin/env true\n", "option": b"#!/usr/bin/env -S true\n",
        "bare": b"#!true\n", "itself": b"#!" + folder.encode() + b"/itself\n", "head": elf(real, cut=40),
        "text": b"echo hello\n", "class": elf(real, **{"class": 1}), "phoff": elf(real, phoff=huge),
        "phnum": elf(real, phnum=0), "shoff": elf(real, shoff=huge), "many": elf(real, shnum=0xffff),
        "none": elf(real, shnum=0), "names": elf(real, shstrndx=0xffff), "cut": elf(real, cut=len(real) // 2),
    }
    for name, contents in files.items():
        path = f"{folder}/{name}"
        with open(path, "wb") as file:
            file.write(contents)
        os.chmod(path, 0o755)
        # What is no ELF file is a script for the shell, which may write anywhere: here.
        done = table.run("run", "--boot", "16M", "--block-size", "16M", "--", path, cwd=folder)
        # A damaged program may well die of it: of that the command knows nothing.
        check(done.returncode >= 0 or name in ("phoff", "phnum", "cut", "none"), name, done.returncode, done.stderr)
    for words, status in ((["true"], 0), (["env", "true"], 0)):
        for path in ("/no/such/folder:/bin:/usr/bin", ":/bin:/usr/bin", "/" + "x" * 5000 + ":/bin:/usr/bin"):
            done = table.run("run", "--boot", "16M", "--block-size", "16M", "--", *words, env={**os.environ, "PATH": path})
            table.expect(done, f"PATH={path[:40]}", status, "")
    environment = {**os.environ, "PATH": "", "LD_PRELOAD": "", "MALLOC_CONF": "narenas:1", "ASAN_OPTIONS": "x" * 2000}
    done = table.run("run", "--boot", "16M", "--block-size", "16M", "--follow", "--", "/bin/true", env=environment)
    table.expect(done, "an environment of others", 0, "")


def try_library(table, folder):
    """Where the library is, and a path of it that LD_PRELOAD cannot have."""
    library = f"{table.pool.build}/heap/libmemplug-heap.so"
    blank, open_to_all = f"{folder}/a b", f"{folder}/all"
    os.mkdir(blank)
    os.mkdir(open_to_all)
    os.symlink(library, f"{blank}/libmemplug-heap.so")
    program = ["run", "--boot", "16M", "--block-size", "16M", "--", "/bin/true"]

    def run(library, runtime=None, status=0, said=""):
        environment = {**os.environ, "MEMPLUG_HEAP_LIBRARY": library}
        if runtime:
            environment["MEMPLUG_RUNTIME_DIR"] = runtime
        table.expect(table.run(*program, env=environment), f"{library} {runtime}", status, said)
    run("/no/such/library", status=1, said="neither beside this command nor installed")
    run("/" + "x" * 5000, status=1, said="neither beside this command nor installed")
    run(library)
    os.mkdir(f"{folder}/fine", 0o700)
    run(f"{blank}/libmemplug-heap.so", f"{folder}/fine")
    run(f"{blank}/libmemplug-heap.so", f"{folder}/fine")
    os.chmod(open_to_all, 0o777)
    for runtime in (blank, open_to_all, "/no/such/folder", "/etc/passwd"):
        run(f"{blank}/libmemplug-heap.so", runtime, 1, "a blank or a colon")
    copy = f"{folder}/memplug"
    shutil.copy(table.memplug, copy)
    done = subprocess.run([copy, *program], capture_output=True, text=True, timeout=BOUND, check=False)
    table.expect(done, "a command alone", (0, 1), "")


# ---- files

def try_files(table, folder):
    for name, contents, status in (("empty", b"", 1), ("nonsense", b"nonsense\n", 1), ("array", b"[]\n", 1),
                                   ("deep", b"[" * 5000 + b"\n", 1), ("binary", bytes(range(256)) * 40, 1),
                                   ("object", b'{"memplug":1}\n', 1), ("long", b'"' + b"x" * 200000 + b'"\n', 1)):
        path = f"{folder}/replay-{name}"
        with open(path, "wb") as file:
            file.write(contents)
        table.expect(table.run("replay", path), f"replay {name}", (status, 0), "")
        table.expect(table.run("sim", "--from", path), f"sim --from {name}", (1, 0), "")
        with open(path, encoding="latin-1") as file:
            done = subprocess.run([table.memplug, "replay", "-"], stdin=file, capture_output=True, text=True,
                                  timeout=BOUND, check=False)
        table.expect(done, f"replay - with {name}", (status, 0), "")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def try_machines(table, folder):
    """Memory blocks as sysfs shows them, and as it does not."""
    rows = [
        ({}, 1), ({"block_size_bytes": "x"}, 1), ({"block_size_bytes": "8000000"}, 1),
        ({"block_size_bytes": "0", "memory1/state": "online"}, 1),
        ({"block_size_bytes": "8000000", "memory/x": "", "memoryx/state": "online", "memory1y/state": "online"}, 1),
        ({"block_size_bytes": "8000000", "memory1/state": "online\n"}, 0),
        ({"block_size_bytes": "8000000", "memory1/state": "offline\n", "memory2/state": "online\n", "memory4/valid_zones": "x"}, 0),
        ({"block_size_bytes": "8000000", **{f"memory{n}/state": "online\n" for n in range(9)},
          **{f"memory{n}/valid_zones": "Movable\n" for n in range(0, 9, 2)},
          "memory3/node1/x": "", "memory5/node31/x": "", "memory6/used_bytes": "100000000\n",
          "memory7/used_bytes": "nonsense\n"}, 0),
        ({"block_size_bytes": "400\n", "memory1/state": "online\n"}, (0, 1)),
        ({"block_size_bytes": "8000001\n", "memory1/state": "online\n"}, (0, 1)),
    ]
    for number, (files, status) in enumerate(rows):
        at = f"{folder}/machine{number}"
        os.mkdir(at)
        for name, text in files.items():
            write(f"{at}/{name}", text)
        table.expect(table.run("sim", "--from", at), f"machine {number}", status, "")


# ---- servers and watchers

def answer_to(port, request):
    with socket.create_connection(("127.0.0.1", port), BOUND) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b"")).decode(errors="replace")
        except OSError:
            return ""  # it hung up in the middle of what was too long


def try_http(table):
    for address, said in ADDRESSES:
        table.expect(table.ask("metrics", "--listen", address), f"--listen {address[:40]}", 1, said)
    for names in (["-p", table.pool.name], []):
        for address in ("127.0.0.1:0", "0", ":0"):
            server = subprocess.Popen([table.memplug, *names, "metrics", "--listen", address], stdout=subprocess.PIPE, text=True)
            try:
                line = server.stdout.readline()
                port = int(line.rsplit(":", 1)[1].split("/")[0])
                table.expect(table.ask("metrics", "--listen", f"127.0.0.1:{port}"), "a port in use", 1, "cannot listen")
                for request, begins in REQUESTS:
                    said = answer_to(port, request)
                    check(said.startswith("HTTP/1.1 " + begins) if begins else said == "", address, request[:40], said[:80])
            finally:
                server.terminate()
                server.wait(BOUND)


def try_watch(table, folder):
    devices, requests = f"{folder}/devices", f"{folder}/requests"
    os.mkdir(requests)
    for name, text in {"fine": "x" * 100, "empty": "", ".hidden": "x", "a b": "x", "x.release": "x", "x.refused": "x",
                       "n" * 200: "x", "dax0.0/size": "134217728", "dax1.0/size": "x", "dax2.0/size": "0",
                       "folder/x": ""}.items():
        write(f"{devices}/{name}", text)
    os.mkfifo(f"{devices}/fifo")
    for number in range(70):
        write(f"{devices}/many{number}", "x")
    watch = subprocess.Popen([table.memplug, "-p", table.pool.name, "--json", "watch", devices, "--requests", requests],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = {watch.stdout.readline().split('"device":"')[1].split('"')[0] for _ in range(64)}
    good = {"fine", "dax0.0"} | {f"many{n}" for n in range(70)}
    check(len(seen) == 64 and seen <= good, "it took for devices", seen - good)
    name = sorted(seen)[0]
    write(f"{requests}/{name}.release", "")
    check(f'"released","device":"{name}"' in watch.stdout.readline(), "no answer to a request")
    check(os.path.exists(f"{requests}/{name}.released"), "a request is not answered in its folder")
    os.unlink(f"{requests}/{name}.released")
    check(f'"appeared","device":"{name}"' in watch.stdout.readline(), "what was given back and is there is not seen")
    shutil.rmtree(devices)
    _, why = watch.communicate(timeout=BOUND)
    check(watch.returncode == 1 and devices in why, "the folder is gone, and it ends with", watch.returncode, why)


# CPUs of node 0 as a machine says them, and what the pool says: a list, and bits.
CPUS = [("0-3,8\n", "0-3,8", "0000010f"), ("33\n", "33", "00000002,00000000"), ("5-2\n", "5-2", "00000000"),
        ("99999999\n", "99999999", "00000000"), ("x\n", "x", "00000000"), ("1,\n", "1,", "00000002"),
        ("\n", "", "00000000"), (None, "7", "00000080"), ("0-4095\n", "0-4095", "ffffffff")]


def try_cpus(table):
    """A machine's nodes, in mounts of a pool's own."""
    name = f"cpus-{os.getpid()}"
    cpulist = "/sys/devices/system/node/node0/cpulist"
    script = ("mount -t tmpfs none /sys && mkdir -p /sys/devices/system/node/node0 /sys/devices/system/cpu && "
              "echo 7 >/sys/devices/system/cpu/online && exec \"$@\"")
    program = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", f"{table.pool.build}/tests/linux/tree-pool", name,
                                "machine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    table.pool.processes.append(program)
    check(program.stdout.readline() == "ready\n", "a pool in mounts of its own does not start")
    for said, listed, bits in CPUS:
        at = f"/proc/{program.pid}/root{cpulist}"
        if said is None:
            os.unlink(at)
        else:
            write(at, said)
        for attribute, want in (("cpulist", listed), ("cpumap", bits)):
            done = table.run("-p", name, "get", f"node0/{attribute}")
            check(done.returncode == 0 and done.stdout.strip().startswith(want), attribute, "of", repr(said), "is", done.stdout)
        done = table.run("-p", name, "get", "node/has_cpu")
        check(done.stdout.strip() == ("0" if listed else ""), "has_cpu of", repr(said), "is", done.stdout)


def try_folders(table, folder):
    """Where the socket cannot be: the program runs all the same, and why nobody sees its pool is said."""
    for name, mode, owner, said in (("open", 0o777, 0, "others may write there"), ("foreign", 0o700, 65534, "another user")):
        os.mkdir(f"{folder}/{name}")
        os.chmod(f"{folder}/{name}", mode)
        os.chown(f"{folder}/{name}", owner, owner)
        try_folder(table, f"{folder}/{name}", said)
    write(f"{folder}/file", "")
    try_folder(table, f"{folder}/file", "not a folder")
    try_folder(table, f"{folder}/nowhere/here", "No such file")
    try_folder(table, f"{folder}/fine", "")
    try_folder(table, f"{folder}/fine", "", "--name", "x" * 60)
    try_folder(table, f"{folder}/fine", "", "--name", "a/b c\x7f")


def try_folder(table, at, said, *options):
    done = table.run("run", "--boot", "16M", "--block-size", "16M", *options, "--", "/bin/echo", "ran",
                     env={**os.environ, "MEMPLUG_RUNTIME_DIR": at})
    table.expect(done, at, 0, said)
    check(done.stdout == "ran\n" and (not said or "cannot serve the pool" in done.stderr), at, done.stdout, done.stderr)


# ---- terminals

def on_terminal(table, rows, columns, *words):
    """What is said on a terminal of that size, and the status."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.execv(table.memplug, [table.memplug, "-p", table.pool.name, *words])
    said = b""
    try:
        while True:
            said += os.read(fd, 65536)
    except OSError:
        pass  # as a terminal ends
    os.close(fd)
    return said.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def try_terminals(table):
    for rows, columns in ((24, 80), (50, 300), (5, 20), (0, 0), (200, 1000)):
        for words in (["map"], ["list"], ["list", "--all"], ["why", "0-3"], ["nodes"], ["ps"], ["status"],
                      ["offline", "33", "--dry-run"], ["resize", "2G", "--dry-run"]):
            said, status = on_terminal(table, rows, columns, *words)
            check(status in (0, 1) and said.strip(), rows, columns, words, "status", status)


def test(pool):
    pool.machine()
    table = Table(pool)
    try_usage(table)
    for part in (try_programs, try_library, try_files, try_machines, try_folders, try_watch):
        folder = f"{pool.folder}/{part.__name__}"
        os.mkdir(folder)
        part(table, folder)
    try_http(table)
    try_cpus(table)
    try_terminals(table)
    table.expect(table.ask("check"), "the verifier", 0, "")
    check(table.failed == 0, table.failed, "rows")


tree_pool.enter("unshare")
os.environ["LC_ALL"] = "C"
tree_pool.run_test("words_table", test)
