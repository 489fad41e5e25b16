"""One url through the guard, the host's wishes, redirects, attempts and caps, to the whole body of what looks like an
image that is wanted. The order of all checks stands in reasons.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Self

import aiohttp
from aiohttp import ClientResponse, hdrs
from yarl import URL

from storage.stats import Effort

from .body import Body, left_over
from .config import DownloadConfig
from .guard import Allowed, address_in, check_address, check_url
from .header import Header
from .host_limits import HostLimits, jittered, retry_after_s
from .network_errors import NETWORK_ERRORS, as_refused
from .opt_outs import said_in_headers
from .packed import Unpacker, is_image, unpacked_text
from .reasons import Refused, Transient
from .resolver import Lookup, Resolver
from .session import open_session
from .silent_hosts import NO_ANSWER, SilentHosts
from .wishes import MAX_BYTES, NOT_REACHED, FileAnswer, Wishes

REDIRECTS = (301, 302, 303, 307, 308)
CONTENT_TYPE_CHARS = 100


@dataclass
class Answer:
    """What the last attempt met. Nothing here depends on time, but `Effort` does."""

    url: str  # the last one asked for
    http_status: int | None = None
    content_type: str | None = None
    header: Header | None = None
    data: bytes | None = None  # the whole body


@dataclass
class Visit:
    """One url's way. `refused` is None where all went well."""

    answer: Answer
    effort: Effort = field(default_factory=Effort)
    refused: Refused | None = None


Check = Callable[[URL], Awaitable[None]]
Read = Callable[[Visit, ClientResponse], Awaitable[None]]
Finish = Callable[[Answer], Awaitable[None]]


