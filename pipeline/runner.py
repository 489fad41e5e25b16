"""The one runner of all steps: shares of shards on a pool of processes, retries, and a line in the ledger.

Ranks share nothing: rank r takes shards[r::world_size].
"""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import fields
from typing import Any, NamedTuple

from configs import UserError, fingerprint
from configs.errors import DISK_ERRORS
from configs.steps import STEPS, entries_of, made_by
from storage.atomic import remove_left_over
from storage.lease import Key, hold
from storage.ledger import note
from storage.machine import machine
from storage.plan import shards_of
from storage.run import write_config
from storage.shard import Shard
from storage.typed import typed

from .check import check_pipeline
from .config import PipelineConfig
from .losses import heavy_losses
from .mirror import start_mirror
from .progress import Progress
from .rule_columns import idle_rules
from .step import LossyStep, ShardStep, TableStep, step_class
from .watch import Watch
from .workers import Wire, attempt

LOOK_EVERY_S = 0.5  # at what the workers tell
EQUAL_FAILURES = 10  # in a row; after half of them, shards from elsewhere are tried
Result = Counter[str] | BaseException


class Outcome(NamedTuple):
    """What one call of a step came to."""

    done: int  # shards made now
    skipped: int  # shards that were there already
    failed: dict[int, str]  # shard number -> cause
    counts: Counter[str]
    seconds: float
    losses: Sequence[str] = ()  # lines for a person where more is lost than is tolerated


def build(name: str, config: PipelineConfig) -> Any:
    """Return the step of this name, a ShardStep or a TableStep, made from its own parts of the config."""
    kind, parts = step_class(STEPS[name]), dict(config)
    return kind(**{field.name: parts[field.name] for field in fields(kind)})


def run_step(
    name: str,
    config: PipelineConfig,
    *,
    step: ShardStep | None = None,
    rank: int = 0,
    world_size: int = 1,
    workers: int | None = None,
) -> Outcome:
    """Run one step of a run, after writing down the resolved config, and note in the ledger what it came to.

    step: what runs in the place of the step that the config describes.
    Raises UserError where another process is at work on the same share, or on one that overlaps.
    """
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size}: a rank is at least 0 and below the world size")
    if name not in (names := [entry.name for entry in entries_of(config.way)]):
        raise UserError(
            f"the config begins with {config.way}, so {name} is no step of its run; its steps: {', '.join(names)}"
        )
    if name == names[0]:
        check_pipeline(config)
        for line in idle_rules(config):
            print(f"{name}: {line}", file=sys.stderr)
    with hold(config.run, Key(name, rank, world_size)) as was_cut_off:
        if was_cut_off:
            for folder in (config.run, *config.run.glob("[0-9]*/")):
                remove_left_over(folder)
        if rank == 0:
            write_config(config.run, config, fingerprint=fingerprint(config))
        built = step or build(name, config)
        if isinstance(built, TableStep):
            outcome = run_table(built)
        else:
            built.prepare()
            shards = shards_of(config.run)
            outcome = run_shards(built, shards, rank=rank, world_size=world_size, workers=workers or config.workers)
            outcome = outcome._replace(losses=_losses(build(name, config), shards[rank::world_size], outcome.failed))
        note(
            config.run,
            event="step",
            step=name,
            rank=rank,
            made=outcome.done,
            skipped=outcome.skipped,
            failed=len(outcome.failed),
            seconds=round(outcome.seconds, 3),
            counts=dict(outcome.counts),
            machine=machine(),
        )
    if rank == 0:
        start_mirror(config.run, config.wandb)
    return outcome


def _losses(step: ShardStep, shards: Sequence[Shard], failed: Container[int]) -> list[str]:
    finished = (shard for shard in shards if shard.number not in failed)
    return heavy_losses(step, finished) if isinstance(step, LossyStep) else []


def run_table(step: TableStep) -> Outcome:
    """Make the output of a table step unless it is there and fresh."""
    began = time.monotonic()
    if step.path.exists() and step.state() == "done":
        return Outcome(0, 1, {}, Counter(), time.monotonic() - began)
    counts = step()
    return Outcome(1, 0, {}, counts, time.monotonic() - began)


def run_shards(
    step: ShardStep, shards: Sequence[Shard], *, rank: int = 0, world_size: int = 1, workers: int = 1
) -> Outcome:
    """Make what is missing or stale of this rank's share, on a pool of `workers` processes of one thread each.

    The processes have one thread whatever their number, so that no figure depends on how many there are.
    """
    began = time.monotonic()
    mine = shards[rank::world_size]
    states = {shard: step.state(shard) for shard in mine}
    todo = [shard for shard, state in states.items() if state in ("missing", "stale")]
    failed = {shard.number: _absent(step, shard) for shard, state in states.items() if state == "waiting"}
    skipped = len(mine) - len(todo) - len(failed)
    counts: Counter[str] = Counter()
    first = skipped + len(failed)
    with Progress(step.entry.name, total=len(mine), unit="shards", done=first) as progress, closing(Wire()) as wire:
        watch = Watch(step, progress, wire, skipped=first)
        for shard, result in _attempt_all(step, todo, workers, wire, watch.look):
            made = result if isinstance(result, Counter) else Counter[str]()
            counts += made
            if result is not made:
                failed[shard.number] = f"{type(result).__name__}: {result}"
            watch.end(shard.number, made)
    return Outcome(len(mine) - skipped - len(failed), skipped, failed, counts, time.monotonic() - began)


def _absent(step: ShardStep, shard: Shard) -> str:
    suffix = next(suffix for suffix in step.entry.reads if not shard.path(suffix).exists())
    return f'{shard.path(suffix)} is not there; run "{typed(shard.run, made_by(suffix)[0])}" first'


def _is_hopeless(error: BaseException) -> bool:
    """Tell whether every shard fails alike, by a mistake in the config or a full disk: no second try, no next shard."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS)


def _attempt_all(
    step: ShardStep, shards: Sequence[Shard], workers: int, wire: Wire, look: Callable[[], None]
) -> Iterator[tuple[Shard, Result]]:
    """Yield every shard once, with its counts or, after a second try, with its error; look while they are under way.

    No more shards are under way than there are workers: when one dies, only those can be to blame, and each of them
    is tried again alone, so that a shard that kills its process takes no other with it. Raises UserError once
    EQUAL_FAILURES shards in a row have failed for one cause: the others would, too.
    """
    todo, again, causes = list(reversed(shards)), list[Shard](), list[str]()
    while todo:
        processes = min(workers, len(todo))
        pool = wire.pool(processes, spread=-(-workers // processes))
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
        with wire.pool(1, spread=workers) as pool:
            future = pool.submit(attempt, step, shard)
            while not wait([future], timeout=LOOK_EVERY_S).done:
                look()
            yield shard, future.exception() or future.result()


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
