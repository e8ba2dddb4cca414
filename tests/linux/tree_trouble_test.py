#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_trouble_test.py BUILD_DIR: whoever waits for the tree can be stopped, and nobody hangs when
the mount or the pool ends (R48, R52).

What never ends would run into the offline's deadline; the waits here are bounded below it.
"""
import json
import os
import select
import signal
import subprocess
import time

import tree_pool
from tree_pool import check, read, retry, write

BOUND = 20  # seconds; an offline that nobody cancels takes 30
WRITE = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
try:
    os.write(fd, b"offline")
except OSError as error:
    sys.exit(error.errno)
"""
# Told by a signal that it handles: the errno of the write itself, which Python would not show.
WRITE_AND_HEAR = """
import ctypes, os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
fd = os.open(sys.argv[1], os.O_WRONLY)
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(ctypes.get_errno() if libc.write(fd, b"offline", 7) < 0 else 0)
"""
READ = """
import sys
try:
    sys.exit(open(sys.argv[1]).read() != sys.argv[2])
except OSError:
    sys.exit(2)
"""
# A pool that forwards to another, until a block shall leave: then it dies, and a copy of it keeps the connection.
RELAY = """
import os, socket, sys, threading
pool, at = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(at.replace("PID", str(os.getpid())))
listener.listen(64)
print("listening", flush=True)
def forward(connection):
    request = connection.recv(65536)
    if b'"offline"' in request:
        if os.fork() == 0:
            sys.stdin.read()
        os._exit(0)
    with connection, socket.socket(socket.AF_UNIX) as there:
        there.connect(pool)
        there.sendall(request)
        while answer := there.recv(65536):
            connection.sendall(answer)
while True:
    threading.Thread(target=forward, args=listener.accept()[:1], daemon=True).start()
"""


def spawn(program, *words):
    return subprocess.Popen([tree_pool.PYTHON, "-c", program, *words])


def ended(process, *what):
    """The exit status of what must end now."""
    try:
        return process.wait(BOUND)
    except subprocess.TimeoutExpired:
        process.kill()
        raise tree_pool.Failure("hangs: " + " ".join(what)) from None


def busy_block(pool, tree, kind):
    """Block 32 is online and takes for ever to leave; block 34 is online."""
    for block in (32, 34):
        if read(f"{tree}/memory{block}/state") == b"offline\n":
            check(write(f"{tree}/memory{block}/state", b"online_movable") == "14", "online", block)
    check(pool.ask(f"{kind} 32") == 0, kind)


def await_leaving(tree):
    retry(lambda: read(f"{tree}/memory32/state") == b"going-offline\n")


def settled(pool, tree):
    """Soon, if not at once: an owner may take its time over a page."""
    retry(lambda: read(f"{tree}/memory32/state") == b"online\n")
    said = pool.ask("unhold"), pool.ask("check")
    check(said == (0, 0), "unhold and check:", said)
    check(write(f"{tree}/memory32/state", b"offline") == "7", "block 32 does not leave any more")


def interrupt(pool, tree, kind, number):
    busy_block(pool, tree, kind)
    check(tree_pool.is_ours(tree_pool.MEMORY), "the tree is no longer where chmem looks")
    chmem = subprocess.Popen(["chmem", "-d", "-b", "32"])
    await_leaving(tree)
    chmem.send_signal(number)
    check(ended(chmem, "chmem after", number.name) == -number, "chmem was not interrupted")
    settled(pool, tree)


def hear_a_signal(pool, tree, kind):
    """Whoever handles a signal is told EINTR, though it is by a cancel that the block stays."""
    busy_block(pool, tree, kind)
    writer = spawn(WRITE_AND_HEAR, f"{tree}/memory32/state")
    await_leaving(tree)
    writer.send_signal(signal.SIGUSR1)
    check(ended(writer, "a write that heard a signal") == tree_pool.errno.EINTR, "not EINTR")
    settled(pool, tree)


def look_meanwhile(pool, tree):
    """While a block leaves everything can be read, and who waits for another one can be killed."""
    busy_block(pool, tree, "slow")
    check(pool.ask("stand") == 0, "stand")
    writer = spawn(WRITE, f"{tree}/memory32/state")
    await_leaving(tree)
    other = spawn(WRITE, f"{tree}/memory34/state")
    check("memory34" in os.listdir(tree), "the folder cannot be listed")
    check(read(f"{tree}/memory32/valid_zones") == b"Movable Normal\n", "zones")
    for name in ("used_bytes", "node", "memmap", "online"):
        check(ended(spawn(READ, f"{tree}/memory32/{name}", "?"), "reading", name) == 1, name)
    other.kill()
    check(ended(other, "a write that waits for another one") == -signal.SIGKILL, "killed")
    check(read(f"{tree}/memory32/state") == b"going-offline\n", "it does not wait")
    writer.kill()
    check(pool.ask("go") == 0, "go")
    ended(writer, "a write that was killed")
    check(read(f"{tree}/memory34/state") == b"online\n", "a killed write was carried out")
    settled(pool, tree)


