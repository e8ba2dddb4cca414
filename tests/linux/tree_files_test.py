#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree_files_test.py BUILD_DIR: what the tree is like as a file system (R48): folders, links, sizes,
what may not be done in it, files of blocks that go; and pages that the table does not have.
"""
import fcntl
import json
import mmap
import os
import platform
import select
import signal
import socket
import stat
import subprocess

import tree_pool
from tree_pool import check, read, write


# What a program of 32 bits is told by stat(): 106 of int 0x80, whose pointers are below 4 GiB.
STAT_32 = """
import ctypes, mmap, sys
MAP_32BIT = 0x40
page = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT,
                 mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
page[0:16] = bytes.fromhex("53b86a00000089fb89f1cd805bc3").ljust(16, b"\\0")
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint)(at)
for path in sys.argv[1:]:
    page[1024:1025 + len(path)] = path.encode() + b"\\0"
    print(call(at + 1024, at + 4096), flush=True)
"""


def refused(what, *args, **options):
    """The name of the error."""
    try:
        what(*args, **options)
    except OSError as error:
        return tree_pool.error_name(error)
    return "nothing"


def test_shape(pool, tree, sysroot):
    memory = sysroot + tree_pool.MEMORY
    here, there = set(os.listdir(tree)), set(os.listdir(memory))
    check(here - there == {"node", "parameters", "hwpoison", "vm", "firmware",
                            "notifier-error-inject"} and
          there < here, "what the two trees have")
    check({f"memory{n}" for n in (0, 1, 2, 3, *range(32, 38))} ==
          {name for name in here if name.startswith("memory")}, "the blocks", here)
    for root in (tree, memory):
        check(os.readlink(f"{root}/memory32/node0") == "../../node/node0", "node link")
        check(os.readlink(f"{root}/memory32/subsystem") == "../../../../bus/memory", "subsystem")
        check("probe" not in os.listdir(root), "probe")
    # Deviation: links-of-folders.
    check(os.stat(f"{tree}/memory32").st_nlink == 3, "power is a folder of a block's")
    for name in "", "node", "node/node0", "memory32/power":
        check(os.stat(f"{tree}/{name}").st_nlink == 2, "links of", name)
    check(os.path.realpath(f"{memory}/memory32/node0") == f"{sysroot}/sys/devices/system/node/node0",
          "where the node link leads")
    check(os.path.samefile(f"{memory}/memory32/node0/memory32", f"{memory}/memory32"), "and back")
    check(os.path.samefile(f"{tree}/node/node0/memory32", f"{tree}/memory32"), "and back here")
    check(os.path.samefile(f"{memory}/memory32/subsystem/devices/memory33", f"{memory}/memory33"),
          "the bus")
    check(refused(os.stat, f"{tree}/node/node1") == "ENOENT", "a node without blocks")
    for folder, folders, files in os.walk(tree):
        for name in folders:
            st = os.lstat(f"{folder}/{name}")
            check(stat.S_ISLNK(st.st_mode) or stat.S_IMODE(st.st_mode) == 0o755, folder, name)
        for name in files:
            st = os.lstat(f"{folder}/{name}")
            check(stat.S_ISLNK(st.st_mode) or st.st_size == 4096, folder, name, "size")
            check((st.st_uid, st.st_gid) == (0, 0), folder, name, "owner")


def test_refusals(tree):
    block = f"{tree}/memory32"
    for where in (tree, block, f"{block}/power"):
        check(refused(os.open, f"{where}/new", os.O_CREAT | os.O_WRONLY) == "EACCES", "create")
        check(refused(os.mkdir, f"{where}/new") == "EPERM", "mkdir")
        check(refused(os.symlink, "x", f"{where}/new") == "EPERM", "symlink")
        check(refused(os.stat, f"{where}/new") == "ENOENT", "stat")
    check(refused(os.rmdir, block) == "EPERM", "rmdir")
    check(refused(os.unlink, f"{block}/state") == "EPERM", "unlink")
    check(refused(os.rename, f"{block}/state", f"{block}/new") == "EPERM", "rename")
    check(refused(os.link, f"{block}/state", f"{block}/new") == "EPERM", "link")
    # Deviation: modes-and-owners.
    check(refused(os.chmod, f"{block}/state", 0o600) == "EPERM", "chmod")
    check(refused(os.chown, f"{block}/state", 1, 1) == "EPERM", "chown")
    # Deviation: no-firmware-node.
    check(refused(os.stat, f"{block}/firmware_node") == "ENOENT", "firmware_node")
    for bad in ("memory", "memory032", "memory4", "memory-1", "memory99999999999999999999",
                "memory32x", "node00"):
        check(refused(os.stat, f"{tree}/{bad}") == "ENOENT", bad)


def test_writing(tree):
    state = f"{tree}/memory32/state"
    os.truncate(state, 0)
    os.truncate(state, 1000)
    os.close(os.open(state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    check(write(state, b"") == "0", "nothing")
    check(write(state, b"x" * 100000) == "EINVAL", "much")
    check(write(state, b"online\0" + b"x" * 9000) == "4096", "a page and more")
    fd = os.open(state, os.O_RDWR)
    check(os.write(fd, b"offline") == 7 and os.write(fd, b"online") == 6, "twice, at any offset")
    check(os.pread(fd, 3, 0) + os.pread(fd, 100, 3) == b"online\n", "in pieces")
    check(os.pread(fd, 10, 5000) == b"", "beyond the end")
    check(os.pread(fd, 2, 0) == b"on", "the first letters")
    os.write(fd, b"offline")
    check(os.pread(fd, 2, 2) == b"li", "going on: the picture that was taken")
    check(os.pread(fd, 100, 1) == b"ffline\n", "elsewhere: a new one")
    os.write(fd, b"online")
    check(os.pread(fd, 100, 3) == b"ine\n", "and again")
    os.write(fd, b"offline")
    check(os.pread(fd, 100, 0) == b"offline\n", "again from the start")
    os.close(fd)
    # Deviation: power-does-nothing.
    check(write(f"{tree}/memory32/power/control", b"on") == "2", "power/control")
    check(read(f"{tree}/memory32/power/control") == b"auto\n", "power/control stays")


def test_calls(tree):
    """What else can be done with a file, a folder, or the file system."""
    state, folder = f"{tree}/memory32/state", f"{tree}/memory32"
    for path, mode, may in ((state, os.X_OK, False), (state, os.R_OK | os.W_OK, True),
                            (f"{tree}/soft_offline_page", os.R_OK, True), (folder, os.X_OK, True)):
        check(os.access(path, mode) == may, "access", path, mode)
    check(refused(os.open, state, os.O_RDONLY | os.O_DIRECT) == "EINVAL", "O_DIRECT")
    fd = os.open(state, os.O_RDWR)
    check(refused(mmap.mmap, fd, 4096, mmap.MAP_SHARED) == "ENODEV", "mmap")
    poll, always = select.poll(), select.POLLIN | select.POLLOUT
    poll.register(fd, always | select.POLLPRI)
    check(poll.poll(0) == [(fd, always | select.POLLPRI | select.POLLERR)], "poll before a read")
    os.pread(fd, 10, 0)
    check(poll.poll(0) == [(fd, always)], "poll after a read")
    os.fsync(fd)
    os.close(fd)
    # Deviation: extended-attributes.
    check(os.listxattr(state) == [], "listxattr")
    check(refused(os.getxattr, state, "user.x") in ("ENOTSUP", "EOPNOTSUPP"), "getxattr")
    check(refused(os.getxattr, state, "trusted.x") == "ENODATA", "getxattr trusted")
    for name in "user.x", "trusted.x", "security.x":
        check(refused(os.setxattr, state, name, b"y") in ("ENOTSUP", "EOPNOTSUPP"), "setxattr", name)
    fd = os.open(folder, os.O_RDONLY)
    check(refused(os.fsync, fd) == "EINVAL", "fsync of a folder")
    os.close(fd)
    check(refused(os.mknod, f"{folder}/new", 0o644 | stat.S_IFREG) == "EACCES", "mknod of a file")
    check(refused(os.mknod, f"{folder}/new", 0o644 | stat.S_IFIFO) == "EPERM", "mknod of a pipe")
    st = os.statvfs(tree)
    check((st.f_bsize, st.f_frsize, st.f_blocks, st.f_files, st.f_namemax) == (4096, 4096, 0, 0, 255),
          "statvfs", st)


def test_inodes(tree):
    """Deviation: inode-numbers. More than 32 bits, so that programs of 32 bits cannot take them."""
    state = f"{tree}/memory32/state"
    check(os.stat(state).st_ino > 1 << 32, "inode number")
    if platform.machine() != "x86_64":
        return
    said = subprocess.run([tree_pool.PYTHON, "-c", STAT_32, "/proc", state], capture_output=True, text=True)
    if said.stdout.startswith("0\n"):  # else the kernel runs no programs of 32 bits
        check(said.stdout == f"0\n{-tree_pool.errno.EOVERFLOW}\n", "stat of 32 bits", said)


def test_kernels_part(pool):
    """Deviation: kernel-of-the-mount. What the kernel says by itself, without asking the mount."""
    at, daemon = pool.mount_foreground()
    fd = os.open(f"{at}/memory32/state", os.O_RDONLY)
    daemon.send_signal(signal.SIGSTOP)
    try:
        lease = refused(fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        check(lease in ("nothing", "EINVAL"), "F_SETLEASE", lease)
        if lease == "nothing":
            check(fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK, "F_GETLEASE")
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        view = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
    finally:
        daemon.send_signal(signal.SIGCONT)
    check(view[:8] == read(f"{at}/memory32/state").ljust(8, b"\0")[:8], "a private mapping", view[:8])
    view.close()
    os.close(fd)
    check(tree_pool.is_fuse(at), "the type of the file system")


def test_parameter(pool, tree):
    """Deviation: memmap-on-memory. A file for reading only, that the command can set all the same."""
    parameter = f"{tree}/parameters/memmap_on_memory"
    check(read(parameter) == b"Y\n" and write(parameter, b"N") == "open:EACCES", "at first")
    for word, text in ("off", b"N\n"), ("force", b"force\n"), ("on", b"Y\n"):
        pool.command("set", "memmap_on_memory", word)
        check(read(parameter) == text, word, read(parameter))


def test_uevents(pool, tree):
    """Deviation: uevents. A synthetic event keeps what came with its word; it is none of the machine's."""
    machine = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)  # NETLINK_KOBJECT_UEVENT
    machine.bind((0, 1))
    machine.setblocking(False)
    said = subprocess.Popen([pool.memplug, "-p", pool.name, "monitor", "--json"],
                            stdout=subprocess.PIPE, text=True)
    pool.processes.append(said)
    said.stdout.readline()
    uuid = "fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed"
    for word in f"change {uuid} A=1 Bc=d2\n", f"add {uuid}", "bind":
        check(write(f"{tree}/memory32/uevent", word.encode()) == str(len(word)), word)
    got = []
    for _ in range(3):
        line = said.stdout.readline()
        check(line.count('"synth_uuid"') == 1, "a member twice", line)
        got.append(json.loads(line))
    check([(line["action"], line["synth_uuid"], line["synth_args"]) for line in got] ==
          [("change", uuid, {"A": "1", "Bc": "d2"}), ("add", uuid, {}), ("bind", "0", {})], got)
    check(write(f"{tree}/memory32/uevent", f"add {uuid} A={'x' * 300}".encode()) == "ENOMEM",
          "more than an event keeps")
    with machine:
        try:
            while True:
                check(uuid.encode() not in (text := machine.recv(65536)), "an event of the machine's", text)
        except BlockingIOError:
            pass


