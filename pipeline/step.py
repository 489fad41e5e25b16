"""Steps, and the one runner of them.

A shard step is a function of one shard; ranks share nothing and each takes shards[rank::world_size]. A table step is a
function of the whole run. Of both, the output is the done-mark: what is there with the expected fingerprint is skipped.
"""

import errno
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from configs import UserError

from .files import read_mark
from .orphans import die_with
from .progress import Progress
from .shard import BESIDE, MADE_BY, Shard

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
Result = Counter[str] | BaseException
State = Literal["done", "stale", "missing", "waiting"]


class Step(Protocol):
    """A function of one shard. Picklable: it travels to the workers."""

    @property
    def name(self) -> str:
        """The command's name."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Suffixes that must exist."""

    @property
    def writes(self) -> str:
        """The suffix whose presence, with the expected fingerprint, means done."""

    def fingerprint(self, shard: Shard) -> str:
        """What the output would be made from today."""

    def __call__(self, shard: Shard) -> Counter[str]:
        """Makes the output; counts pairs by what became of them."""


class TableStep(Protocol):
    """A function of the whole run."""

    @property
    def name(self) -> str:
        """The command's name."""

    @property
    def writes(self) -> Path:
        """The file whose presence, with the expected fingerprint, means done."""

    def fingerprint(self) -> str:
        """What the output would be made from today."""

    def __call__(self) -> Counter[str]:
        """Makes the output; counts what the step counts."""


class Outcome(NamedTuple):
    """What one call of a step came to."""

    done: int  # shards made now
    skipped: int  # shards that were there already
    failed: dict[int, str]  # shard number -> cause
    counts: Counter[str]
    seconds: float


def state(step: Step, shard: Shard) -> State:
    """Where a shard stands; reads footers only."""
    if any(not shard.path(suffix).exists() for suffix in step.reads):
        return "waiting"
    mark = read_mark(shard.path(step.writes))
    if mark is None or any(not shard.path(suffix).exists() for suffix in BESIDE.get(step.writes, ())):
        return "missing"
    return "done" if mark.fingerprint == step.fingerprint(shard) else "stale"


def run(
    step: Step, shards: Sequence[Shard], *, rank: int = 0, world_size: int = 1, workers: int = 1, again: bool = False
) -> Outcome:
    """Makes what is missing or stale of this rank's share, on a pool of `workers` processes of one thread each.

    The processes have one thread whatever their number, so that no figure depends on how many there are.
    """
    if not 0 <= rank < world_size:
        raise UserError(f"rank is {rank} of {world_size}: it must be at least 0 and below the world size")
    began = time.monotonic()
    mine = shards[rank::world_size]
    states = {shard.number: state(step, shard) for shard in mine}
    waiting = [shard for shard in mine if states[shard.number] == "waiting"]
    todo = [shard for shard in mine if states[shard.number] in ("missing", "stale") or again]
    failed = {shard.number: _absent(step, shard) for shard in waiting}
    counts: Counter[str] = Counter()
    with Progress(step.name, total=len(mine), unit="shards") as progress:
        progress.advance(len(mine) - len(todo) - len(waiting))
        for shard, result in _attempt_all(step, [shard for shard in todo if shard not in waiting], workers):
            if isinstance(result, Counter):
                counts += result
            else:
                failed[shard.number] = f"{type(result).__name__}: {result}"
            progress.advance(1, counts)
    skipped = len(mine) - len(todo) - len(waiting)
    return Outcome(len(mine) - skipped - len(failed), skipped, failed, counts, time.monotonic() - began)


def run_table(step: TableStep) -> Outcome:
    """Makes the output of a table step unless it is there and fresh."""
    began = time.monotonic()
    mark = read_mark(step.writes)
    if mark is not None and mark.fingerprint == step.fingerprint():
        return Outcome(0, 1, {}, Counter(), time.monotonic() - began)
    counts = step()
    return Outcome(1, 0, {}, counts, time.monotonic() - began)


def _absent(step: Step, shard: Shard) -> str:
    suffix = next(suffix for suffix in step.reads if not shard.path(suffix).exists())
    return f'{shard.path(suffix)} is not there; run "corgi {MADE_BY[suffix]}" first'


def _hopeless(error: BaseException) -> bool:
    """A mistake in the config or a full disk fails every shard alike: no second try, and no next shard."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS)


def _attempt_all(step: Step, shards: Sequence[Shard], workers: int) -> Iterator[tuple[Shard, Result]]:
    """Yields every shard once, with its counts or, after a second try, with its error.

    No more shards are under way than there are workers: when one dies, only those can be to blame, and each of them
    is tried again alone, so that a shard that kills its process takes no other with it.
    """
    todo, again = list(reversed(shards)), list[Shard]()
    while todo:
        pool = _pool(min(workers, len(todo)))
        pending: dict[Future[Counter[str]], Shard] = {}
        broken = False
        while (todo or pending) and not (broken and not pending):
            while todo and len(pending) < workers and not broken:
                shard = todo.pop()
                pending[pool.submit(step, shard)] = shard
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                shard, error = pending.pop(future), future.exception()
                broken = broken or isinstance(error, BrokenProcessPool)
                if error is None:
                    yield shard, future.result()
                elif _hopeless(error):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise error
                else:
                    again.append(shard)
        pool.shutdown(wait=not broken, cancel_futures=True)
    for shard in again:
        with _pool(1) as pool:
            future = pool.submit(step, shard)
            yield shard, future.exception() or future.result()


def _pool(workers: int) -> ProcessPoolExecutor:
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=die_with, initargs=(os.getpid(),))
