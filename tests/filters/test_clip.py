"""The towers of CLIP and SigLIP, with random weights: as transformers' own call, whatever the batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, CLIPConfig, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from configs import UserError, resolve
from filters.base import Batch
from filters.clip import Clip, ClipConfig
from filters.scorers import ScorersConfig, build

CAPTIONS = [
    "a red apple",
    "",
    "a very long caption that has many more words than the text tower can take in at once",
    "b",
]
SIZES = ((40, 60), (64, 33), (32, 32), (90, 31))  # height, width
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**TOWER, "max_position_embeddings": 12, "vocab_size": 600}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}


def tokenizer_in(folder: Path) -> CLIPTokenizer:
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, as save_pretrained leaves one."""
    folder = tmp_path_factory.mktemp("towers") / request.param
    tokenizer = tokenizer_in(folder)
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if request.param == "clip":
        CLIPModel(CLIPConfig(text_config={**TEXT, **ids}, vision_config=VISION, projection_dim=8)).save_pretrained(
            folder
        )
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    else:
        SiglipModel(SiglipConfig(text_config={**TEXT, **ids}, vision_config=VISION)).save_pretrained(folder)
        SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def pairs() -> Batch:
    rng = np.random.default_rng(3)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)) for _ in SIZES]
    images = [np.asarray(small.resize((width, height))) for small, (height, width) in zip(coarse, SIZES, strict=True)]
    return Batch(images=images, captions=CAPTIONS)


def by_transformers(folder: Path, batch: Batch) -> list[float]:
    """Its own preparation, and the whole model's own answer."""
    processor: Any = CLIPImageProcessorPil if folder.name == "clip" else SiglipImageProcessorPil
    pixels = processor.from_pretrained(folder)(batch.images, return_tensors="pt")["pixel_values"]
    tokens = CLIPTokenizer.from_pretrained(folder)(
        batch.captions, padding="max_length", truncation=True, max_length=12, return_tensors="pt"
    )
    with torch.inference_mode():
        answer = AutoModel.from_pretrained(folder).eval()(pixel_values=pixels, **tokens)
    return (answer.image_embeds * answer.text_embeds).sum(1).tolist()  # it normalises them


def test_similarity_is_that_of_transformers_own_call(folder: Path):
    found = Clip(ClipConfig(model=str(folder)))(pairs())["clip_similarity"]
    assert found == pytest.approx(by_transformers(folder, pairs()), abs=1e-5)
    assert len({round(value, 3) for value in found}) > 1


def test_a_similarity_does_not_depend_on_the_batch(folder: Path):
    batch, scorer = pairs(), Clip(ClipConfig(model=str(folder), batch=3))
    alone = [
        scorer(Batch(images=[image], captions=[caption]))["clip_similarity"][0]
        for image, caption in zip(batch.images, batch.captions, strict=True)
    ]
    assert scorer(batch)["clip_similarity"] == alone
    assert scorer(Batch()) == {"clip_similarity": []}


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
