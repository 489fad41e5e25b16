"""The registry of scorers, and which of them run with what.

A new scorer is a file `filters/<name>.py` with a class of that name and its config, `Sharpness` and `SharpnessConfig`,
and an entry here. `nsfw: null` in a config leaves a scorer out, and its columns with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import create_model

from configs import Config

from .base import Scorer

SCORERS = ("size", "caption", "language", "hate", "nsfw", "pdq")  # in the order of their columns


def _of_module(name: str, ending: str = "") -> Any:
    return getattr(import_module(f"filters.{name}"), f"{name.capitalize()}{ending}")


if TYPE_CHECKING:
    ScorerSections = Config
else:  # a section for each registered scorer, with its defaults
    _CONFIGS = {name: _of_module(name, "Config") for name in SCORERS}
    ScorerSections = create_model(
        "ScorerSections", __base__=Config, **{name: (config | None, config()) for name, config in _CONFIGS.items()}
    )


class ScorersConfig(ScorerSections):
    """The scorers, in the order of their columns; null leaves one out."""


def build(config: ScorersConfig) -> list[Scorer]:
    """Return the scorers that are not null. Cheap: models are loaded by the first batch."""
    return [_of_module(name)(options) for name, options in config if options is not None]


def columns_of(config: ScorersConfig) -> dict[str, pa.DataType]:
    """Return the columns of the scorers that are not null, in order; no model is looked for."""
    return {name: kind for columns in columns_by_scorer(config).values() for name, kind in columns.items()}


def columns_by_scorer(config: ScorersConfig) -> dict[str, dict[str, pa.DataType]]:
    """Return the columns of each scorer that is not null."""
    return {name: _of_module(name).columns for name, options in config if options is not None}
