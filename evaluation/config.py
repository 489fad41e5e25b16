"""How a run is evaluated: which pairs, how many images, how they are drawn, and the bars that figures must reach.

    corgi evaluate runs/laion name=caption group=category per_group=20

`<run>/evaluate.yaml` is read if it is there. Columns are those of the url table, in small letters.
"""

import itertools

from pydantic import Field, model_validator

from cascade.config import Precision, SamplerConfig
from configs import Config

# Buckets of log-SNR, noisy to clean; each is met at its middle.
GAP_EDGES = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)


class SampleConfig(Config):
    """How a set of images is drawn."""

    samplers: dict[str, SamplerConfig] = {}  # by stage; a stage that is not named draws as its own config says
    precision: Precision = "fp32"  # bf16: no pixel more than 1 of 255 off; quicker where the machine computes in it
    batch: int = Field(default=30, ge=1)  # images drawn at once


class Bars(Config):
    """What figures must reach. null: the figure is told without a judgement."""

    gap_training: float | None = None  # at least
    gap_held_out: float | None = None  # at least
    group: float | None = None  # at least, of training pairs
    drift: float | None = None  # below
    enlarged: float | None = None  # below; 1 is what bilinear does
    of_longer_run: bool = False  # this training is shorter than what the bars are for: a missed one is no failure


class EvaluateConfig(Config):
    """What is drawn and measured."""

    name: str = "caption"  # column: of pairs with the same name one takes part
    family: str | None = None  # column: captions of one family are not swapped for each other; null: the name
    group: str | None = None  # column: what kinds of images there are; null: no nearest-of-group figures
    where: str = "true"  # SQL over a pair's columns: which of the kept pairs take part
    # SQL: pairs so like another that they are neither compared with nor drawn as training pairs.
    variants: str = Field(default="false", examples=["tone_variant"])
    pairs: int = Field(default=10_000, ge=1)  # of each split take part at most, the first shards' first
    per_group: int = Field(default=30, ge=1)  # training pairs of each group that are drawn; without groups, of all
    held_out: int = Field(default=200, ge=0)  # held-out pairs that are drawn
    compared: int = Field(default=10_000, ge=2)  # real images that samples are compared with, at most
    gap_pairs: int = Field(default=200, ge=2)  # of each split, for the caption gap
    gap_log_snr: tuple[float, float] = (-4.0, 2.0)  # between which the gap is averaged: 3 of 7 buckets
    enlarged: int = Field(default=32, ge=1)  # held-out pairs whose real images are made small and large again
    track: str = "ema"  # of the weights
    device: str = "cpu"  # of the nets and the text encoder
    sample: SampleConfig = SampleConfig()
    bars: Bars = Bars()

    @model_validator(mode="after")
    def _check(self) -> "EvaluateConfig":
        low, high = self.gap_log_snr
        middles = [(left + right) / 2 for left, right in itertools.pairwise(GAP_EDGES)]
        if not any(low <= middle <= high for middle in middles):
            levels = ", ".join(f"{middle:g}" for middle in middles)
            raise ValueError(f"gap_log_snr {low:g} to {high:g} holds no level at which the gap is measured: {levels}")
        return self
