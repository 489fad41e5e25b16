"""Sexual captions, and captions that speak of children: what the picture's own score is to be joined with.

No single word is enough: "a blue-footed booby", "nude lipstick", "Sex Pistols". Words that lists call sexual count with
one another and with the words that such captions are full of, and against those of museums, clinics, birds and shops.

A picture and its caption know more together than each alone, and a rule can ask both:

    no_porn: nsfw_score < 0.5 and sexual < 0.5 and nsfw_score + sexual < 0.8
    no_minors: not caption_child or (nsfw_score < 0.1 and sexual < 0.2)
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from configs import Config, fingerprint

from . import speech, words
from .base import Batch
from .language import Languages

VERSION = 3  # raise when an answer changes
NEAR = 6  # words apart
SWEARING = ("you", "vile", "bad", "flaw", "beast")
NAKED = """
naked nude nudes nudity topless uncensored undressed stripping | nackt nackte nackter | nu nue nus nues |
desnudo desnuda
desnudas | nudo nuda nude | nu nua nuas pelada | голый голая голые | 裸体 裸照 全裸
"""
LURE = """
porn porno pornos pornography pornstar pornstars xxx nsfw hot horny sexy kinky erotic busty milf milfs
mature amateur amateurs
hardcore teen teens babe babes blonde brunette redhead wife housewife stepmom stepsister stepsisters
stepdaughter schoolgirl
secretary nurse webcam cam cams livecam leaked candid upskirt voyeur selfies threesome foursome orgy
gangbang lesbian lesbians
interracial cuckold swinger swingers fetish bdsm bondage domina dominatrix mistress slave slaves sissy
spanking latex strapon
dildo vibrator escort escorts stripper striptease masturbating masturbates orgasm orgasms anal oral wet
tight hentai |
pornofilm geil geile geiler heiß heiße hausfrau reife amateurvideo studentin feucht |
porno salope mature chaude coquine amatrice seins | porno caliente calientes cachonda maduras rubia tetas
follando |
porno calda bionda amatoriale casalinga tette bagnata bagnate | porno gostosa safada safadas coroas
novinha peitos molhada |
порно порнуха горячая зрелые блондинка сиськи трахается мокрая | 色情 成人片 美女 熟女 少妇 巨乳 性爱 淫荡 自拍
"""
HARMLESS = """
museum museums gallery painting oil canvas marble bronze clay sculpture statue fresco engraving etching
drawing study
renaissance neolithic antique century archaeological mythology goddess artist cancer clinic anatomy
anatomical diagram
medical illustration patient surgery disease infection virus health exam hospital doctor microscope
biology species
bird birds frog fish fishing insect plant plants flower flowers mole rat island islands village town
station sign county
novel book books paperback hardcover edition author album vinyl tour concert band film dvd soundtrack
poster lipstick
pumps heels dress dresses shirt jeans swimwear cake juice wine label soup chicken steak sauce coffee
recipe cotton
furniture tool tools set worksheet campaign education manual course portrait |
museo musée museum картина роман обложка плакат 博物馆 卢浮宫 防治 手册 课程
"""
CHILD = """
child children kid kids toddler toddlers baby babies infant boy boys girl girls schoolgirl schoolgirls
schoolboy teen teens teenager teenage preteen minor minors underage daughter son kindergarten loli lolita
| kind kinder mädchen junge jungen baby schülerin | enfant enfants fille fillette garçon bébé | niño niña
niños niñas bebé | bambino bambina bambini ragazzina | criança crianças menina menino bebê | ребёнок дети
девочка мальчик школьница | 儿童 孩子 小孩 女孩 男孩 婴儿 幼女
"""
# Beside CHILD and the groups of people: who is spoken of as a person that a picture may show.
PERSON = """
man men woman women person people lady ladies gentleman guy guys couple bride groom husband wife mother father mom dad
parents parent family families grandmother grandfather brother sister friend friends actor actress singer selfie |
mann männer frau frauen person personen leute paar braut mutter vater familie |
homme hommes femme femmes personne gens couple mère père famille | hombre hombres mujer mujeres persona personas gente
pareja madre padre familia | uomo uomini donna donne gente coppia madre padre famiglia | homem homens mulher mulheres
pessoa pessoas casal mãe pai família | мужчина мужчины женщина женщины человек люди пара мать отец семья |
男人 女人 人物 夫妇 母亲 父亲 家庭
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
WEIGHTS = Signs(1.2, 0.2, 1.3, 1.0, 2.7, -1.3)
BIAS = -3.6


def of(text: str) -> frozenset[str]:
    """Return the folded words of a list."""
    return frozenset(words.phrase(word) for word in text.replace("|", " ").split())


NAKED_WORDS, LURES, HARMLESS_WORDS, CHILDREN = of(NAKED), of(LURE), of(HARMLESS), of(CHILD)
PERSONS = CHILDREN | of(PERSON)


class Sexual:
    """sexual: probability in [0, 1] that a caption is sexual. caption_child: it speaks of children.

    caption_person: it speaks of a person, children included; names alone are not known.
    """

    name: ClassVar[str] = "sexual"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "sexual": pa.float32(),
        "caption_child": pa.bool_(),
        "caption_person": pa.bool_(),
    }

    def __init__(self, config: SexualConfig) -> None:
        self.config, self._languages = config, Languages()
        used = [[file.sha256, file.version] for file in words.files()]
        self.fingerprint = fingerprint(self.name, VERSION, config, self._languages.fingerprint, used, speech.digest())

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        return {
            "sexual": [weighed(self.signs(caption)) for caption in batch.captions],
            "caption_child": [not CHILDREN.isdisjoint(looked_up(caption)) for caption in batch.captions],
            "caption_person": [not PERSONS.isdisjoint(looked_up(caption)) for caption in batch.captions],
        }

    def signs(self, caption: str) -> Signs:
        """Return what speaks for a sexual caption, or against it."""
        found = looked_up(caption)
        hits = words.hits(found)
        # Beside "you" or an insult such words are swearing, which is for `hate` to judge.
        spoken = speech.read(caption).values()
        sworn = [at for places in spoken for name in SWEARING for at in places.get(name, ())]
        if any("en" not in hit.languages for hit in hits.values()):
            languages = self._languages.likely(caption) | {"en"}
            hits = {word: hit for word, hit in hits.items() if hit.languages & languages}
        hits = {word: hit for word, hit in hits.items() if not is_near(found[word], sworn)}
        sexual = [hit.severity for hit in hits.values() if hit.kind == "sexual"]
        listed, naked = sum(hit.kind == "listed" for hit in hits.values()), len(found.keys() & NAKED_WORDS)
        lure = len(found.keys() & LURES) if sexual or listed or naked else max(0, len(found.keys() & LURES) - 1)
        return Signs(
            max(sexual, default=0),
            min(3, len(sexual)),
            min(3, listed),
            min(2, naked),
            min(3, lure),
            min(3, len(found.keys() & HARMLESS_WORDS)),
        )


def looked_up(caption: str) -> dict[str, int]:
    """Return all of a caption that may stand on a list, and at which word."""
    return words.looked_up(caption, words.first_words())


def is_near(place: int, others: Iterable[int]) -> bool:
    """Tell whether a word stands within NEAR words of another."""
    return any(abs(place - other) <= NEAR for other in others)


def weighed(found: Signs) -> float:
    """Return the probability of a sexual caption."""
    return 1 / (1 + math.exp(-BIAS - sum(weight * sign for weight, sign in zip(WEIGHTS, found, strict=True))))
