"""What a host wishes: its robots.txt, and the files beside it that reserve rights, each asked once a host.

robots.txt: 200                what it says         401, 403, 404 and other 4xx   everything is allowed
            429, 5xx, silence  nothing is allowed   cannot be reached at all      the pair is lost for that reason
the others: 200                what they say        anything else                 nothing is reserved
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from yarl import URL

from .config import DownloadConfig
from .opt_outs import signal_word, tdmrep_as_robots, usage_word
from .reasons import Refused
from .robots import Rules, rules_for, use_rules_for

NO_RULES = "its robots.txt: "  # a robots.txt that cannot be read: nothing is allowed, but nobody said so
MAX_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB must be read; the rest is ignored
KEEP_S = 24 * 3600  # RFC 9309, 2.4: no longer than a day
KEEP_FILES = 150_000
NOT_REACHED = ("dns", "connect", "tls", "private_address")
RESERVING = {"tdmrep": "/.well-known/tdmrep.json", "ai.txt": "/ai.txt"}  # protocol -> file


class FileAnswer(NamedTuple):
    """What a host says when asked for one of its files, redirects followed."""

    status: int
    text: str


class Said(NamedTuple):
    """What one file says to us. Each rule that forbids has its reason and its words."""

    rules: Sequence[tuple[str, str, Rules]] = ()

    def check(self, url: URL) -> None:
        """Raise Refused for the first rule that forbids `url`."""
        for reason, words, rules in self.rules:
            if not rules.allow(str(url)):
                raise Refused(reason, words)


class _Kept(NamedTuple):
    said: Said
    until: float


# `ask(url, patient)` fetches one file and raises Refused; it tries again only if it is to be patient.
Ask = Callable[[URL, bool], Awaitable[FileAnswer]]
# Kept over the shards a process works on; one memory per config, whose resolver map decides what a name leads to.
_kept: dict[str, dict[str, _Kept]] = {}


class Wishes:
    """`await wishes.check(url)` before a url is asked for."""

    def __init__(self, config: DownloadConfig, *, ask: Ask) -> None:
        self._ask = ask
        self._agents = list(dict.fromkeys([config.agent, *(agent.lower() for agent in config.opt_out_agents)]))
        self._honour = config.robots == "honour"
        self._protocols = config.opt_out_protocols if config.opt_out == "honour" else ()
        self._asks_robots = self._honour or "content-signal" in self._protocols or "content-usage" in self._protocols
        self._kept = _kept.setdefault(config.model_dump_json(), {})
        self._asking: dict[str, asyncio.Task[Said]] = {}

    async def check(self, url: URL) -> None:
        """Raise Refused if the host does not want this url to be fetched, or its image to be trained on."""
        origin = url.origin()
        if self._asks_robots:
            (await self._once(origin.with_path("/robots.txt"), self._read_robots)).check(url)
        files = [(origin.with_path(RESERVING[name]), name) for name in self._protocols if name in RESERVING]
        for said in await asyncio.gather(*(self._once(file, self._reader_of(name)) for file, name in files)):
            said.check(url)

    async def close(self) -> None:
        """Stop questions that nobody waits for any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _once(self, file: URL, read: Callable[[URL], Awaitable[Said]]) -> Said:
        name = str(file)
        kept = self._kept.get(name)
        if kept is not None and kept.until > time.monotonic():
            return kept.said
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._read_and_keep(file, read))
        return await asyncio.shield(self._asking[name])

    async def _read_and_keep(self, file: URL, read: Callable[[URL], Awaitable[Said]]) -> Said:
        said = await read(file)
        if len(self._kept) >= KEEP_FILES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[str(file)] = _Kept(said, time.monotonic() + KEEP_S)
        return said

    async def _read_robots(self, file: URL) -> Said:
        try:
            answer = await self._ask(file, True)
            if answer.status == 429 or answer.status >= 500:
                raise Refused(f"http_{answer.status}")
        except Refused as refused:
            if not self._honour:
                return Said()
            if refused.reason in NOT_REACHED:
                raise
            raise Refused("robots_txt", f"{NO_RULES}{refused.reason}") from None
        return Said(self._robots_rules(answer.text, file.raw_host or "")) if answer.status == 200 else Said()

    def _robots_rules(self, text: str, host: str) -> list[tuple[str, str, Rules]]:
        fetch = rules_for(text, self._agents) if self._honour else []
        said = [("robots_txt", f"{host} disallows it to {rules.agent}", rules) for rules in fetch]
        for protocol, words, word_of in (
            ("content-signal", "ai-train=no", signal_word),
            ("content-usage", "train-ai=n", usage_word),
        ):
            if protocol in self._protocols:
                use = use_rules_for(text, self._agents, field=protocol, word_of=word_of)
                said += [("opt_out", f"{protocol} {words} (robots.txt)", rules) for rules in use]
        return said

    def _reader_of(self, protocol: str) -> Callable[[URL], Awaitable[Said]]:
        async def read(file: URL) -> Said:
            try:
                answer = await self._ask(file, False)
            except Refused:
                return Said()
            text = (
                answer.text if answer.status == 200 and not answer.text.lstrip("\ufeff \r\n\t").startswith("<") else ""
            )
            if protocol == "tdmrep":
                text, words = tdmrep_as_robots(text), f"tdmrep tdm-reservation=1 ({file.raw_path})"
            else:
                words = "ai.txt disallow"
            return Said([("opt_out", words, rules) for rules in rules_for(text, self._agents)])

        return read