def crowd(pool, tree):
    """Many who ask what keeps a block that leaves: some are sent away, so that others get through."""
    busy_block(pool, tree, "slow")
    check(pool.ask("stand") == 0, "stand")
    writer = spawn(WRITE, f"{tree}/memory32/state")
    await_leaving(tree)
    askers = [tree_pool.socket_send(pool, "read", attr="memory32/why") for _ in range(12)]
    sent_away = retry(lambda: select.select(askers, [], [], 0)[0])
    answer = tree_pool.socket_answer(sent_away[0])
    check(answer.get("error") == -tree_pool.errno.ENOSPC, "so many may wait that none is left to cancel:", answer)
    check("pid" in tree_pool.socket_ask(pool, "info"), "the pool does not say what it is")
    check(pool.ask("go") == 0, "go")
    for asker in askers:
        if asker is not sent_away[0]:
            tree_pool.socket_answer(asker)
    ended(writer, "a write while many ask")
    check(pool.ask("unhold") == 0, "unhold")


def end_mount(pool, number):
    """A mount that is killed, or told to end, while somebody waits for it."""
    tree, daemon = pool.mount_foreground()
    busy_block(pool, tree, "stubborn")
    writer = spawn(WRITE, f"{tree}/memory32/state")
    await_leaving(tree)
    # Who cancels what he asked for asks again until he is answered: it may have ended by then.
    said = tree_pool.socket_ask(pool, "cancel")
    check(said.get("error") == -tree_pool.errno.ENOENT, "it cancels what another asked for:", said)
    held = os.open(f"{tree}/memory34/state", os.O_RDONLY)
    daemon.send_signal(number)
    ended(daemon, "the mount after", number.name)
    check(ended(writer, "a write whose mount ended") > 0, "it was told that all is well")
    if number == signal.SIGKILL:
        check(read(f"{tree}/memory34/state") == "open:ENOTCONN", "the mount is still there")
        try:
            os.read(held, 10)
            raise tree_pool.Failure("an open file of a dead mount can be read")
        except OSError:
            pass
    os.close(held)
    tree_pool.socket_ask(pool, "cancel", block=32)
    again = pool.mount()
    retry(lambda: read(f"{again}/memory32/state") == b"online\n")
    settled(pool, again)


def replace_block(pool, tree):
    """R69: what was opened of a block that is gone never means the one that comes in its place."""
    block = json.loads(pool.command("add", "128M", "--offline", "--json"))["first"]
    path = f"{tree}/memory{block}"
    held = os.open(f"{path}/state", os.O_RDWR)
    folder = os.open(path, os.O_RDONLY)
    os.chdir(path)
    pool.command("remove", str(block))
    for what in (lambda: os.pread(held, 10, 0), lambda: os.write(held, b"online")):
        gone(what)
    pool.command("add", "128M", "--offline")
    check(read(f"{path}/state") == b"offline\n", "the new block is not there")
    for what in (lambda: os.pread(held, 10, 0), lambda: os.write(held, b"online")):
        gone(what)
    for at in ".", f"/proc/self/fd/{folder}":
        check(write(f"{at}/state", b"online") == "open:ENOENT", "a write through", at)
        check(read(f"{at}/power/control") == "open:ENOENT", "a read through", at)
    check(os.listdir(folder) == [], "the folder of what is gone has files")
    check(read(f"{path}/state") == b"offline\n", "a write to what is gone has reached the new block")
    check(tree_pool.write(f"{path}/state", b"online") == "6", "the new block is not online")
    os.chdir("/")
    os.close(held)
    os.close(folder)
    pool.command("remove", str(block))


def gone(what):
    try:
        what()
    except OSError as error:
        check(error.errno in (tree_pool.errno.ENODEV, tree_pool.errno.ENOENT), "not gone:", error)
        return
    raise tree_pool.Failure("a block that is gone is still there")


def list_while_stopped(pool, tree):
    """lsmem asks for nothing that is known already: it ends though the pool does not answer."""
    command = ["lsmem", "--sysroot", tree, "--all", "--raw"]
    before = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pool.program.send_signal(signal.SIGSTOP)
    now = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        check(ended(now, "lsmem while the pool is stopped") == 0, "lsmem")
        check(now.stdout.read() == before and before.count("online") >= 4, "what lsmem says")
    finally:
        pool.program.send_signal(signal.SIGCONT)


