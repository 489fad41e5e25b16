"""The registry of scorers, and which of them run with what.

A new scorer is a file `filters/<name>.py` with a class of that name and its config, `Sharpness` and `SharpnessConfig`,
and an entry here. `nsfw: null` in a config leaves a scorer out, and its columns with it.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pydantic import Field, create_model

from configs import Config, UserError

from .base import Scorer
from .own import own_scorers

HEADS = ("aesthetic", "watermark", "unsafe")  # on the embeddings of clip
# In the order of their columns.
SCORERS = ("size", "caption", "language", "hate", "sexual", "privacy", "noise", "nsfw", "pdq", "toxic", "clip", *HEADS)
_EXAMPLES = {
    "toxic": {"model": "pysentimiento/bertweet-hate-speech"},
    "clip": {"model": "openai/clip-vit-base-patch32"},
    **{head: {"file": f"heads/{head}.safetensors", "sha256": "0" * 64} for head in HEADS},
}
OFF = tuple(_EXAMPLES)  # until a config names their model
# Microseconds of a core a pair, with the decoding of its picture where the scorer looks at it; docs/filters.md has how.
# A scorer need not be measured: its hours are then not predicted.
RATES_US = {
    **{"size": 0.5, "caption": 9, "language": 39, "hate": 35, "sexual": 32, "privacy": 2},
    **{"noise": 1_700, "nsfw": 11_600, "pdq": 600, "toxic": 117_000, "clip": 172_000},
    **dict.fromkeys(HEADS, 75),
}


def _of_module(name: str, ending: str = "") -> Any:
    return getattr(import_module(f"filters.{name}"), f"{name.capitalize()}{ending}")


if TYPE_CHECKING:
    ScorerSections = Config
else:  # a section for each registered scorer, with its defaults
    _CONFIGS = {name: _of_module(name, "Config") for name in SCORERS}
    ScorerSections = create_model(
        "ScorerSections",
        __base__=Config,
        **{
            name: (config | None, Field(default=None, examples=[_EXAMPLES[name]]) if name in OFF else config())
            for name, config in _CONFIGS.items()
        },
    )


class ScorersConfig(ScorerSections):
    """The scorers, in the order of their columns; null leaves one out."""


def build(config: ScorersConfig) -> list[Scorer]:
    """Return the scorers that are not null, then those of one's own. Cheap: models are loaded by the first batch.

    Raises UserError where two of them make a column of the same name.
    """
    scorers: list[Scorer] = [_of_module(name)(options) for name, options in config if options is not None]
    for head in HEADS:
        if dict(config)[head] is not None and dict(config)["clip"] is None:
            raise UserError(f"score.{head} judges embeddings of CLIP, and score.clip is null; name its model")
    for own in own_scorers():
        taken = {*SCORERS, *(scorer.name for scorer in scorers)}
        for word in [own.name] * (own.name in taken) + [*({*own.columns} & {*_columns_of_all(), *_all(scorers)})]:
            raise UserError(f"a scorer of your own is called {word!r}, or makes a column of that name; it is taken")
        scorers.append(cast(Scorer, own))
    return scorers


def _all(scorers: list[Scorer]) -> list[str]:
    return [name for scorer in scorers for name in scorer.columns]


@cache
def _columns_of_all() -> frozenset[str]:
    return frozenset(name for scorer in SCORERS for name in _of_module(scorer).columns)


def seconds_of(config: ScorersConfig) -> float:
    """Return about how many core-seconds a pair takes, of the scorers that are not null and were measured."""
    return sum(RATES_US.get(name, 0) for name, options in config if options is not None) / 1e6


def columns_of_ours() -> dict[str, dict[str, pa.DataType]]:
    """Return the columns of every scorer that comes with Corgi, whether a config has it or not."""
    return {name: _of_module(name).columns for name in SCORERS}


def columns_of(config: ScorersConfig) -> dict[str, pa.DataType]:
    """Return the columns of the scorers that are not null, in order; no model is looked for."""
    return {name: kind for columns in columns_by_scorer(config).values() for name, kind in columns.items()}


def columns_by_scorer(config: ScorersConfig) -> dict[str, dict[str, pa.DataType]]:
    """Return the columns of each scorer that is not null, and of those of one's own."""
    ours = {name: _of_module(name).columns for name, options in config if options is not None}
    return {**ours, **{own.name: own.columns for own in own_scorers()}}
