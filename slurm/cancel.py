"""`corgi cancel [STEP]`: end the jobs of a run that are queued or run, or one step's and all that wait for it."""

from collections.abc import Sequence
from pathlib import Path

from . import scheduler
from .job_status import JobStatus, job_statuses
from .logs import jobs_named

UNDER_WAY = ("running", "waiting")


def cancel(run: Path, name: str | None) -> list[str]:
    """Take jobs out of the queue, and end those that run; return a line each. UserError: there is no such job."""
    scheduler.require()
    chosen = {status.job.name for status in jobs_named(run, name)}
    statuses = _with_those_after(job_statuses(run), chosen)
    ended = [status for status in statuses if status.state in UNDER_WAY]
    if not ended:
        return ["nothing to cancel: " + ", ".join(f"{status.job.name} {status.state}" for status in statuses)]
    scheduler.scancel([status.job.id for status in ended])
    return [f"cancelled {status.job.id} {status.job.name}, which was {status.state}" for status in ended]


def _with_those_after(statuses: Sequence[JobStatus], chosen: set[str]) -> list[JobStatus]:
    """Return the chosen jobs and those that need one of them to succeed; jobs stand after those that they wait for."""
    found = []
    for status in statuses:
        if status.job.name in chosen or chosen & {*status.job.after}:
            chosen.add(status.job.name)
            found.append(status)
    return found
