"""`corgi logs STEP`: what the tasks of a step have written, from the files that sbatch keeps of them.

One task's log is shown whole, of several the last lines of each under its name.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from configs import UserError, nearest, printable

from .job_status import JobStatus, TaskStatus, job_statuses

POLL_S = 0.5
BLOCK = 1 << 16
UNDER_WAY = ("running", "waiting")


def jobs_named(run: Path, name: str | None) -> list[JobStatus]:
    """Return the jobs of a step, or of a stage, whose job is train-STAGE; None: all. UserError: there are none."""
    statuses = job_statuses(run)
    if not statuses:
        raise UserError(f"{run} was never submitted to a cluster; what runs here writes to its terminal")
    found = [status for status in statuses if name in (None, *names_of(status))]
    if not found:
        raise UserError(f"{run} has no job {name!r}{nearest(str(name), [names_of(each)[-1] for each in statuses])}")
    return found


def names_of(status: JobStatus) -> tuple[str, ...]:
    """Return what a person may call a job."""
    step = status.job.step or status.job.name
    return status.job.name, step, step.removeprefix("train-")


def show(run: Path, name: str, *, rank: int | None, is_failed: bool, lines: int) -> Iterator[str]:
    """Yield the lines of the chosen logs. rank: of one task of an array; is_failed: of tasks that failed."""
    tasks = _chosen(run, name, rank=rank, is_failed=is_failed)
    for task in tasks:
        if len(tasks) == 1:
            yield from map(_shown, _lines(task.log.read_bytes()))
        else:
            yield from [_head(task), *map(_shown, _last(task.log, lines))]


def follow(run: Path, name: str, *, rank: int | None, is_failed: bool, lines: int) -> Iterator[str]:
    """Yield the last lines of the chosen logs, and what comes, until all the jobs have ended."""
    places: dict[Path, int] = {}
    last_said: Path | None = None
    is_over = False
    while True:
        statuses = jobs_named(run, name)
        tasks = [task for status in statuses for task in status.tasks if _is_chosen(task, rank, is_failed)]
        for task in tasks:
            fresh, places[task.log] = _since(task.log, places.get(task.log), lines)
            if fresh and task.log != last_said and len(tasks) > 1:
                yield _head(task)
            last_said = task.log if fresh else last_said
            yield from map(_shown, fresh)
        if is_over:
            return
        is_over = all(status.state not in UNDER_WAY for status in statuses)  # once more: it may have said a last word
        if not is_over:
            time.sleep(POLL_S)


def _chosen(run: Path, name: str, *, rank: int | None, is_failed: bool) -> list[TaskStatus]:
    statuses = jobs_named(run, name)
    tasks = [task for status in statuses for task in status.tasks if _is_chosen(task, rank, is_failed)]
    if rank is not None and not any(task.task is not None for status in statuses for task in status.tasks):
        raise UserError(f"{name} is one job, which writes one log for all its ranks; leave --rank out")
    if is_failed and not tasks:
        raise UserError(f"no task of {name} failed", exit_code=1)
    written = [task for task in tasks if task.log.exists()]
    if not written:
        why = "; ".join(status.sentence for status in statuses)
        which = name if rank is None else f"rank {rank} of {name}"
        raise UserError(f"{which} has no log yet: {why}", exit_code=1)
    return written


def _is_chosen(task: TaskStatus, rank: int | None, is_failed: bool) -> bool:
    return (rank is None or rank == task.rank) and (not is_failed or task.state in ("failed", "lost"))


def _head(task: TaskStatus) -> str:
    why = f", {task.why}" if task.why else ""
    return f"==> {task.log} ({task.state}{why}) <=="


def _last(path: Path, lines: int) -> Sequence[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - BLOCK))
        return _lines(file.read())[-lines:]


def _since(path: Path, place: int | None, lines: int) -> tuple[Sequence[str], int]:
    """Return whole lines from a place on, and the place after them; at first, the last lines."""
    try:
        with path.open("rb") as file:
            if place is None:
                size = file.seek(0, 2)
                return _last(path, lines), size
            file.seek(place)
            whole, newline, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], 0
    return (_lines(whole) if newline else []), place + len(whole) + len(newline)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []


def _shown(line: str) -> str:
    """Return a line that moves no cursor. Of a bar that was drawn over and over, the last."""
    return printable(line.rstrip("\r").rpartition("\r")[2].replace("\t", "    "))
