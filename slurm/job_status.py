"""Where the jobs of a run stand, from the queue and the marks that the scripts leave: no accounting needed.

download[4]   12  done
score[4]      13  failed: task 2 ended with exit code 3; see runs/q/slurm/q-score-13_2.out
dedup         14  never ran: score failed
"""

from pathlib import Path
from typing import Literal, NamedTuple

from configs import UserError

from . import scheduler
from .submission import SubmittedJob, read_submission

STARTED = "started"  # a script's mark until it ends; then its exit code
KILLED = ("137", "143")  # SIGKILL, SIGTERM
LOST = "cancelled, out of time, or its node went away; `corgi submit` again does what is missing"

State = Literal["waiting", "running", "done", "failed", "lost", "never ran", "unknown"]


class JobStatus(NamedTuple):
    """Where one job stands."""

    job: SubmittedJob
    state: State
    why: str = ""

    @property
    def sentence(self) -> str:
        """Return 'failed: task 2 ended with exit code 3; see ...'."""
        return f"{self.state}: {self.why}" if self.why else self.state


def show(run: Path) -> str:
    """Return one line a job of the run's last submission; empty where there was none."""
    lines = []
    for status in job_statuses(run):
        job = status.job
        name = f"{job.name}[{job.tasks}]" if job.tasks else job.name
        lines.append(f"{name:<16}{job.id:>8}  {status.sentence}")
    return "\n".join(lines)


def job_statuses(run: Path) -> list[JobStatus]:
    """Return every job of the run's last submission; empty where there was none."""
    submission = read_submission(run / "slurm")
    if submission is None:
        return []
    try:
        queue: dict[int, str] | None = scheduler.queued([job.id for job in submission.jobs])
    except UserError:
        queue = None  # another machine than the cluster's, or a controller that is down
    statuses: dict[str, JobStatus] = {}
    for job in submission.jobs:
        statuses[job.name] = _status_of(run, job, queue, statuses)
    return list(statuses.values())


def _status_of(run: Path, job: SubmittedJob, queue: dict[int, str] | None, parents: dict[str, JobStatus]) -> JobStatus:
    marks = {task: _mark(run, job, task) for task in (job.indices if job.tasks else [None])}
    begun = [mark for mark in marks.values() if mark]
    if queue and job.id in queue:
        return JobStatus(job, "running" if begun else "waiting")
    for task, mark in marks.items():
        if mark not in (None, STARTED, "0", *KILLED):
            end = f"task {task} ended" if task is not None else "ended"
            return JobStatus(job, "failed", f"{end} with exit code {mark}; see {_log(run, job, task)}")
    if all(mark == "0" for mark in marks.values()):
        return JobStatus(job, "done")
    if queue is None:
        return JobStatus(job, "unknown", "the queue cannot be asked from here")
    if begun:
        return JobStatus(job, "lost", LOST)
    guilty = next((parents[name] for name in job.after if parents[name].state != "done"), None)
    return JobStatus(job, "never ran", f"{guilty.job.name} {guilty.state}" if guilty else "cancelled")


def _mark(run: Path, job: SubmittedJob, task: int | None) -> str | None:
    """Return what the script of a job, or of one task of an array, wrote of itself; None before it began."""
    name = str(job.id) if task is None else f"{job.id}_{task}"
    try:
        return (run / "slurm" / "exits" / name).read_text(encoding="ascii").strip() or STARTED
    except FileNotFoundError:
        return None


def _log(run: Path, job: SubmittedJob, task: int | None) -> Path:
    return run / "slurm" / f"{run.absolute().name}-{job.name}-{job.id}{'' if task is None else f'_{task}'}.out"
