"""Perceptual hash: PDQ, 256 bits that stay nearly the same when an image is resized or compressed again.

Davis and Rosen, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019. They call two
images the same at a Hamming distance of 31 or less, where both have a quality of 50 or more. Crops and mirror images
get other hashes.
"""

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch

BITS = 256


class PdqConfig(Config):
    """Larger images are first averaged down by a whole factor; the hash itself only looks at 64 x 64."""

    max_side_px: int = Field(default=512, ge=64)  # longest side that is hashed as it is


class Pdq:
    """pdq: 32 bytes, most significant bit first; pdq_quality: 0 (flat, the hash says nothing) to 100."""

    name: ClassVar[str] = "pdq"
    needs: ClassVar[tuple[str, ...]] = ("images",)
    columns: ClassVar[dict[str, pa.DataType]] = {"pdq": pa.binary(BITS // 8), "pdq_quality": pa.int32()}

    def __init__(self, config: PdqConfig) -> None:
        self.config, self.image_px = config, config.max_side_px
        library = model_file.find("pdqhash", "__init__.py", distribution="pdqhash")
        self.fingerprint = fingerprint(self.name, config, library.version)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        import pdqhash

        hashes = [pdqhash.compute(self._prepare(image)) for image in batch.images]
        return {
            "pdq": [np.packbits(bits.astype(bool)).tobytes() for bits, _ in hashes],
            "pdq_quality": [int(quality) for _, quality in hashes],
        }

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        factor = -(-max(image.shape[:2]) // self.config.max_side_px)
        if factor > 1:
            image = np.asarray(Image.fromarray(image).reduce(factor))
        return np.ascontiguousarray(image)  # the library reads the memory row by row, whatever the strides say
