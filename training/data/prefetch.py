"""Batches made ahead of the step that needs them, handed out in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import numpy as np
import torch

from training.config import accumulation
from training.distributed import Ranks

from .loader import Batch, Loader


def steps_of(loader: Loader, *, seen: int, ranks: Ranks) -> Generator[list[Batch]]:
    """Yield this rank's micro-batches of each step from the position `seen` on, for ever.

    Steps follow each other by position, whatever the batch was before. The micro-batches of a step are dealt to the
    ranks in turn, so any world size sees the same ones.
    """
    config, world = loader.config, ranks.world_size
    rounds = accumulation(config, world)

    def positions() -> Iterator[np.ndarray]:
        for first_of_step in count(seen, config.batch):
            for number in range(ranks.rank, rounds * world, world):
                first = first_of_step + number * config.micro_batch
                yield np.arange(first, first + config.micro_batch)

    batches = in_order(loader.batch, positions(), workers=config.data.workers, ahead=config.data.ahead)
    try:
        while True:
            yield [next(batches) for _ in range(rounds)]
    finally:
        batches.close()


def in_order(
    make: Callable[[np.ndarray], Batch], items: Iterator[np.ndarray], *, workers: int, ahead: int
) -> Generator[Batch]:
    """Yield `make` of each item, made ahead by threads, handed out in order. Errors come at their turn."""
    if workers == 0:
        yield from map(make, items)
        return
    # A worker is one core's work: left alone, torch would start a team of threads in each.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="loader", initializer=lambda: torch.set_num_threads(1))
    waiting: deque[Future[Batch]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers * ahead:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
