"""Tars that are packed by gzip. Nothing in them can be read by its place, so they are unpacked for a while and copied.

A bomb ends early: what comes out is bounded by `adopt.max_unpacked_gb`, and by RATIO times what went in.
"""

import gzip
import zlib
from pathlib import Path

from configs import UserError

from .config import AdoptConfig

ENDINGS = (".tar.gz", ".tgz")
UNREAD = (".tar.zst", ".tar.bz2", ".tar.xz")
RATIO = 100  # images do not shrink, and the gaps between small ones by much less
FREE = 64 * 2**20  # bytes that come out of any file, whatever its size
PART = 2**20


def is_packed(path: Path) -> bool:
    """Tell whether a tar is packed, by its name."""
    return path.name.endswith(ENDINGS)


def stem(path: Path) -> Path:
    """Return the path of a tar without its ending, which may have two parts."""
    ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), path.suffix)
    return path.with_name(path.name.removesuffix(ending))


def unpack(path: Path, to: Path, config: AdoptConfig, *, first: int | None = None) -> str | None:
    """Write what is in a packed tar; of a damaged one what comes before, and return what is wrong with it.

    first: bytes that are enough. Raises UserError where more comes out than a tar of images can be.
    """
    most = min(int(config.max_unpacked_gb * 2**30), max(FREE, RATIO * path.stat().st_size))
    written = 0
    with gzip.open(path) as packed, to.open("wb") as file:
        while first is None or written < first:
            try:
                part = packed.read1(PART)  # what came before a fault is not lost with it
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                return " ".join(str(error).split())
            if not part:
                break
            written += len(part)
            if written > most:
                raise UserError(
                    f"{path}: more than {most:,} bytes come out of {path.stat().st_size:,}; if it is no bomb, raise "
                    "adopt.max_unpacked_gb, or unpack it"
                )
            file.write(part)
    return None
