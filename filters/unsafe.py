"""How likely a picture is not safe for work, by a head on its CLIP embedding: LAION-AI/CLIP-based-NSFW-Detector.

It judges what CLIP sees, OpenNSFW (`nsfw`) judges pixels, and `sexual` the caption: each finds what others miss, and a
rule can ask all three. LAION's tables bring this head's answers as `punsafe`.
"""

from typing import ClassVar

import pyarrow as pa

from .head import Head, HeadConfig


class UnsafeConfig(HeadConfig):
    """The head of what is not safe for work."""


class Unsafe(Head):
    """unsafe_score: a probability in [0, 1]."""

    name: ClassVar[str] = "unsafe"
    columns: ClassVar[dict[str, pa.DataType]] = {"unsafe_score": pa.float32()}
