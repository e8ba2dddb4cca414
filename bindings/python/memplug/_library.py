# SPDX-License-Identifier: MIT
"""libmemplug.so.0 as ctypes sees it: structs as in include/memplug, and prototypes.

tests/install holds each size and offset here against lib/abi.txt.
"""
import ctypes
import os
from ctypes import POINTER, Structure, c_bool, c_char, c_char_p, c_int, c_uint, c_uint8, c_uint16
from ctypes import c_uint32, c_uint64, c_void_p

SERIES = 0, 2
MEMMAP_ON_MEMORY, ADD_ONLINE, ADD_OFFLINE = 1 << 0, 1 << 6, 1 << 7
EINVAL = 22


class Error(OSError):
    """What memplug refused: errno and, as strerror, why."""


def _exactly(kind, name, value):
    """value as C has it. ctypes alone takes the lower bits, which are another number."""
    if isinstance(value, int) and kind(value).value != value:
        raise Error(EINVAL, f"{name} {value} is out of range")
    return value


class _Struct(Structure):
    """A struct whose fields hold what they were given, or refuse it."""

    def __setattr__(self, name, value):
        super().__setattr__(name, _exactly(dict(self._fields_)[name], name, value))


def size(value):
    """A number of bytes, to be an argument."""
    return _exactly(c_uint64, "size", value)


def words(text):
    """A text, to be an argument: C ends it at its first NUL."""
    if "\0" in text:
        raise Error(EINVAL, f"{text!r} has a NUL in it")
    return text.encode()


class Text(Structure):
    _fields_ = [("text", c_char * 256)]


class Backing(_Struct):
    _fields_ = [("kind", c_int), ("bind", c_bool), ("node", c_int), ("ranked", c_bool),
                ("rank", c_int), ("path", c_char * 200)]


class PoolOpts(_Struct):
    _fields_ = [("max_bytes", c_uint64), ("block_bytes", c_uint64), ("page_bytes", c_uint64),
                ("nr_nodes", c_uint16), ("nr_bad_pages", c_uint32), ("trace", c_void_p),
                ("trace_ctx", c_void_p)]


class Blocks(_Struct):
    _fields_ = [("first", c_uint32), ("count", c_uint32)]


class Span(_Struct):
    _fields_ = [("start", c_uint64), ("size", c_uint64)]


class AddOpts(_Struct):
    _fields_ = [("flags", c_uint32), ("node", c_uint8), ("metadata_node", c_uint8),
                ("zone", c_uint8), ("backing", c_uint16), ("deadline_ms", c_uint32)]


class AddAnswer(Structure):
    _fields_ = [("blocks", Blocks), ("nr_self", c_uint32), ("placement", c_int), ("reason", c_int),
                ("nr_vmemmap_pages", c_uint32), ("metadata_node", c_uint8), ("online_error", c_int),
                ("conflict", Span)]


class WhyOwner(Structure):
    _fields_ = [("owner", c_uint16), ("nr_pages", c_uint64), ("first_pfn", c_uint64)]


class Why(Structure):
    _fields_ = [("cause", c_int), ("block", c_uint32), ("pfn", c_uint64), ("order", c_uint8),
                ("owner", c_uint16), ("listener", c_uint16), ("nr_movable", c_uint64),
                ("nr_unmovable", c_uint64), ("nr_bad", c_uint64), ("room_missing", c_uint64),
                ("owners", WhyOwner * 8), ("nr_owners", c_uint8), ("more_owners", c_bool),
                ("text", c_char * 96)]


class OnlineOpts(_Struct):
    _fields_ = [("deadline_ms", c_uint32), ("zone", c_uint8), ("as_of", c_uint64)]


class OfflineOpts(_Struct):
    _fields_ = [("deadline_ms", c_uint32), ("attempts_max", c_uint32), ("dry_run", c_bool),
                ("scrub", c_bool), ("offline_only", c_bool), ("to_nodes", c_uint64),
                ("as_of", c_uint64)]


class Altmap(Structure):
    _fields_ = [("base_pfn", c_uint64), ("capacity", c_uint32), ("allocated", c_uint32)]


