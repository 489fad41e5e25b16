"""A body as it arrives, given up as soon as its bytes tell that it is of no use."""

import aiohttp

from .config import Limits
from .header import Header, check_header, read_header
from .reasons import Refused

MAX_HEADER_BYTES = 1_000_000  # a longer one is read once, when the body is whole; looking at every chunk costs too much


class Body:
    """Collects chunks. However the bytes are cut into chunks, the same bytes end the same way."""

    def __init__(self, limits: Limits, *, max_bytes: int) -> None:
        self.data = bytearray()
        self.header: Header | None = None
        self._limits, self._max_bytes = limits, max_bytes
        self._undecided = True

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Raises Refused: the reasons of the first bytes, then too_many_bytes."""
        self.data += chunk
        if self._undecided:
            self._look(self.data[: min(self._max_bytes, MAX_HEADER_BYTES)], complete=False)
            self._undecided = self._undecided and len(self.data) < MAX_HEADER_BYTES
        if len(self.data) > self._max_bytes:
            raise Refused("too_many_bytes", f"more than {self._max_bytes}")

    def end(self) -> bytes:
        """Return the whole body, once no more will come. Raises Refused like `feed`."""
        if self._undecided:
            self._look(self.data, complete=True)
        return bytes(self.data)

    def _look(self, data: bytearray, *, complete: bool) -> None:
        try:
            self.header = read_header(data, complete=complete, formats=self._limits.formats)
            if self.header is not None:
                self._undecided = False
                check_header(self.header, self._limits)
        except Refused as refused:
            if refused.reason != "corrupt":
                raise
            self._undecided = False  # it is counted where it is decoded, after the hash is checked


def left_over(content: aiohttp.StreamReader) -> bytes:
    """Return what had arrived when the connection broke: without it, the outcome would depend on who was faster."""
    content.set_exception(None)  # type: ignore[arg-type]  # it hides the bytes that came before it
    return content.read_nowait()
