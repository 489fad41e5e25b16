"""Heads: small nets on a picture's CLIP embedding, as LAION published them, each one number.

    layers.0.weight (out, in), layers.0.bias (out,), layers.2.weight ...    linear layers, in the order of their numbers
    mean, variance (in,)                                                    taken first, where the net begins so

A file of safetensors with these names, or with `weight` and `bias` alone where there is one layer, is what torch calls
its own layers; docs/filters.md says how LAION's files become one. No head comes with Corgi: each is off until a config
names a file and its digest. The net runs in float32 by numpy, on the embedding that score.clip stored.
"""

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from configs import Config, UserError, fingerprint
from storage.atomic import sha256_file

from .base import Batch
from .clip import IMAGE, vector

VERSION = 1
LAYER = re.compile(r"(?:layers\.(\d+)\.)?weight")
SHA256 = r"^[0-9a-f]{64}$"
EPSILON = np.float32(1e-7)  # Keras keeps a deviation from 0 so


class HeadConfig(Config):
    """A head's file, and what its net does between layers."""

    file: Path = Field(examples=["heads/head.safetensors"])  # safetensors
    sha256: str = Field(pattern=SHA256, examples=["0" * 64])  # of the file: another one is refused
    activation: Literal["none", "relu"] = "relu"  # between layers
    ends: Literal["none", "sigmoid"] = "sigmoid"  # what becomes of the last number


class Layer(NamedTuple):
    """A linear layer."""

    weight: np.ndarray  # (out, in) float32
    bias: np.ndarray  # (out,) float32


class Head:
    """What the heads have in common; each names its scorer and its column."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = (IMAGE,)
    columns: ClassVar[dict[str, pa.DataType]]

    def __init__(self, config: HeadConfig) -> None:
        self.config = config

    @cached_property
    def fingerprint(self) -> str:
        """Cover the file and what the net does."""
        self._check(self.config.file)
        said = self.config.model_dump(include={"sha256", "activation", "ends"})
        return fingerprint(self.name, VERSION, said)

    def _check(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"score.{self.name}.file: {file} is no file")
        found = sha256_file(file)
        if found != self.config.sha256:
            raise UserError(
                f"score.{self.name}.sha256: {file} has the digest {found}, and not {self.config.sha256}; "
                "if it is the file that you want, say so"
            )

    @cached_property
    def _layers(self) -> tuple[list[Layer], dict[str, np.ndarray]]:
        """Return the layers in their order, and the tensors that scale the embedding."""
        from safetensors.numpy import load_file

        self._check(self.config.file)
        tensors = {name: value.astype(np.float32) for name, value in load_file(self.config.file).items()}
        numbers = {name: int(found[1] or 0) for name in tensors if (found := LAYER.fullmatch(name))}
        names = sorted(numbers, key=numbers.__getitem__)
        biases = [name.removesuffix("weight") + "bias" for name in names]
        scaling: dict[str, np.ndarray] = {name: tensors[name] for name in ("mean", "variance") if name in tensors}
        if not names or {*names, *biases, *scaling} != {*tensors} or len(scaling) == 1:
            raise UserError(
                f"score.{self.name}.file: {self.config.file} holds {', '.join(sorted(tensors)[:6])}; a head has "
                "layers.N.weight, layers.N.bias, and may have mean and variance"
            )
        return [Layer(tensors[name], tensors[bias]) for name, bias in zip(names, biases, strict=True)], scaling

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        (column,) = self.columns
        return {column: [self._of(vector(embedding)) for embedding in batch.columns[IMAGE]]}

    def _of(self, values: np.ndarray) -> float:
        """Return the head's number of one embedding, (width,) float32; one at a time, so that no neighbour matters."""
        layers, scaling = self._layers
        width = layers[0].weight.shape[1]
        if len(values) != width:
            raise UserError(
                f"score.{self.name} was made for embeddings of {width} numbers, and score.clip.model makes "
                f"{len(values)}; LAION's heads want openai/clip-vit-large-patch14, 768"
            )
        if scaling:
            values = (values - scaling["mean"]) / np.maximum(np.sqrt(scaling["variance"]), EPSILON)
        for number, layer in enumerate(layers):
            if number and self.config.activation == "relu":
                values = np.maximum(values, np.float32(0))
            values = layer.weight @ values + layer.bias
        last = float(values[0])
        return last if self.config.ends == "none" else (1 + math.tanh(last / 2)) / 2
