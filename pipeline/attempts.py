"""Every shard is tried, and again where it fails: whatever the pool, and though a worker may die of a shard."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool

from configs import UserError
from configs.errors import DISK_ERRORS
from storage.shard import Shard

from .step import ShardStep
from .workers import attempt

LOOK_EVERY_S = 0.5  # at what the workers tell
EQUAL_FAILURES = 10  # in a row; after half of them, shards from elsewhere are tried
Result = Counter[str] | BaseException


def attempt_all(
    step: ShardStep, shards: Sequence[Shard], workers: int, make_pool: Callable[..., Executor], look: Callable[[], None]
) -> Iterator[tuple[Shard, Result]]:
    """Yield every shard once, with its counts or, after a second try, with its error; look while they are under way.

    No more shards are under way than there are workers: when one dies, only those can be to blame, and each of them
    is tried again alone, so that a shard that kills its process takes no other with it. Raises UserError once
    EQUAL_FAILURES shards in a row have failed for one cause: the others would, too.
    """
    todo, again, causes = list(reversed(shards)), list[Shard](), list[str]()
    while todo:
        processes = min(workers, len(todo))
        pool = make_pool(processes, spread=-(-workers // processes))
        pending: dict[Future[Counter[str]], Shard] = {}
        is_broken = False
        while (todo or pending) and not (is_broken and not pending):
            while todo and len(pending) < workers and not is_broken:
                shard = todo.pop()
                pending[pool.submit(attempt, step, shard)] = shard
            look()
            for future in wait(pending, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED).done:
                shard, error = pending.pop(future), future.exception()
                is_broken = is_broken or isinstance(error, BrokenProcessPool)
                if error is None:
                    causes.clear()
                    yield shard, future.result()
                elif _is_hopeless(error):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise error
                else:
                    again.append(shard)
                    causes = [*(cause for cause in causes if cause == _cause(error)), _cause(error)]
                    _end_if_common(causes, error, todo)
        pool.shutdown(wait=not is_broken, cancel_futures=True)
    for shard in again:
        with make_pool(1, spread=workers) as pool:
            future = pool.submit(attempt, step, shard)
            while not wait([future], timeout=LOOK_EVERY_S).done:
                look()
            yield shard, future.exception() or future.result()


def _is_hopeless(error: BaseException) -> bool:
    """Tell whether every shard fails alike, by a mistake in the config or a full disk: no second try, no next shard."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS)


def _cause(error: BaseException) -> str:
    """Return what an error says, without the numbers in which those of two shards differ."""
    return re.sub(r"\d+", "#", f"{type(error).__name__}: {error}")


def _end_if_common(causes: list[str], error: BaseException, todo: list[Shard]) -> None:
    """End the step where the last failures had one cause. causes: since the last shard that was made, if all equal."""
    if len(causes) == EQUAL_FAILURES // 2:
        random.Random(0).shuffle(todo)  # neighbours may share a fault that others have not
    if len(causes) >= EQUAL_FAILURES and todo:
        line = f"{len(causes)} shards in a row failed for one cause, {len(todo):,} were not tried"
        raise UserError(f"{line}: {type(error).__name__}: {error}", exit_code=3)
