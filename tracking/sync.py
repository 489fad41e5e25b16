"""`corgi sync RUN`: every ledger of a run to a tracker, all at once, as often as one likes and while jobs run."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from configs import UserError
from configs.redacted import redacted
from storage.lease import started
from storage.processes import process_pool

from . import tensorboard, wandb_run
from .sources import Source, sources_of

WORKERS = 4
EVERY_S = 15.0  # between two looks of one that follows

Tracker = Literal["wandb", "tensorboard"]


class Told(NamedTuple):
    """What became of one ledger."""

    lines: list[str]
    is_complete: bool


def sync(run: Path, *, to: Tracker, offline: bool, alone: bool = False) -> Iterator[Told]:
    """Tell a tracker what it does not know yet of a run; yield what became of each ledger."""
    sources = sources_of(run, alone=alone)
    with process_pool(min(WORKERS, len(sources))) if len(sources) > 1 else nullcontext() as pool:
        yield from _round(sources, pool, to=to, offline=offline)


def follow(run: Path, *, to: Tracker, offline: bool, alone: bool, process: int | None) -> Iterator[Told]:
    """Sync again and again while a process of this machine lives, and once more; for ever where none is given."""
    began = started(process) if process is not None else ""
    while True:
        is_last = process is not None and (not began or started(process) != began)
        try:
            yield from sync(run, to=to, offline=offline, alone=alone)
        except UserError as error:  # nothing to tell yet
            yield Told([str(error)], is_complete=True)
        if is_last:
            return
        _wait(process, began)


def _wait(process: int | None, began: str) -> None:
    """Return after a while, or as soon as the process has ended."""
    until = time.monotonic() + EVERY_S
    while time.monotonic() < until and (process is None or started(process) == began):
        time.sleep(0.5)


def _round(sources: Sequence[Source], pool: Executor | None, *, to: Tracker, offline: bool) -> Iterator[Told]:
    tell = partial(_tell, to=to, offline=offline)
    yield from pool.map(tell, sources) if pool is not None else map(tell, sources)


def _tell(source: Source, *, to: Tracker, offline: bool) -> Told:
    """Tell one ledger. Whatever a tracker's client raises ends in a line: the ledger is complete without it."""
    try:
        lines = tensorboard.write(source) if to == "tensorboard" else wandb_run.send(source, offline=offline)
        return Told(lines, is_complete=True)
    except UserError as error:
        return Told([str(error)], is_complete=False)
    except Exception as error:  # a client of a service may raise anything
        cause = redacted(" ".join(str(error).split())) or type(error).__name__
        return Told([f"{source.name}: {type(error).__name__}: {cause}; nothing is lost, sync again"], is_complete=False)
