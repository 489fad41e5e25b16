"""The same question to every shard, on a pool of processes of one thread each; a few shards are asked here."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from configs import UserError
from storage.processes import process_pool
from storage.shard import Shard

FEW = 40  # shards that take less time than it takes to start a process
AT_ONCE = 8  # shards handed to a process

Answer = TypeVar("Answer")


def over_shards(ask: Callable[[Shard], Answer], shards: Sequence[Shard], *, workers: int) -> Iterator[Answer]:
    """Yield the answer of every shard, in order. ask: can travel to another process.

    Raises UserError where a process dies, and whatever `ask` raises.
    """
    if workers == 1 or len(shards) <= FEW:
        yield from map(ask, shards)
        return
    os.environ.update(OMP_NUM_THREADS="1")
    with process_pool(workers) as pool:
        try:
            yield from pool.map(ask, shards, chunksize=AT_ONCE)
        except BrokenProcessPool:
            raise UserError("a worker died; try fewer `workers` if memory was short", exit_code=1) from None
