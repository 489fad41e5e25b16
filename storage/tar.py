"""Shard tars: equal images give equal bytes, and any member is one pread away.

    key.jpg  key.txt  key.json  key.jpg  ...      ustar, no times, no owners, in the order they are added

What webdataset, open_clip and the rest read. Nothing is ever extracted to disk.
"""

import os
import tarfile
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np
import simplejpeg

from .typed import typed

BLOCK = tarfile.BLOCKSIZE  # 512 bytes: headers take one block, data is filled up to whole blocks
RECORD = tarfile.RECORDSIZE  # 20 blocks: the size of a tar file is a multiple of it


class TarWriter:
    """Writes members to `file` one after the other and says where their data lies."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = 0  # bytes written so far

    def add(self, name: str, *, data: bytes) -> int:
        """Add one member; return the offset of its data in the file, in bytes."""
        info = tarfile.TarInfo(name)  # mtime, uid and gid 0, no names of owners
        info.size, info.mode = len(data), 0o644
        header = info.tobuf(tarfile.USTAR_FORMAT)
        offset = self._end + len(header)
        self._write(b"".join([header, data, bytes(-len(data) % BLOCK)]))
        return offset

    def close(self) -> None:
        """Write the end mark, two empty blocks, and fill up the last record. The file stays open."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._end % RECORD))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._end += len(data)


class TarReader:
    """Reads members of the tar at `path` by offset and size. Threads may share one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, offset: int, *, size: int) -> bytes:
        """Return `size` bytes from `offset`. Raises ValueError where the tar ends before."""
        parts = []
        while size:  # one pread gives 2 GiB at most, and may give less than asked
            part = os.pread(self._descriptor, size, offset)
            if not part:
                again = typed(self.path, "download")
                raise ValueError(
                    f'{self.path} is cut short: nothing at byte {offset}; remove it and run "{again}" again'
                )
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)

    def image(self, offset: int, *, size: int) -> np.ndarray:
        """Return the JPEG whose data lies there, decoded. Raises ValueError where that cannot be."""
        return decode(self.read(offset, size=size))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Scaled(NamedTuple):
    """An image decoded at a reduced scale. The last row and column may be covered in part: sizes are rounded up."""

    pixels: np.ndarray  # (rows, columns, 3) uint8 RGB
    scale: float  # of these to the sides of the stored image, 1/8 to 1
    height: int  # of the stored image
    width: int


def decode(data: bytes) -> np.ndarray:
    """Return a stored JPEG as (height, width, 3) uint8 RGB. Raises ValueError where it does not decode."""
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def decode_scaled(data: bytes, *, at_least_px: int) -> Scaled:
    """Return a stored JPEG at the smallest n/8 of its size at which both sides keep so many pixels, else in full.

    Raises ValueError like `decode`.
    """
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    eighths = next((n for n in range(1, 8) if min(height, width) * n >= 8 * at_least_px), 8)
    least = {"min_height": -(-height * eighths // 8), "min_width": -(-width * eighths // 8)}
    return Scaled(simplejpeg.decode_jpeg(data, colorspace="RGB", **least), eighths / 8, height, width)
