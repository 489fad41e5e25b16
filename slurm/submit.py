"""Hand a chain to SLURM, or print it.

    corgi submit runs/quickstart/chain.yaml --dry-run
    corgi submit runs/quickstart/chain.yaml slurm.train.nodes=4

Scripts, the resolved chain, logs and jobs.json (names, ids, edges) are kept in <run>/slurm/.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from configs import UserError, dump, load

from . import scheduler
from .arrays import MAX_ARRAY_SIZE, listed
from .config import ChainConfig
from .preview import counted, preview
from .render import Call, Job, Work, render
from .script import Place
from .submission import Submission, SubmittedJob, Write, read_submission, write_submission

NOTHING_LEFT = "nothing is left to do: every step and stage is done"


def submit(
    config_file: str | Path,
    overrides: Sequence[str] = (),
    *,
    write: Write,
    work: Work = Work(),
    dry_run: bool = False,
    accepts_new_data: bool = False,
    scorers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Submit what is left of a chain and return what to tell the person; with dry_run only scripts and edges.

    write: makes a text file that is whole or absent, also after a power cut; scorers: one's own, which run beside those
    of the config; notes: for the dry run, beside the edges.
    Raises UserError where a config is missing, this machine has no SLURM, the run's jobs of an earlier submission are
    still queued, or SLURM refuses a job; what was submitted before the refused job is taken back.
    """
    chain = load(ChainConfig, config_file, overrides)
    _require_files(chain)
    place = Place(file=Path(config_file), cwd=Path.cwd(), python=Path(sys.executable))
    call = Call(scheduler.max_array_size() or MAX_ARRAY_SIZE, accepts_new_data, overrides, scorers, is_preview=dry_run)
    jobs = render(chain, place, work, call)
    if not jobs:
        return NOTHING_LEFT
    if dry_run:
        return preview(chain, jobs, is_sized=work.shards is not None, notes=notes)
    scheduler.require()
    (chain.folder / "exits").mkdir(parents=True, exist_ok=True)
    with _alone(chain):
        mine = _refuse_while_queued(chain)
        write(chain.folder / "chain.yaml", dump(chain))
        for job in jobs:
            write(chain.script_of(job.name), job.script)
        ids = _submit_all(chain, place, jobs, mine, write)
    rest = ["its job submits the rest, as large as the plan asks for"] if [job.name for job in jobs] == ["plan"] else []
    return "\n".join([counted(jobs), *_edges(jobs, ids), *rest, f"scripts, logs and jobs.json: {chain.folder}"])


def _submit_all(
    chain: ChainConfig, place: Place, jobs: Sequence[Job], mine: Sequence[SubmittedJob], write: Write
) -> dict[str, int]:
    """Submit all and return their ids, by name.

    Every id is on disk before the next job is submitted; on any error all are taken back. mine: what this is a part of.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    submission = Submission(chain=place.file, submitted_at=now, jobs=list(mine))
    ids: dict[str, int] = {}
    try:
        for job in jobs:
            ids[job.name] = scheduler.sbatch(
                chain.script_of(job.name),
                *([ids[job.follows]] if job.follows else []),
                after=[ids[name] for name in job.after],
                after_any=[ids[name] for name in job.after_any],
            )
            submission = submission.model_copy(update={"jobs": [*submission.jobs, _kept(job, ids[job.name])]})
            write_submission(chain.folder, submission, write=write)
    except BaseException as error:
        scheduler.scancel(list(ids.values()))
        if isinstance(error, UserError):
            raise UserError(f"{error}; the {len(ids)} jobs submitted before it are cancelled", exit_code=1) from None
        raise
    return ids


def _kept(job: Job, number: int) -> SubmittedJob:
    return SubmittedJob(
        name=job.name,
        id=number,
        after=job.after,
        after_any=job.after_any,
        step=job.step,
        tasks=None if job.indices is None else len(job.indices),
        array=None if job.indices is None else listed(job.indices),
        offset=job.offset,
        follows=job.follows,
    )


def _refuse_while_queued(chain: ChainConfig) -> list[SubmittedJob]:
    """Return those jobs of the last submission that this process is one of; raise UserError where others are queued."""
    before = read_submission(chain.folder)
    ours = {job.step for job in before.jobs if str(job.id) == os.environ.get("SLURM_JOB_ID")} if before else set()
    mine = [job for job in before.jobs if job.step in ours] if before else []  # and its copies
    states = scheduler.queued([job.id for job in before.jobs if job not in mine]) if before else {}
    if before and states:
        shown = ", ".join(f"{job.id} {job.name} ({states[job.id].lower()})" for job in before.jobs if job.id in states)
        ids = " ".join(map(str, states))
        raise UserError(f"jobs of {chain.run} are still queued: {shown}; wait for them, or end them: scancel {ids}")
    return mine


@contextmanager
def _alone(chain: ChainConfig) -> Iterator[None]:
    """Hold off a second submit of the run, which would find the queue as empty; the lock goes with its process."""
    try:
        with FileLock(chain.folder / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"another `corgi submit` of {chain.run} is at work; wait for it") from None


def _require_files(chain: ChainConfig) -> None:
    """Raise UserError where a config that the chain names is not there."""
    if not chain.pipeline.exists():
        raise UserError(f"{chain.pipeline}: no such file; `pipeline` names the YAML of the steps")
    for file in chain.train:
        if not file.exists():
            raise UserError(f"{file}: no such file; `train` names the YAMLs of the stages")


def _edges(jobs: Sequence[Job], ids: dict[str, int]) -> Iterator[str]:
    for job in jobs:
        name = job.name if job.indices is None else f"{job.name}[{len(job.indices)}]"
        before = {"after": job.after, "after the end of": job.after_any}
        said = [
            f"{how} {', '.join(f'{each} ({ids[each]})' for each in names)}" for how, names in before.items() if names
        ]
        yield f"  {ids[job.name]:>8}  {'  '.join([name, *said])}"
