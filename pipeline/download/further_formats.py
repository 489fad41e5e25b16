"""Headers of the formats that are taken on demand, and the names of what begins like one of them.

Each reader returns the size that Pillow will give the first frame, None where more bytes are needed.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from .reasons import Refused

Size = tuple[int, int]  # width, height
Order = Literal["little", "big"]

# Brands of ISO base media files (ISO/IEC 14496-12, 4.3), of still images by the codec inside; others are videos.
BRANDS = {
    "avif": frozenset({b"avif", b"avis"}),
    "heic": frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}),
    "heif": frozenset({b"mif1", b"msf1", b"mif2"}),
}
LONGEST_FTYP = 1024  # bytes; there are about 100 brands
MOST_BOXES = 1000  # inside one other, in files of ordinary encoders a few dozen
TIFF_WIDTH, TIFF_HEIGHT, TIFF_ORIENTATION = 256, 257, 274  # TIFF 6.0, section 8
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap the sides


def brand_of(data: bytes | bytearray, *, complete: bool) -> str | None:
    """Return avif, heic, heif or video for a file that begins with a box `ftyp`, None where more bytes are needed."""
    size = min(_big(data, 0), LONGEST_FTYP)
    if len(data) < size and not complete:
        return None
    brands = {bytes(data[8:12]), *(bytes(data[at : at + 4]) for at in range(16, min(size, len(data)), 4))}
    return next((name for name, known in BRANDS.items() if brands & known), "video")


def gif_size(data: bytes | bytearray) -> Size | None:
    """Read the logical screen: GIF 89a, 18."""
    return (_int(data, 6, 2, "little"), _int(data, 8, 2, "little")) if len(data) >= 10 else None


def bmp_size(data: bytes | bytearray) -> Size | None:
    """Read the header of OS/2 or of Windows, where a negative height stands for rows from the top."""
    if len(data) < 26:
        return None
    if _int(data, 14, 4, "little") == 12:
        return _int(data, 18, 2, "little"), _int(data, 20, 2, "little")
    return _int(data, 18, 4, "little"), abs(int.from_bytes(data[22:26], "little", signed=True))


def tiff_size(data: bytes | bytearray) -> Size | None:
    """Read the first directory, which may lie at the end of the file: TIFF 6.0, section 2. Pillow turns it upright."""
    order: Order = "little" if data[:2] == b"II" else "big"
    first = _int(data, 4, 4, order) + 2
    entries = range(first, first + 12 * _int(data, first - 2, 2, order), 12)
    if len(data) < entries.stop:
        return None
    values = {}
    for at in entries:
        short = _int(data, at + 2, 2, order) == 3
        values[_int(data, at, 2, order)] = _int(data, at + 8, 2 if short else 4, order)
    size = values.get(TIFF_WIDTH, 0), values.get(TIFF_HEIGHT, 0)
    return size[::-1] if values.get(TIFF_ORIENTATION) in SIDEWAYS else size


def avif_size(data: bytes | bytearray) -> Size | None:
    """Read the largest of the declared sizes (ISO/IEC 23008-12, 6.5.3): others are of tiles, alpha and thumbnails."""
    if data[8:12] == b"avis":
        raise Refused("bad_format", "animated avif")
    meta = next((box for box in _boxes(data, 0, len(data)) if box[0] == b"meta"), None)
    if meta is None or meta[2] > len(data):
        return None
    within = [(meta[1] + 4, meta[2])]
    for name in (b"iprp", b"ipco"):
        within = [box[1:] for area in within for box in _boxes(data, *area) if box[0] == name]
    declared = [at for area in within for name, at, _ in _boxes(data, *area) if name == b"ispe"]
    sizes = [(_big(data, at + 4), _big(data, at + 8)) for at in declared]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of what is in each box from `start` on, the first ones: ISO/IEC 14496-12, 4.2."""

    def walk() -> Iterator[tuple[bytes, int, int]]:
        at = start
        while at + 8 <= end:
            size, header = _big(data, at), 8
            if size == 1:  # the real one takes 64 bits
                size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
            stop = at + size if size else max(end, len(data))
            yield bytes(data[at + 4 : at + 8]), at + header, stop
            at = max(stop, at + header)

    return islice(walk(), MOST_BOXES)


def _big(data: bytes | bytearray, at: int) -> int:
    return _int(data, at, 4, "big")


def _int(data: bytes | bytearray, at: int, size: int, order: Order) -> int:
    return int.from_bytes(data[at : at + size], order)
