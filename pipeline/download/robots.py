"""What a host wishes: robots.txt, asked once a host (RFC 9309), and opt-outs in the headers of an answer.

200               what it says         401, 403, 404 and other 4xx   everything is allowed
429, 5xx, silence nothing is allowed   cannot be reached at all      the pair is lost for that reason

X-Robots-Tag: noai, noimageai          X-Robots-Tag: otherbot: noindex, corgi: noai
X-Robots-Tag: noindex;                 X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai
TDM-Reservation: 1
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from protego import Protego
from yarl import URL

from .config import DownloadConfig
from .reasons import Refused

MAX_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB must be read; the rest is ignored
KEEP_S = 24 * 3600  # RFC 9309, 2.4: no longer than a day
KEEP_HOSTS = 50_000
AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent[:\s]+(?P<agent>[^#]*)", re.IGNORECASE)  # as generous as protego is
SOMEBODY_ELSE = "User-agent: somebody/else"  # no agent of ours has a slash
AGENT = re.compile(r"\*|[a-z][a-z0-9_.\-]*")  # no spaces: the rest of a date with a colon is no agent
WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
NOT_REACHED = ("dns", "connect", "tls", "private_address")


class RobotsAnswer(NamedTuple):
    """What a host says when asked for its robots.txt, redirects followed."""

    status: int
    text: str


Ask = Callable[[URL], Awaitable[RobotsAnswer]]


def for_agent(text: str, agent: str) -> str:
    """Return a robots.txt that says the same to `agent` (lower case) and nothing to others.

    The parser keeps every rule once for each agent of its group: a thousand agents before ten thousand rules, in half a
    megabyte, would fill the memory.
    """
    return "\n".join(_line_for(line, agent) for line in text.splitlines())


def _line_for(line: str, agent: str) -> str:
    named = AGENT_LINE.match(line)
    if named is None or not named["agent"].strip():
        return line
    name = named["agent"].strip().lower()
    bare = name.replace("*", "")
    return f"User-agent: {bare or name}" if name == "*" or (bare and bare in agent) else SOMEBODY_ELSE


class _Kept(NamedTuple):
    rules: Protego | None  # None: everything is allowed
    until: float


# Kept over the shards a process works on; one memory per config, whose resolver map decides what a name leads to.
_kept: dict[str, dict[str, _Kept]] = {}


class Robots:
    """`await robots.check(url)` before a url is asked for. `ask` fetches a robots.txt and raises Refused."""

    def __init__(self, config: DownloadConfig, *, ask: Ask) -> None:
        self._ask = ask
        self._agent = config.agent
        self._honour = config.robots == "honour"
        self._kept = _kept.setdefault(config.model_dump_json(), {})
        self._asking: dict[str, asyncio.Task[Protego | None]] = {}

    async def check(self, url: URL) -> None:
        """Raise Refused if the host does not want this url to be fetched."""
        if not self._honour:
            return
        rules = await self._rules(str(url.origin()))
        if rules is not None and not rules.can_fetch(str(url), self._agent):
            raise Refused("robots_txt", f"{url.raw_host} disallows it to {self._agent}")

    async def close(self) -> None:
        """Stop questions that nobody waits for any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _rules(self, origin: str) -> Protego | None:
        kept = self._kept.get(origin)
        if kept is not None and kept.until > time.monotonic():
            return kept.rules
        if origin not in self._asking:
            self._asking[origin] = asyncio.create_task(self._read(origin))
        return await asyncio.shield(self._asking[origin])

    async def _read(self, origin: str) -> Protego | None:
        try:
            answer = await self._ask(URL(origin).with_path("/robots.txt"))
        except Refused as refused:
            if refused.reason in NOT_REACHED:
                raise
            raise Refused("robots_txt", f"its robots.txt: {refused.reason}") from None
        if answer.status == 429 or answer.status >= 500:
            raise Refused("robots_txt", f"its robots.txt: http_{answer.status}")
        rules = Protego.parse(for_agent(answer.text, self._agent)) if answer.status == 200 else None
        self._keep(origin, rules)
        return rules

    def _keep(self, origin: str, rules: Protego | None) -> None:
        if len(self._kept) >= KEEP_HOSTS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[origin] = _Kept(rules, time.monotonic() + KEEP_S)


def opted_out(
    x_robots: Iterable[str], tdm: Iterable[str], *, agents: Collection[str], directives: Collection[str]
) -> str | None:
    """Return the first directive that forbids the use, None where nothing does.

    `x_robots` and `tdm` are all values of the two headers; `agents` are the names meant for us and `directives` the
    words that count, both lower-cased.
    """
    if "tdm-reservation" in directives and any(value.strip() == "1" for value in tdm):
        return "tdm-reservation"
    for value in x_robots:
        for agent, directive in _directives(value.lower()):
            if directive in directives and (agent is None or agent == "*" or agent in agents):
                return directive
    return None


def _directives(value: str) -> Iterator[tuple[str | None, str]]:
    """Yield (agent, directive) pairs; an agent holds for all that follows it in the value, until the next agent."""
    agent = None
    for part in re.split("[,;]", value):
        head, colon, rest = part.strip().partition(":")
        if not colon:
            yield agent, head.strip()
        elif head.strip() not in WITH_VALUE and AGENT.fullmatch(head.strip()):
            agent = head.strip()
            yield agent, rest.strip()
