"""Drawing with trained stages: captions into PNG files, and whole sets of pictures stage by stage.

corgi sample runs/x/train/base16 runs/x/train/sr64 --caption "a red apple"     samples/a-red-apple-0.sr64.png
"""

import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from cascade.sample import Cascade, Precision
from cascade.sampler import SamplerConfig
from cascade.text import TextConfig, TextEncoder
from cascade.weights import LoadedStage
from configs import Config, UserError, fingerprint
from pipeline.files import commit, sha256_file
from pipeline.ledger import note
from pipeline.progress import Progress

from .picture_sets import PictureSet

VERSION = 1
NAME_CHARS = 60  # of a caption in a file's name


class SampleConfig(Config):
    """How a set of pictures is drawn."""

    samplers: dict[str, SamplerConfig] = {}  # by stage; a stage that is not named draws as its own config says
    precision: Precision = "fp32"
    batch: int = Field(default=30, ge=1)  # pictures drawn at once


def draw(stages: Sequence[Path], *, captions: Sequence[str], out: Path, seed: int) -> list[Path]:
    """One PNG for each caption and stage, the first caption with `seed`, the next with the next.

    Pictures are drawn one by one, so that each depends on its own caption and seed alone, to the last bit.
    """
    if not captions:
        raise UserError('nothing to draw; give --caption "a red apple", as often as you like')
    cascade = Cascade.load(stages)
    seeds = range(seed, seed + len(captions))
    pictures = cascade.sample(captions, seeds, batch=1)
    return [
        _write(out / f"{file_name(caption)}-{number}.{stage}.png", made[place])
        for place, (caption, number) in enumerate(zip(captions, seeds, strict=True))
        for stage, made in pictures.items()
    ]


def file_name(caption: str) -> str:
    """A caption as the start of a file's name: small letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")
    return words[:NAME_CHARS].rstrip("-") or "caption"


def _write(path: Path, pixels: np.ndarray) -> Path:
    commit(path, lambda scratch: Image.fromarray(pixels).save(scratch, "PNG"))
    return path


class Texts:
    """Captions of a set, encoded when a stage first asks: a set that is there already loads no encoder."""

    def __init__(self, captions: Sequence[str]) -> None:
        self.captions = list(captions)
        self._known: dict[TextConfig, list[np.ndarray]] = {}

    def states(self, config: TextConfig) -> list[np.ndarray]:
        """(tokens, width) uint16 of each caption."""
        if config not in self._known:
            self._known[config] = TextEncoder(config).encode(self.captions)
        return self._known[config]

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.captions)


def fill(
    pictures: PictureSet, stages: Sequence[LoadedStage], *, texts: Texts, seeds: Sequence[int], config: SampleConfig
) -> dict[str, np.ndarray]:
    """The set's pictures of every stage, {stage: (n, px, px, 3) uint8}; what is there and fresh is not drawn again.

    stages: lowest first. Each stage enlarges the stored pictures of the one before.
    """
    cascade = Cascade(stages, config.precision)  # checks that the stages fit each other
    mark = fingerprint("pictures", VERSION, texts.fingerprint, list(seeds), config.precision, config.batch)
    found: dict[str, np.ndarray] = {}
    below: np.ndarray | None = None
    for stage in cascade.stages:
        name = stage.config.name
        sampler = config.samplers.get(name, stage.config.sampler)
        mark = fingerprint(mark, sha256_file(stage.folder / "COMMIT.json"), stage.track, sampler)
        made = pictures.read(name, fingerprint=mark)
        if made is None:
            made = _drawn(pictures, stage, texts.states(stage.text), seeds, below, sampler, config)
            pictures.write(name, made, fingerprint=mark)
        found[name] = below = made
    return found


def _drawn(
    pictures: PictureSet,
    stage: LoadedStage,
    states: Sequence[np.ndarray],
    seeds: Sequence[int],
    below: np.ndarray | None,
    sampler: SamplerConfig,
    config: SampleConfig,
) -> np.ndarray:
    """(n, px, px, 3) uint8 by one stage, with progress and a line in the run's ledger."""
    name, began = stage.config.name, time.monotonic()
    alone, samplers = Cascade([stage], config.precision), {name: sampler}
    parts: list[np.ndarray] = []
    with Progress(f"{pictures.name} {name}", total=len(seeds), unit="pictures") as progress:
        for first in range(0, len(seeds), config.batch):
            part = slice(first, first + config.batch)
            start = None if below is None else below[part]
            made = alone.sample(states[part], seeds[part], start=start, samplers=samplers, batch=config.batch)
            parts.append(made[name])
            progress.advance(len(parts[-1]))
    seconds = round(time.monotonic() - began, 2)
    note(pictures.run, event="sampled", set=pictures.name, stage=name, pictures=len(seeds), seconds=seconds)
    return np.concatenate(parts)


def rates(lines: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Stage -> pictures a second over the last drawing of each set, from the lines of a run's ledger."""
    last = {(line["stage"], line["set"]): line for line in lines if line.get("event") == "sampled"}
    found: dict[str, float] = {}
    for stage in dict.fromkeys(stage for stage, _ in last):
        of_stage = [line for (its, _), line in last.items() if its == stage]
        seconds = sum(float(str(line["seconds"])) for line in of_stage)
        found[str(stage)] = sum(int(str(line["pictures"])) for line in of_stage) / max(seconds, 1e-9)
    return found
