"""What is kept of a submission: <run>/slurm/jobs.json.

A step is one job or several: an array too large for the cluster is split (download-1, download-2), and where preempted
jobs may not be requeued, copies wait behind a job to go on where it stopped (train-base64.1, .2). Each of them has an
entry, with the step it belongs to. The jobs' own marks are exits/ID and exits/ID_TASK, see job.sh.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from configs import Config, UserError

from .arrays import unlisted

JOBS = "jobs.json"
Write = Callable[[Path, str], None]  # makes a text file that is whole or absent, also after a power cut


class SubmittedJob(Config):
    """One job in SLURM's hands."""

    name: str  # download, train-base64; its script is <name>.sbatch
    id: int  # of the array, where it is one
    after: list[str]  # names of the jobs that must succeed first
    after_any: list[str] = []  # names of the jobs that must have ended, however
    step: str = ""  # the registry's name, or train-base64, evaluate, demo, report, or download-verdict
    tasks: int | None = None  # how many an array has; None: not an array
    array: str | None = None  # which indices they have: 0-63, or 3,17; None: 0 to tasks - 1
    offset: int = 0  # rank of index 0
    follows: str | None = None  # name of the job of the same commands that it goes on with

    @property
    def indices(self) -> list[int]:
        """Return the indices of an array's tasks, as SLURM has them; empty where it is none."""
        return unlisted(self.array) if self.array else list(range(self.tasks or 0))


class Submission(Config):
    """The last submission of a run."""

    chain: Path
    submitted_at: str  # UTC
    jobs: list[SubmittedJob]


def read_submission(folder: Path) -> Submission | None:
    """Return the run's last submission; None where it was never submitted."""
    file = folder / JOBS
    try:
        return Submission.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{file} is not what `corgi submit` wrote; look into it, and remove it if useless") from None


def write_submission(folder: Path, submission: Submission, *, write: Write) -> None:
    """Replace jobs.json as a whole."""
    write(folder / JOBS, submission.model_dump_json(indent=1, exclude_defaults=True) + "\n")
