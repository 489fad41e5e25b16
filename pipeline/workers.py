"""The processes that shard steps run on: each tells how far it is, and knows how many more it may start.

    main                                   a worker
    wire = Wire()                          attempt(step, shard)
    pool = wire.pool(4, spread=2)            step: tally = Tally(of=10_000); tally.add("ok")
    wire.read() -> reports                   step: spread() -> 2

A report goes through one pipe in a message that is written whole, so a process that dies holds nothing that others wait
for; who finds the pipe full drops it, as the next one says all again.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple

from storage.pairs import Add, Fill, Outcome
from storage.processes import process_pool
from storage.shard import Shard

from .devices import claim_gpu
from .step import ShardStep

TELL_EVERY_S = 0.5
MOST_FATES = 20  # in a report, which must fit into PIPE_BUF: 4,096 bytes on Linux, at least 512 anywhere
MOST_BYTES = 512


class Report(NamedTuple):
    """How far a worker is in its shard."""

    shard: int
    done: int
    of: int
    counts: Counter[str]  # pairs by what became of them, the most frequent


class Wire:
    """Where workers tell how far they are."""

    def __init__(self) -> None:
        self._ours, self._theirs = Pipe(duplex=False)
        os.set_blocking(self._theirs.fileno(), False)

    def pool(self, workers: int, *, spread: int) -> Executor:
        """Return a pool of processes of one thread each, so that no figure depends on how many there are.

        spread: how many processes' work each of them may take, where there are fewer shards than workers.
        """
        os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
        return process_pool(workers, begin=partial(_begin, self._theirs, spread))

    def read(self) -> Iterator[Report]:
        """Yield what has been told since."""
        while self._ours.poll():
            shard, done, of, counts = json.loads(self._ours.recv_bytes())
            yield Report(shard, done, of, Counter(counts))

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()


class _Here:
    """What this process knows of the others; nothing where it is no worker."""

    wire: Connection | None = None
    spread = 1
    shard = 0


def _begin(wire: Connection, spread: int) -> None:
    claim_gpu()
    _Here.wire = wire
    may_take(spread)


def may_take(spread: int) -> None:
    """Let this process take so many processes' work."""
    _Here.spread = spread


def spread() -> int:
    """Return how many processes' work this one may take."""
    return _Here.spread


def attempt(step: ShardStep, shard: Shard) -> Counter[str]:
    """Run a step on a shard in a worker."""
    _Here.shard = shard.number
    return step(shard)


class Tally:
    """Counts pairs of a shard, and tells the main process now and then. of: how many there are."""

    def __init__(self, *, of: int) -> None:
        self._of, self._counts, self._told = of, Counter[str](), -TELL_EVERY_S

    def add(self, fate: str, count: int = 1) -> None:
        """Count pairs that came to `fate`."""
        self._counts[fate] += count
        if _Here.wire is not None and time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            self._tell(_Here.wire)

    def _tell(self, wire: Connection) -> None:
        for most in range(MOST_FATES, -1, -1):
            counts = dict(self._counts.most_common(most))
            message = json.dumps([_Here.shard, self._counts.total(), self._of, counts]).encode()
            if len(message) < MOST_BYTES - 4:  # of the length before it
                break
        try:
            wire.send_bytes(message)
        except OSError:  # it is full, or nobody reads it any more
            return


def tallied(fill: Fill) -> Fill:
    """Return what fills a shard and counts outcomes as they come."""

    def fill_and_tell(planned: list[dict[str, object]], add: Add) -> None:
        tally = Tally(of=len(planned))

        def add_and_tell(outcome: Outcome) -> None:
            add(outcome)
            tally.add(outcome.status)

        fill(planned, add_and_tell)

    return fill_and_tell
