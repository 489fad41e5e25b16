"""Hosts that do not answer: after some urls in a row that got no answer, the others of that host are given up at once.

Which urls are given up follows from the planned order and from what became of earlier ones, never from who was faster:
url k of a host is given up if among its urls 0 to k - LAG enough in a row had no answer. It waits while that is open,
which it is not for a slow url among good ones. An equal web gives equal outcomes, whatever the number of connections.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .reasons import Refused

LAG = 16  # urls of a host that are tried beside and after a row that got no answer
NO_ANSWER = ("connect", "timeout")  # where no head of an answer came


class _Host:
    """The planned urls of one host, in their order."""

    def __init__(self) -> None:
        self.urls = 0  # have been given a place
        self.ended: dict[int, str | None] = {}  # url -> why it got no answer, None if it got one; not those in order
        self.in_order = 0  # so many have ended without a gap
        self.in_a_row = 0  # so many of these at the end got no answer
        self.given_up: tuple[int, str] | None = None  # the last of the first row that was long enough, and its reason
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


class Place(NamedTuple):
    """A planned url among those of its host."""

    host: _Host
    number: int


class SilentHosts:
    """Knows the hosts of one shard. failures: urls in a row; 0 gives up none."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def place(self, origin: str) -> Iterator[Place]:
        """Give a url its place; to be called in planned order. It counts as answered unless `fail` says otherwise."""
        host = self._hosts.setdefault(origin, _Host())
        place = Place(host, host.urls)
        host.urls += 1
        try:
            yield place
        finally:
            host.ended.setdefault(place.number, None)
            self._settle(host)

    def fail(self, place: Place, reason: str) -> None:
        """Say that a url got no answer for this reason."""
        place.host.ended[place.number] = reason

    async def check(self, place: Place) -> None:
        """Wait until it is known whether the url is to be asked for. Raises Refused where its host is given up."""
        host, number = place
        if self._failures == 0:
            return
        if self._is_open(host, number):
            known = asyncio.get_running_loop().create_future()
            host.waiting.append((number, known))
            await known
        if host.given_up is not None and number - LAG >= host.given_up[0]:
            raise Refused(host.given_up[1], f"host gave up after {self._failures} failures")

    def _is_open(self, host: _Host, number: int) -> bool:
        """Tell whether what is under way may still be part of a row that gives up this url."""
        if host.given_up is not None and number - LAG >= host.given_up[0]:
            return False
        in_a_row = host.in_a_row
        for earlier in range(host.in_order, number - LAG + 1):
            answered = earlier in host.ended and host.ended[earlier] is None
            in_a_row = 0 if answered else in_a_row + 1
            if in_a_row >= self._failures:
                return True
        return False

    def _settle(self, host: _Host) -> None:
        """Count what has ended in planned order, and let those go on for whom all is known."""
        while host.in_order in host.ended:
            reason = host.ended.pop(host.in_order)
            host.in_a_row = host.in_a_row + 1 if reason is not None else 0
            if reason is not None and host.in_a_row == self._failures and host.given_up is None:
                host.given_up = host.in_order, reason
            host.in_order += 1
        while host.waiting and not self._is_open(host, host.waiting[0][0]):
            _, known = host.waiting.popleft()
            if not known.done():  # cancelled with its shard
                known.set_result(None)
