"""The folder of one training: what it was asked to be stands there before anything else.

    <run>/config.yaml   the resolved config, with its fingerprint and the git commit in the first lines
          run.json      fingerprint, commit, and the content of the index
          ledger.jsonl  checkpoints/  wandb.json

The same command again goes on; another config in the same folder is refused.
"""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from configs import UserError, dump, fingerprint
from pipeline.files import commit_bytes, commit_json, read_json

from .config import TrainConfig, essence

CONFIG = "config.yaml"
RUN = "run.json"
LOCK = "lock"
STOP = "stop"  # this file asks the training to save and leave


def prepare(config: TrainConfig, *, content: str) -> None:
    """Writes the config into the run folder, or checks that the one there asks for the same training.

    content: of the index. Raises UserError naming the keys that differ.
    """
    known = read_config(config.run)
    if known is not None:
        _refuse_another(config, known, content)
    head = f"# fingerprint: {identity(config)}\n# commit: {_commit() or 'none'}\n"
    commit_bytes(config.run / CONFIG, (head + dump(config)).encode())
    commit_json(config.run / RUN, {"fingerprint": identity(config), "commit": _commit(), "index": content})


def identity(config: TrainConfig) -> str:
    """Fingerprint of what decides the training; number of processes, steps and the like do not."""
    return fingerprint("train", essence(config))


def read_config(run: Path) -> TrainConfig | None:
    """The config a run folder was begun with, or None."""
    try:
        return TrainConfig.model_validate(yaml.safe_load((run / CONFIG).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{run / CONFIG} is of another version ({' '.join(str(error).split())[:200]}); use another run"
        ) from None


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Only one training at a time works in a run folder; the lock goes with the process. Raises UserError."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{run} is being trained by another process; wait for it, or stop it", exit_code=1
            ) from None
        except OSError:  # a file system without locks: nothing to rely on, nothing lost
            pass
        yield


def _refuse_another(config: TrainConfig, known: TrainConfig, content: str) -> None:
    ours, theirs = essence(config), essence(known)
    differing = [
        f"{key} was {theirs.get(key)!r}, now {ours.get(key)!r}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]
    if differing:
        raise UserError(
            f"{config.run} holds another training: {'; '.join(differing)}; give another run, or change back"
        )
    if config.steps < known.steps and (config.run / RUN).exists():
        raise UserError(f"{config.run} was begun for {known.steps} steps; steps may grow, not shrink to {config.steps}")
    said = (read_json(config.run / RUN) or {}).get("index", content)
    if said != content:
        raise UserError(
            f"{config.data.index} has changed since {config.run} began, so the order of samples would be another; "
            f"give another run"
        )


def _commit() -> str | None:
    """The git commit of this code, with + where files differ from it; None where it is not in a work tree."""
    here = Path(__file__).parent
    if "site-packages" in here.parts:
        return None
    try:
        asked = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
