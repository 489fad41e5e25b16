"""The towers of CLIP and SigLIP, with random weights: as transformers' own call, whatever the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from configs import UserError, resolve
from filters.base import Batch
from filters.clip import Clip, ClipConfig, vector
from filters.scorers import ScorersConfig, build

from .batches import one_by_one
from .towers import model_in

CAPTIONS = [
    "a red apple",
    "",
    "a very long caption that has many more words than the text tower can take in at once",
    "b",
]
SIZES = ((40, 60), (64, 33), (32, 32), (90, 31))  # height, width


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, as save_pretrained leaves one."""
    return model_in(tmp_path_factory.mktemp("towers") / request.param, request.param)


def pairs() -> Batch:
    rng = np.random.default_rng(3)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)) for _ in SIZES]
    images = [np.asarray(small.resize((width, height))) for small, (height, width) in zip(coarse, SIZES, strict=True)]
    return Batch(images=images, captions=CAPTIONS)


def by_transformers(folder: Path, batch: Batch) -> Any:
    """Its own preparation, and the whole model's own answer; it normalises the embeddings."""
    processor: Any = CLIPImageProcessorPil if folder.name == "clip" else SiglipImageProcessorPil
    pixels = processor.from_pretrained(folder)(batch.images, return_tensors="pt")["pixel_values"]
    tokens = CLIPTokenizer.from_pretrained(folder)(
        batch.captions, padding="max_length", truncation=True, max_length=12, return_tensors="pt"
    )
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(pixel_values=pixels, **tokens)


def test_similarity_is_that_of_transformers_own_call(folder: Path):
    scored, answer = Clip(ClipConfig(model=str(folder)))(pairs()), by_transformers(folder, pairs())
    found = scored["clip_similarity"]
    assert found == pytest.approx((answer.image_embeds * answer.text_embeds).sum(1).tolist(), abs=1e-5)
    assert len({round(value, 3) for value in found}) > 1
    for name, theirs in (("clip_image", answer.image_embeds), ("clip_text", answer.text_embeds)):
        ours = np.stack([vector(stored) for stored in scored[name]])
        assert np.array_equal(ours, theirs.numpy().astype(np.float16).astype(np.float32)), name


def test_a_similarity_does_not_depend_on_the_batch(folder: Path):
    batch, scorer = pairs(), Clip(ClipConfig(model=str(folder), batch=3))
    assert scorer(batch) == one_by_one(scorer, batch)
    assert scorer(Batch()) == {name: [] for name in scorer.columns}


def test_it_is_off_until_a_model_is_named(folder: Path):
    assert "clip" not in [scorer.name for scorer in build(ScorersConfig())]
    config = resolve(ScorersConfig, {}, [f"clip.model={folder}"])
    assert build(config)[-1].name == "clip"
    fingerprint = build(config)[-1].fingerprint
    assert fingerprint == build(config)[-1].fingerprint
    assert fingerprint != build(resolve(ScorersConfig, {}, [f"clip.model={folder}", "clip.batch=2"]))[-1].fingerprint


def test_a_model_that_cannot_be_used_is_told_in_a_line(folder: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for model, words in ((str(empty), "holds no .safetensors"), ("no such/model name", "is no folder here")):
        with pytest.raises(UserError, match=words):
            _ = Clip(ClipConfig(model=model)).fingerprint


def test_a_gpu_that_is_not_there_is_told_in_a_line(folder: Path):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert Clip(ClipConfig(model=str(folder)))(pairs()) == Clip(ClipConfig(model=str(folder), device="cpu"))(pairs())
    with pytest.raises(UserError, match="torch finds no GPU here; set device: cpu, or auto"):
        Clip(ClipConfig(model=str(folder), device="cuda"))(pairs())
