"""Format and size of an image from its first bytes, before the rest is fetched and long before anything is decoded."""

from collections.abc import Collection
from typing import NamedTuple

from .config import FORMATS, Limits
from .further_formats import avif_size, bmp_size, brand_of, gif_size, tiff_size
from .jpeg_segments import FRAMES, MARKER
from .reasons import Refused

ENOUGH = 1024  # bytes after which markup or nothing is decided
LARGEST_PNG_PX = 2**31 - 1  # PNG specification, 7.1: a four-byte integer has no more

FURTHER = {"gif": gif_size, "bmp": bmp_size, "tiff": tiff_size, "avif": avif_size}
# Pictures and the like by how they begin: (offset, bytes, name). Those of FURTHER are taken where that is asked for.
OTHERS = (
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"\0\0\1\0", "ico"),
    (0, b"8BPS", "psd"),
    (0, b"SIMPLE  =", "fits"),
    (0, b"%!PS", "eps"),
    (0, b"%PDF", "pdf"),
    (0, b"\0\0\0\x0cjP  ", "jpeg 2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg 2000"),
    (0, b"\xff\x0a", "jpeg xl"),
    (0, b"\0\0\0\x0cJXL ", "jpeg xl"),
    (4, b"ftyp", "video"),  # or an image, as brand_of says
)


class Header(NamedTuple):
    """What the first bytes declare."""

    format: str  # one of those asked for
    width: int  # in pixels, before any EXIF orientation
    height: int
    channels: int | None = None  # of a JPEG; 4 is CMYK


def read_header(data: bytes | bytearray, *, complete: bool, formats: Collection[str] = FORMATS) -> Header | None:
    """Return the header, None where more bytes are needed. `complete`: no more bytes will come.

    Raises Refused: not_a_picture, bad_format for what is none of `formats`, or corrupt where a complete file ends
    inside its header.
    """
    kind = _kind(data, complete)
    if kind is None:
        return None
    if kind not in formats:
        raise Refused("bad_format", kind)
    if kind in FURTHER:
        size = FURTHER[kind](data)
        header = None if size is None else Header(kind, *size)
    else:
        header = {"jpeg": _jpeg, "png": _png, "webp": _webp}[kind](data)
    if header is None and complete:
        raise Refused("corrupt", "cut short inside the header")
    return header


def check_header(header: Header, limits: Limits) -> None:
    """Raise Refused: too_many_pixels, too_small, bad_aspect, in this order; corrupt where a side is 0."""
    width, height = header.width, header.height
    size = f"{width} x {height}"
    if min(width, height) == 0:
        raise Refused("corrupt", size)
    if width * height > limits.max_pixels:
        raise Refused("too_many_pixels", size)
    if min(width, height) < limits.min_side_px:
        raise Refused("too_small", size)
    if max(width, height) > limits.max_aspect * min(width, height):
        raise Refused("bad_aspect", size)


def _kind(data: bytes | bytearray, complete: bool) -> str | None:
    """Say what it is as soon as that is sure, None before. How the bytes were cut into pieces must not matter."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if len(data) < 16 and not complete:
        return None
    for offset, start, name in OTHERS:
        if data[offset : offset + len(start)] == start:
            return brand_of(data, complete=complete) if start == b"ftyp" else name
    return _text_kind(data, complete)


def _text_kind(data: bytes | bytearray, complete: bool) -> str | None:
    """Return svg, None where more bytes are needed. Raises Refused: not_a_picture."""
    if not data:
        raise Refused("not_a_picture", "an empty body")
    text = bytes(data[:ENOUGH]).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if (text.startswith(b"<") or not text) and len(data) < ENOUGH and not complete:
        return None
    if b"<svg" in text and text.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype svg")):
        return "svg"
    raise Refused("not_a_picture", "markup" if text.startswith(b"<") else "unknown bytes")


def _jpeg(data: bytes | bytearray) -> Header | None:
    """Walk the segments up to the frame header (SOF): ITU T.81, B.2. Junk between them is skipped, as decoders do."""
    at = 2
    while match := MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in (0xD9, 0xDA):
            raise Refused("corrupt", "no frame before the pixels")
        if marker in FRAMES:
            if at + 8 > len(data):
                return None
            return Header("jpeg", _big(data, at + 5, 2), _big(data, at + 3, 2), data[at + 7])
        if at + 2 > len(data):
            return None
        at += _big(data, at, 2)
    return None


def _png(data: bytes | bytearray) -> Header | None:
    if len(data) < 24:
        return None
    if data[12:16] != b"IHDR":
        raise Refused("bad_format", "png without IHDR first")
    width, height = _big(data, 16, 4), _big(data, 20, 4)
    if max(width, height) > LARGEST_PNG_PX:
        raise Refused("corrupt", f"{width} x {height}")
    return Header("png", width, height)


def _webp(data: bytes | bytearray) -> Header | None:
    """Read a lossy, a lossless or an extended file: RFC 9649."""
    if len(data) < 30:
        return None
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        return Header("webp", _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise Refused("bad_format", "animated webp")
        return Header("webp", _little(data, 24, 3) + 1, _little(data, 27, 3) + 1)
    raise Refused("corrupt", "a webp that begins with an unknown chunk")


def _big(data: bytes | bytearray, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _little(data: bytes | bytearray, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
