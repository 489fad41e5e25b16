"""Hate and insult in captions: several weak judges, and how far they agree.

sonar     the classifier of Davidson et al. 2017 (arXiv 1703.04009), as hatesonar packages it: a bag of English words
words     words of 29 languages that are on lists, with severity                              (words.py)
speech    ordinary words of eight languages: whom it is about, and what is said of them       (speech.py)
attack    what both say together, by how near they stand, and what turns it around            (attack.py)

`hateful` weighs the last. No single word is enough, be it the worst: a title, a name, a museum says it, too. Where
the judges disagree, `hateful_unsure` is true, and the pair is one to look at.

The classifier was trained on tweets, and there "white" alone means hate. Words that only name a colour, a people or a
kind of person are therefore not read.
"""

import math
from functools import cached_property
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import speech, words
from .attack import Signs, signs
from .base import Batch
from .language import Languages
from .sonar import HATE, OFFENSIVE, Sonar
from .sonar import file as sonar_file

VERSION = 3  # raise when an answer changes
UNSURE = (0.3, 0.7)

Word = Annotated[str, Field(pattern="^[a-z0-9_]+$")]


class HateConfig(Config):
    """What is left out of a caption before it is judged. Thresholds are for rules."""

    # Words that are passed over by the classifier, in small letters.
    unread: tuple[Word, ...] = (
        *("white", "black", "man", "women", "girl", "gay", "jew", "israel", "america", "race", "kid"),
        *("cracker", "da", "yo"),  # crackers, parts of names and toys
    )


# Log-odds for each sign: logistic regression, without weights below 0 for what speaks for an attack and above 0 for the
# rest, on the labelled captions (tests/filters/labelled, but for third.tsv), HateCheck in seven languages, sentences
# written for it, and 16,000 captions that attack nobody. The classifier got 0: beside the others it adds nothing.
WEIGHTS = Signs(
    slur=0.13,
    insult=0.31,
    general=0.05,
    slur_at=0.88,
    slur_more=2.05,
    hate_group=3.21,
    hate_person=2.03,
    hate_you=2.20,
    all_are=1.22,
    is_bad_group=3.01,
    is_bad_person=2.59,
    is_bad_all=0.79,
    is_bad_you=2.93,
    bad_person=0.81,
    bad_near=2.70,
    worse_beside=1.22,
    bad_you=1.64,
    abuse=2.30,
    piled=2.28,
    vile_you=2.46,
    kill_group=2.78,
    killed_group=2.58,
    kill_all=1.89,
    kill_you=1.96,
    must_kill=2.53,
    death=3.47,
    away=3.08,
    out_group=0.44,
    must_out=1.54,
    role_group=3.72,
    role_person=2.99,
    role_you=2.80,
    role=2.07,
    must_group=2.03,
    negative_near=0.80,
    denied=2.89,
    curse_group=1.83,
    curse_you=0.42,
    ours=1.68,
    spared=-0.39,
    not_hated=-0.34,
    nobody=-0.94,
    against=-0.96,
    media=-2.84,
    quoted=-3.24,
)
# Chosen so that less than 1 in 1,000 captions of the web is flagged wrongly; the regression's own is -1.60.
BIAS = -1.10
MOST = 2.2  # log-odds of all signs of an attack together: many of them cannot outweigh what turns it around
FOR = Signs._fields.index("spared")  # signs before it speak for an attack


def weighed(found: Signs) -> float:
    """Return the probability of an attack."""
    weighted = [weight * sign for weight, sign in zip(WEIGHTS, found, strict=True)]
    odds = BIAS + MOST * math.tanh(sum(weighted[:FOR]) / MOST) + sum(weighted[FOR:])
    return 1 / (1 + math.exp(-odds))


class Hate:
    """hate, offensive: of the classifier; hateful: of all judges; in [0, 1]. hateful_unsure: the judges disagree."""

    name: ClassVar[str] = "hate"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "hate": pa.float32(),
        "offensive": pa.float32(),
        "hateful": pa.float32(),
        "hateful_unsure": pa.bool_(),
    }

    def __init__(self, config: HateConfig) -> None:
        self.config = config
        used = [sonar_file(), speech.sentiment(), *words.files()]
        self._languages = Languages()
        self.fingerprint = fingerprint(
            self.name,
            VERSION,
            config,
            self._languages.fingerprint,
            [[file.sha256, file.version] for file in used],
            speech.digest(),
        )

    @cached_property
    def _sonar(self) -> Sonar:
        return Sonar(self.config.unread)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        classified = [self._sonar(caption) for caption in batch.captions]
        found = [max(signs(caption, self._languages.likely), key=weighed) for caption in batch.captions]
        hateful = [weighed(each) for each in found]
        return {
            "hate": [odds[HATE] for odds in classified],
            "offensive": [odds[OFFENSIVE] for odds in classified],
            "hateful": hateful,
            "hateful_unsure": [is_unsure(*each) for each in zip(hateful, found, classified, strict=True)],
        }


def is_unsure(hateful: float, found: Signs, classified: list[float]) -> bool:
    """Tell whether the judges disagree: the sum is near the middle, or below it against a judge that is sure."""
    if UNSURE[0] <= hateful < UNSURE[1]:
        return True
    is_offensive = classified[HATE] >= 0.12 or classified[OFFENSIVE] >= 0.45
    return hateful < UNSURE[0] and is_offensive and max(found.slur, found.insult, found.general) >= 2
