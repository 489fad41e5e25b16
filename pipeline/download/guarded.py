"""A shard with our own fetcher: one event loop, many visits, outcomes in planned order whatever comes first."""

import asyncio
import gc
import hashlib
from collections import deque
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from storage.pairs import OK, Add, Outcome

from .block_lists import BlockLists, block_lists
from .config import DownloadConfig
from .decoders import Decoders, decoders_of_process
from .fetch import Answer, Fetcher, Visit
from .image import Stored
from .reasons import Refused
from .resolver import Lookup
from .uplink import FURTHER, Uplink

WINDOW = 16  # times `connections`: how many pairs may be under way or wait for a slower one before them
DECODERS = 2  # processes of a worker; at most so many images are in memory as pixels


class Expected(NamedTuple):
    """A digest that the table gives for a body."""

    algorithm: str
    digest: str  # hex, lower case


class Processed(NamedTuple):
    """A whole body after all that needs its bytes."""

    bytes: int
    sha256: str
    stored: Stored | None
    refused: Refused | None


def fetch_shard(
    config: DownloadConfig,
    planned: Sequence[dict[str, Any]],
    add: Add,
    *,
    decoders: int = DECODERS,
    lookup: Lookup | None = None,
) -> None:
    """Add the outcome of every planned pair, in order. `lookup` stands in for the system's resolver in tests.

    decoders: how many processes decode; nothing that is added depends on it.
    """
    _spare_modules()
    asyncio.run(_fetch_all(config, planned, add, decoders, lookup))


@cache  # done anew, it would keep the garbage of each shard
def _spare_modules() -> None:
    """Leave what is there by now, mostly modules, out of all garbage collections: a tenth of this process's time."""
    gc.freeze()


async def _fetch_all(
    config: DownloadConfig, planned: Sequence[dict[str, Any]], add: Add, count: int, lookup: Lookup | None
) -> None:
    blocks = block_lists(config.block_hashes)
    under_way: deque[asyncio.Task[Outcome]] = deque()
    uplink = Uplink(config.stop_after_hosts)
    decoders = decoders_of_process(count, config.limits)
    async with Fetcher(config, lookup=lookup) as fetcher:

        async def add_next() -> None:
            outcome = await under_way.popleft()
            uplink.note(outcome)
            if uplink.is_in_doubt:
                await asyncio.gather(*[*under_way][:FURTHER])
                uplink.decide(anybody_answered=fetcher.anybody_answered)
            add(outcome)

        try:
            for pair in planned:
                if len(under_way) >= WINDOW * config.connections:
                    await add_next()
                under_way.append(asyncio.create_task(_fetch_one(config, pair, fetcher, decoders, blocks)))
            while under_way:
                await add_next()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


async def _fetch_one(
    config: DownloadConfig, pair: dict[str, Any], fetcher: Fetcher, decoders: Decoders, blocks: BlockLists
) -> Outcome:
    expected = expected_of(pair, config)
    processed: Processed | None = None

    async def finish(answer: Answer) -> None:
        nonlocal processed
        assert answer.data is not None
        work = partial(process, answer.data, expected=expected, decoders=decoders, blocks=blocks)
        processed = await asyncio.get_running_loop().run_in_executor(decoders.threads, work)
        if processed.refused is not None:
            raise processed.refused

    return _outcome(await fetcher.visit(pair["url"], finish=finish), processed)


def expected_of(pair: dict[str, Any], config: DownloadConfig) -> Expected | None:
    """Return what the body should hash to; None where the table does not say or nobody asks."""
    digest = pair.get(config.verify_hash)  # "none" is a column of no table
    return Expected(config.verify_hash, str(digest).strip().lower()) if digest else None


def process(body: bytes, *, expected: Expected | None, decoders: Decoders, blocks: BlockLists) -> Processed:
    """Hash, then decode: an image that is blocked or not the one in the table need not be decoded."""
    digest = hashlib.sha256(body).hexdigest()
    stored, refused = None, None
    try:
        blocks.check_body(digest)
        if expected is not None and hashlib.new(expected.algorithm, body).hexdigest() != expected.digest:
            raise Refused("hash_mismatch", f"the table says {expected.digest}")
        image = decoders.store(body)
        blocks.check_image(image.data)
        stored = image
    except Refused as error:
        refused = error
    return Processed(len(body), digest, stored, refused)


def _outcome(visit: Visit, processed: Processed | None) -> Outcome:
    answer, refused = visit.answer, visit.refused
    outcome = Outcome(
        status=OK if refused is None else refused.reason,
        detail=refused.detail or None if refused is not None else None,
        http_status=answer.http_status,
        content_type=answer.content_type,
        final_url=answer.url,
        effort=visit.effort,
    )
    stored = processed.stored if processed is not None else None
    header = answer.header or (stored.header if stored is not None else None)
    if header is not None:
        outcome.format, outcome.original_width, outcome.original_height, _ = header
    if processed is not None:
        outcome.fetched_bytes, outcome.fetched_sha256 = processed.bytes, processed.sha256
    if stored is not None:
        outcome.stored, outcome.stored_width, outcome.stored_height, _ = stored
    return outcome
