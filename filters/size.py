"""How large an image is, and how long for its width. Costs nothing: the numbers are in the pairs' metadata."""

from typing import Any, ClassVar, Literal

import pyarrow as pa

from configs import Config, fingerprint

from .base import Batch


class SizeConfig(Config):
    """Which size counts: the one on the web, or the one stored after download made it smaller."""

    of: Literal["original", "stored"] = "original"  # size on the web, or as stored


class Size:
    """min_side, max_side (pixels) and aspect (longer side over shorter, 1 or more); null where the size is unknown."""

    name: ClassVar[str] = "size"
    needs: ClassVar[tuple[str, ...]] = ("original_width", "original_height", "stored_width", "stored_height")
    columns: ClassVar[dict[str, pa.DataType]] = {
        "min_side": pa.int32(),
        "max_side": pa.int32(),
        "aspect": pa.float64(),
    }

    def __init__(self, config: SizeConfig) -> None:
        self.config = config
        self.fingerprint = fingerprint(self.name, config)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        widths = batch.columns[f"{self.config.of}_width"]
        heights = batch.columns[f"{self.config.of}_height"]
        sides = [sorted(size) if all(size) else [None, None] for size in zip(widths, heights, strict=True)]
        return {
            "min_side": [short for short, _ in sides],
            "max_side": [long for _, long in sides],
            "aspect": [long / short if short else None for short, long in sides],
        }
