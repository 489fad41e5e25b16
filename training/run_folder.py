"""The folder of one training: what it was asked to be stands there before anything else.

    <run>/config.yaml   the resolved config, with its fingerprint and the git commit in the first line
          run.json      fingerprint, commit, and the content of the index
          ledger.jsonl  checkpoints/  wandb.json

The same command again goes on; another config in the same folder is refused.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from configs import UserError, fingerprint, load, moved
from storage.processes import locked
from storage.run import CONFIG, LOCK, TRAIN, index_of, write_config, write_training

from .config import TrainConfig, essence


def prepare(config: TrainConfig, *, content: str) -> None:
    """Write the config into the run folder, or check that the one there asks for the same training.

    content: of the index. Raises UserError naming the keys that differ.
    """
    begun = read_config(config.run)
    if begun is not None:
        _refuse_another(config, begun, content)
    write_config(config.run, config, fingerprint=identity(config))
    write_training(config.run, fingerprint=identity(config), index=content)


def identity(config: TrainConfig) -> str:
    """Return the fingerprint of what decides the training; number of processes, steps and the like do not."""
    return fingerprint("train", essence(config))


def read_config(run: Path) -> TrainConfig | None:
    """Return the config that a run folder was begun with, or None. UserError where a key has another name by now."""
    if not (run / CONFIG).exists():
        return None
    try:
        config = load(TrainConfig, run / CONFIG)
    except UserError as error:
        raise UserError(
            f"{run} was begun by another version of this code ({error}); finish it with that one, or give another run"
        ) from None
    is_within = run.absolute().parent.name == TRAIN == config.run.absolute().parent.name
    return moved(config, run.absolute() if is_within else run, levels=2 if is_within else 0)


def lock(run: Path) -> AbstractContextManager[None]:
    """Keep other trainings out of a run folder; the lock goes with the process. Raises UserError where it is held."""
    return locked(run / LOCK, busy=f"{run} is being trained by another process; wait for it, or stop it")


def _refuse_another(config: TrainConfig, begun: TrainConfig, content: str) -> None:
    ours, theirs = essence(config), essence(begun)
    differing = [
        f"{key} was {theirs.get(key)!r}, now {ours.get(key)!r}"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]
    if differing:
        raise UserError(
            f"{config.run} holds another training: {'; '.join(differing)}; give another run, or change back"
        )
    index = index_of(config.run)
    if index is None:  # a kill came between config and run.json: nothing was trained yet
        return
    if config.steps < begun.steps:
        raise UserError(f"{config.run} was begun for {begun.steps} steps; steps may grow, not shrink to {config.steps}")
    if index != content:
        raise UserError(
            f"{config.data.index} has changed since {config.run} began, so the order of samples would be another; "
            f"give another run"
        )
