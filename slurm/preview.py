"""What `corgi submit --dry-run` prints: the commands that would submit the jobs, then every script."""

from collections.abc import Sequence
from shlex import quote

from . import scheduler
from .config import ChainConfig
from .render import Job


def counted(jobs: Sequence[Job]) -> str:
    """Return '11 jobs, 4 of them arrays'."""
    arrays = sum(job.indices is not None for job in jobs)
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}, {arrays} of them arrays"


def preview(chain: ChainConfig, jobs: Sequence[Job], *, is_sized: bool, notes: Sequence[str] = ()) -> str:
    """Return it all as text that a person can run by hand.

    is_sized: there is a plan, so the arrays have its size; notes: to be told beside, a line each.
    """
    lines = [f"# {counted(jobs)}; a dry run submits nothing. By hand it would be:"]
    if not is_sized and chain.slurm.arrays == "planned":
        lines.append("# (corgi submit: the plan first, whose job submits the others as large as the plan asks for)")
    for job in jobs:
        edges = scheduler.dependency(
            [_variable(name) for name in job.after], [_variable(name) for name in job.after_any]
        )
        before = [_variable(job.follows)] if job.follows else []
        words = ["sbatch --parsable", *edges, quote(str(chain.script_of(job.name))), *before]
        lines.append(f"{_variable(job.name)[1:]}=$({' '.join(words)})")
    lines += [f"# {note}" for note in notes]
    scripts = [f"\n# ----- {chain.script_of(job.name)}\n{job.script.rstrip()}" for job in jobs]
    return "\n".join([*lines, *scripts])


def _variable(name: str) -> str:
    """Return a job's name as a shell variable, with its dollar sign."""
    return "$" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
