"""Hate and insult in captions: several weak judges, and how far they agree.

sonar     the classifier of Davidson et al. 2017 (arXiv 1703.04009), as hatesonar packages it: a bag of English words
words     words of 29 languages that are on lists, with severity                                     (words.py)
speech    ordinary words that attack somebody together: whom it is about, and what is said of them   (speech.py)

`hateful` weighs all of them. No single word is enough, be it the worst: a title, a name, a museum says it, too. Where
the judges disagree, `hateful_unsure` is true, and the pair is one to look at.

The classifier was trained on tweets, and there "white" alone means hate. Words that only name a colour, a people or a
kind of person are therefore not read.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import speech, words
from .base import Batch
from .language import Languages
from .sonar import HATE, OFFENSIVE, Sonar
from .sonar import file as sonar_file

VERSION = 2  # raise when an answer changes
UNSURE = (0.3, 0.7)
NEAR = 6  # words apart
KINDS = ("slur", "insult", "general")

Word = Annotated[str, Field(pattern="^[a-z0-9_]+$")]


class HateConfig(Config):
    """What is left out of a caption before it is judged. Thresholds are for rules."""

    # Words that are passed over by the classifier, in small letters.
    unread: tuple[Word, ...] = (
        *("white", "black", "man", "women", "girl", "gay", "jew", "israel", "america", "race", "kid"),
        *("cracker", "da", "yo"),  # crackers, parts of names and toys
    )


class Signs(NamedTuple):
    """What speaks for an attack in a caption."""

    slur: float  # severity, 0 to 3, of the worst word of each kind
    insult: float
    general: float
    listed: float  # words that are on a list with nothing said, 2 at most
    verdict: float  # words that judge, 2 at most
    at_you: float  # near a word that insults or judges, somebody is spoken to
    at_them: float  # near one, "these", "all" ...
    at_group: float  # near one, a group of people
    likened: float  # somebody is said to be what nobody wants near him
    negative_near: float  # a word that people find bad, near anybody
    away: float  # they shall go
    kill: float  # they shall suffer, or be silent


# Log-odds for each sign, by logistic regression without negative weights on the half of the labelled captions that is
# for tuning (tests/filters/labelled). The classifier got a weight of 0 there: beside the others it adds nothing.
WEIGHTS = Signs(0.45, 0.3, 0.3, 0.35, 2.85, 1.35, 2.6, 0.75, 4.7, 2.4, 3.8, 4.5)
BIAS = -2.95


def signs(caption: str, spoken: Callable[[str], set[str]]) -> Signs:
    """Return what speaks for an attack. spoken: which languages a caption may be in; asked only for words of others."""
    found, classes = speech.found_in(caption), speech.classes()
    hits = words.hits(found)
    if any("en" not in hit.languages for hit in hits.values()):
        languages = spoken(caption) | {"en"}
        hits = {word: hit for word, hit in hits.items() if hit.languages & languages}
    worst = {kind: max((hit.severity for hit in hits.values() if hit.kind == kind), default=0) for kind in KINDS}
    places: dict[str, list[int]] = {name: [] for name in (*speech.CLASSES, "negative")}
    for word in found.keys() & classes.keys():
        for name in classes[word]:
            places[name].append(found[word])
    bad = places["verdict"] + [found[word] for word, hit in hits.items() if is_bad(hit)]
    somebody = places["you"] + places["them"] + places["group"]
    return Signs(
        **worst,
        listed=min(2, sum(hit.kind == "listed" for hit in hits.values())),
        verdict=min(2, len(places["verdict"])),
        at_you=near(bad, places["you"]),
        at_them=near(bad, places["them"]),
        at_group=near(bad, places["group"]),
        likened=near(places["likened"], places["copula"] + places["them"]) and near(places["likened"], somebody),
        negative_near=near(places["negative"], somebody),
        away=min(1, len(places["away"])),
        kill=min(1, len(places["kill"])),
    )


def is_bad(hit: words.Entry) -> bool:
    """Tell whether a word is bad if it is said to somebody; on lists of other languages nearly all are."""
    return hit.kind in ("slur", "insult", "general") or (hit.kind == "listed" and "en" not in hit.languages)


def near(some: list[int], others: list[int]) -> int:
    """Return 1 where one of some words stands within NEAR words of another, else 0."""
    return int(any(abs(one - other) <= NEAR for one in some for other in others))


def weighed(found: Signs) -> float:
    """Return the probability of an attack."""
    odds = BIAS + sum(weight * sign for weight, sign in zip(WEIGHTS, found, strict=True))
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
            self.name, VERSION, config, self._languages.fingerprint, [[file.sha256, file.version] for file in used]
        )

    @cached_property
    def _sonar(self) -> Sonar:
        return Sonar(self.config.unread)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        classified = [self._sonar(caption) for caption in batch.captions]
        found = [signs(caption, self._languages.likely) for caption in batch.captions]
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
    return hateful < UNSURE[0] and is_offensive and max(found.slur, found.insult, found.general, found.listed) >= 2