class Fetcher:
    """`async with Fetcher(config) as fetcher: visit = await fetcher.visit(url, finish)`; many visits at once.

    It is made where an event loop runs.
    """

    further_headers: ClassVar[Mapping[str, str]] = {}  # of requests for images

    def __init__(self, config: DownloadConfig, *, lookup: Lookup | None = None) -> None:
        self._config = config
        self._allowed = [Allowed.parse(text) for text in config.allow_addresses]
        self._resolver = Resolver(config, lookup=lookup)
        self._host_limits = HostLimits(config)
        self._silent_hosts = SilentHosts(config.host_failures)
        self._wishes = Wishes(config, ask=self._ask_file)
        self.anybody_answered = False  # whether any answer has come so far
        self._session = open_session(config, self._resolver)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wishes.close()
        await self._resolver.close()
        await self._session.close()

    async def visit(self, url: str, *, finish: Finish) -> Visit:
        """Fetch `url`; never raise Refused, but say so in the visit. Visits begin in planned order.

        `finish` gets the answer with its whole body while its turn still bounds how many bodies are in memory; what it
        refuses counts like what the server did.
        """
        visit = Visit(Answer(url))
        origin = _origin(url)
        with self._silent_hosts.place(origin) as place:
            try:
                await self._silent_hosts.check(place)
                await self._attempt_all(visit, lambda: self._follow(visit, url, self._wishes.check, self._read, finish))
            except Refused as refused:
                visit.refused = refused
                silent = refused.reason in NO_ANSWER and visit.answer.http_status is None
                if silent and visit.answer.url.startswith(f"{origin}/"):  # not one that it redirected to
                    self._silent_hosts.fail(place, refused.reason)
        return visit

    async def _attempt_all(self, visit: Visit, attempt: Callable[[], Awaitable[None]]) -> None:
        """Run attempts until one succeeds, a reason is final, or patience ends."""
        effort, config, url = visit.effort, self._config, visit.answer.url
        while True:
            effort.attempts += 1
            try:
                return await attempt()
            except Transient as refused:
                backoff_s = jittered(config.backoff_s * 2 ** (effort.attempts - 1), url, effort.attempts)
                wait_s = backoff_s if refused.after_s is None else refused.after_s
                too_long = refused.after_s is not None and wait_s > config.max_retry_after_s
                if effort.attempts > config.retries or too_long or effort.seconds + wait_s > config.total_s:
                    raise
                effort.seconds += wait_s
                await asyncio.sleep(wait_s)

    async def _follow(self, visit: Visit, url: str, check: Check, read: Read, finish: Finish) -> None:
        """Make one attempt, redirects followed by hand: every hop is checked like the first."""
        visit.answer = Answer(url)
        at = check_url(url)
        for _ in range(self._config.max_redirects + 1):
            visit.answer = Answer(str(at))
            self._check_literal(at)
            await check(at)
            async with self._host_limits.turn(at.raw_host or ""):
                async with self._clock(visit):
                    location = await self._ask(visit, at, read)
                if location is None:
                    return await finish(visit.answer)
            at = check_url(location, base=at)
        raise Refused("too_many_redirects", f"more than {self._config.max_redirects}")

    def _check_literal(self, url: URL) -> None:
        """Check an address that is written into the url; names are checked by the resolver."""
        if (address := address_in(url.raw_host or "")) is not None:
            check_address(address, port=url.port or 0, allowed=self._allowed)

    @asynccontextmanager
    async def _clock(self, visit: Visit) -> AsyncIterator[None]:
        """Give a request what is left of the url's time, over all its requests; put network errors into our words."""
        began = asyncio.get_running_loop().time()
        visit.effort.requests += 1
        try:
            async with asyncio.timeout(self._config.total_s - visit.effort.seconds):
                yield
        except NETWORK_ERRORS as error:
            raise as_refused(error, answered=visit.answer.http_status is not None) from None
        finally:
            visit.effort.seconds += asyncio.get_running_loop().time() - began

    async def _ask(self, visit: Visit, url: URL, read: Read) -> str | None:
        """Make one request. Return where a redirect points to, None where the answer was read."""
        headers = self.further_headers if read == self._read else {}
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            visit.answer.http_status = response.status
            self.anybody_answered = True
            visit.answer.content_type = _text(response.headers.get(hdrs.CONTENT_TYPE), max_chars=CONTENT_TYPE_CHARS)
            location = response.headers.get(hdrs.LOCATION)
            if response.status in REDIRECTS and location is not None:
                return location
            if response.status in self._config.retry_statuses:
                raise self._come_again(response, url)
            await read(visit, response)
            return None

    def _come_again(self, response: ClientResponse, url: URL) -> Transient:
        if (after_s := retry_after_s(response.headers.get(hdrs.RETRY_AFTER))) is not None:
            self._host_limits.pause(url.raw_host or "", for_s=min(after_s, self._config.max_retry_after_s))
        return Transient(f"http_{response.status}", after_s=after_s)

    async def _read(self, visit: Visit, response: ClientResponse) -> None:
        """Read the whole body of a good answer into `visit.answer`; give up as early as the answer allows."""
        if response.status != 200:
            raise Refused(f"http_{response.status}")
        if (words := said_in_headers(response.headers, self._config)) is not None:
            raise Refused("opt_out", words)
        if (response.content_length or 0) > self._config.max_bytes:
            raise Refused("too_many_bytes", f"{response.content_length} announced")
        body = Body(self._config.limits, max_bytes=self._config.max_bytes)
        labels = response.headers.getall(hdrs.CONTENT_ENCODING, [])
        unpacker = Unpacker(labels, max_bytes=self._config.max_bytes, is_plain=is_image)
        try:
            async for chunk in response.content.iter_any():
                _feed(body, unpacker.feed(chunk))
            _feed(body, unpacker.end())
            visit.answer.data = body.end()
        except aiohttp.ClientError:
            _feed(body, unpacker.feed(left_over(response.content)))
            raise
        finally:
            visit.answer.header = body.header
            visit.effort.bytes += unpacker.bytes

    async def _ask_file(self, url: URL, patient: bool) -> FileAnswer:
        """Fetch a file of wishes by the same guard and redirects as an image, and if `patient` as often."""
        visit = Visit(Answer(str(url)))

        async def attempt() -> None:
            await self._follow(visit, str(url), _anything, _read_text, _nothing_more)

        try:
            await (self._attempt_all(visit, attempt) if patient else attempt())
        except Refused as refused:
            elsewhere = URL(visit.answer.url).origin() != url.origin()
            reason = "robots_txt" if elsewhere and refused.reason in NOT_REACHED else refused.reason
            raise Refused(reason, refused.detail) from None  # final, after all attempts
        assert visit.answer.http_status is not None
        return FileAnswer(visit.answer.http_status, (visit.answer.data or b"").decode("utf-8-sig", "replace"))


def _origin(url: str) -> str:
    """Return scheme, host and port of a url, "" where it is none."""
    try:
        return str(check_url(url).origin())
    except Refused:
        return ""


def _feed(body: Body, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        body.feed(piece)


async def _read_text(visit: Visit, response: ClientResponse) -> None:
    """Read as much of a file of wishes as must be read."""
    text = bytearray()
    async for chunk in response.content.iter_any():
        text += chunk
        if len(text) > MAX_BYTES:
            break
    labels = response.headers.getall(hdrs.CONTENT_ENCODING, [])
    visit.answer.data = unpacked_text(bytes(text), labels, max_bytes=MAX_BYTES) if response.status == 200 else b""


async def _anything(url: URL) -> None:
    """Let every url through: files of wishes may always be asked for."""


async def _nothing_more(answer: Answer) -> None:
    """Finish at once: a file of wishes is whole when it is read."""


def _text(header: str | None, *, max_chars: int | None = None) -> str | None:
    """Return a header as text that every file can hold: servers send any bytes."""
    return None if header is None else header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:max_chars]
