"""Where the jobs of a run stand, from the queue and the marks that the scripts leave: no accounting needed.

download[4]   12  done
score[4]      13  failed: task 2 ended with exit code 3; see runs/q/slurm/q-score-13_2.out
dedup         14  never ran: score failed

What the queue says goes first: a task that was put into it again waits, whatever it wrote before.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from configs import UserError

from .queue import ENDED_BY, Queued, tasks_of
from .records import STARTED, Record, Size, log_of, record_of, size_of
from .submission import SubmittedJob, read_submission

CODES = {  # exit code -> what it means
    "75": "stopped early (75); the same `corgi submit` goes on",
    "94": "found its node not fit (94): its log says what is broken, and how to mend it",
    "93": "stopped the chain (93): no progress",
    "137": "was killed: out of memory, or by hand (SIGKILL)",
    "143": "was ended: cancelled, or out of time (SIGTERM)",
}
LOST = "was killed with its shell: cancelled, out of memory or time, or its node went away"
UNFIT = "94"
STOPPED = "75"  # the job that follows goes on
NAMED = 3  # tasks that failed

State = Literal["waiting", "running", "done", "failed", "lost", "never ran", "unknown"]
ORDER: tuple[State, ...] = (
    "running",
    "waiting",
    "failed",
    "lost",
    "unknown",
    "never ran",
    "done",
)  # of a job by its tasks'


class TaskStatus(NamedTuple):
    """Where one task stands; a job that is no array is one task."""

    task: int | None  # index in its array, as SLURM has it
    rank: int | None  # share of the shards
    state: State
    why: str
    log: Path
    record: Record
    queued: Queued | None

    @property
    def seconds(self) -> float:
        """Return how long it has held its nodes, all times together."""
        is_running = self.state == "running"
        told = self.record.seconds(is_running=is_running)
        return told if self.record.spans else self.queued.seconds if self.queued else 0.0


class JobStatus(NamedTuple):
    """Where one job stands."""

    job: SubmittedJob
    state: State
    why: str = ""
    tasks: tuple[TaskStatus, ...] = ()
    size: Size = Size(1, 0)

    @property
    def sentence(self) -> str:
        """Return 'failed: task 2 ended with exit code 3; see ...'."""
        return f"{self.state}: {self.why}" if self.why else self.state

    @property
    def counts(self) -> Counter[str]:
        """Return how many tasks are done, running, failed and waiting; one that is lost has failed."""
        return Counter("failed" if task.state == "lost" else task.state for task in self.tasks)


class Jobs(NamedTuple):
    """The jobs of a run's last submission."""

    submitted_at: str  # UTC
    is_queue_known: bool  # squeue answered
    jobs: list[JobStatus]


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
    found = jobs_of(run)
    return found.jobs if found else []


def jobs_of(run: Path) -> Jobs | None:
    """Return the jobs of the run's last submission, all as of one answer of the queue; None where there was none."""
    submission = read_submission(run / "slurm")
    if submission is None:
        return None
    try:
        queue: Mapping[tuple[int, int | None], Queued] | None = tasks_of([job.id for job in submission.jobs])
    except UserError:
        queue = None  # another machine than the cluster's, or a controller that is down
    statuses: dict[str, JobStatus] = {}
    followed = {job.follows for job in submission.jobs}
    for job in submission.jobs:
        statuses[job.name] = _status_of(run, job, queue, statuses, is_followed=job.name in followed)
    return Jobs(submission.submitted_at, queue is not None, list(statuses.values()))


def _status_of(
    run: Path,
    job: SubmittedJob,
    queue: Mapping[tuple[int, int | None], Queued] | None,
    parents: dict[str, JobStatus],
    *,
    is_followed: bool,
) -> JobStatus:
    indices: list[int | None] = [*job.indices] if job.tasks else [None]
    tasks = tuple(_task(run, job, index, queue, is_followed) for index in indices)
    state = next(state for state in ORDER if any(task.state == state for task in tasks))
    return JobStatus(job, state, _why(job, state, tasks, parents), tasks, size_of(run, job))


def _task(
    run: Path,
    job: SubmittedJob,
    index: int | None,
    queue: Mapping[tuple[int, int | None], Queued] | None,
    is_followed: bool,
) -> TaskStatus:
    record, log = record_of(run, job, index), log_of(run, job, index)
    told = (queue or {}).get((job.id, index)) or (queue or {}).get((job.id, None))

    def standing(state: State, why: str = "") -> TaskStatus:
        rank = None if index is None else index + job.offset
        return TaskStatus(index, rank, state, why, log, record, told)

    if told and told.is_active:
        return standing("running")
    if told and told.is_waiting:
        return standing("waiting", told.reason)
    if record.mark == "0" or (record.mark == STOPPED and is_followed):
        return standing("done")
    if told and told.state in ENDED_BY and (record.mark is not None or told.state != "CANCELLED"):
        return standing("failed" if told.state != "CANCELLED" else "lost", ENDED_BY[told.state])
    if record.mark not in (None, STARTED):
        return standing("failed", _ended_with(record))
    if queue is None:
        return standing("unknown")
    return standing("lost", LOST) if record.mark else standing("never ran")


def _ended_with(record: Record) -> str:
    said = CODES.get(str(record.mark), f"ended with exit code {record.mark}")
    return f"{said}; on {record.node}" if record.mark == UNFIT and record.node else said


def _why(job: SubmittedJob, state: State, tasks: tuple[TaskStatus, ...], parents: dict[str, JobStatus]) -> str:
    """Return the tasks that failed, each with its log; or what a job waits for, or lacked."""
    bad = [task for task in tasks if task.state in ("failed", "lost")]
    if bad:
        named = [
            f"{'' if task.task is None else f'task {task.task} '}{task.why}; see {task.log}" for task in bad[:NAMED]
        ]
        return "; ".join([*named, *([f"and {len(bad) - NAMED} more"] if len(bad) > NAMED else [])])
    before = [parents[name] for name in job.after if name in parents and parents[name].state != "done"]
    if state == "never ran":
        return f"{before[0].job.name} {before[0].state}" if before else "cancelled"
    if state == "waiting":
        reasons = dict.fromkeys(task.why for task in tasks if task.state == "waiting" and task.why)
        return ", ".join([f"for {', '.join(status.job.name for status in before)}"] if before else reasons)
    return "the queue cannot be asked from here" if state == "unknown" else ""
