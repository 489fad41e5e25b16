"""Hand a chain to SLURM, or prints it.

    corgi submit runs/quickstart/chain.yaml --dry-run
    corgi submit runs/quickstart/chain.yaml slurm.train.nodes=4

Scripts, the resolved chain, logs and jobs.json (names, ids, edges) are kept in <run>/slurm/.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

import yaml
from filelock import FileLock, Timeout

from configs import UserError, dump, load, read_yaml
from configs.steps import Way

from . import scheduler
from .config import ChainConfig
from .render import Job, Place, render
from .submission import Submission, SubmittedJob, Write, read_submission, write_submission


def submit(config_file: str | Path, overrides: Sequence[str] = (), *, write: Write, dry_run: bool = False) -> str:
    """Submit the chain and return what to tell the person; with dry_run the scripts and edges, and nothing is done.

    write: makes a text file that is whole or absent, also after a power cut.
    Raises UserError where a config is missing, this machine has no SLURM, the run's jobs of an earlier submission are
    still queued, or SLURM refuses a job; what was submitted before the refused job is taken back.
    """
    chain = load(ChainConfig, config_file, overrides)
    place = Place(file=Path(config_file), cwd=Path.cwd(), programs=Path(sys.executable).parent)
    jobs = render(chain, place, processes=_processes(chain), way=_way(chain))
    if dry_run:
        return preview(chain, jobs)
    scheduler.require()
    (chain.folder / "exits").mkdir(parents=True, exist_ok=True)
    with _alone(chain):
        _refuse_while_queued(chain)
        write(chain.folder / "chain.yaml", dump(chain))
        for job in jobs:
            write(script_of(chain, job), job.script)
        ids = _submit_all(chain, place, jobs, write)
    return "\n".join([_count(jobs), *_edges(chain, jobs, ids), f"scripts, logs and jobs.json: {chain.folder}"])


def preview(chain: ChainConfig, jobs: Sequence[Job]) -> str:
    """Return the commands that would submit the jobs, then every script."""
    lines = [f"# {_count(jobs)}; a dry run submits nothing. By hand it would be:"]
    for job in jobs:
        names = [f"${_variable(name)}" for name in job.after]
        words = ["sbatch --parsable", *scheduler.dependency(names), quote(str(script_of(chain, job)))]
        lines.append(f"{_variable(job.name)}=$({' '.join(words)})")
    scripts = [f"\n# ----- {script_of(chain, job)}\n{job.script.rstrip()}" for job in jobs]
    return "\n".join([*lines, *scripts])


def script_of(chain: ChainConfig, job: Job) -> Path:
    """Return where the script of a job is kept."""
    return chain.folder / f"{job.name}.sbatch"


def _submit_all(chain: ChainConfig, place: Place, jobs: Sequence[Job], write: Write) -> dict[str, int]:
    """Submit all and return their ids, by name.

    Every id is on disk before the next job is submitted; on any error all are taken back.
    """
    submission = Submission(chain=place.file, submitted_at=datetime.now(UTC).isoformat(timespec="seconds"), jobs=[])
    ids: dict[str, int] = {}
    try:
        for job in jobs:
            ids[job.name] = scheduler.sbatch(script_of(chain, job), after=[ids[name] for name in job.after])
            kept = SubmittedJob(name=job.name, id=ids[job.name], after=job.after, tasks=job.tasks)
            submission = submission.model_copy(update={"jobs": [*submission.jobs, kept]})
            write_submission(chain.folder, submission, write=write)
    except BaseException as error:
        scheduler.scancel(list(ids.values()))
        if isinstance(error, UserError):
            raise UserError(f"{error}; the {len(ids)} jobs submitted before it are cancelled", exit_code=1) from None
        raise
    return ids


def _refuse_while_queued(chain: ChainConfig) -> None:
    before = read_submission(chain.folder)
    states = scheduler.queued([job.id for job in before.jobs]) if before else {}
    if before and states:
        shown = ", ".join(f"{job.id} {job.name} ({states[job.id].lower()})" for job in before.jobs if job.id in states)
        ids = " ".join(map(str, states))
        raise UserError(f"jobs of {chain.run} are still queued: {shown}; wait for them, or end them: scancel {ids}")


@contextmanager
def _alone(chain: ChainConfig) -> Iterator[None]:
    """Hold off a second submit of the run, which would find the queue as empty; the lock goes with its process."""
    try:
        with FileLock(chain.folder / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"another `corgi submit` of {chain.run} is at work; wait for it") from None


def _processes(chain: ChainConfig) -> dict[str, int]:
    """Return what the stages' configs say about processes on a node. Raises UserError where one is not there."""
    if not chain.pipeline.exists():
        raise UserError(f"{chain.pipeline}: no such file; `pipeline` names the YAML of the steps")
    processes = {}
    for file in chain.train:
        if not file.exists():
            raise UserError(f"{file}: no such file; `train` names the YAMLs of the stages")
        values: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        count = values.get("processes", 1) if isinstance(values, dict) else 1
        processes[file.stem] = count if isinstance(count, int) else 1  # training itself says what is wrong with it
    return processes


def _way(chain: ChainConfig) -> Way:
    """Return how the pipeline's run begins; its own config says what is wrong with it."""
    adopt = read_yaml(chain.pipeline).get("adopt")
    return "shards" if isinstance(adopt, dict) and adopt.get("source") else "table"


def _count(jobs: Sequence[Job]) -> str:
    return f"{len(jobs)} jobs, {sum(job.tasks is not None for job in jobs)} of them arrays"


def _edges(chain: ChainConfig, jobs: Sequence[Job], ids: dict[str, int]) -> Iterator[str]:
    for job in jobs:
        after = f"  after {', '.join(f'{name} ({ids[name]})' for name in job.after)}" if job.after else ""
        yield f"  {ids[job.name]:>8}  {job.name}{f'[{job.tasks}]' if job.tasks else ''}{after}"


def _variable(name: str) -> str:
    """Return a job's name as a shell variable."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
