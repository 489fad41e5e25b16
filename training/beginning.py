"""What a training says of its start, and of the ways to start anew."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from configs import UserError
from storage.run import CONFIG

from .changes import Change, consequences
from .config import TrainConfig
from .engine import Engine
from .metrics import RunLogger
from .state import TrainState
from .vital_signs import setup_s


def note(
    logger: RunLogger,
    engine: Engine,
    state: TrainState,
    changes: Sequence[Change],
    passed_over: Sequence[str],
    initial: Mapping[str, Any] | None,
) -> None:
    """Note where a training starts from. What an earlier start did after that place is void.

    passed_over: faults of newer checkpoints; initial: whose weights it starts from.
    """
    at, name = {"step": state.step, "seen": state.seen}, engine.config.stage.name
    world: dict[str, Any] = {"zero": engine.zero, "world_size": engine.ranks.world_size, "setup_s": setup_s()}
    logger.note("start" if logger.is_first else "restart", **at, **world, passed_over=[*passed_over])
    for line in passed_over:
        logger.say(f"passed over: {line}")
    if state.step:
        logger.say(f"{name}: goes on from step {state.step:,}")
    if initial:
        logger.note("init", **at, **initial)
        logger.say(f"{name}: starts from {initial['track']} of {initial['folder']}")
    if changes:
        logger.note("changed", **at, changes={change.key: [change.was, change.now] for change in changes})
    for line in consequences(state, changes):
        logger.say(f"{name}: {line}")
    logger.sync()  # else a checkpoint could outlive, on a machine that fails, the note of what led to it


def not_finite(config: TrainConfig, *, step: int, saved_at: int) -> UserError:
    """Return how to go on where too many steps in a row were skipped, and going back has not helped."""
    optim = config.optim
    return UserError(
        f"{optim.max_bad_steps} steps in a row were not finite (the last is step {step}); look at the pairs that the "
        f"ledger names, or go on from step {saved_at:,} with a lower learning rate than {optim.lr:g}: "
        f"corgi train {shlex.quote(str(config.run / CONFIG))} optim.lr={optim.lr / 4:g}",
        exit_code=1,
    )
