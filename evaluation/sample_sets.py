"""Whole sets of images by trained stages, drawn stage by stage, so that a kill loses one stage at most."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cascade.generate import Cascade
from cascade.samplers import SamplerConfig
from cascade.text_encoder import TextEmbedder
from cascade.weights import LoadedStage
from configs import fingerprint
from pipeline.progress import Progress
from storage.ledger import note
from storage.samples import SampleSet

from .config import SampleConfig

VERSION = 2


def fill(
    samples: SampleSet,
    stages: Sequence[LoadedStage],
    *,
    captions: Sequence[str],
    seeds: Sequence[int],
    embed: TextEmbedder,
    config: SampleConfig,
    start: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the set's images of every stage, {stage: (n, px, px, 3) uint8}, drawn unless they are there and fresh.

    stages: lowest first. Each stage enlarges the stored images of the one before, and the first one `start`, where it
    is no base. seeds: of each image.
    """
    cascade = Cascade(stages, config.precision)  # checks that the stages fit each other
    mark = fingerprint("pictures", VERSION, fingerprint(list(captions)), list(seeds), config.precision, config.batch)
    by_stage: dict[str, np.ndarray] = {}
    below = start
    for stage in cascade.stages:
        name = stage.config.name
        sampler = config.samplers.get(name, stage.config.sampler)
        mark = fingerprint(mark, stage.digest, stage.track, sampler)
        images = samples.read(name, fingerprint=mark)
        if images is None:
            images = _drawn(samples, stage, embed(stage.text, captions), seeds, below, sampler, config)
            samples.write(name, images, fingerprint=mark)
        by_stage[name] = below = images
    return by_stage


def _drawn(
    samples: SampleSet,
    stage: LoadedStage,
    text_embeds: Sequence[np.ndarray],
    seeds: Sequence[int],
    below: np.ndarray | None,
    sampler: SamplerConfig,
    config: SampleConfig,
) -> np.ndarray:
    """Return (n, px, px, 3) uint8 by one stage, with progress and a line in the run's ledger."""
    name, began = stage.config.name, time.monotonic()
    alone, samplers = Cascade([stage], config.precision), {name: sampler}
    parts: list[np.ndarray] = []
    with Progress(f"{samples.name} {name}", total=len(seeds), unit="images") as progress:
        for first in range(0, len(seeds), config.batch):
            part = slice(first, first + config.batch)
            start = None if below is None else below[part]
            drawn = alone.sample(text_embeds[part], seeds[part], start=start, samplers=samplers, batch=config.batch)
            parts.append(drawn[name])
            progress.advance(len(parts[-1]))
    seconds = round(time.monotonic() - began, 2)
    note(samples.run, event="sampled", set=samples.name, stage=name, pictures=len(seeds), seconds=seconds)
    return np.concatenate(parts)


def rates(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return stage -> images a second over the last drawing of each set, from the lines of a run's ledger."""
    last = {(line["stage"], line["set"]): line for line in lines if line.get("event") == "sampled"}
    images, seconds = defaultdict[str, int](int), defaultdict[str, float](float)
    for line in last.values():
        images[line["stage"]] += line["pictures"]
        seconds[line["stage"]] += line["seconds"]
    return {stage: count / max(seconds[stage], 1e-9) for stage, count in images.items()}
