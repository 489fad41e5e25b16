"""How well picture and caption fit: the cosine of their embeddings by CLIP, SigLIP or any model of two such towers.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. The model is loaded by
transformers, from a folder or by its name on the hub, out of safetensors alone; no model comes with Corgi, so the
scorer is off until one is named. LAION-400M took openai/clip-vit-base-patch32, DataComp openai/clip-vit-large-patch14.

The embeddings are kept beside the similarity: heads (see head.py), semantic copies and whatever comes later read them
and open no picture.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from configs import Config, UserError, fingerprint

from . import named_model
from .base import Batch
from .devices import Device, resolved

VERSION = 2  # since 2 the embeddings are kept
IMAGE, TEXT = "clip_image", "clip_text"  # columns of embeddings


class ClipConfig(Config):
    """Which model, and where it runs."""

    paths = ("model",)

    model: str = Field(examples=["openai/clip-vit-base-patch32"])  # a folder, or a name on the Hugging Face hub
    revision: str = "main"  # of a name on the hub
    device: Device = "auto"  # where both towers run; auto: on a GPU where there is one; workers share them out
    batch: int = Field(default=16, ge=1)  # pairs a run; always as many, so that a score stays a score


class Clip:
    """clip_similarity in [-1, 1]. NULL never: an empty caption has an embedding, too.

    clip_image, clip_text: the embeddings, of length 1, as (width,) float16 in the bytes of a little-endian machine.
    """

    name: ClassVar[str] = "clip"
    needs: ClassVar[tuple[str, ...]] = ("images", "captions")
    columns: ClassVar[dict[str, pa.DataType]] = {
        "clip_similarity": pa.float32(),
        IMAGE: pa.binary(),
        TEXT: pa.binary(),
    }

    def __init__(self, config: ClipConfig) -> None:
        self.config = config

    @cached_property
    def fingerprint(self) -> str:
        """Cover the model's files and the library that runs them."""
        return fingerprint(self.name, VERSION, self.config.batch, *named_model.identity(self._folder))

    @cached_property
    def _folder(self) -> Path:
        return named_model.folder_of(self.config.model, self.config.revision, key="score.clip.model")

    @cached_property
    def _towers(self) -> Any:
        """Return the model, its tokenizer, and how pictures are prepared."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)  # there is a process a core
        model = AutoModel.from_pretrained(self._folder, use_safetensors=True, local_files_only=True)
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise UserError(f"score.clip.model: {self.config.model} has no two towers of pictures and text")
        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        device = resolved(self.config.device, key="score.clip.device")
        return model.eval().to(device), tokenizer, _Prepared.of(self._folder)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        size = self.config.batch
        parts = [self._run(batch.images[at : at + size], batch.captions[at : at + size]) for at in self._starts(batch)]
        return {name: [value for part in parts for value in part[name]] for name in self.columns}

    def _starts(self, batch: Batch) -> range:
        return range(0, len(batch.captions), self.config.batch)

    def _run(self, images: list[np.ndarray], captions: list[str]) -> dict[str, list[Any]]:
        """Score at most `batch` pairs; what is missing is filled up with grey pictures and empty captions."""
        import torch

        model, tokenizer, prepared = self._towers
        missing = self.config.batch - len(captions)
        pixels = np.zeros((self.config.batch, 3, prepared.side, prepared.side), np.float32)
        for row, image in zip(pixels, images, strict=False):
            row[:] = prepared(image)
        length = (
            model.config.text_config.max_position_embeddings
        )  # padded in full: no caption's length matters to others
        tokens = tokenizer(
            [*captions, *[""] * missing], padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        with torch.inference_mode():
            of_images = _pooled(model.get_image_features(pixel_values=torch.from_numpy(pixels).to(model.device)))
            of_texts = _pooled(model.get_text_features(**tokens.to(model.device)))
            similar = torch.nn.functional.cosine_similarity(of_images.float(), of_texts.float())
            vectors = [torch.nn.functional.normalize(each.float()).cpu().numpy() for each in (of_images, of_texts)]
        images_16, texts_16 = ([row.astype("<f2").tobytes() for row in rows[: len(captions)]] for rows in vectors)
        return {
            "clip_similarity": [float(value) for value in similar[: len(captions)].cpu()],
            IMAGE: images_16,
            TEXT: texts_16,
        }


def vector(stored: bytes) -> np.ndarray:
    """Return an embedding as it was stored: (width,) float32, of length 1 but for its rounding to float16."""
    return np.frombuffer(stored, "<f2").astype(np.float32)


class _Prepared:
    """Pictures as the model's own preprocessor_config.json says: resized, cropped, scaled, normalised."""

    def __init__(self, said: dict[str, Any]) -> None:
        size, crop = said.get("size", 224), said.get("crop_size")
        sides = size if isinstance(size, dict) else {"shortest_edge": size}
        self.shortest: int | None = sides.get("shortest_edge")
        cropped = crop.get("height") if isinstance(crop, dict) else crop
        to = cropped if said.get("do_center_crop", True) else None
        self.side: int = to or sides.get("height") or sides.get("shortest_edge", 224)
        self._filter = Image.Resampling(said.get("resample", Image.Resampling.BICUBIC))
        self._mean, self._std = (np.array(said[name], np.float32) for name in ("image_mean", "image_std"))
        self._scale = np.float32(said.get("rescale_factor", 1 / 255))

    @classmethod
    def of(cls, folder: Path) -> "_Prepared":
        """Read the file."""
        path = folder / "preprocessor_config.json"
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} does not say how pictures are prepared: {error}") from None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return (3, side, side) float32."""
        height, width = image.shape[:2]
        picture = Image.fromarray(image)
        if self.shortest is None:
            resized = picture.resize((self.side, self.side), self._filter)
        else:  # the shorter side first, the longer one rounded down, as transformers does
            short, long = min(height, width), max(height, width)
            other = int(self.shortest * long / short)
            sides = (other, self.shortest) if width >= height else (self.shortest, other)
            resized = picture.resize(sides, self._filter)
        left, top = (resized.width - self.side) // 2, (resized.height - self.side) // 2
        pixels = np.asarray(resized, np.float32)[top : top + self.side, left : left + self.side]
        return ((pixels * self._scale - self._mean) / self._std).transpose(2, 0, 1)


def _pooled(output: Any) -> Any:
    """Return one vector a row, whichever way this version of the library answers."""
    return output if not hasattr(output, "pooler_output") else output.pooler_output
