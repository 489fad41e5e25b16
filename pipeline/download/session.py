"""Connections and what is sent over them, and answers that are not quite HTTP, read as browsers read them.

aiohttp refuses a whole answer for one line without a colon, a space before a colon, no name at all, or bytes after the
body; with its two parsers it even refuses different ones, and some by how the bytes were cut. None of this keeps an
image from being seen, so a head is put right before it is parsed, and is parsed before anything of the body is.
"""

import asyncio
import re
import resource
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine, LineTooLong

from .config import DownloadConfig
from .resolver import Resolver

ACCEPT = "image/webp,image/png,image/jpeg,image/*;q=0.5,*/*;q=0.1"
MOST_IDLE = 512  # connections that wait for the next url of their host; half of the descriptors where those are few
MAX_HEAD_BYTES = 65_536  # of all headers of an answer together
HEAD_END = re.compile(rb"\n\r?\n")
INTERIM = re.compile(rb"HTTP/\d\.\d 1(?!01)\d\d")  # another head follows: RFC 9110, 15.2
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def open_session(config: DownloadConfig, resolver: Resolver) -> aiohttp.ClientSession:
    """Return a session that connects to what `resolver` has checked. It is made where an event loop runs."""
    connector = SparingConnector(
        resolver=resolver,
        socket_factory=resolver.open_socket,
        use_dns_cache=False,  # the resolver keeps what it checked
        limit=0,  # turns are given by host_limits.py
    )
    # aiohttp has no public way to this.
    connector._factory = partial(TolerantHandler, loop=asyncio.get_running_loop())  # type: ignore[assignment]
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=config.connect_s, sock_read=config.first_byte_s),
        headers={"User-Agent": config.user_agent, "Accept": ACCEPT, "Accept-Encoding": "identity"},
        auto_decompress=False,  # it knows no cap on what comes out: packed.py does
        cookie_jar=aiohttp.DummyCookieJar(),  # what one pair was told changes nothing for the next
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEAD_BYTES,
    )


class SparingConnector(aiohttp.TCPConnector):
    """Keeps some connections open for later: a shard has thousands of hosts, a process often 1,024 descriptors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._most_idle = min(MOST_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if sum(map(len, self._conns.values())) > self._most_idle:
            oldest = next(iter(self._conns))  # the host that has kept one for longest
            idle, _ = self._conns[oldest].popleft()
            idle.close()
            if not self._conns[oldest]:
                del self._conns[oldest]


class TolerantHandler(ResponseHandler):
    """Gives aiohttp's parser every head whole and put right, then the body as it comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head: bytearray | None = None  # what came of a head; None outside of heads
        self._interim_bytes = 0  # of the heads before the answer's own

    def set_response_params(self, **params: Any) -> None:
        """Expect a head: a request is about to be sent."""
        self._head, self._interim_bytes = bytearray(), 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what the server sent, however it was cut."""
        in_head = self._head is not None
        while self._head is not None and data:
            data = self._take_head(data)
        if in_head and not data:
            return
        if data and self._payload is not None and self._payload.is_eof():
            self._hang_up()  # bytes after the body answer nothing, least of all the next request
        else:
            super().data_received(data)
            self._end_broken_body()

    def _end_broken_body(self) -> None:
        """Tell who reads the body that its chunks cannot be read: aiohttp tells nobody, and the reader would wait."""
        if self.exception() is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError("no chunks that can be read"))

    def _take_head(self, data: bytes) -> bytes:
        """Take what belongs to a head; return what comes after it."""
        assert self._head is not None
        self.start_timeout()  # it measures silence
        searched = max(0, len(self._head) - len(b"\n\r"))
        self._head += data if self._head else data.lstrip(b"\r\n")
        head = self._head
        end = HEAD_END.search(head, searched)
        if not head.startswith(b"HTTP/"[: len(head)]):
            return self._refuse(BadStatusLine())
        if self._interim_bytes + (end.end() if end else len(head)) > MAX_HEAD_BYTES:
            return self._refuse(LineTooLong(b"all headers", MAX_HEAD_BYTES))
        if end is None:
            return b""
        first, rest = bytes(head[: end.end()]), bytes(head[end.end() :])
        self._head = None
        if INTERIM.match(first):
            self._head = bytearray()
            self._interim_bytes += len(first)
        try:
            super().data_received(put_right(first))
        except BadHttpMessage as error:
            return self._refuse(error)
        return rest

    def _refuse(self, error: BadHttpMessage) -> bytes:
        self._head = None
        self.set_exception(error)
        self._hang_up()
        return b""

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()  # the handler's own close() forgets why


def put_right(head: bytes) -> bytes:
    """Return a head without what is no header, spaces before colons, and lengths that are said again.

    Raises BadHttpMessage for two lengths (RFC 9112, 6.3): nobody knows where the body ends.
    """
    status, *lines = head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    headers: list[bytes] = []
    lengths: set[bytes] = set()
    dropped = False
    for line in lines:
        folded = line.startswith((b" ", b"\t"))  # it continues the line before, and is dropped with it
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if not folded:
            dropped = not (colon and NAME.fullmatch(name))
            if name.lower() == b"content-length":
                dropped = dropped or value.strip() in lengths
                lengths.add(value.strip())
        if not dropped:
            headers.append(line if folded else name + colon + value)
    if len(lengths) > 1:
        raise BadHttpMessage("two lengths")
    return b"\r\n".join([status, *headers, b"", b""])
