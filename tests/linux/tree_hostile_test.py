#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_hostile_test.py BUILD_DIR: the tree of a pool that answers what no pool would (R48, R68).

A relay stands between the mount and a pool, and answers some requests itself: with what is no JSON,
lacks its parts, is of another type, is too long, or with other descriptors than a counter's. The
mount must neither end nor hang: who asks is told an error, and what else the tree has is there.
"""
import array
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import tree_pool
from tree_pool import check, read, retry, write

READ = "import sys; open(sys.argv[1]).read()"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Relay:
    """A pool for whoever connects: `odd` has functions by request, which may answer in its place."""

    def __init__(self, pool):
        self.there, self.odd, self.asked = tree_pool.socket_path(pool), {}, {}
        self.name = f"hostile-{os.getpid()}"
        self.path = f"{os.path.dirname(self.there)}/{os.getpid()}-{self.name}.sock"
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(128)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def forward(self, request):
        with socket.socket(socket.AF_UNIX) as there:
            there.connect(self.there)
            there.sendall(request)
            return b"".join(iter(lambda: there.recv(65536), b""))

    def answer(self, connection):
        with connection:
            request = connection.recv(65536)
            if not request:
                return
            word = json.loads(request)["request"]
            self.asked[word] = self.asked.get(word, 0) + 1
            try:
                if word in self.odd:
                    said = self.odd[word](connection, request)
                    connection.sendall(said if isinstance(said, bytes) else json.dumps(said).encode())
                elif word == "watch":
                    return  # what a relay cannot pass on
                else:
                    connection.sendall(self.forward(request))
            except OSError:
                pass

    def end(self):
        self.listener.close()
        os.unlink(self.path)


def constant(said):
    return lambda *_: said


def error_of(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0


def mount_refused(pool, relay, attrs):
    """A pool whose table of attributes is none has no tree."""
    relay.odd = {"attrs": constant(attrs)}
    at = f"{pool.folder}/refused"
    os.makedirs(at, exist_ok=True)
    done = subprocess.run([pool.memplug, "-p", relay.name, "mount", at], capture_output=True, text=True)
    check(done.returncode == 1 and "does not answer" in done.stderr, "mount with", attrs, done)
    relay.odd = {}


def mounts(pool, relay):
    for attrs in (b"", b"none\n", {}, {"error": 5}, {"error": -1, "text": "no"}):
        mount_refused(pool, relay, attrs)


def odd_table(pool, relay):
    """Attributes of places that the tree does not know, without names, and more than it keeps."""
    said = json.loads(relay.forward(b'{"request":"attrs"}\n'))
    said["attrs"][0:0] = [{"place": "moon", "name": "x", "mode": 0o444}, {}, 7,
                          {"place": "pool", "name": "no_mode"}]
    said["attrs"] += [{"place": "pool", "name": f"more{i}", "mode": 0o444} for i in range(1000)]
    relay.odd = {"attrs": constant(said)}
    tree = pool.mount_of(relay)
    names = os.listdir(tree)
    check("no_mode" in names and "memory0" in names and "x" not in names, "what is listed", names)
    check(os.stat(f"{tree}/no_mode").st_mode & 0o777 == 0, "an attribute without a mode")
    check("more999" not in names, "as many attributes as a pool likes")
    relay.odd = {}


def outcome(what):
    try:
        return what()
    except OSError as error:
        return tree_pool.error_name(error)


def odd_answers(relay, tree):
    """A file whose pool answers oddly: an error, or as much of it as a file has."""
    node = os.open(f"{tree}/memory0/node", os.O_RDONLY)
    state = os.open(f"{tree}/memory0/state", os.O_WRONLY)
    for said, want in ((b"", "ENODEV"), (b"[", "EPROTO"), (b"{}", b""), ({"error": 3}, "EPROTO"),
                       ({"error": 0}, "EPROTO"), ({"error": -errno.ECANCELED}, "ECANCELED"),
                       ({"text": "x" * 9000}, b"x" * 4096), ({"text": 5}, b"")):
        relay.odd = {"read": constant(said)}
        got = outcome(lambda: os.pread(node, 9000, 0))
        check(got == want, "what a read gives:", got, "for", want)
    for said, want in ((b"", "ENODEV"), (b"x", "EPROTO"), ({"error": 1}, "EPROTO"), ({}, 2)):
        relay.odd = {"write": constant(said)}
        got = outcome(lambda: os.write(state, b"on"))
        check(got == want, "what a write gives:", got, "for", want)
    relay.odd = {}
    got = outcome(lambda: os.write(state, b"\x01" * 4096))  # too long for a line, as it has to be written
    check(got == "EINVAL", "what is too long for a request:", got)
    os.close(node)
    os.close(state)


def odd_folders(relay, tree):
    for said, want in ((b"", errno.ENODEV), (b"x", errno.EPROTO), ({}, errno.EPROTO), ({"ranges": []}, 0),
                       ({"ranges": [{}, 5, {"first": 9, "count": 1}]}, 0), ({"error": -5}, errno.EIO)):
        relay.odd = {"ranges": constant(said)}
        check(error_of(lambda: os.listdir(tree)) == want, "a folder of", said)
        check(error_of(lambda: os.listdir(f"{tree}/memory0")) in (0, want, errno.ENOENT), "a block of", said)
        check(error_of(lambda: os.stat(f"{tree}/memory3/state")) in (0, want, errno.ENOENT), "a file of", said)
    relay.odd = {}


def many_blocks(relay, tree):
    """More than a folder's answer has room for."""
    relay.odd = {"ranges": constant({"ranges": [{"first": 0, "count": 3000}]})}
    names = os.listdir(tree)
    check(all(f"memory{block}" in names for block in range(3000)), "not all blocks are listed")
    relay.odd = {}


