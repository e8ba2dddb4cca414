# SPDX-License-Identifier: MIT
"""python_test.py ABI: the Python module on the installed library, with numpy (R79, R37)."""
import ctypes
import os
import sys
import tempfile

import memplug
import numpy
from memplug import _library

BLOCK = 4 << 20


def structs_are_those_of_the_library():
    rows = [line.split() for line in open(sys.argv[1]) if not line.startswith("#")]
    known = {(row[0], row[1]): int(row[2]) for row in rows if len(row) == 3}
    for name, struct in _library.STRUCTS.items():
        assert ctypes.sizeof(struct) == known["struct", name], f"{name}: {ctypes.sizeof(struct)}"
        for field, *_ in struct._fields_:
            offset = getattr(struct, field).offset
            assert offset == known["field", f"{name}.{field}"], f"{name}.{field}: {offset}"


def arrays_stay_where_they_are(backing):
    """All blocks that an array lies in are taken away from under it."""
    with memplug.Pool(block_size=BLOCK, max_size=64 * BLOCK) as pool:
        first = pool.add(2 * BLOCK, backing)
        assert [block.state for block in pool.blocks()] == ["online", "online"]
        with pool.region("array", BLOCK) as region:
            array = numpy.frombuffer(region.memory, dtype=numpy.uint32)
            array[:] = numpy.arange(array.size)
            address = array.ctypes.data
            assert address == region.address
            assert pool.why(first) is not None, "there is no room for it elsewhere"
            try:
                pool.remove(first)
                raise AssertionError("removed without room")
            except memplug.Error as error:
                assert error.errno == 12, error
            pool.add(2 * BLOCK)
            pool.remove(first)
            assert not set(first) & {block.index for block in pool.blocks()}
            assert array.ctypes.data == address and (array == numpy.arange(array.size)).all()
            array += 1
            assert array.sum(dtype=numpy.uint64) == array.size * (array.size + 1) // 2
            try:
                region.close()
                raise AssertionError("closed under an array")
            except BufferError:
                pass
            del array


def refused(number, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except memplug.Error as error:
        assert error.errno == number and error.strerror, error
    else:
        raise AssertionError(f"{call} took {arguments} {options}")


def refusals_say_why():
    with memplug.Pool(block_size=BLOCK, max_size=64 * BLOCK) as pool:
        try:
            pool.add(BLOCK + 1)
            raise AssertionError("added part of a block")
        except memplug.Error as error:
            assert error.errno == 22 and "block size" in error.strerror, error
        assert pool.add(BLOCK, online=False) == range(0, 1)
        pool.online(0, "kernel")
        assert pool.blocks()[0][:3] == (0, "online", "kernel"), pool.blocks()
        pool.offline([0])
        assert pool.blocks()[0].state == "offline"
        refused(6, pool.remove, 64)
        for number in 1 << 32, -1 << 32, [1 << 32], -1:
            refused(22, pool.remove, number)


def nothing_is_cut_to_the_width_of_a_field():
    """ctypes alone takes the lower bits of a number, and of a text what is before its first NUL."""
    for wide in {"nodes": 1 << 16 | 1}, {"page_size": (1 << 64) + 4096}, {"max_size": -64 * BLOCK}:
        refused(22, memplug.Pool, BLOCK, **wide)
    with memplug.Pool(block_size=BLOCK, max_size=64 * BLOCK) as pool:
        refused(22, pool.add, (1 << 64) + BLOCK)
        refused(22, pool.add, BLOCK, node=256)
        refused(22, pool.add, BLOCK, zone="moveable")
        refused(22, pool.add, BLOCK, "memfd\0:")
        refused(22, pool.region, "name", (1 << 64) + BLOCK)
        refused(22, pool.region, "na\0me", BLOCK)
        assert pool.blocks() == []
        block = pool.add(BLOCK)
        for deadline in 1 << 32, -1:
            refused(22, pool.remove, block, deadline=deadline)
        assert len(pool.blocks()) == 1


structs_are_those_of_the_library()
assert memplug.version().startswith("0.2.")
refusals_say_why()
nothing_is_cut_to_the_width_of_a_field()
arrays_stay_where_they_are(None)
with tempfile.NamedTemporaryFile() as file:
    os.posix_fallocate(file.fileno(), 0, 2 * BLOCK)
    arrays_stay_where_they_are(f"file:{file.name}")
