"""Heads on CLIP embeddings, with random weights: as their closed form, and nothing that is not the named file."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs import UserError, resolve
from filters.aesthetic import Aesthetic, AestheticConfig
from filters.base import Batch
from filters.head import Head
from filters.scorers import HEADS, ScorersConfig, build
from filters.unsafe import Unsafe, UnsafeConfig

WIDTH = 8
LAION = {0: (1024, WIDTH), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}  # the aesthetic one, by its numbers
KERAS = {0: (64, WIDTH), 2: (512, 64), 4: (256, 512), 6: (1, 256)}  # what is not safe for work


def tensors_of(layers: dict[int, tuple[int, int]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    found = {}
    for number, (out, width) in layers.items():
        found[f"layers.{number}.weight"] = (rng.normal(size=(out, width)) / np.sqrt(width)).astype(np.float32)
        found[f"layers.{number}.bias"] = rng.normal(size=out).astype(np.float32)
    return found


def saved(folder: Path, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The config of a head with these tensors."""
    file = folder / "head.safetensors"
    save_file(tensors, file)
    return {"file": file, "sha256": sha256(file.read_bytes()).hexdigest()}


def embeddings(count: int) -> np.ndarray:
    values = np.random.default_rng(1).normal(size=(count, WIDTH))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def scored(head: Head, values: np.ndarray) -> list[float]:
    (column,) = head.columns
    return head(Batch(columns={"clip_image": [row.tobytes() for row in values]}))[column]


def test_the_aesthetic_head_is_one_matrix_and_one_offset(tmp_path: Path):
    tensors, values = tensors_of(LAION), embeddings(5)
    matrix, offset = np.eye(WIDTH), np.zeros(WIDTH)
    for number in LAION:
        weight, bias = (tensors[f"layers.{number}.{name}"].astype(np.float64) for name in ("weight", "bias"))
        matrix, offset = weight @ matrix, weight @ offset + bias
    expected = (values.astype(np.float64) @ matrix.T + offset)[:, 0]
    assert scored(Aesthetic(AestheticConfig(**saved(tmp_path, tensors))), values) == pytest.approx(expected, abs=1e-5)


def test_a_head_of_one_layer(tmp_path: Path):
    weight = np.arange(WIDTH, dtype=np.float32)[None]
    config = AestheticConfig(**saved(tmp_path, {"weight": weight, "bias": np.array([0.5], np.float32)}))
    assert scored(Aesthetic(config), np.eye(WIDTH, dtype=np.float16)) == [n + 0.5 for n in range(WIDTH)]


def test_the_unsafe_head_scales_bends_and_ends_in_a_probability(tmp_path: Path):
    scaling = {"mean": np.full(WIDTH, 0.1, np.float32), "variance": np.linspace(0.01, 0.2, WIDTH, dtype=np.float32)}
    tensors, values = tensors_of(KERAS), embeddings(5)
    rows = (values.astype(np.float64) - 0.1) / np.sqrt(scaling["variance"].astype(np.float64))
    for number in KERAS:
        rows = rows @ tensors[f"layers.{number}.weight"].T.astype(np.float64) + tensors[f"layers.{number}.bias"]
        rows = rows if number == 6 else np.where(rows > 0, rows, 0)
    found = scored(Unsafe(UnsafeConfig(**saved(tmp_path, tensors | scaling))), values)
    assert found == pytest.approx((1 / (1 + np.exp(-rows)))[:, 0], abs=1e-5)
    assert max(found) - min(found) > 0.01


def test_a_far_number_is_a_probability_too(tmp_path: Path):
    config = UnsafeConfig(
        **saved(tmp_path, {"weight": np.full((1, WIDTH), -5000, np.float32), "bias": np.zeros(1, "f4")})
    )
    assert scored(Unsafe(config), np.ones((1, WIDTH), np.float16)) == [0.0]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"weight": np.zeros((1, WIDTH + 1), "f4"), "bias": np.zeros(1, "f4")}, r"of 9 numbers, and .* makes 8"),
        ({"weight": np.zeros((1, WIDTH), "f4")}, "holds weight; a head has"),
        ({"fc.weight": np.zeros((1, WIDTH), "f4"), "fc.bias": np.zeros(1, "f4")}, r"holds fc\.bias, fc\.weight"),
    ],
)
def test_what_is_no_head_is_told_in_a_line(tmp_path: Path, tensors: dict[str, np.ndarray], words: str):
    with pytest.raises(UserError, match=words):
        scored(Unsafe(UnsafeConfig(**saved(tmp_path, tensors))), embeddings(1))


def test_another_file_than_the_named_one_is_refused(tmp_path: Path):
    given = saved(tmp_path, tensors_of(KERAS))
    fingerprint = Unsafe(UnsafeConfig(**given)).fingerprint
    assert fingerprint != Unsafe(UnsafeConfig(**given, activation="none")).fingerprint
    with pytest.raises(UserError, match=r"score\.unsafe\.sha256: .* has the digest"):
        _ = Unsafe(UnsafeConfig(**given | {"sha256": "0" * 64})).fingerprint
    given["file"].unlink()
    with pytest.raises(UserError, match=r"score\.unsafe\.file: .* is no file"):
        _ = Unsafe(UnsafeConfig(**given)).fingerprint


@pytest.mark.parametrize("head", HEADS)
def test_a_head_without_embeddings_is_refused(head: str):
    assert head not in [scorer.name for scorer in build(ScorersConfig())]
    config = resolve(ScorersConfig, {head: {"file": "x.safetensors", "sha256": "0" * 64}})
    with pytest.raises(UserError, match=rf"score\.{head} judges embeddings of CLIP, and score\.clip is null"):
        build(config)
