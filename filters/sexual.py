"""Sexual captions, and captions that speak of children: what the picture's own score is to be joined with.

No single word is enough: "a blue-footed booby", "nude lipstick", "Sex Pistols". Words that lists call sexual count with
one another and with the words that such captions are full of, and against those of museums, clinics, birds and shops.

A picture and its caption know more together than each alone, and a rule can ask both:

    no_porn: nsfw_score < 0.5 and sexual < 0.5 and nsfw_score + sexual < 0.8
    no_minors: not caption_child or (nsfw_score < 0.1 and sexual < 0.2)
"""

import math
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from configs import Config, fingerprint

from . import words
from .base import Batch
from .language import Languages

VERSION = 1  # raise when an answer changes
NAKED = """
naked nude nudes topless uncensored undressed | nackt nackte | nue nues | desnuda desnudas | nuda nude |
nua nuas | голая голые | 裸体 裸照
"""
LURE = """
porn porno pornos порно 色情 | hot busty milf amateur hardcore teen teens wet wife blonde redhead brunette
cam cams gif nsfw xxx erotic sensual uncensored candid threesome lesbian strapon fetish bdsm mistress
slave bondage chastity cuckold interracial pornstar pornstars stepsisters stepsister selfies escort sexy
girls | geile hausfrau amateurvideo | blonde | caliente maduras | bionda | loira | зрелые | 美女 少妇
"""
HARMLESS = """
museum oil canvas sculpture statue fresco renaissance louvre neolithic cancer anatomical diagram patient
surgery disease health infection hospital biology species bird birds fish mole rat island islands novel
paperback hardcover author vinyl tour poster lipstick pumps shoes heels dress shirt jeans bra lingerie
cake juice campaign manual station recipe soup steak sauce
"""
CHILD = """
child children kid kids toddler toddlers baby babies infant boy boys girl girls schoolgirl schoolgirls
schoolboy teen teens teenager teenage preteen minor minors underage daughter son kindergarten loli lolita
| kind kinder mädchen junge jungen baby schülerin | enfant enfants fille fillette garçon bébé | niño niña
niños niñas bebé | bambino bambina bambini ragazzina | criança crianças menina menino bebê | ребёнок дети
девочка мальчик школьница | 儿童 孩子 小孩 女孩 男孩 婴儿 幼女
"""


class SexualConfig(Config):
    """Nothing to choose yet."""


class Signs(NamedTuple):
    """What speaks for a sexual caption, or against it."""

    severity: float  # 0 to 3, of the worst word that a list calls sexual
    sexual: float  # how many such words, 3 at most
    listed: float  # words that are on a list with nothing said, 3 at most
    naked: float  # 2 at most
    lure: float  # words that such captions are full of, 3 at most; one fewer where there is nothing else
    harmless: float  # words of museums, clinics, animals and shops, 3 at most


# Log-odds for each, by logistic regression on the labelled captions that are for tuning (tests/filters/labelled).
WEIGHTS = Signs(1.1, 0.5, 1.2, 1.3, 2.2, -1.25)
BIAS = -3.7


def of(text: str) -> frozenset[str]:
    """Return the folded words of a list."""
    return frozenset(words.phrase(word) for word in text.replace("|", " ").split())


NAKED_WORDS, LURES, HARMLESS_WORDS, CHILDREN = of(NAKED), of(LURE), of(HARMLESS), of(CHILD)


class Sexual:
    """sexual: probability in [0, 1] that a caption is sexual. caption_child: it speaks of children."""

    name: ClassVar[str] = "sexual"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {"sexual": pa.float32(), "caption_child": pa.bool_()}

    def __init__(self, config: SexualConfig) -> None:
        self.config, self._languages = config, Languages()
        used = [[file.sha256, file.version] for file in words.files()]
        self.fingerprint = fingerprint(self.name, VERSION, config, self._languages.fingerprint, used)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        return {
            "sexual": [weighed(self.signs(caption)) for caption in batch.captions],
            "caption_child": [not CHILDREN.isdisjoint(words.looked_up(caption)) for caption in batch.captions],
        }

    def signs(self, caption: str) -> Signs:
        """Return what speaks for a sexual caption, or against it."""
        found, hits = words.looked_up(caption).keys(), words.hits(caption)
        if any("en" not in hit.languages for hit in hits.values()):
            languages = self._languages.likely(caption) | {"en"}
            hits = {word: hit for word, hit in hits.items() if hit.languages & languages}
        sexual = [hit.severity for hit in hits.values() if hit.kind == "sexual"]
        listed, naked = sum(hit.kind == "listed" for hit in hits.values()), len(found & NAKED_WORDS)
        lure = len(found & LURES) if sexual or listed or naked else max(0, len(found & LURES) - 1)
        return Signs(
            max(sexual, default=0),
            min(3, len(sexual)),
            min(3, listed),
            min(2, naked),
            min(3, lure),
            min(3, len(found & HARMLESS_WORDS)),
        )


def weighed(found: Signs) -> float:
    """Return the probability of a sexual caption."""
    return 1 / (1 + math.exp(-BIAS - sum(weight * sign for weight, sign in zip(WEIGHTS, found, strict=True))))
