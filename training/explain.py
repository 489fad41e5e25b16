"""`corgi explain CONFIG`: what a stage and its training amount to, before anything is trained."""

from pathlib import Path

from cascade.explain import explain as explain_stage
from configs import UserError, load

from .config import TrainConfig, shown
from .index import read_index


def explain(config_file: Path) -> str:
    """Parameters, sizes and the arithmetic of the training, some lines of text."""
    config = load(TrainConfig, config_file)
    lines = [explain_stage(config.stage).text, *shown(config, world_size=config.processes, samples=_samples(config))]
    return "\n".join([lines[0], *(f"training     {line}" for line in lines[1:])])


def _samples(config: TrainConfig) -> int | None:
    """Samples of an epoch, None where the index is not made yet."""
    try:
        return int(read_index(config.data).counts.sum())
    except UserError:
        return None
