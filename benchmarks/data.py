"""What the contenders chew on: made-up images and captions, and a pipeline run that holds them. A seed decides all.

Sizes follow LAION-400M's own statistics (laion.ai/blog/laion-400-open-dataset): of 413 M images both sides are at least
256 px for 51 %, 512 px for 16 %, 1024 px for 2 %. That is a log-normal short side around 256 px; the long side is then
at least 512 px for 27 % if it is about 1.3 times the short one.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from configs import resolve
from pipeline.config import PipelineConfig
from pipeline.download.image import store
from pipeline.download.step import Download
from pipeline.runner import run_step
from storage import pairs
from storage.pairs import OK, Add, Outcome
from storage.plan import shards_of

SHORT_SIDE_PX, SPREAD = 256, 0.69  # median; sigma of its logarithm
ASPECT = 1.3  # median of long over short
DRAWN_PX = 96  # shapes are drawn at this size
NO_MODELS: dict[str, None] = {"language": None, "nsfw": None, "hate": None, "pdq": None}
STEPS_AFTER_DOWNLOAD = ("score", "dedup", "select", "embed", "index")

THINGS = ["apple", "boat", "castle", "dog", "elephant", "flower", "guitar", "house", "jacket", "kettle", "owl", "piano"]
ADJECTIVES = ["red", "old", "wooden", "tiny", "bright", "vintage", "handmade", "modern", "striped", "golden", "rustic"]
PLACES = ["on a table", "in the snow", "at sunset", "by the sea", "in front of a brick wall", "under a tree", "in May"]
TAILS = ["", ", stock photo", " - free download", " for sale", " | 2019 edition", ", watercolor by an unknown painter"]


def captions(count: int, *, seed: int = 0) -> list[str]:
    """Return `count` captions, no two alike, of 5 to about 40 tokens."""
    draw = random.Random(seed)
    seen: dict[str, None] = {}
    while len(seen) < count:
        scenes = [tuple(map(draw.choice, (ADJECTIVES, THINGS, PLACES))) for _ in range(draw.randint(1, 3))]
        words = " and a ".join(map(" ".join, scenes))
        seen[f"{words}{draw.choice(TAILS)} {draw.randint(1, 9999)}".capitalize()] = None
    return list(seen)


def images(count: int, *, seed: int = 0, longest_px: int = 3000) -> Iterator[bytes]:
    """Yield JPEGs of LAION's sizes: shapes under the noise of a camera, about 0.2 bytes a pixel."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 7, (longest_px, longest_px)).astype(np.int16)
    for _ in range(count):
        short = float(np.exp(rng.normal(math.log(SHORT_SIDE_PX), SPREAD)))
        sides = [short, short * math.exp(abs(rng.normal(0, math.log(ASPECT) / 0.674)))]
        height, width = (int(min(max(side, 64), longest_px)) for side in sides[:: rng.choice([1, -1])])
        drawing = _drawing(rng, height, width, grain)
        yield simplejpeg.encode_jpeg(drawing, quality=int(rng.integers(75, 95)), colorsubsampling="420")


def _drawing(rng: np.random.Generator, height: int, width: int, grain: np.ndarray) -> np.ndarray:
    """Return (height, width, 3) uint8: squares and discs over a gradient, drawn small and enlarged, then grain."""
    y, x = np.mgrid[:DRAWN_PX, :DRAWN_PX].astype(np.float32) / DRAWN_PX
    canvas = (rng.integers(40, 200, 3) + (x + y)[..., None] * rng.integers(-30, 60, 3)).astype(np.int16)
    for _ in range(6):
        middle_y, middle_x, size = rng.random(), rng.random(), 0.05 + 0.2 * rng.random()
        dy, dx = abs(y - middle_y), abs(x - middle_x)
        canvas[(np.hypot(dy, dx) if rng.random() < 0.5 else np.maximum(dy, dx)) < size] = rng.integers(0, 256, 3)
    rows, columns = (np.arange(side) * DRAWN_PX // side for side in (height, width))
    return np.clip(canvas[rows[:, None], columns] + grain[:height, :width, None], 0, 255).astype(np.uint8)


def url_table(path: Path, urls: Sequence[str], texts: Sequence[str]) -> Path:
    """Write a table as LAION's; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"URL": list(urls), "TEXT": list(texts)}), path)
    return path


def config(run: Path, table: Path, **sections: Any) -> PipelineConfig:
    """Return a pipeline's config over this table."""
    values = {"run": str(run), "table": [str(table)], "workers": 1, "score": NO_MODELS, **sections}
    return resolve(PipelineConfig, values)


def finished_run(run: Path, *, count: int, shards: int, until: str = "index", small: bool = False) -> PipelineConfig:
    """Make a pipeline run of `count` pairs by its own steps, with drawn images in place of the download.

    small: images of 64 px, for those who look at captions only.
    """
    texts = captions(count)
    table = url_table(run.parent / "table.parquet", [f"http://a.test/{n}.jpg" for n in range(count)], texts)
    settings = config(run, table, plan={"shard_size": -(-count // shards)})
    run_step("plan", settings)
    bodies = images(count, longest_px=64 if small else 3000)
    step = Download(settings.download)
    for shard in shards_of(run):

        def fill(planned: list[dict[str, Any]], add: Add) -> None:
            for body in itertools.islice(bodies, len(planned)):
                image = store(body, settings.download.limits)
                add(Outcome(status=OK, stored=image.data, stored_width=image.width, stored_height=image.height))

        pairs.write_shard(shard, pairs.planned(shard), fill, fingerprint=step.fingerprint(shard), engine="drawn")
    for name in STEPS_AFTER_DOWNLOAD[: STEPS_AFTER_DOWNLOAD.index(until) + 1]:
        outcome = run_step(name, settings)
        assert not outcome.failed, outcome.failed
    return settings
