"""Starts that lead nowhere: a training that dies again and again before its next checkpoint must not be run for ever.

    <run>/attempts.json    {"step": 1000, "config": "...", "starts": 2}      since the checkpoint of step 1000

Counted before anything can die, by the first process alone, under the run's lock.
"""

from configs import UserError
from storage.atomic import commit_json, read_json
from storage.checkpoint import committed, step_of
from storage.run import ATTEMPTS

from .config import TrainConfig
from .run_folder import identity
from .vital_signs import CHAIN_ENDS


def begin(config: TrainConfig) -> None:
    """Count a start. Raises UserError with exit code 93 where too many in a row have made no newer checkpoint.

    Then the count begins anew: the next start is a person's.
    """
    newest = committed(config.run)[:1]
    here = {"step": step_of(newest[0]) if newest else 0, "config": identity(config)}
    known = read_json(config.run / ATTEMPTS) or {}
    starts = known["starts"] if {**here, "starts": None} == {**known, "starts": None} else 0
    if starts > config.health.restarts:
        forget(config)
        raise UserError(
            f"{config.run}: {starts} starts in a row have died at step {here['step']:,} without a newer checkpoint "
            f"(health.restarts is {config.health.restarts}); look at the log for why. The same command tries again",
            exit_code=CHAIN_ENDS,
        )
    commit_json(config.run / ATTEMPTS, {**here, "starts": starts + 1})


def forget(config: TrainConfig) -> None:
    """Begin to count anew: the training has ended by itself."""
    (config.run / ATTEMPTS).unlink(missing_ok=True)