def test_others(pool, tree):
    """Another user sees nothing of it, whatever the folder that it is mounted on lets."""
    os.chmod(pool.folder, 0o755)
    for words in ["ls", tree], ["cat", f"{tree}/block_size_bytes"]:
        done = subprocess.run(words, user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
        check(done.returncode != 0 and "Permission denied" in done.stderr, words, done)
    done = subprocess.run(["ls", pool.folder], user=65534, group=65534, extra_groups=[], capture_output=True)
    check(done.returncode == 0, "the folder around it", done)
    os.chmod(pool.folder, 0o700)


def switches(process):
    """How often each thread has gone to sleep."""
    found = {}
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/status", encoding="ascii") as file:
            found[thread] = next(int(line.split()[1]) for line in file if line.startswith("voluntary"))
    return found


def test_turns(pool):
    """What is known already is answered by one thread, however many there are."""
    at, daemon = pool.mount_foreground()
    files = [f"{at}/memory{block}/removable" for block in range(4)]
    for file in files * 3:
        read(file)
    before = switches(daemon.pid)
    check(all(read(file) == b"1\n" for file in files * 100), "what is read")
    after = switches(daemon.pid)
    slept = sorted(after[thread] - before.get(thread, 0) for thread in after)
    check(sum(slept[:-1]) * 4 < slept[-1], "who has answered", slept)


def test_reserve(pool, tree):
    """No page of a block's own reserve can be taken out of use."""
    block = json.loads(pool.command("add", "128M", "--memmap", "self", "--json"))["first"]
    address = str(block << 27).encode()
    check(write(f"{tree}/soft_offline_page", address) == "EIO", "soft_offline_page")
    check(write(f"{tree}/hard_offline_page", address) == "EBUSY", "hard_offline_page")
    pool.command("remove", str(block))


def test_changes(pool, tree):
    """What is remembered of the blocks is never out of date, whoever has changed them."""
    state, zones = f"{tree}/memory32/state", f"{tree}/memory32/valid_zones"
    check(read(state) in (b"online\n", b"offline\n"), "state")
    for _ in range(50):
        for request in "offline", "online":
            if read(state) == f"{request}\n".encode():
                continue
            said = tree_pool.socket_ask(pool, request, blocks="32")
            check("error" not in said and read(state) == f"{request}\n".encode(), request, said)
        check(read(zones) == b"Normal\n", "zones", read(zones))


def test_ours(pool, tree):
    """What only our blocks have, under names that the kernel does not use."""
    check(write(f"{tree}/memory33/state", b"online_kernel") == "13", "online")
    check(read(f"{tree}/memory33/why") == b"nothing keeps it\n", "why")
    check(pool.ask("unmovable 33") == 0, "unmovable")
    check(int(read(f"{tree}/memory33/used_bytes")) >= 2 << 20, "used_bytes")
    check(b"cannot move it: unmovable" in read(f"{tree}/memory33/why"), "why",
          read(f"{tree}/memory33/why"))
    pool.ask("unhold")
    check(int(read(f"{tree}/memory33/used_bytes")) + int(read(f"{tree}/memory33/free_bytes")) ==
          128 << 20, "used and free")
    check(read(f"{tree}/memory33/memmap") == b"external\n", "memmap")
    check(int(read(f"{tree}/pool_pid")) == pool.program.pid, "pool_pid")
    check(read(f"{tree}/pool_name").decode().strip() == pool.name, "pool_name")
    check(write(f"{tree}/parameters/auto_movable_strict", b"1") == "1", "strict")
    check(pool.command("get", "auto_movable_strict") == "Y\n", "strict by the command")
    check(write(f"{tree}/max_bytes", b"1G") == "EINVAL", "max_bytes of a pool that does not grow")


def test_injection(pool, sysroot):
    """What the second half of the kernel's own test of memory hotplug does (R24)."""
    actions = f"{sysroot}/sys/kernel/debug/notifier-error-inject/memory/actions"
    online, offline = (f"{actions}/MEM_GOING_{word}/error" for word in ("ONLINE", "OFFLINE"))
    states = [f"{sysroot}{tree_pool.MEMORY}/memory{block}/state" for block in (35, 36, 37)]
    check(sorted(os.listdir(actions)) == ["MEM_GOING_OFFLINE", "MEM_GOING_ONLINE"], "actions")
    # Deviation: error-injection.
    check(os.listdir(os.path.dirname(actions)) == ["actions"], "priority")
    check(read(online) == b"0\n" and read(offline) == b"0\n", "no error at first")
    for state in states:
        write(state, b"offline")
    check(write(online, b"-12\n") == "4" and read(online) == b"-12\n", "an error for online")
    for state in states:
        check(write(state, b"online") == "ENOMEM" and read(state) == b"offline\n", "online")
    check(write(online, b"0") == "1", "no error for online")
    for state in states:
        check(write(state, b"online_movable") == "14" and read(state) == b"online\n", "online")
    check(write(offline, b"-12") == "3", "an error for offline")
    for state in states:
        check(write(state, b"offline") == "ENOMEM" and read(state) == b"online\n", "offline")
    for text, want in (b"5", b"0\n"), (b"-99999", b"-4095\n"), (b"0", b"0\n"):
        check(write(offline, text) == str(len(text)) and read(offline) == want, "error", text)
    check(write(offline, b"x") == "EINVAL" and write(offline, b"--1") == "EINVAL", "nonsense")
    for state in states:
        check(write(state, b"offline") == "7", "offline")
    said = pool.command("get", "MEM_GOING_ONLINE/error")
    check(said == "0\n", "the same by the command", said)


def test_departure(pool, tree):
    """Files of a block that is removed: ENODEV where they are open, ENOENT where not."""
    fd = os.open(f"{tree}/memory34/state", os.O_RDWR)
    folder = os.open(f"{tree}/memory34", os.O_RDONLY)
    check(os.pread(fd, 100, 0) == b"offline\n", "before")
    pool.command("remove", "34")
    check(refused(os.pread, fd, 100, 0) == "ENODEV", "read")
    check(refused(os.write, fd, b"online") == "ENODEV", "write")
    check(os.listdir(folder) == [], "its folder")
    check(refused(os.stat, f"{tree}/memory34") == "ENOENT", "its path")
    check("memory34" not in os.listdir(tree), "its name")
    os.close(fd)
    os.close(folder)
    # Deviation: block-0. It is not listed, but tells chmem that there are zones.
    check(write(f"{tree}/memory0/state", b"offline") == "7", "offline")
    pool.command("remove", "0")
    check("memory0" not in os.listdir(tree), "block 0 in the folder")
    check(os.listdir(f"{tree}/memory0") == ["valid_zones"], "what stands for block 0")
    check(read(f"{tree}/memory0/valid_zones") == b"none\n", "its zones")
    check(read(f"{tree}/memory0/state") == "open:ENOENT", "its state")


def test(pool):
    pool.machine()
    tree, sysroot = pool.mount(), pool.mount("--sysroot")
    test_shape(pool, tree, sysroot)
    test_refusals(tree)
    test_writing(tree)
    test_calls(tree)
    test_inodes(tree)
    test_kernels_part(pool)
    test_parameter(pool, tree)
    test_changes(pool, tree)
    test_uevents(pool, tree)
    test_others(pool, tree)
    test_turns(pool)
    test_reserve(pool, tree)
    test_ours(pool, tree)
    test_injection(pool, sysroot)
    test_departure(pool, tree)
    check(pool.ask("check") == 0, "the pool is damaged")


tree_pool.enter("unshare")
tree_pool.run_test("tree_files", test)
