"""What a picture looks like before asking what it shows: how much differs in it, how much is one colour, how sharp.

Placeholders, blank pages, plain logos and blurred thumbnails stand out in one of the numbers. All are taken at one
size, so that a picture and its smaller copy get nearly the same.
"""

import hashlib
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from configs import Config, fingerprint

from .base import Batch

VERSION = 1
DIGEST, DIGEST_BYTES = "image_digest", 16
SHADES = 4  # bits of red, green and blue that tell colours apart


class NoiseConfig(Config):
    """The size at which pictures are looked at."""

    side_px: int = Field(default=128, ge=16, le=512)  # of the longer side; smaller pictures as they are


class Noise:
    """image_entropy: bits, 0 (one shade) to 8, of the histogram of grey. image_flat: share of the commonest colour.

    image_sharpness: standard deviation of the Laplacian of grey, 0 (flat or blurred) to some 100; the variance of it is
    what Pech-Pacheco et al. ("Diatom autofocusing in brightfield microscopy", 2000) took for focus. image_digest: 16
    bytes of all pixels at the size at which scorers see them, equal for files that differ in nothing else.
    """

    name: ClassVar[str] = "noise"
    needs: ClassVar[tuple[str, ...]] = ("images",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "image_entropy": pa.float32(),
        "image_flat": pa.float32(),
        "image_sharpness": pa.float32(),
        DIGEST: pa.binary(DIGEST_BYTES),
    }

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config
        self.fingerprint = fingerprint(self.name, VERSION, config)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        rows = [self._of(image) for image in batch.images]
        return {name: [row[place] for row in rows] for place, name in enumerate(self.columns)}

    def _of(self, image: np.ndarray) -> tuple[float, float, float, bytes]:
        picture = Image.fromarray(image)
        picture.thumbnail((self.config.side_px, self.config.side_px), Image.Resampling.BOX)
        grey = np.asarray(picture.convert("L"))
        return entropy(grey), flat(np.asarray(picture)), sharpness(grey), digest(image)


def digest(image: np.ndarray) -> bytes:
    """Return what tells the pixels of (height, width, 3) uint8 from others."""
    found = hashlib.blake2b(str(image.shape).encode(), digest_size=DIGEST_BYTES)
    found.update(np.ascontiguousarray(image).data)
    return found.digest()


def entropy(grey: np.ndarray) -> float:
    """Return the entropy in bits of the shades of (height, width) uint8."""
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return float(abs((shares * np.log2(shares)).sum()))


def flat(pixels: np.ndarray) -> float:
    """Return the share of the commonest colour of (height, width, 3) uint8, with SHADES bits a channel."""
    red, green, blue = (pixels >> (8 - SHADES)).reshape(-1, 3).astype(np.int64).T
    return float(np.bincount((red << 2 * SHADES) | (green << SHADES) | blue).max() / red.size)


def sharpness(grey: np.ndarray) -> float:
    """Return the standard deviation of the Laplacian inside (height, width) uint8; 0 where there is no inside."""
    if min(grey.shape) < 3:
        return 0.0
    values = grey.astype(np.float32)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((around - 4 * values[1:-1, 1:-1]).std(dtype=np.float64))
