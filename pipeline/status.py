"""Where every step of a run stands: done, stale and why, missing, waiting, or left over from an earlier plan."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configs import UserError, load, moved
from configs.steps import entries_of
from storage.footers import side_by_side
from storage.plan import PLAN, shards_of
from storage.run import CONFIG
from storage.shard import Shard
from storage.typed import PIPELINE, typed

from .config import PipelineConfig
from .runner import build
from .step import ShardStep, State, TableStep


class StepStatus(NamedTuple):
    """One line of the screen."""

    step: str
    total: int  # shards, or 1 for a table step
    states: Counter[State]  # how many shards are in each

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left to make."""
        return 0 < self.total == self.states["done"]

    @property
    def sentence(self) -> str:
        """Return '16 of 16 done', or what is wrong and what follows from it."""
        parts = [f"{self.states['done']} of {self.total} done"]
        if self.states["stale"]:
            parts.append(f"{self.states['stale']} stale (rules, thresholds, models or inputs changed since)")
        if self.states["missing"]:
            parts.append(f"{self.states['missing']} missing")
        if self.states["waiting"]:
            parts.append(f"{self.states['waiting']} waiting for the step before")
        return ", ".join(parts)


def load_config(source: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Return the config in a YAML file, or that of the run in a folder, with today's differences."""
    return config_of(source, overrides) if source.is_dir() else load(PipelineConfig, source, overrides)


def config_to_make(source: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Return the config of a YAML file, or of a folder's own YAML, as a person left it; else that of the run in it.

    The config that the last command wrote would leave out what she has changed since.
    """
    file = source / PIPELINE
    if source.is_dir() and file.exists():
        config = load(PipelineConfig, file, overrides)
        if config.run.absolute() == source.absolute():
            return config
    return load_config(source, overrides)


def config_of(run: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Return the resolved config that the last command wrote into the run folder, wherever that lies now."""
    if not (run / CONFIG).exists():
        raise UserError(f'{run} is no run: it holds no {CONFIG}; "{typed(run, "plan")}" starts one')
    return moved(load(PipelineConfig, run / CONFIG, overrides), run)


def steps_of(run: Path) -> list[StepStatus]:
    """Return every step in order. A step whose inputs are not all there is waiting."""
    config = config_of(run)
    return [status_of(entry.name, config) for entry in entries_of(config.way)]


def status_of(name: str, config: PipelineConfig) -> StepStatus:
    """Return where one step stands that a run would take with this config."""
    step, shards = build(name, config), shards_of(config.run) if (config.run / PLAN).exists() else []
    if isinstance(step, TableStep):
        return StepStatus(name, 1, Counter([step.state()]))
    return StepStatus(name, len(shards), Counter(states_of(step, shards)))


def states_of(step: ShardStep, shards: Sequence[Shard]) -> list[State]:
    """Return where each shard stands; waiting, too, where the step cannot tell yet."""

    def state_of(shard: Shard) -> State:
        try:
            return step.state(shard)
        except UserError:  # what it reads beside the shard is not there yet
            return "waiting"

    return side_by_side(state_of, shards)
