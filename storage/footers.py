"""What files say of themselves, read from their last kilobytes alone: a look at a run of 41,300 shards opens 250,000.

Arrow's own readers build a schema of every column, which takes ten times as long as it takes to find three values.

    parquet   ... columns with statistics, key_value_metadata (0x18, length, key, 0x18, length, value)..., length, PAR1
    arrow     ... a flatbuffer with the schema, whose custom_metadata is a vector of key and value, length, ARROW1
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import lru_cache
from pathlib import Path
from struct import error as OutOfRange
from struct import unpack_from
from time import perf_counter, thread_time
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
THREADS, BLOCK = 16, 256  # of looks side by side; items of one thread at a time
TAIL_BYTES = 16_384  # a footer is seldom longer
PARQUET, ARROW = b"PAR1", b"ARROW1"
FOOTER, SCHEMA_METADATA = 1, 2  # fields of the flatbuffers: the footer's schema, the schema's custom_metadata
# What steps ask a file for, one after the other; it is opened once for all of them.
FINGERPRINT, CONTENT, KEPT = ASKED_FOR = ("corgi.fingerprint", "corgi.content", "corgi.kept")
TOGETHER = frozenset(ASKED_FOR)
Values = dict[str, str | None]
_known: ContextVar[dict[str, Values | None] | None] = ContextVar("footers", default=None)  # of each context its own


@contextmanager
def remembered() -> Iterator[None]:
    """Look at each file once inside, and no more until the end: for a look at a run, in which nothing is made."""
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def side_by_side(look: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """Return what `look` finds of each item, many at a time where looks wait; what is remembered is shared.

    On disks and on file servers a look waits most of its time, each for a round trip. Of files in the page cache it
    computes, and threads would only hinder each other. The first block tells which it is.
    """
    began, computed = perf_counter(), thread_time()
    found = [*map(look, items[:BLOCK])]
    if perf_counter() - began < 2 * (thread_time() - computed):
        return [*found, *map(look, items[BLOCK:])]
    blocks = [items[begin : begin + BLOCK] for begin in range(BLOCK, len(items), BLOCK)]
    with ThreadPoolExecutor(THREADS) as pool:
        contexts = [copy_context() for _ in blocks]
        further = pool.map(lambda context, block: context.run(lambda: [*map(look, block)]), contexts, blocks)
        return [*found, *(each for part in further for each in part)]


def exists(path: str) -> bool:
    """Tell whether there is a file, or what a link leads to."""
    known = _known.get()
    if known is None:
        return os.access(path, os.F_OK)
    if path not in known:  # a table will be asked for its mark next; of others it is enough that they are there
        is_table = path.endswith((".parquet", ".arrow"))
        known[path] = _read(path, ASKED_FOR) if is_table else {} if os.access(path, os.F_OK) else None
    return known[path] is not None


def values(path: str | Path, *keys: str) -> tuple[str | None, ...]:
    """Return what the metadata of a parquet or Arrow file has for each key; None for each where it has none.

    None of a file that is absent or torn, too.
    """
    known, place = _known.get(), str(path)
    if known is None or not TOGETHER.issuperset(keys):
        found = _read(place, keys)
    else:
        if place not in known:
            known[place] = _read(place, ASKED_FOR)
        found = known[place]
    return tuple([found.get(key) for key in keys]) if found else (None,) * len(keys)


def _read(path: str, keys: tuple[str, ...]) -> Values | None:
    """Return key -> value; empty of a torn file, None of an absent one."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        footer = _footer(descriptor)
    finally:
        os.close(descriptor)
    try:
        if footer.endswith(PARQUET):
            return _in_parquet(footer, keys)
        return _in_arrow(footer, keys) if footer else {}
    except (OutOfRange, IndexError, UnicodeDecodeError):
        return {}


def _footer(descriptor: int) -> bytes:
    """Return the footer with the magic bytes after it; empty where the file does not end in one."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    magic = PARQUET if tail.endswith(PARQUET) else ARROW if tail.endswith(ARROW) else b""
    if not magic or len(tail) < len(magic) + 4:
        return b""
    (length,) = unpack_from("<I", tail, len(tail) - len(magic) - 4)
    whole = length + 4 + len(magic)
    if whole > size:
        return b""
    return tail[-whole:] if whole <= len(tail) else os.pread(descriptor, whole, size - whole)


def _in_parquet(footer: bytes, keys: tuple[str, ...]) -> Values:
    """Find values by how Thrift writes a key before them.

    Statistics of columns hold what pairs say, which may look the same; they stand before, so the last place counts.
    """
    found: Values = {}
    for key in keys:
        framed = _framed(key)
        at = footer.rfind(framed)
        found[key] = None if at < 0 else _text(footer, at + len(framed))
    return found


@lru_cache
def _framed(key: str) -> bytes:
    return b"\x18" + bytes([len(key.encode())]) + key.encode() + b"\x18"


def _text(footer: bytes, at: int) -> str:
    """Return the text whose length, in groups of 7 bits, begins at a place."""
    length = shift = 0
    while True:
        group = footer[at]
        length |= (group & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if group < 0x80:
            return footer[at : at + length].decode()


def _in_arrow(footer: bytes, keys: tuple[str, ...]) -> Values:
    """Find values by the tables of the flatbuffer."""
    schema = _pointed(footer, _field(footer, _pointed(footer, 0), FOOTER))
    place = _field(footer, schema, SCHEMA_METADATA) if schema else 0
    if not place:
        return {}
    vector = _pointed(footer, place)
    (count,) = unpack_from("<I", footer, vector)
    found: Values = {}
    for number in range(count):
        pair = _pointed(footer, vector + 4 + 4 * number)
        key = _string(footer, _field(footer, pair, 0))
        if key in keys:
            found[key] = _string(footer, _field(footer, pair, 1))
    return found


def _pointed(data: bytes, at: int) -> int:
    """Return the place that an offset at a place points to."""
    return at + int(unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a table's field; 0 where it has none."""
    vtable = table - int(unpack_from("<i", data, table)[0])
    (size,) = unpack_from("<H", data, vtable)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = unpack_from("<H", data, vtable + 4 + 2 * number)
    return table + int(offset) if offset else 0


def _string(data: bytes, at: int) -> str:
    if not at:
        return ""
    begin = _pointed(data, at)
    (length,) = unpack_from("<I", data, begin)
    return data[begin + 4 : begin + 4 + length].decode()
