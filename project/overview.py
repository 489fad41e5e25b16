"""`corgi status RUN`: a whole run on one screen, and the same as JSON (docs/seeing.md says what its keys mean).

Three things are put together: what the files say is made, what the cluster says of jobs, what ledgers say of pace and
cost. Each may be missing: there is no cluster, nothing has run yet, a training stands alone.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from configs import UserError, load
from configs.steps import entries_of
from pipeline.config import PipelineConfig
from pipeline.status import StepStatus, config_of, steps_of
from pipeline.throughput import Throughput, throughput_of
from slurm.config import ChainConfig
from slurm.job_status import Jobs, JobStatus, jobs_of
from slurm.records import submitted_from
from storage.footers import remembered
from storage.run import CONFIG, TRAINING
from training.config import TrainConfig
from training.status import StageStatus, stages_of, waiting

SUBMITTED = Path("slurm/chain.yaml")  # what `corgi submit` writes into a run


class Row(NamedTuple):
    """A step, a stage, or another job of the chain."""

    name: str
    jobs: tuple[JobStatus, ...]
    step: StepStatus | None = None
    pace: Throughput = Throughput()
    stage: StageStatus | None = None
    waits: str = ""  # of a stage that is not begun: what to do

    @property
    def state(self) -> str:
        """Return done, running, waiting (in the queue), failed; and where nobody is at work: stale, partly, to do."""
        job = {job.state for job in self.jobs}
        if "running" in job or self.pace.ranks or (self.stage and self.stage.is_here):
            return "running"
        if "waiting" in job:
            return "waiting"
        if self._is_made or (self.step is None and self.stage is None and job == {"done"}):
            return "done"
        if job & {"failed", "lost"}:
            return "failed"
        if self.step is not None and self.step.states["stale"]:
            return "stale"
        return "partly" if self._is_begun else "to do"

    @property
    def _is_made(self) -> bool:
        return (self.step is not None and self.step.is_done) or (
            self.stage is not None and self.stage.standing.last_event == "done"
        )

    @property
    def _is_begun(self) -> bool:
        return self.stage is not None or (self.step is not None and self.step.states["done"] > 0)

    def tasks(self, state: str) -> int:
        """Return how many tasks of its jobs are in a state."""
        return sum(job.counts[state] for job in self.jobs)

    def hours(self, what: str) -> float:
        """Return core- or GPU-hours: of its jobs where the cluster ran it, else by the ledger. what: cores or gpus."""
        if self.jobs:
            size = (getattr(job.size, what) * sum(task.seconds for task in job.tasks) for job in self.jobs)
            return sum(size) / 3600
        if self.stage:
            return float(getattr(self.stage.standing, what) * self.stage.standing.paid_s / 3600)
        return self.pace.core_hours if what == "cores" else self.pace.gpu_hours

    @property
    def paid_s(self) -> float:
        """Return the seconds of all tasks together, or of the training itself where no cluster ran it."""
        of_jobs = sum(task.seconds for job in self.jobs for task in job.tasks)
        return of_jobs or (self.stage.standing.paid_s if self.stage else self.pace.useful_s)

    @property
    def useful_s(self) -> float:
        """Return the seconds of these that made what still counts."""
        return self.stage.standing.useful_s if self.stage else self.pace.useful_s


class Overview(NamedTuple):
    """All of a run, as of one moment."""

    run: Path
    at: float  # seconds since 1970
    rows: list[Row]
    jobs: Jobs | None

    @property
    def goodput(self) -> float | None:
        """Return the useful share of the paid time; None where nothing was paid yet."""
        paid = sum(row.paid_s for row in self.rows)
        return min(1.0, sum(row.useful_s for row in self.rows) / paid) if paid > 0 else None


def overview(run: Path) -> Overview:
    """Return where a run stands. Raises UserError where the folder is no run, of a pipeline or a training."""
    if not run.is_dir():
        raise UserError(f"{run} is no folder; give the folder of a run")
    jobs = jobs_of(run)
    is_alone = (run / TRAINING).exists()  # a training's own folder, and no pipeline's
    config = None if is_alone else _config(run, jobs)
    rows = [*_steps(run, config, jobs), *_stages(run, jobs)]
    known = {job.job.name for row in rows for job in row.jobs}
    others = [Row(job.job.name, (job,)) for job in (jobs.jobs if jobs else []) if job.job.name not in known]
    return Overview(run, time.time(), rows + others, jobs)


def _config(run: Path, jobs: Jobs | None) -> PipelineConfig | None:
    """Return the run's config; before its first command has run, that of the chain; None where there is none."""
    if (run / CONFIG).exists() or jobs is None:
        return config_of(run)
    try:
        return load(PipelineConfig, _from(run, jobs) / load(ChainConfig, run / SUBMITTED).pipeline)
    except UserError:  # it has gone elsewhere since
        return None


def _steps(run: Path, config: PipelineConfig | None, jobs: Jobs | None) -> Iterator[Row]:
    if config is None:
        return
    if not (run / CONFIG).exists():
        for entry in entries_of(config.way):
            nothing = StepStatus(entry.name, 0, Counter())
            yield Row(entry.name, _jobs(jobs, entry.name), nothing)
        return
    with remembered():
        statuses = steps_of(run)
        pace = throughput_of(config, statuses)
    for status in statuses:
        yield Row(status.step, _jobs(jobs, status.step), status, pace[status.step])


def _stages(run: Path, jobs: Jobs | None) -> Iterator[Row]:
    names = dict(_trainings(run, jobs)) if jobs else {}
    for stage in stages_of(run):
        yield Row(stage.stage, _jobs(jobs, names.get(stage.folder.resolve(), "")), stage=stage)
    for file, config in waiting(run):
        name = names.get(config.run.resolve(), f"train-{file.stem}")
        yield Row(config.stage.name, _jobs(jobs, name), waits=f"not begun; corgi train {file}")


def _trainings(run: Path, jobs: Jobs) -> Iterator[tuple[Path, str]]:
    """Yield the folder of each training of the chain, with the name of its job."""
    try:
        files, place = load(ChainConfig, run / SUBMITTED).train, _from(run, jobs)
    except UserError:
        return
    for file in files:
        with suppress(UserError):
            yield (place / load(TrainConfig, place / file).run).resolve(), f"train-{file.stem}"


def _from(run: Path, jobs: Jobs) -> Path:
    return submitted_from(run, jobs.jobs[0].job) if jobs.jobs else Path()


def _jobs(jobs: Jobs | None, name: str) -> tuple[JobStatus, ...]:
    """Return the jobs of a step or stage."""
    return tuple(job for job in (jobs.jobs if jobs else []) if name in (job.job.name, job.job.step or None))
