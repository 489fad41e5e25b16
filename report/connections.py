"""Connections that nobody can hold, so that a client with hundreds of slow ones (slowloris) keeps no other away.

A connection has REQUEST_S from its opening, or from its last answer, until it is answered: so long may a request take,
however it dribbles. A client has so many connections at once. Where all are too many, the one that was answered longest
ago makes room.
"""

import asyncio
import resource
from collections import Counter, OrderedDict
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .rate import network

REQUEST_S = 15.0
TAKEN_S = 60.0  # more, for an answer to be taken over a slow line
MOST = 10_000  # connections
SPARE_FILES = 320  # of those that a process may open: for itself, and for connections that are accepted at once


class Room:
    """Who is connected: at most so many of one client, and so many in all. 0: any number of one client."""

    def __init__(self, of_one: int, *, in_all: int | None = None) -> None:
        self._of_one = of_one
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._in_all = in_all or (MOST if files < 0 else min(MOST, max(64, files - SPARE_FILES)))  # -1: no limit
        self._inside: OrderedDict[Connection, str] = OrderedDict()  # -> its client; answered longest ago first
        self._count = Counter[str]()

    def enter(self, connection: "Connection", client: str) -> bool:
        """Take a connection in, unless its client has too many already."""
        if self._of_one and self._count[client] >= self._of_one:
            return False
        if len(self._inside) >= self._in_all:
            oldest = next(iter(self._inside))
            self.leave(oldest)
            oldest.transport.abort()
        self._inside[connection] = client
        self._count[client] += 1
        return True

    def answered(self, connection: "Connection") -> None:
        """Remember that this one is of use."""
        if connection in self._inside:
            self._inside.move_to_end(connection)

    def leave(self, connection: "Connection") -> None:
        """Forget a connection."""
        client = self._inside.pop(connection, None)
        if client is not None:
            self._count[client] -= 1
            if not self._count[client]:
                del self._count[client]


class Connection(H11Protocol):
    """One connection, with a deadline."""

    room: ClassVar[Room]
    malformed: ClassVar[bytes]  # the whole answer to what is not HTTP
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there is no room."""
        super().connection_made(transport)
        if not self.room.enter(self, network(self.client[0] if self.client else "")):
            self.transport.abort()
        self._within(REQUEST_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        super().connection_lost(exc)
        self.room.leave(self)
        if self._timer:
            self._timer.cancel()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for this answer to be taken."""
        self.room.answered(self)
        self._within(REQUEST_S)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with the same guards as all else."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is half sent
            self.transport.abort()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # what it still says is of no use
        self.transport.write(self.malformed)
        self.transport.close()

    def _within(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._overdue, seconds)

    def _overdue(self, seconds: float) -> None:
        if self.transport.get_write_buffer_size() and seconds == REQUEST_S:
            self._within(TAKEN_S)
        else:
            self.transport.abort()


def bounded(room: Room, *, malformed: bytes) -> type[Connection]:
    """Return the protocol of one server."""
    own: dict[str, Any] = {"room": room, "malformed": malformed}
    return type("BoundedConnection", (Connection,), own)
