"""What is in a stranger's tar, header by header: names, and where the data lies. Nothing is read but headers.

Understood are ustar, GNU's long names and sizes, and pax names and sizes; webdataset, img2dataset and tar itself write
these. Links, devices, folders and sparse files are passed over. Memory does not grow with what a header asks for.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .tar import BLOCK

REGULAR = b"0\0" + b"7"  # POSIX.1-2017, pax: ustar's typeflag; 7 is to be read like 0
LONG_NAME, PAX = b"L", b"x"  # what follows is said of the next member: GNU, POSIX
LONGEST = 64 * 1024  # bytes of a long name or of pax records that are read; longer ones are damage
SUM = slice(148, 156)  # where a header keeps the sum of its own bytes


class DamagedTarError(ValueError):
    """From some byte on this is no tar; what came before is good."""


class Member(NamedTuple):
    """One regular file in a tar."""

    name: str  # bytes that are no UTF-8 as surrogates, like Python's file names
    offset: int  # of its data, in bytes
    size: int


def members(path: Path) -> Iterator[Member]:
    """Yield the regular files in the tar at `path`, in order.

    Raises DamagedTarError at a header that is none, or where the file ends inside a member. That nothing follows the
    last member, not even an end mark, is no damage: so look tars of writers that were killed between two members.
    """
    end, at = path.stat().st_size, 0
    said: dict[str, bytes] = {}  # of the member to come
    with path.open("rb") as file:
        while any(header := os.pread(file.fileno(), BLOCK, at)):
            kind, size = header[156:157], _checked(header, at)
            is_said = kind in (LONG_NAME, PAX)
            if not is_said and "size" in said:
                size = _decimal(said["size"], at)
            data = at + BLOCK
            if data + size > end:
                raise DamagedTarError(f"the file ends inside the member at byte {at}")
            if is_said:
                if size > LONGEST:
                    raise DamagedTarError(f"{size} bytes of a name at byte {at}")
                extra = os.pread(file.fileno(), size, data)
                said |= {"path": extra.rstrip(b"\0")} if kind == LONG_NAME else _records(extra, at)
            else:
                name = os.fsdecode(said.get("path") or _name(header))
                is_sparse = any(key.startswith("GNU.sparse") for key in said)
                if kind in REGULAR and not name.endswith("/") and not is_sparse:
                    yield Member(name, data, size)
                said = {}
            at = data + -(-size // BLOCK) * BLOCK


def _checked(header: bytes, at: int) -> int:
    """Return the size that a header states. Raises DamagedTarError where its sum does not fit."""
    if len(header) < BLOCK:
        raise DamagedTarError(f"the file ends inside the header at byte {at}")
    stated = _octal(header[SUM], at)
    if stated != sum(header) - sum(header[SUM]) + len(header[SUM]) * ord(" "):
        raise DamagedTarError(f"no header at byte {at}")
    field = header[124:136]
    if field[0] == 0x80:  # GNU: a size that octal digits cannot hold, as a number in base 256
        return int.from_bytes(field[1:], "big")
    return _octal(field, at)


def _name(header: bytes) -> bytes:
    """Return ustar's name: in old headers there is no prefix, in GNU's times of access lie where it would be."""
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _records(data: bytes, at: int) -> dict[str, bytes]:
    """Return pax records, each "<its length> <key>=<value>\\n"."""
    records = {}
    while data:
        length, _, rest = data.partition(b" ")
        count = _decimal(length, at) - len(length) - 1
        key, equals, value = rest[: max(0, count)].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise DamagedTarError(f"no pax records at byte {at}")
        records[key.decode("utf-8", "replace")] = value[:-1]
        data = rest[count:]
    return records


def _decimal(digits: bytes, at: int) -> int:
    if not (digits.isdigit() and len(digits) < 20):
        raise DamagedTarError(f"no number at byte {at}: {digits[:20]!r}")
    return int(digits)


def _octal(field: bytes, at: int) -> int:
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise DamagedTarError(f"no header at byte {at}")
    return int(digits or b"0", 8)
