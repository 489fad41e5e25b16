"""Attacks in captions by a net of one's choice, by name or folder: a further judge beside those of `hate`.

Any text classifier of transformers with such labels will do, out of safetensors: pysentimiento's three heads (hateful,
targeted, aggressive; the ones that HCR was measured with), detoxify's or others. No weights come with Corgi, so the
scorer is off until a model is named.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from configs import Config, UserError, fingerprint

from . import named_model
from .base import Batch
from .devices import Device, resolved

VERSION = 1
# Column -> the labels that it is the largest of, in small letters.
LABELS = {
    "toxic": {"toxic", "toxicity", "severe_toxic", "severe_toxicity", "hateful", "hate", "hate speech", "hate_speech"},
    "targeted": {"targeted"},
    "aggressive": {"aggressive"},
}


class ToxicConfig(Config):
    """Which model, and where it runs."""

    paths = ("model",)

    model: str = Field(examples=["pysentimiento/bertweet-hate-speech"])  # a folder, or a name on the Hugging Face hub
    revision: str = "main"  # of a name on the hub
    ends: Literal["sigmoid", "softmax"] = "sigmoid"  # sigmoid: labels may hold together; softmax: one of them does
    max_tokens: int = Field(default=64, ge=2)  # of a caption that are read; all are padded to as many
    device: Device = "auto"  # where the model runs; auto: on a GPU where there is one; workers share them out
    batch: int = Field(default=32, ge=1)  # captions a run; always as many, so that a score stays a score


class Toxic:
    """toxic, targeted, aggressive: in [0, 1], of the model's labels; NULL for what it has no label for."""

    name: ClassVar[str] = "toxic"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = dict.fromkeys(LABELS, pa.float32())

    def __init__(self, config: ToxicConfig) -> None:
        self.config = config

    @cached_property
    def fingerprint(self) -> str:
        """Cover the model's files and the library that runs them."""
        said = self.config.model_dump(include={"ends", "max_tokens", "batch"})
        return fingerprint(self.name, VERSION, said, *named_model.identity(self._folder))

    @cached_property
    def _folder(self) -> Path:
        return named_model.folder_of(self.config.model, self.config.revision, key="score.toxic.model")

    @cached_property
    def _loaded(self) -> Any:
        """Return the model, its tokenizer, and which of its labels each column is of."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        torch.set_num_threads(1)  # there is a process a core
        options = {"use_safetensors": True, "local_files_only": True}
        model = AutoModelForSequenceClassification.from_pretrained(self._folder, **options).eval()
        names = {number: str(label).lower() for number, label in model.config.id2label.items()}
        places = {column: [n for n, name in names.items() if name in of] for column, of in LABELS.items()}
        if not any(places.values()):
            raise UserError(
                f"score.toxic.model: {self.config.model} has the labels {', '.join(names.values())}; none of "
                f"{', '.join(sorted(set().union(*LABELS.values())))}"
            )
        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        return model.to(resolved(self.config.device, key="score.toxic.device")), tokenizer, places

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        size, found = self.config.batch, dict[str, list[Any]]({name: [] for name in self.columns})
        for start in range(0, len(batch.captions), size):
            for name, values in self._run(batch.captions[start : start + size]).items():
                found[name] += values
        return found

    def _run(self, captions: list[str]) -> dict[str, list[Any]]:
        """Score at most `batch` captions; what is missing is filled up with empty ones."""
        import torch

        model, tokenizer, places = self._loaded
        tokens = tokenizer(
            [*captions, *[""] * (self.config.batch - len(captions))],
            padding="max_length",
            truncation=True,
            max_length=self.config.max_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = model(**tokens.to(model.device)).logits.float()
        odds = (logits.sigmoid() if self.config.ends == "sigmoid" else logits.softmax(1)).cpu()[: len(captions)]
        return {
            column: odds[:, numbers].amax(1).tolist() if numbers else [None] * len(captions)
            for column, numbers in places.items()
        }
