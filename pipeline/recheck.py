"""`corgi recheck`: ask again, later, whether what was stored may still be trained on. Nothing of the run is changed.

Each host is asked for its robots.txt, tdmrep.json and ai.txt as a download asks, and each url for its headers alone.
What is found stands in 00042.recheck.parquet; who objects is put on a list that `corgi takedown` takes.
"""

import asyncio
import shlex
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from aiohttp import ClientResponse

from configs import UserError, fingerprint
from configs.steps import StepEntry
from storage import pairs
from storage.atomic import committing
from storage.pairs import OK
from storage.plan import shards_of
from storage.shard import PAIRS, Shard
from storage.tables import content, read_table, write_table

from .download.config import DownloadConfig
from .download.fetch import Answer, Fetcher, Visit
from .download.guarded import WINDOW
from .download.opt_outs import said_in_headers
from .download.reasons import Refused
from .download.wishes import NO_RULES
from .runner import Outcome, run_shards
from .step import ShardStep, State

VERSION = 1
OBJECTIONS = "objections.txt"  # in the run's folder
MOST_TOLD = 10  # words of hosts
ENTRY = StepEntry(
    "recheck", "shard", "Ask again whether what is stored may be trained on.", ".recheck.parquet", reads=(PAIRS,)
)


class Asker(Fetcher):
    """Asks what a fetcher asks, but for no image: a byte of it at most."""

    further_headers: ClassVar[Mapping[str, str]] = {"Range": "bytes=0-0"}

    async def _read(self, visit: Visit, response: ClientResponse) -> None:
        """Read the headers of a good answer."""
        if response.status not in (200, 206):
            raise Refused(f"http_{response.status}")
        words = said_in_headers(response.headers, self._config)
        if words is not None:
            raise Refused("opt_out", words)


@dataclass(frozen=True)
class Recheck(ShardStep):
    """00042.parquet -> 00042.recheck.parquet: key, status (ok, or the reason of a download), detail, objects."""

    entry = ENTRY
    download: DownloadConfig
    days: float  # an answer is asked for again when it is as old

    def fingerprint(self, shard: Shard) -> str:
        """Cover what counts as an objection, and what is stored."""
        config = self.download
        said = [config.agent, config.robots, config.opt_out, config.opt_out_directives, config.opt_out_agents]
        return fingerprint("recheck", VERSION, *said, config.opt_out_protocols, content(shard.name(PAIRS)))

    def state(self, shard: Shard) -> State:
        """Return where a shard stands; answers that are too old are stale."""
        state = super().state(shard)
        is_old = state == "done" and time.time() - shard.path(self.writes).stat().st_mtime >= self.days * 86_400
        return "stale" if is_old else state

    def __call__(self, shard: Shard) -> Counter[str]:
        """Ask for every stored pair that has a url; count the answers."""
        stored = pairs.stored(shard, ["key", "url"])
        stored = stored.filter(pc.match_substring_regex(stored["url"], "(?i)^https?://"))
        visits = asyncio.run(_ask_all(self.download, stored["url"].to_pylist()))
        refused = [visit.refused for visit in visits]
        table = pa.table(
            {
                "key": stored["key"],
                "status": pa.array([OK if each is None else each.reason for each in refused], pa.string()),
                "detail": pa.array([each.detail or None if each else None for each in refused], pa.string()),
                "objects": pa.array([each is not None and is_objection(each) for each in refused], pa.bool_()),
            }
        )
        write_table(shard.path(self.writes), table, fingerprint=self.fingerprint(shard))
        return Counter(table["status"].to_pylist())


def is_objection(refused: Refused) -> bool:
    """Tell whether a host said no. One whose robots.txt cannot be read is not asked, but has said nothing either."""
    return refused.reason == "opt_out" or (refused.reason == "robots_txt" and not refused.detail.startswith(NO_RULES))


async def _ask_all(config: DownloadConfig, urls: Sequence[str]) -> list[Visit]:
    visits: list[Visit] = []
    under_way: deque[asyncio.Task[Visit]] = deque()
    async with Asker(config) as asker:
        try:
            for url in urls:
                if len(under_way) >= WINDOW * config.connections:
                    visits.append(await under_way.popleft())
                under_way.append(asyncio.create_task(asker.visit(url, finish=_nothing_more)))
            while under_way:
                visits.append(await under_way.popleft())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
    return visits


async def _nothing_more(answer: Answer) -> None:
    """Finish at once: headers are all that was asked for."""


def recheck(
    run: Path, config: DownloadConfig, *, days: float, rank: int = 0, world_size: int = 1, workers: int = 1
) -> Outcome:
    """Ask for this rank's share of a run. Raises UserError where the config says that no wish counts."""
    if config.robots == "ignore" and config.opt_out == "ignore":
        raise UserError("download.robots and download.opt_out both say ignore: there is nothing to ask for")
    step = Recheck(config, days)
    return run_shards(step, shards_of(run), rank=rank, world_size=world_size, workers=workers)


def list_objections(run: Path) -> list[str]:
    """Write OBJECTIONS, of all shards that were asked for; return lines for a person.

    The list has a pair's key a line, under the words of its host as a comment: what `corgi takedown` takes.
    """
    keys_by_words, asked = dict[str, list[str]](), 0
    for table in _answers(run):
        asked += len(table)
        for row in table.filter(table["objects"]).to_pylist():
            words = " ".join((row["detail"] or row["status"]).split())
            keys_by_words.setdefault(words, []).append(row["key"])
    path, count = run / OBJECTIONS, sum(map(len, keys_by_words.values()))
    with committing(path) as scratch:
        scratch.write_text("".join("\n".join([f"# {words}", *keys, ""]) for words, keys in keys_by_words.items()))
    most = sorted(keys_by_words.items(), key=lambda item: -len(item[1]))[:MOST_TOLD]
    told = [f"{len(keys):>9,}  {words}" for words, keys in most]
    if count:
        told.append(f"to take them down: corgi takedown {shlex.quote(str(path))} --run {shlex.quote(str(run))}")
    return [f"{count:,} of {asked:,} stored pairs with a url are of hosts that object by now: {path}", *told]


def _answers(run: Path) -> Iterator[pa.Table]:
    paths = (shard.path(ENTRY.writes) for shard in shards_of(run))
    return (read_table(path, made_by="recheck") for path in paths if path.exists())