class BlockInfo(Structure):
    _fields_ = [("block", c_uint32), ("generation", c_uint32), ("span", Span), ("state", c_int),
                ("zone", c_uint8), ("node", c_uint8), ("backing", c_uint16), ("boot", c_bool),
                ("placement", c_int), ("metadata_node", c_uint8), ("metadata_bytes", c_uint64),
                ("nr_vmemmap_pages", c_uint32), ("waste_bytes", c_uint32),
                ("nr_large_mappings", c_uint32), ("nr_base_mappings", c_uint32),
                ("nr_bad_pages", c_uint32), ("altmap", Altmap), ("used_bytes", c_uint64),
                ("free_bytes", c_uint64)]


#: The structs by the names that lib/abi.txt has for them.
STRUCTS = {"mhp_text": Text, "mhp_backing": Backing, "mhp_pool_opts": PoolOpts,
           "mhp_blocks": Blocks, "mhp_span": Span, "mhp_add_opts": AddOpts,
           "mhp_add_answer": AddAnswer, "mhp_why": Why,
           "mhp_online_opts": OnlineOpts, "mhp_offline_opts": OfflineOpts, "mhp_altmap": Altmap, "mhp_block_info": BlockInfo}

_POOL, _REGION, _ENGINE, _ADDRESS = c_void_p, c_void_p, c_void_p, c_void_p
_PROTOTYPES = {
    "mhp_version": (c_uint32,),
    "mhp_version_text": (c_char_p,),
    "mhp_error_text": (c_char_p, c_int),
    "mhp_cause_text": (c_char_p, c_int),
    "mhp_backing_parse": (c_int, c_char_p, POINTER(Backing), POINTER(Text)),
    "mhp_pool_create": (c_int, POINTER(PoolOpts), POINTER(_POOL), POINTER(Text)),
    "mhp_pool_destroy": (c_int, _POOL),
    "mhp_pool_engine": (_ENGINE, _POOL),
    "mhp_pool_add": (c_int, _POOL, c_void_p, c_uint64, POINTER(AddOpts), POINTER(AddAnswer),
                     POINTER(Text)),
    "mhp_online": (c_int, _ENGINE, POINTER(Blocks), c_uint, POINTER(OnlineOpts), POINTER(Why)),
    "mhp_offline": (c_int, _ENGINE, POINTER(Blocks), c_uint, POINTER(OfflineOpts), POINTER(Why)),
    "mhp_remove": (c_int, _ENGINE, POINTER(Blocks), c_uint, POINTER(OfflineOpts), POINTER(Why)),
    "mhp_range_get": (c_int, _ENGINE, c_uint32, POINTER(Blocks)),
    "mhp_block_get": (c_int, _ENGINE, c_uint32, POINTER(BlockInfo)),
    "mhp_region_create": (c_int, _POOL, c_char_p, c_uint64, POINTER(_REGION), POINTER(Text)),
    "mhp_region_destroy": (None, _REGION),
    "mhp_region_base": (_ADDRESS, _REGION),
    "mhp_region_size": (c_uint64, _REGION),
    "mhp_region_commit": (c_int, _REGION, _ADDRESS, c_uint64),
    "mhp_region_pin": (c_int, _REGION, _ADDRESS, c_uint64),
    "mhp_region_unpin": (c_int, _REGION, _ADDRESS, c_uint64),
}


def _load():
    library = ctypes.CDLL(os.environ.get("MEMPLUG_LIBRARY", "libmemplug.so.0"))
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    number = library.mhp_version()
    if (number // 1000000, number // 1000 % 1000) != SERIES:
        raise ImportError(f"libmemplug is {library.mhp_version_text().decode()}, "
                          f"this is for {SERIES}")
    return library


lib = _load()


def check(error, why=None):
    """Raise what an error code means, in the words of a Text or a Why."""
    if error == 0:
        return
    words = [lib.mhp_error_text(error).decode()]
    if isinstance(why, Why) and why.cause != 0:
        words = [lib.mhp_cause_text(why.cause).decode()]
    if why is not None and why.text:
        words = words[:1 if isinstance(why, Why) else 0] + [why.text.decode(errors="replace")]
    raise Error(-error, ": ".join(words))
