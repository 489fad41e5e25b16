"""Perceptual hash: PDQ, 256 bits that stay nearly the same when an image is resized or compressed again.

Davis and Rosen, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019. They call two
images the same at a Hamming distance of 31 or less, where both have a quality of 50 or more. Crops get other hashes.
Turned and mirrored images do, too, and `turned` tells which, from the hash alone. It sees no colour: the mean one is
kept beside it.
"""

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch

VERSION = 2  # since 2 there is a colour
BITS = 256


class PdqConfig(Config):
    """Larger images are first averaged down by a whole factor; the hash itself only looks at 64 x 64."""

    max_side_px: int = Field(default=512, ge=64)  # longest side that is hashed as it is


class Pdq:
    """pdq: 32 bytes, most significant bit first; pdq_quality: 0 (flat, the hash says nothing) to 100.

    pdq_color: mean red, green and blue, a byte each.
    """

    name: ClassVar[str] = "pdq"
    needs: ClassVar[tuple[str, ...]] = ("images",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "pdq": pa.binary(BITS // 8),
        "pdq_quality": pa.int32(),
        "pdq_color": pa.binary(3),
    }

    def __init__(self, config: PdqConfig) -> None:
        self.config, self.image_px = config, config.max_side_px
        library = model_file.find("pdqhash", "__init__.py", distribution="pdqhash")
        self.fingerprint = fingerprint(self.name, VERSION, config, library.version)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        import pdqhash

        prepared = [self._prepare(image) for image in batch.images]
        hashes = [pdqhash.compute(image) for image in prepared]
        return {
            "pdq": [np.packbits(bits.astype(bool)).tobytes() for bits, _ in hashes],
            "pdq_quality": [int(quality) for _, quality in hashes],
            "pdq_color": [np.rint(image.mean((0, 1))).astype(np.uint8).tobytes() for image in prepared],
        }

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        factor = -(-max(image.shape[:2]) // self.config.max_side_px)
        if factor > 1:
            image = np.asarray(Image.fromarray(image).reduce(factor))
        return np.ascontiguousarray(image)  # the library reads the memory row by row, whatever the strides say


def turned(hashes: np.ndarray) -> np.ndarray:
    """Return (8, n, 4) uint64, about what hashes (n, 4) uint64 become where their images are turned and mirrored.

    A bit stands for a frequency, 16 x 16 of them, and says whether its share is above the median. To mirror an image
    changes the sign of every second share, to transpose it swaps rows and columns. What the hash's own averaging does
    at the edges is left out: of drawings of 512 px and more the error is 12 to 20 bits, of 256 px 23 to 37.
    """
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, BITS // 8), axis=1).reshape(-1, 16, 16)
    odd = np.arange(16) % 2 == 1
    flips = [np.zeros((16, 16), np.uint8), *(mask.astype(np.uint8) for mask in _masks(odd))]
    every = [image ^ flip for image in (bits, bits.transpose(0, 2, 1)) for flip in flips]
    return np.stack([np.packbits(each.reshape(-1, BITS), axis=1).view(np.uint64) for each in every])


def _masks(odd: np.ndarray) -> list[np.ndarray]:
    columns, rows = np.broadcast_to(odd[None, :], (16, 16)), np.broadcast_to(odd[:, None], (16, 16))
    return [columns, rows, columns ^ rows]