def send_fds(connection, fds, text=b"{}\n"):
    connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    return b""


def memory(size, seals):
    fd = os.memfd_create("counter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def read_often(tree, *what):
    """Enough questions that a picture of all is worth it, again and again."""
    for _ in range(6):
        for block in range(0, 4):
            got = read(f"{tree}/memory{block}/state")
            check(got in (b"online\n", b"offline\n"), f"block {block} is", got, *what)


def odd_counters(pool, relay):
    """Descriptors that are no counter, or not one that stays as it is."""
    held, other = os.pipe()
    kinds = [lambda c, _: send_fds(c, []), lambda c, _: send_fds(c, [held]),
             lambda c, _: send_fds(c, [held, other, held]),
             lambda c, _: send_fds(c, [held, other]),              # nothing that can be sealed
             lambda c, _: send_fds(c, [memory(4096, 0), other]),   # it may shrink under its reader
             lambda c, _: send_fds(c, [memory(0, SEALS), other]),  # there is nothing to read
             lambda c, _: b"", constant(b"no"), lambda c, _: time.sleep(1.5) or b""]
    for number, kind in enumerate(kinds):
        relay.odd = {"watch": kind}
        tree = pool.mount_of(relay)
        read_often(tree, f"with counter {number}")
    relay.odd = {}


def pictures(pool, relay):
    """A counter that is one, with pictures that are none; then it is no more."""
    fd = memory(4096, SEALS)
    reader, writer = os.pipe()
    relay.odd = {"watch": lambda c, _: send_fds(c, [fd, reader])}
    good = json.loads(relay.forward(b'{"request":"files"}\n'))
    tree = pool.mount_of(relay)
    bare = {"ranges": [{**one, "files": {}} for one in good["ranges"]]}
    none = {"ranges": [{key: value for key, value in one.items() if key != "files"} for one in good["ranges"]]}

    def changing(*_):
        os.pwrite(fd, os.urandom(8), 0)
        return good
    for said in (constant(b"x"), constant({}), constant({"error": -5}), changing, constant(bare),
                 constant(none), constant(good)):
        os.pwrite(fd, os.urandom(8), 0)
        relay.odd["files"] = said
        read_often(tree)
    check(len(os.listdir(tree)) > 4 and os.listdir(f"{tree}/memory0"), "from a picture")
    os.close(writer)  # nobody counts any more
    read_often(tree)
    relay.odd = {}


def crowd(relay, tree):
    """So many wait at once that some threads are not needed afterwards; a child that is killed is let go."""
    gate = threading.Event()
    relay.odd = {"read": lambda *_: gate.wait(60) and {"text": "1\n"}}
    readers = [subprocess.Popen([tree_pool.PYTHON, "-c", READ, f"{tree}/memory0/node"]) for _ in range(14)]
    retry(lambda: relay.asked.get("read", 0) >= 14)
    readers[0].kill()
    check(readers[0].wait(20) == -signal.SIGKILL, "a reader of a silent pool cannot be killed")
    gate.set()
    check([one.wait(60) for one in readers[1:]] == [0] * 13, "readers")
    relay.odd = {}


def full(pool, relay, tree):
    """A pool with so many at its door that nobody more can knock: whoever waits can be killed."""
    relay.end()
    door = socket.socket(socket.AF_UNIX)
    door.bind(relay.path)
    door.listen(0)
    waiting = []
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        waiting.append(one)
        if one.connect_ex(relay.path) != 0:
            break
    reader = subprocess.Popen([tree_pool.PYTHON, "-c", READ, f"{tree}/memory0/node"], stderr=subprocess.DEVNULL)
    ender = subprocess.Popen([tree_pool.PYTHON, "-c", READ, f"{tree}/memory1/node"], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    check(reader.poll() is None, "it does not wait")
    reader.kill()
    check(reader.wait(20) == -signal.SIGKILL, "a reader of a full pool cannot be killed")
    daemon = next(one for one in pool.processes if one.args[-1:] == [tree])
    daemon.terminate()
    check(daemon.wait(20) is not None and ender.wait(20) == 1, "a mount of a full pool does not end")
    for one in waiting:
        one.close()
    door.close()
    os.unlink(relay.path)
    relay.listen()


def corners(tree):
    """What programs ask a file system for that has little to say."""
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.listxattr(tree.encode(), None, 0) == 0 and os.listxattr(tree) == [], "attributes")
    check(error_of(lambda: os.getxattr(tree, "user.x")) == errno.EOPNOTSUPP, "user.x")
    check(error_of(lambda: os.getxattr(tree, "trusted.x")) == errno.ENODATA, "trusted.x")
    check(not os.access(tree, os.W_OK) or os.geteuid() == 0, "access")
    check(not os.access(f"{tree}/memory0/state", os.X_OK), "a file runs")
    check(read(f"{tree}/memory99999999999/state") == "open:ENOENT", "a number that is none")
    check(read(f"{tree}/memory0/state", offset=100) == b"", "behind the end")


def test(pool):
    pool.machine()
    relay = Relay(pool)

    def mount_of(_):
        own, pool.name = pool.name, relay.name
        try:
            return pool.mount_foreground()[0]
        finally:
            pool.name = own
    pool.mount_of = mount_of
    try:
        mounts(pool, relay)
        odd_table(pool, relay)
        tree = pool.mount_of(relay)
        corners(tree)
        odd_answers(relay, tree)
        odd_folders(relay, tree)
        many_blocks(relay, tree)
        odd_counters(pool, relay)
        pictures(pool, relay)
        crowd(relay, tree)
        check(read(f"{tree}/memory0/state") == b"online\n", "after all")
        full(pool, relay, tree)
    finally:
        relay.end()


tree_pool.enter("unshare")
tree_pool.run_test("tree_hostile", test)
