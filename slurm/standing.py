"""Where the jobs of a run stand, from the queue and the marks that the scripts leave: no accounting needed.

download[4]   12  done
score[4]      13  failed: task 2 ended with exit code 3; see runs/q/slurm/q-score-13_2.out
dedup         14  never ran: score failed
"""

from pathlib import Path
from typing import Literal, NamedTuple

from configs import UserError

from . import scheduler
from .record import SubmittedJob, read_submission

STARTED = "started"  # a script's mark until it ends; then its exit code
KILLED = ("137", "143")  # SIGKILL, SIGTERM
LOST = "cancelled, out of time, or its node went away; `corgi submit` again does what is missing"

State = Literal["waiting", "running", "done", "failed", "lost", "never ran", "unknown"]


class Standing(NamedTuple):
    """One job."""

    job: SubmittedJob
    state: State
    why: str = ""

    @property
    def sentence(self) -> str:
        """'failed: task 2 ended with exit code 3; see ...'."""
        return f"{self.state}: {self.why}" if self.why else self.state


def show(run: Path) -> str:
    """One line a job of the run's last submission; empty where there was none."""
    lines = []
    for one in standing(run):
        name = f"{one.job.name}[{one.job.tasks}]" if one.job.tasks else one.job.name
        lines.append(f"{name:<16}{one.job.id:>8}  {one.sentence}")
    return "\n".join(lines)


def standing(run: Path) -> list[Standing]:
    """Every job of the run's last submission; empty where there was none."""
    submission = read_submission(run / "slurm")
    if submission is None:
        return []
    try:
        queue: dict[int, str] | None = scheduler.queued([job.id for job in submission.jobs])
    except UserError:
        queue = None  # another machine than the cluster's, or a controller that is down
    found: dict[str, Standing] = {}
    for job in submission.jobs:
        found[job.name] = _of(run, job, queue, found)
    return list(found.values())


def _of(run: Path, job: SubmittedJob, queue: dict[int, str] | None, parents: dict[str, Standing]) -> Standing:
    marks = {task: _mark(run, job, task) for task in (range(job.tasks) if job.tasks else [None])}
    begun = [mark for mark in marks.values() if mark]
    if queue and job.id in queue:
        return Standing(job, "running" if begun else "waiting")
    for task, mark in marks.items():
        if mark not in (None, STARTED, "0", *KILLED):
            said = f"task {task} ended" if task is not None else "ended"
            return Standing(job, "failed", f"{said} with exit code {mark}; see {_log(run, job, task)}")
    if all(mark == "0" for mark in marks.values()):
        return Standing(job, "done")
    if queue is None:
        return Standing(job, "unknown", "the queue cannot be asked from here")
    if begun:
        return Standing(job, "lost", LOST)
    guilty = next((parents[name] for name in job.after if parents[name].state != "done"), None)
    return Standing(job, "never ran", f"{guilty.job.name} {guilty.state}" if guilty else "cancelled")


def _mark(run: Path, job: SubmittedJob, task: int | None) -> str | None:
    """What the script of a job, or of one task of an array, has said of itself; None before it began."""
    name = str(job.id) if task is None else f"{job.id}_{task}"
    try:
        return (run / "slurm" / "exits" / name).read_text(encoding="ascii").strip() or STARTED
    except FileNotFoundError:
        return None


def _log(run: Path, job: SubmittedJob, task: int | None) -> Path:
    return run / "slurm" / f"{run.absolute().name}-{job.name}-{job.id}{'' if task is None else f'_{task}'}.out"
