"""What is kept of a submission: <run>/slurm/jobs.json."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from configs import Config, UserError

JOBS = "jobs.json"
Write = Callable[[Path, str], None]  # makes a text file that is whole or absent, also after a power cut


class SubmittedJob(Config):
    """One job in SLURM's hands."""

    name: str  # download, train-base64; its script is <name>.sbatch
    id: int  # of the array, where it is one
    after: list[str]  # names of the jobs that must succeed first
    tasks: int | None = None  # of an array; None: not an array


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
    write(folder / JOBS, submission.model_dump_json(indent=1) + "\n")
