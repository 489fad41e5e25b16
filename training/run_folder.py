"""The folder of one training: what it was asked to be stands there before anything else.

    <run>/config.yaml   the resolved config, with its fingerprint and the git commit in the first line
          run.json      fingerprint, commit, and the content of the index
          ledger.jsonl  checkpoints/  grids/  wandb.json

The same command again goes on, with other settings too; another net, or another order of samples, is refused before
anything is written. Where no checkpoint is committed yet nothing is held, and any training may begin.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from configs import UserError, fingerprint, load, moved
from storage.atomic import read_json
from storage.checkpoint import STATE, BrokenError, committed, read_shapes, step_of
from storage.processes import locked
from storage.run import CONFIG, LOCK, TRAIN, index_of, write_config, write_training

from .changes import SAMPLES, differing, settings
from .config import TrainConfig
from .data.index import Index

ACCEPT_NEW_DATA = "--accept-new-data"
NAMED = 20  # tensors that do not fit


def check(config: TrainConfig, index: Index, *, accepts_new_data: bool) -> None:
    """Raise UserError where this config cannot begin or go on in its folder. Nothing is written."""
    begun, checkpoints = read_config(config.run), committed(config.run)
    if begun is None or not checkpoints:
        if config.init_from is not None:
            _check_initial_weights(config)
        return
    _refuse_another(config, begun, step=step_of(checkpoints[0]))
    if not accepts_new_data and index_of(config.run) not in (None, index.content):
        _refuse_new_data(config, index, checkpoints[0])


def prepare(config: TrainConfig, *, content: str) -> None:
    """Write what is asked for into the run folder, once `check` has let it in. content: of the index."""
    write_config(config.run, config, fingerprint=identity(config))
    write_training(config.run, fingerprint=identity(config), index=content)


def identity(config: TrainConfig) -> str:
    """Return the fingerprint of a training's settings; where and how fast it runs is none."""
    return fingerprint("train", settings(config))


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


def _refuse_another(config: TrainConfig, begun: TrainConfig, *, step: int) -> None:
    """Raise UserError where what is asked for is no change of settings."""
    fixed = [change for change in differing(settings(begun), settings(config)) if change.is_fixed]
    if fixed:
        differences = "; ".join(f"{change.key} was {change.was!r}, now {change.now!r}" for change in fixed)
        raise UserError(
            f"{config.run} holds another training: {differences}; change back, or give another run "
            f"(with init_from={config.run} it starts from these weights, where they fit)"
        )
    asked = (config.init_from, config.init_track)
    if config.init_from is not None and asked != (begun.init_from, begun.init_track):
        raise UserError(
            f"init_from {config.init_from} is where a training starts from, but {config.run} is at step {step:,} "
            f"already; leave it out, or give another run"
        )


def _refuse_new_data(config: TrainConfig, index: Index, newest: Path) -> None:
    state = read_json(newest / STATE) or {}
    before = state.get("settings", {}).get(SAMPLES)
    counts = f" ({before:,} samples then, {index.samples:,} now)" if before is not None else ""
    raise UserError(
        f"{config.data.index} has changed since {config.run} began{counts}, so the order of samples would be another "
        f"from step {step_of(newest):,} on; say {ACCEPT_NEW_DATA} to go on with it, or give another run"
    )


def _check_initial_weights(config: TrainConfig) -> None:
    """Raise UserError where `init_from` has no such weights, or where they do not fit the net."""
    assert config.init_from is not None
    checkpoints = committed(config.init_from)
    if not checkpoints:
        raise UserError(f"init_from: {config.init_from} has no committed checkpoint; give the folder of a training")
    try:
        theirs, tracks = read_shapes(checkpoints[0], config.init_track)
    except BrokenError:  # the one before it may be whole: found out when it is loaded
        return
    if not theirs:
        raise UserError(f"init_track: {checkpoints[0]} has no track {config.init_track!r}; it has {', '.join(tracks)}")
    import torch

    from cascade.stage import build

    with torch.device("meta"):
        ours = {name: tuple(param.shape) for name, param in build(config.stage).named_parameters()}
    wrong = [f"{change.key} is {change.was} there, {change.now} here" for change in differing(theirs, ours)]
    if wrong:
        more = f"; and {len(wrong) - NAMED:,} more" if len(wrong) > NAMED else ""
        raise UserError(
            f"init_from: {config.init_from} has another net, {len(wrong):,} tensors differ: "
            f"{'; '.join(wrong[:NAMED])}{more}; give this training the same stage.model"
        )
