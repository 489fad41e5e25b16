"""Bodies that were packed on the way (Content-Encoding), although we ask for none to be.

What comes out counts against the cap like what came in: a few bytes may unpack to gigabytes.
"""

import codecs
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

import brotli

from .reasons import Refused

PIECE_BYTES = 65_536
ENOUGH = 4  # bytes that tell how a body begins
GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
IMAGE = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF")
NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class Stream(Protocol):
    """What is packed, taken in chunks."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what is in a chunk, some at a time. Raises the library's own error."""

    @property
    def ended(self) -> bool:
        """Tell whether the end of the stream has come."""

    def flush(self) -> bytes:
        """Return what was held back."""


class Zlib:
    """gzip (RFC 1952) and deflate (RFC 1950, 1951). What follows the end of the stream is nobody's."""

    def __init__(self, wbits: int) -> None:
        self._stream = zlib.decompressobj(wbits)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what is in a chunk, at most PIECE_BYTES at a time."""
        while chunk and not self._stream.eof:
            yield self._stream.decompress(chunk, PIECE_BYTES)
            chunk = self._stream.unconsumed_tail

    @property
    def ended(self) -> bool:
        """Tell whether the end of the stream has come."""
        return self._stream.eof

    def flush(self) -> bytes:
        """Return what was held back: a few bytes, as all that came in was taken."""
        return self._stream.flush()


class Brotli:
    """Brotli (RFC 7932). Bytes behind the end of the stream are an error to the library."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what is in a chunk, about PIECE_BYTES at a time."""
        while not self._stream.is_finished():
            yield self._stream.process(chunk, output_buffer_limit=PIECE_BYTES)
            if self._stream.can_accept_more_data():
                return
            chunk = b""

    @property
    def ended(self) -> bool:
        """Tell whether the end of the stream has come."""
        return self._stream.is_finished()

    def flush(self) -> bytes:
        """Return nothing: none is held back."""
        return b""


class Unpacker:
    """Give it a body in chunks; get it as it was before it was packed, in pieces of at most 64 KiB.

    `labels` are all values of Content-Encoding. Servers label wrongly: a body that is not packed, as `is_plain` tells
    by its first bytes, is let through under any label. Raises Refused: bad_encoding, and too_many_bytes where more than
    `max_bytes` of a packed body come in; what comes out is for the caller to count.
    """

    def __init__(self, labels: Iterable[str], *, max_bytes: int, is_plain: Callable[[bytes], object]) -> None:
        names = (name.strip().lower().removeprefix("x-") for label in labels for name in label.split(","))
        self._names = [name for name in names if name not in ("", "identity")]
        self._max_bytes, self._is_plain = max_bytes, is_plain
        self._start = b""
        self._decided = not self._names
        self._stream: Stream | None = None
        self.bytes = 0  # that came in

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next chunk; yield what is in it."""
        self.bytes += len(chunk)
        if not self._decided:
            chunk, self._start = self._start + chunk, b""
            if len(chunk) < ENOUGH:
                self._start = chunk
                return
            self._decide(chunk)
        yield from self._unpacked(chunk)

    def end(self) -> Iterator[bytes]:
        """Yield what was held back, once no more will come. A packed body cut short is judged by what it gave."""
        if self._start:
            self._decide(self._start)
            yield from self._unpacked(self._start)
        if self._stream is not None:
            yield self._stream.flush()

    @property
    def cut_short(self) -> bool:
        """Tell whether a packed body has come without its end."""
        return self._stream is not None and not self._stream.ended

    def _decide(self, start: bytes) -> None:
        self._decided = True
        if self._is_plain(start):
            return
        if self._names == ["gzip"]:
            self._stream = Zlib(31) if start.startswith(GZIP) else None
        elif self._names == ["deflate"]:  # RFC 9110, 8.4.1.2: some send it without zlib's two bytes
            self._stream = Zlib(15 if start[0] & 15 == 8 else -15)
        elif self._names == ["br"]:
            self._stream = Brotli()
        else:
            raise Refused("bad_encoding", f"{', '.join(self._names)[:40]!a}")

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        if self._stream is None:
            yield chunk
            return
        over = max(0, self.bytes - self._max_bytes)
        chunk = chunk[: max(0, len(chunk) - over)]  # however it arrived, the same bytes are looked at
        try:
            yield from self._stream.pieces(chunk)
        except (zlib.error, brotli.error):
            raise Refused("bad_encoding", f"no {self._names[0]}") from None
        if over:
            raise Refused("too_many_bytes", f"more than {self._max_bytes}")


def is_image(start: bytes) -> bool:
    """Tell whether an image begins so."""
    return IMAGE.match(start) is not None


def is_text(start: bytes) -> bool:
    """Tell whether a text in UTF-8 begins so, which may stop within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return NO_TEXT.search(start) is None


def unpacked_text(body: bytes, labels: list[str], *, max_bytes: int) -> bytes:
    """Return as much of a text as the cap lets through, both in and out; a gzip file needs no label.

    Raises Refused, also where the packed text ends before its end: what is missing may be what forbids.
    """
    if body.startswith(GZIP) and not labels:
        labels = ["gzip"]
    unpacker = Unpacker(labels, max_bytes=max_bytes, is_plain=is_text)
    text = bytearray()
    for piece in chain(unpacker.feed(body[:max_bytes]), unpacker.end()):
        text += piece
        if len(text) >= max_bytes:
            break
    if unpacker.cut_short and max(len(body), len(text)) < max_bytes:
        raise Refused("bad_encoding", "ends before its end")
    return bytes(text[:max_bytes])
