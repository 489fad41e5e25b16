"""Where every step of a run stands: done, stale and why, missing, waiting, or left over from an earlier plan."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from configs import UserError, load

from .config import PipelineConfig
from .files import read_mark
from .plan import PLAN, shards_of
from .shard import Shard
from .step import State, Step, TableStep, state
from .steps import ORDER, RESOLVED, TABLE_STEPS, build


class StepStatus(NamedTuple):
    """One line of the screen."""

    step: str
    total: int  # shards, or 1 for a table step
    states: Counter[State]  # how many shards are in each

    @property
    def sentence(self) -> str:
        """'16 of 16 done', or what is wrong and what follows from it."""
        parts = [f"{self.states['done']} of {self.total} done"]
        if self.states["stale"]:
            parts.append(f"{self.states['stale']} stale (rules, thresholds, models or inputs changed since)")
        if self.states["missing"]:
            parts.append(f"{self.states['missing']} missing")
        if self.states["waiting"]:
            parts.append(f"{self.states['waiting']} waiting for the step before")
        return ", ".join(parts)


def config_of(run: Path) -> PipelineConfig:
    """The resolved config that the last command wrote into the run folder."""
    if not (run / RESOLVED).exists():
        raise UserError(f"{run} is no run: it holds no {RESOLVED}; `corgi plan CONFIG` starts one")
    return load(PipelineConfig, run / RESOLVED)


def steps_of(run: Path) -> list[StepStatus]:
    """Every step in order. A step whose inputs are not all there is waiting."""
    config = config_of(run)
    shards = shards_of(run) if (run / PLAN).exists() else []
    found = []
    for name in ORDER:
        step = build(name, config)
        if name in TABLE_STEPS:
            states = Counter([_table_state(step)])
        else:
            states = Counter(_shard_state(step, shard) for shard in shards)
        found.append(StepStatus(name, 1 if name in TABLE_STEPS else len(shards), states))
    return found


def _table_state(step: TableStep) -> State:
    mark = read_mark(step.writes)
    try:
        expected = step.fingerprint()
    except UserError:  # what it reads is not there yet
        return "waiting"
    if mark is None:
        return "missing"
    return "done" if mark.fingerprint == expected else "stale"


def _shard_state(step: Step, shard: Shard) -> State:
    try:
        return state(step, shard)
    except UserError:  # what it reads beside the shard is not there yet
        return "waiting"