def stop_pool(pool, tree):
    """A pool that is stopped keeps readers waiting, but not from being killed."""
    pool.program.send_signal(signal.SIGSTOP)
    readers = [spawn(READ, f"{tree}/memory34/online", "1\n") for _ in range(3)]
    lister = subprocess.Popen(["ls", tree], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    for reader in (*readers[1:], lister):
        reader.kill()
        ended(reader, "a reader of a stopped pool")
    pool.program.send_signal(signal.SIGCONT)
    check(ended(readers[0], "a reader of a pool that goes on") == 0, "it read something else")


def outlive_pool(pool):
    """The pool dies under somebody who waits, and its connection does not end with it."""
    relay = tree_pool.Pool(pool.build)
    relay.name = f"relay-{os.getpid()}"
    try:
        at = tree_pool.socket_path(pool)
        relay.start([tree_pool.PYTHON, "-c", RELAY, at, f"{os.path.dirname(at)}/PID-{relay.name}.sock"])
        check(relay.program.stdout.readline() == "listening\n", "the relay does not start")
        writer = spawn(WRITE, f"{relay.mount()}/memory34/state")
        check(ended(writer, "a write whose pool left a copy") == tree_pool.errno.ENODEV, "its errno")
    finally:
        os.unlink(tree_pool.socket_path(relay))
        relay.program.stdin.close()
        relay.end()


def bounded_begin(pool):
    """A block that takes for ever to leave, of a pool of its own; who waits for it."""
    pool.name = f"bounded-{os.getpid()}"
    pool.machine()
    tree = pool.mount()
    busy_block(pool, tree, "stubborn")
    return tree, spawn(WRITE, f"{tree}/memory32/state")


def bounded_end(tree, writer):
    """Deviation: offline-is-bounded. After half a minute it is given up, and all is as before."""
    retry(lambda: writer.poll() is not None)
    check(writer.returncode == tree_pool.errno.EAGAIN, "an offline that ends by itself", writer.returncode)
    check(read(f"{tree}/memory32/state") == b"online\n", "its block")


def kill_pool(pool, tree):
    """Deviation: pool-is-gone. The pool dies under the mount, and under somebody who waits."""
    busy_block(pool, tree, "stubborn")
    writer = spawn(WRITE, f"{tree}/memory32/state")
    await_leaving(tree)
    held = os.open(f"{tree}/memory34/state", os.O_RDWR)
    folder = os.open(tree, os.O_RDONLY)
    pool.program.kill()
    pool.program.wait()
    check(ended(writer, "a write whose pool died") == tree_pool.errno.ENODEV, "its errno")
    for path in ("memory34/state", "memory34", "block_size_bytes", ""):
        check(ended(spawn(READ, f"{tree}/{path}", ""), "reading", path) == 2, path)
    check(read(f"{tree}/memory34/state") == "open:ENODEV", "a path")
    for what in (lambda: os.pread(held, 10, 0), lambda: os.write(held, b"offline"),
                 lambda: os.listdir(folder), lambda: os.stat(tree)):
        try:
            what()
            raise tree_pool.Failure("a tree without a pool answers")
        except OSError as error:
            check(error.errno == tree_pool.errno.ENODEV, "not ENODEV:", error)
    os.close(held)
    os.close(folder)
    check(subprocess.run(["umount", tree]).returncode == 0, "umount of a tree without a pool")


def test_with(pool, other):
    pool.machine()
    tree = pool.mount()
    bounded = bounded_begin(other)
    pool.cover(tree)
    for kind in ("stubborn", "slow"):
        interrupt(pool, tree, kind, signal.SIGINT)
        hear_a_signal(pool, tree, kind)
    interrupt(pool, tree, "stubborn", signal.SIGKILL)
    look_meanwhile(pool, tree)
    crowd(pool, tree)
    end_mount(pool, signal.SIGTERM)
    end_mount(pool, signal.SIGKILL)
    replace_block(pool, tree)
    stop_pool(pool, tree)
    list_while_stopped(pool, pool.mount("--sysroot"))
    pool.uncover()
    outlive_pool(pool)
    kill_pool(pool, tree)
    bounded_end(*bounded)


def test(pool):
    other = tree_pool.Pool(pool.build)
    try:
        test_with(pool, other)
    finally:
        other.end()


signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
tree_pool.enter("unshare", "chmem")
tree_pool.run_test("tree_trouble", test)
