"""Which pictures a demo has, how they are drawn and screened, and the bytes that are shown.

Pictures of a shard are drawn in batches that depend on the vocabulary alone, each from a seed of its own: who draws
which shard changes no byte. What is screened is what is shown: the bytes are decoded again for it.
"""

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PillowImage

from cascade.generate import Cascade, Precision
from configs import UserError, hashed
from filters.base import Batch
from filters.nsfw import Nsfw, NsfwConfig
from filters.pdq import Pdq, PdqConfig
from pipeline.download.block_lists import block_lists
from pipeline.download.reasons import Refused
from storage.demo import Image, Picture

from .policy import Policy

LOSSLESS_PX = 64  # up to this side PNG, above WebP
QUALITY = 90
SEED_BITS = 53  # of a seed, so that JSON can carry it


class Order(NamedTuple):
    """One picture to be drawn."""

    key: str
    number: int
    attempt: int
    prompt: str

    def seed(self, base: int) -> int:
        """Return its own seed."""
        return hashed("demo", base, self.key, self.number, self.attempt) % 2**SEED_BITS


def stage_facts(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what a demo remembers of each stage, lowest first: its digest says which weights drew the pictures."""
    return [
        {
            "name": stage.config.name,
            "px": stage.config.image_px,
            "step": stage.step,
            "track": stage.track,
            "weights": stage.digest,
            "text": stage.text.fingerprint,
        }
        for stage in _cascade(tuple(folders), "fp32").stages
    ]


@lru_cache(1)
def _cascade(folders: tuple[Path, ...], precision: Precision) -> Cascade:
    cascade = Cascade.load(folders, precision=precision)
    if cascade.stages[0].config.low_res_px is not None:
        raise UserError(f"{cascade.stages[0].config.name} enlarges; a demo needs the base stage, too")
    return cascade


def draw(
    orders: Sequence[Order],
    folders: Sequence[Path],
    *,
    facts: Sequence[dict[str, Any]],
    base_seed: int,
    precision: Precision,
    batch: int,
    policy: Policy,
) -> list[Picture]:
    """Return the pictures of one shard, screened. facts: of the stages, which must be those that lie there now."""
    cascade = _cascade(tuple(folders), precision)
    if [stage.digest for stage in cascade.stages] != [fact["weights"] for fact in facts]:
        raise UserError("a stage has been trained on since this began; run `corgi demo compile` again")
    seeds = [order.seed(base_seed) for order in orders]
    drawn = cascade.sample([order.prompt for order in orders], seeds, batch=batch)
    pictures = []
    for row, (order, seed) in enumerate(zip(orders, seeds, strict=True)):
        images = tuple(encoded(stage, pixels[row]) for stage, pixels in drawn.items())
        reason, nsfw, pdq = screened(images, policy)
        pictures.append(Picture(*order, seed, reason, nsfw, pdq, () if reason else images))
    return pictures


def encoded(stage: str, pixels: np.ndarray) -> Image:
    """Return (px, px, 3) uint8 as the file that is shown."""
    file, kind = io.BytesIO(), "png" if len(pixels) <= LOSSLESS_PX else "webp"
    options: dict[str, Any] = {"optimize": True} if kind == "png" else {"quality": QUALITY, "method": 4}
    PillowImage.fromarray(pixels).save(file, kind.upper(), **options)
    data = file.getvalue()
    return Image(stage, len(pixels), kind, hashlib.sha256(data).hexdigest(), data)


def decoded(image: Image) -> np.ndarray:
    """Return what a visitor sees, (px, px, 3) uint8."""
    with PillowImage.open(io.BytesIO(image.data)) as opened:
        return np.asarray(opened.convert("RGB"))


def screened(images: Sequence[Image], policy: Policy) -> tuple[str | None, float, bytes]:
    """Return why a picture is blocked, if it is, its NSFW score and its PDQ hash. The largest image decides."""
    pixels = decoded(images[-1])
    batch = Batch(images=[pixels])
    (nsfw,), (pdq,) = _nsfw()(batch)["nsfw_score"], Pdq(PdqConfig())(batch)["pdq"]
    lists = block_lists(policy.block_hashes)
    try:
        for image in images:
            lists.check_body(image.sha256)
        lists.check_pixels(pixels)
    except Refused as refused:
        return refused.reason, nsfw, pdq
    return "nsfw" if nsfw >= policy.nsfw else None, nsfw, pdq


@lru_cache(1)
def _nsfw() -> Nsfw:
    return Nsfw(NsfwConfig())
