"""A table step's work in phases of tasks, on a pool of processes. A task makes one file, which is its done-mark.

A phase begins when the one before it is complete. So after a kill the work goes on behind the last phase of which all
files are there, and in it makes those that are missing.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Self

from configs import UserError
from storage.processes import process_pool

from .progress import Progress, pace


class Task(NamedTuple):
    """What makes a file, commits it, and can travel to another process."""

    path: Path
    make: Callable[[], None]


class Phase(NamedTuple):
    """Tasks in any order, at least one, and the folders that nobody needs after them."""

    tasks: list[Task]
    spent: tuple[Path, ...] = ()

    @property
    def missing(self) -> list[Task]:
        """Return the tasks whose files are not there."""
        return [task for task in self.tasks if not task.path.exists()]


def run_phases(name: str, phases: Sequence[Phase], *, workers: int, pairs: int) -> None:
    """Run what is not done of the phases, on processes of one thread each; where one is enough, on this one.

    pairs: how many all phases together are about. Raises UserError where a process dies.
    """
    complete = [number for number, phase in enumerate(phases) if not phase.missing]
    first = complete[-1] + 1 if complete else 0
    total, done = (sum(len(phase.tasks) for phase in some) for some in (phases, phases[:first]))
    began, made = time.monotonic(), 0
    with Progress(name, total=total, unit="parts", done=done) as progress, _Crew(workers) as crew:
        for phase in phases[first:]:
            missing = phase.missing
            progress.advance(len(phase.tasks) - len(missing))
            for _ in crew.run(missing):
                made += 1
                progress.advance(1, pace(pairs * made // total, time.monotonic() - began))
            for folder in phase.spent:
                shutil.rmtree(folder, ignore_errors=True)


class _Crew:
    """A pool that is made when there is more than one task, and stops at the first that fails."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Yield whenever a task is done."""
        if len(tasks) == 1 or self._workers == 1:
            yield from (task.make() for task in tasks)
            return
        if self._pool is None:
            os.environ.update(OMP_NUM_THREADS="1")
            self._pool = process_pool(self._workers)
        try:
            yield from (future.result() for future in as_completed([self._pool.submit(task.make) for task in tasks]))
        except BrokenProcessPool:
            advice = "what is done stays: run the same command again, with fewer `workers` if memory was short"
            raise UserError(f"a worker died; {advice}", exit_code=1) from None
