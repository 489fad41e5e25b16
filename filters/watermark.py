"""How likely a picture has a watermark, by a head on its CLIP embedding.

LAION's tables bring `pwatermark`, from a network of its own on pixels; a head that was trained on embeddings comes near
it, and can be had for all pictures that have one.
"""

from typing import ClassVar

import pyarrow as pa

from .head import Head, HeadConfig


class WatermarkConfig(HeadConfig):
    """The head of watermarks."""


class Watermark(Head):
    """watermark_score: a probability in [0, 1]."""

    name: ClassVar[str] = "watermark"
    columns: ClassVar[dict[str, pa.DataType]] = {"watermark_score": pa.float32()}
