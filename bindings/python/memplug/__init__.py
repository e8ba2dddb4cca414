# SPDX-License-Identifier: MIT
"""Pools of memory blocks that come and go, and buffers whose addresses stay.

    import memplug, numpy
    with memplug.Pool(block_size=128 << 20) as pool:
        device = pool.add(1 << 30, "dax:/dev/dax0.0")
        with pool.region("cache", 512 << 20) as cache:
            array = numpy.frombuffer(cache.memory, dtype=numpy.float32)
            pool.add(1 << 30)
            pool.remove(device)        # the data moves; the array and every pointer stay

A region's memory is a memoryview: numpy.frombuffer() and torch.frombuffer() take it as it is. Calls
release the interpreter's lock. What fails raises memplug.Error, an OSError with the reason as its
text. The library is libmemplug.so.0, or what MEMPLUG_LIBRARY names.
"""
import collections
import ctypes
import math
import weakref

from . import _library
from ._library import Error

__all__ = ["Block", "Error", "Pool", "Region", "version"]

ZONES = {"default": 0, "kernel": 1, "movable": 2}
STATES = ("absent", "offline", "going-online", "online", "going-offline")

Block = collections.namedtuple("Block", "index state zone node used free")
Block.__doc__ = "One block of a pool; used and free are bytes, None unless it is online."


def version():
    """The version of the library, as text."""
    return _library.lib.mhp_version_text().decode()


def _zone(name):
    if name not in ZONES:
        raise Error(_library.EINVAL, f"zone {name!r} is none of {', '.join(ZONES)}")
    return ZONES[name]


def _sets(blocks):
    """Blocks as an array of runs: a range, a number, or any collection of numbers."""
    numbers = [blocks] if isinstance(blocks, int) else sorted(set(blocks))
    runs = []
    for number in numbers:
        if runs and runs[-1][0] + runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return (_library.Blocks * len(runs))(*[_library.Blocks(*run) for run in runs])


class Pool:
    """Memory that others may watch and change: blocks, of which regions take pages."""

    def __init__(self, block_size=128 << 20, max_size=0, nodes=0, page_size=0):
        self._pool, text = ctypes.c_void_p(), _library.Text()
        opts = _library.PoolOpts(block_bytes=block_size, max_bytes=max_size, nr_nodes=nodes,
                                 page_bytes=page_size)
        _library.check(_library.lib.mhp_pool_create(opts, self._pool, text), text)
        self._engine = ctypes.c_void_p(_library.lib.mhp_pool_engine(self._pool))
        self.block_size = block_size
        self._regions = []

    def add(self, size, backing=None, *, node=0, zone="movable", online=True):
        """Add memory; the blocks that it became, as a range. backing is as for memplug add."""
        text, answer = _library.Text(), _library.AddAnswer()
        opts = _library.AddOpts(flags=_library.MEMMAP_ON_MEMORY, node=node, zone=_zone(zone))
        opts.flags |= _library.ADD_ONLINE if online else _library.ADD_OFFLINE
        if backing is not None:
            where = _library.Backing()
            _library.check(_library.lib.mhp_backing_parse(_library.words(backing), where, text), text)
            backing = ctypes.byref(where)
        error = _library.lib.mhp_pool_add(self._pool, backing, _library.size(size), opts, answer,
                                          text)
        _library.check(error, text)
        return range(answer.blocks.first, answer.blocks.first + answer.blocks.count)

    def online(self, blocks, zone="default"):
        """Bring blocks online, all or none."""
        sets, why = _sets(blocks), _library.Why()
        opts = _library.OnlineOpts(zone=_zone(zone))
        _library.check(_library.lib.mhp_online(self._engine, sets, len(sets), opts, why), why)

    def offline(self, blocks, deadline=0):
        """Take blocks out of use, all or none; deadline is in seconds, 0 the default."""
        sets, why = _sets(blocks), _library.Why()
        opts = _library.OfflineOpts(deadline_ms=math.ceil(deadline * 1000))
        _library.check(_library.lib.mhp_offline(self._engine, sets, len(sets), opts, why), why)

    def remove(self, blocks, deadline=0):
        """Take blocks away, all or none, moving what is in them; those online go offline first."""
        self._remove(blocks, _library.OfflineOpts(deadline_ms=math.ceil(deadline * 1000)))

    def why(self, blocks):
        """What would keep blocks from leaving now, in words; None when nothing would."""
        try:
            self._remove(blocks, _library.OfflineOpts(dry_run=True))
        except Error as error:
            return error.strerror
        return None

    def _remove(self, blocks, opts):
        sets, why = _sets(blocks), _library.Why()
        _library.check(_library.lib.mhp_remove(self._engine, sets, len(sets), opts, why), why)

    def blocks(self):
        """All blocks that are there."""
        found, at, info, run = [], 0, _library.BlockInfo(), _library.Blocks()
        while _library.lib.mhp_range_get(self._engine, at, run) == 0:
            for index in range(at, run.first + run.count):
                _library.check(_library.lib.mhp_block_get(self._engine, index, info))
                if info.state == 0:
                    break # and so are all of this range
                online = STATES[info.state] == "online"
                found.append(Block(index, STATES[info.state],
                                   (None, "kernel", "movable")[info.zone], info.node,
                                   info.used_bytes if online else None,
                                   info.free_bytes if online else None))
            at = run.first + run.count
        return found

    def region(self, name, size):
        """Addresses with memory behind them; see Region."""
        region = Region(self, name, size)
        self._regions.append(region)
        return region

    def close(self):
        """End the pool, its regions and its blocks. BufferError: an array uses a region still."""
        if self._pool is None:
            return
        for region in list(self._regions):
            region.close()
        there = [block.index for block in self.blocks()]
        if there:
            self.remove(there)
        _library.check(_library.lib.mhp_pool_destroy(self._pool))
        self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Region:
    """Memory of a pool at addresses of its own, which stay while the blocks behind them change."""

    def __init__(self, pool, name, size):
        lib, text = _library.lib, _library.Text()
        self._region, self._pool = ctypes.c_void_p(), pool
        error = lib.mhp_region_create(pool._pool, _library.words(name), _library.size(size),
                                      self._region, text)
        _library.check(error, text)
        self.address = lib.mhp_region_base(self._region)
        self.size = lib.mhp_region_size(self._region)
        try:
            _library.check(lib.mhp_region_commit(self._region, self.address, self.size))
        except Error:
            lib.mhp_region_destroy(self._region)
            raise
        self._bytes = None
        self._expose((ctypes.c_ubyte * self.size).from_address(self.address))

    def _expose(self, array):
        """All views of the memory keep array alive, so that close() sees whether there are any."""
        self._bytes = weakref.ref(array)
        #: The memory, as a memoryview of bytes.
        self.memory = memoryview(array).cast("B")

    def pin(self):
        """Keep the memory from going to a device or coming back, for I/O that goes past the CPU."""
        _library.check(_library.lib.mhp_region_pin(self._region, self.address, self.size))

    def unpin(self):
        """Undo one pin()."""
        _library.check(_library.lib.mhp_region_unpin(self._region, self.address, self.size))

    def close(self):
        """Give the memory and the addresses back. BufferError: an array uses them still."""
        if self._region is None:
            return
        memory, self.memory = self.memory, None
        memory.release()
        array = self._bytes()
        if array is not None:
            self._expose(array)
            raise BufferError("the region is in use: there is an array or a view of its memory")
        _library.lib.mhp_region_destroy(self._region)
        self._region = None
        self._pool._regions.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
