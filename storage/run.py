"""What lies at the top of a run's folder, a pipeline's or a training's, and how its config introduces itself.

config.yaml    the resolved config, with its fingerprint and the code's commit in the first line
train/<stage>  the trainings of a pipeline's run; in each
  run.json       fingerprint, commit, content of the index that it was begun with, machine
  stop           a file that asks it to save and leave
  lock           held while it trains
  attempts.json  starts since its newest checkpoint
  wandb.json     id of its run in Weights & Biases; in a pipeline's run too, where it begins those of its steps
  wandb.log      what `corgi sync` said that ran beside it
"""

import subprocess
from pathlib import Path

from configs import Config, absolute, dump

from .atomic import commit_json, commit_text, read_json
from .machine import machine

CONFIG = "config.yaml"
TRAIN = "train"
TRAINING, STOP, LOCK, ATTEMPTS = "run.json", "stop", "lock", "attempts.json"
WANDB, MIRROR_LOG = "wandb.json", "wandb.log"


def write_config(run: Path, config: Config, *, fingerprint: str) -> None:
    """Commit the resolved config, with absolute paths: before anything else is done in the run."""
    head = f"# fingerprint {fingerprint}, commit {code_commit() or 'unknown'}\n"
    commit_text(run / CONFIG, head + dump(absolute(config)))


def commit_of(run: Path) -> str | None:
    """Return the commit of the code that a run's config was written by; None where it is not known."""
    try:
        with (run / CONFIG).open(encoding="utf-8") as file:
            head = file.readline(1000)
    except FileNotFoundError:
        return None
    commit = head.partition(", commit ")[2].strip() if head.startswith("# fingerprint ") else ""
    return commit if commit and commit != "unknown" else None


def machine_of(run: Path) -> str | None:
    """Return the machine that a training was last begun or continued on; None where it is not known."""
    training = read_json(run / TRAINING)
    return training and training.get("machine")


def write_training(run: Path, *, fingerprint: str, index: str) -> None:
    """Commit what a training was begun with, after its config. index: content of the index."""
    commit_json(
        run / TRAINING, {"fingerprint": fingerprint, "commit": code_commit(), "index": index, "machine": machine()}
    )


def index_of(run: Path) -> str | None:
    """Return the content of the index that a training was begun with; None where none was begun."""
    training = read_json(run / TRAINING)
    return training and training.get("index")


def trainings_of(run: Path) -> list[Path]:
    """Return the folders of trainings in a run: itself, or those in <run>/train."""
    return [folder for folder in [run, *sorted((run / TRAIN).glob("*"))] if (folder / TRAINING).exists()]


def run_of(training: Path) -> Path:
    """Return the pipeline's run that a training's folder stands in; where it stands alone, the folder itself."""
    run = training.parent.parent
    return run if training.parent.name == TRAIN and (run / CONFIG).exists() else training


def code_commit() -> str | None:
    """Return the git commit of this code, with + where files differ from it; None where it is not in a work tree."""
    here = Path(__file__).parent
    if "site-packages" in here.parts:
        return None
    git = [
        "git",
        "--no-optional-locks",
        "-C",
        str(here),
    ]  # a kill in the middle must not leave a lock in somebody's tree
    try:
        commit, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + "+" * bool(changed)
