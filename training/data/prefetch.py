"""Batches made ahead of the step that needs them, handed out in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from training.config import accumulation
from training.distributed import Ranks

from .loader import Batch, Loader
from .positions import Range, of_step


def steps_of(loader: Loader, *, seen: int, ranks: Ranks, left_out: Sequence[Range] = ()) -> Generator[list[Batch]]:
    """Yield this rank's micro-batches of each step from the position `seen` on, for ever. left_out: nobody sees them.

    Steps follow each other by position, whatever the batch was before. The micro-batches of a step are dealt to the
    ranks in turn, so any world size sees the same ones.
    """
    config, world = loader.config, ranks.world_size
    rounds = accumulation(config, world)

    def positions() -> Iterator[np.ndarray]:
        at = seen
        while True:
            step = of_step(at, batch=config.batch, left_out=left_out)
            at = int(step[-1]) + 1
            yield from step.reshape(-1, config.micro_batch)[ranks.rank :: world]

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
