"""The one runner of all steps: shares of shards on a pool of processes, retries, and a line in the ledger.

Ranks share nothing: rank r takes shards[r::world_size].
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

from configs import UserError, fingerprint
from configs.steps import STEPS, entries_of, made_by
from storage.atomic import remove_left_over
from storage.footers import remembered, side_by_side
from storage.lease import Key, hold
from storage.ledger import note
from storage.machine import allotted, machine
from storage.plan import shards_of
from storage.run import write_config
from storage.shard import Shard
from storage.typed import typed

from .attempts import attempt_all
from .check import check_pipeline
from .config import PipelineConfig
from .losses import heavy_losses
from .mirror import start_mirror
from .progress import Progress
from .ray_engine import RayPool
from .rule_columns import idle_rules
from .step import LossyStep, ShardStep, State, TableStep, step_class
from .watch import Watch
from .workers import Wire


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
            outcome = run_table(built, begins=partial(_note_begin, config, name, rank, world_size))
        else:
            built.prepare()
            shards = shards_of(config.run)
            outcome = run_shards(
                built,
                shards,
                rank=rank,
                world_size=world_size,
                workers=workers or config.workers,
                pool=RayPool if config.engine == "ray" else None,
                begins=partial(_note_begin, config, name, rank, world_size),
            )
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
            **_paid(),
        )
    if rank == 0:
        start_mirror(config.run, config.wandb)
    return outcome


def _note_begin(config: PipelineConfig, name: str, rank: int, world_size: int, todo: int) -> None:
    """Note that work begins. todo: shards of this rank that will be made, or 1 for a table."""
    note(config.run, event="begin", step=name, rank=rank, world_size=world_size, todo=todo, **_paid())


def _paid() -> dict[str, int]:
    cores, gpus = allotted()
    return {"cores": cores, "gpus": gpus}


def _losses(step: ShardStep, shards: Sequence[Shard], failed: Container[int]) -> list[str]:
    finished = (shard for shard in shards if shard.number not in failed)
    return heavy_losses(step, finished) if isinstance(step, LossyStep) else []


def run_table(step: TableStep, *, begins: Callable[[int], None] = lambda _: None) -> Outcome:
    """Make the output of a table step unless it is there and fresh. begins: called before it is made."""
    began = time.monotonic()
    with remembered():
        is_done = step.path.exists() and step.state() == "done"
    if is_done:
        return Outcome(0, 1, {}, Counter(), time.monotonic() - began)
    begins(1)
    counts = step()
    return Outcome(1, 0, {}, counts, time.monotonic() - began)


def run_shards(
    step: ShardStep,
    shards: Sequence[Shard],
    *,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 1,
    pool: Callable[..., Executor] | None = None,
    begins: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Make what is missing or stale of this rank's share, on a pool of `workers` processes of one thread each.

    The processes have one thread whatever their number, so that no figure depends on how many there are. pool: another
    one than that of this machine's processes; begins: called with the number of shards to make, if there are any.
    """
    began = time.monotonic()
    mine = shards[rank::world_size]
    states = states_of(step, mine)
    todo = [shard for shard, state in states.items() if state in ("missing", "stale")]
    failed = {shard.number: _absent(step, shard) for shard, state in states.items() if state == "waiting"}
    skipped = len(mine) - len(todo) - len(failed)
    counts: Counter[str] = Counter()
    first = skipped + len(failed)
    if todo:
        begins(len(todo))
    with Progress(step.entry.name, total=len(mine), unit="shards", done=first) as progress, closing(Wire()) as wire:
        watch = Watch(step, progress, wire, skipped=first)
        for shard, result in attempt_all(step, todo, workers, pool or wire.pool, watch.look):
            made = result if isinstance(result, Counter) else Counter[str]()
            counts += made
            if result is not made:
                failed[shard.number] = f"{type(result).__name__}: {result}"
            watch.end(shard.number, made)
    return Outcome(len(mine) - skipped - len(failed), skipped, failed, counts, time.monotonic() - began)


def states_of(step: ShardStep, shards: Sequence[Shard]) -> dict[Shard, State]:
    """Return where each shard stands."""
    with remembered():
        return dict(zip(shards, side_by_side(step.state, shards), strict=True))


def _absent(step: ShardStep, shard: Shard) -> str:
    suffix = next(suffix for suffix in step.entry.reads if not shard.path(suffix).exists())
    return f'{shard.path(suffix)} is not there; run "{typed(shard.run, made_by(suffix)[0])}" first'
