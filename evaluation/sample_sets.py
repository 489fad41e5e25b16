"""Sampling with trained stages: captions into PNG files, and whole sets of images stage by stage.

corgi sample runs/x/train/base16 runs/x/train/sr64 --caption "a red apple"     samples/a-red-apple-0.sr64.png
"""

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cascade.generate import Cascade
from cascade.samplers import SamplerConfig
from cascade.text_encoder import TextEmbedder
from cascade.weights import LoadedStage
from configs import UserError, fingerprint
from pipeline.progress import Progress
from storage.atomic import commit, sha256_cached
from storage.checkpoint import COMMIT
from storage.ledger import note
from storage.samples import SampleSet

from .config import SampleConfig

VERSION = 1
NAME_CHARS = 60  # of a caption in a file's name


def draw(stages: Sequence[Path], *, captions: Sequence[str], out: Path, seed: int) -> list[Path]:
    """Write one PNG for each caption and stage, the first caption with `seed`, the next with the next.

    Images are drawn one by one, so that each depends on its own caption and seed alone, to the last bit.
    """
    if not captions:
        raise UserError('nothing to draw; give --caption "a red apple", as often as you like')
    cascade = Cascade.load(stages)
    seeds = range(seed, seed + len(captions))
    samples = cascade.sample(captions, seeds, batch=1)
    return [
        _write(out / f"{file_name(caption)}-{number}.{stage}.png", images[place])
        for place, (caption, number) in enumerate(zip(captions, seeds, strict=True))
        for stage, images in samples.items()
    ]


def file_name(caption: str) -> str:
    """Return a caption as the start of a file's name: small letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")
    return words[:NAME_CHARS].rstrip("-") or "caption"


def _write(path: Path, pixels: np.ndarray) -> Path:
    commit(path, lambda scratch: Image.fromarray(pixels).save(scratch, "PNG"))
    return path


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
        mark = fingerprint(mark, weights_digest(stage), stage.track, sampler)
        images = samples.read(name, fingerprint=mark)
        if images is None:
            images = _drawn(samples, stage, embed(stage.text, captions), seeds, below, sampler, config)
            samples.write(name, images, fingerprint=mark)
        by_stage[name] = below = images
    return by_stage


def weights_digest(stage: LoadedStage) -> str:
    """Return the digest of the checkpoint that a stage was read from, by what its COMMIT seals."""
    return sha256_cached(stage.folder / COMMIT)


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
