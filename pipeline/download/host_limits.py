"""Turns: how many requests run at once, in this process and to one host, and when it may be asked again."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

from .config import DownloadConfig


class _Host:
    """What is known of one host."""

    def __init__(self, slots: int) -> None:
        self.slots = asyncio.Semaphore(slots)
        self.free_at = 0.0  # loop time from which it may be asked again


class HostLimits:
    """`async with host_limits.turn(host): ...` around every request."""

    def __init__(self, config: DownloadConfig) -> None:
        self._all = asyncio.Semaphore(config.connections)
        self._slots, self._interval_s = config.host_connections, config.host_interval_s
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for the host first, so that a crowd before one slow host takes no connection from the others."""
        state = self._host(host)
        async with state.slots:
            await self._wait(state)
            async with self._all:
                yield

    def pause(self, host: str, *, for_s: float) -> None:
        """Let nobody ask this host for so long: it said Retry-After."""
        state = self._host(host)
        state.free_at = max(state.free_at, _now() + for_s)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = _Host(self._slots)
        return self._hosts[name]

    async def _wait(self, state: _Host) -> None:
        while (wait_s := state.free_at - _now()) > 0:  # it may have moved on while we slept
            await asyncio.sleep(wait_s)
        state.free_at = _now() + self._interval_s


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, by number or date; None where it says nothing."""
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):  # the year 99999999999999999999 is one a server may send
        return None


def jittered(wait_s: float, url: str, attempt: int) -> float:
    """Return a wait of 0.5 to 1.5 times as long, another one for each url and attempt, but the same on every run.

    Urls that failed together do not come back together.
    """
    digest = hashlib.sha256(f"{attempt} {url}".encode("utf-8", "surrogatepass")).digest()
    return wait_s * (0.5 + int.from_bytes(digest[:8], "big") / 2**64)


def _now() -> float:
    return asyncio.get_running_loop().time()
