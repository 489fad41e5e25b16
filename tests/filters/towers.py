"""Models of two towers with random weights, as save_pretrained leaves one."""

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

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


def model_in(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Write a small model, kind "clip" (embeddings of 8 numbers) or "siglip" (of 16); return its folder."""
    tokenizer = tokenizer_in(folder)
    torch.manual_seed(seed)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if kind == "clip":
        CLIPModel(CLIPConfig(text_config={**TEXT, **ids}, vision_config=VISION, projection_dim=8)).save_pretrained(
            folder
        )
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    else:
        SiglipModel(SiglipConfig(text_config={**TEXT, **ids}, vision_config=VISION)).save_pretrained(folder)
        SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
