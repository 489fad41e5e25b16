"""What speaks for an attack in a caption: how the words of `speech` and of lists stand to each other."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from . import speech, words
from .speech import Places

KINDS = ("slur", "insult", "general")
PAIRS = ({"good", "not"}, {"group", "must"}, {"group", "all", "be"})  # which say something together
QUOTES = re.compile('["\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u300a\u300b]')
ATTACKS = frozenset(("hate", "kill", "death", "out", "away", "bad", "flaw", "beast", "vile", "role", "curse"))
Spoken = Callable[[str], set[str]]  # which languages a caption may be in


class Signs(NamedTuple):
    """What speaks for an attack, and from `spared` on what speaks against one; counts, 0 or 1 where nothing is said."""

    slur: float  # severity, 0 to 3, of the worst word on a list, by its kind
    insult: float
    general: float
    slur_at: float  # any of these beside somebody who is pointed at, or many
    slur_more: float  # hatred, harm or the like beside one
    hate_group: float
    hate_person: float
    hate_you: float  # or them
    all_are: float  # all of a group are, whatever it be
    is_bad_group: float  # they are said to be so
    is_bad_person: float
    is_bad_all: float  # the same of all persons, or of such ones
    is_bad_you: float
    bad_person: float  # a bad word beside them
    bad_near: float  # not far from a group
    worse_beside: float  # what may also be said without harm, just beside them
    bad_you: float
    abuse: float  # an insult of several words
    piled: float  # bad words beside each other, without the first one, 2 at most
    vile_you: float
    kill_group: float
    killed_group: float  # where the group comes first
    kill_all: float
    kill_you: float
    must_kill: float
    death: float
    away: float
    out_group: float
    must_out: float
    role_group: float
    role_person: float
    role_you: float
    role: float
    must_group: float  # what they should do, or should not
    negative_near: float  # English words that people find bad, near a group
    denied: float  # something good is denied them
    curse_group: float
    curse_you: float
    ours: float  # it is about a group and about us
    spared: float  # a negation before harm, or near hatred
    not_hated: float
    nobody: float  # a negation just before whom it is about: "no woman deserves"
    against: float  # 3 at most
    media: float  # 2 at most
    quoted: float


NOTHING = Signs(*(0.0 for _ in Signs._fields))


def signs(caption: str, spoken: Spoken) -> list[Signs]:
    """Return what speaks for an attack, for each language that says anything of it; one at least."""
    found = speech.read(caption)
    listed = _listed(caption, spoken)
    attacking = [
        places
        for places in found.values()
        if listed.places or not ATTACKS.isdisjoint(places) or any(pair <= places.keys() for pair in PAIRS)
    ]
    if not (attacking or listed.places):
        return [NOTHING]
    # A word such as "terrorists" is one in several languages, and what turns it around is not.
    against = max((len(places.get("against", ())) for places in found.values()), default=0)
    media = max((len(places.get("media", ())) for places in found.values()), default=0)
    around = Around(min(3, against), min(2, media), len(QUOTES.findall(caption)) >= 2)
    return [_signs(places, listed, around) for places in attacking or [{}]]


class Around(NamedTuple):
    """What turns an attack around, in any language."""

    against: float
    media: float
    quoted: float


class Listed(NamedTuple):
    """Words that are on lists."""

    severities: tuple[float, float, float]  # of the worst, by kind
    places: list[int]


def _listed(caption: str, spoken: Spoken) -> Listed:
    found = words.looked_up(caption, words.first_words())
    hits = words.hits(found)
    if not hits:
        return Listed((0, 0, 0), [])
    if any("en" not in hit.languages for hit in hits.values()):
        languages = spoken(caption) | {"en"}
        hits = {word: hit for word, hit in hits.items() if hit.languages & languages}
    hits = {word: hit for word, hit in hits.items() if not speech.is_name(word)}  # some lists have "black" in Spanish
    slur, insult, general = (
        max((hit.severity for hit in hits.values() if hit.kind == kind), default=0) for kind in KINDS
    )
    return Listed((slur, insult, general), [found[word] for word, hit in hits.items() if hit.kind != "sexual"])


def _signs(places: Places, listed: Listed, around: Around) -> Signs:
    def at(*names: str) -> list[int]:
        return [place for name in names for place in places.get(name, ())]

    group, person, them, you = at("group"), at("person"), at("them"), at("you")
    all_of, be, must, no = at("all"), at("be"), at("must"), at("not")
    hate, kill, out, role, curse = at("hate"), at("kill"), at("out"), at("role"), at("curse")
    bad, vile = at("bad", "vile"), at("vile")
    worse = bad + at("beast", "flaw")
    spoken_of = them + you
    pointed = you + at("this")
    many = within(person, all_of, 3, 3) + within(person, you, 2, 2)
    anybody = group + many + spoken_of
    attack = worse + kill + hate + role + out + at("death")
    return Signs(
        *listed.severities,
        bool(within(listed.places, all_of + pointed + be + them + group, 3, 3)),
        bool(within(hate + kill + out + role, listed.places + vile, 4, 4)),
        bool(within(hate, group, 4, 6)),
        bool(within(hate, person, 2, 3)),
        bool(within(hate, spoken_of, 2, 2)),
        joined(group, be, all_of, near=2) or bool(within(within(group, all_of, 2, 0), be, 0, 2)),
        joined(group, be, worse) or bool(within(within(group, all_of, 2, 0), worse, 0, 4)),
        joined(person, be, bad + at("flaw"), near=3) or joined(person, be, worse, near=2),
        joined(many, be, worse),
        joined(them + you, be, worse),
        bool(within(bad, many, 2, 2)),
        bool(within(bad, group, 8, 5)),
        bool(within(at("flaw"), group, 3, 1) or within(at("beast"), group, 2, 1)),
        bool(within(bad, pointed, 2, 0) or within(at("beast", "flaw"), you, 2, 2)),
        bool(at("abuse")),
        min(2, len({*within(bad, worse, 2, -1), *within(bad, worse, -1, 2)})),
        bool(within(vile, pointed + them + many + curse, 3, 3)),
        bool(within(kill, group, 0, 6)),
        bool(within(kill, group, 5, 0)),
        bool(within(kill, many, 4, 4)),
        bool(within(kill, spoken_of, 2, 2)),
        bool(within(within(kill, must, 4, 2), anybody + person, 6, 6)),
        min(2, len(at("death"))),
        min(2, len(at("away"))),
        bool(within(out, group, 5, 4)),
        bool(within(within(out, must, 4, 2), anybody + person + at("our"), 6, 6)),
        bool(within(role, group, 8, 6)),
        bool(within(role, person, 6, 4)),
        bool(within(role, them + pointed + all_of, 6, 4)),
        min(2, max(0, len(role) - 1)),
        bool(within(group + many, must, -1, 3)),
        bool(within(at("negative"), group, 4, 4)),
        bool(within(within(at("good"), no, 4, 0), group + many, 8, 4)),
        bool(within(curse, group, 4, 4)),
        bool(within(curse, spoken_of, 3, 2)),
        bool(within(group + many, at("our"), 8, 8)) and bool(attack),
        bool(within(kill + at("death"), no, 5, 0)),
        bool(within(hate, no, 3, 3)),
        bool(within(group + person, no, 1, 0)) and bool(attack),
        *around,
    )


def within(some: Iterable[int], others: Iterable[int], before: int, after: int) -> list[int]:
    """Return those of some words that have another word, one of others, at most so many words before them, or after."""
    places, near = {*others}, [by for by in range(-before, after + 1) if by]
    return [one for one in some if any(one + by in places for by in near)] if places else []


def joined(whom: Sequence[int], be: Sequence[int], what: Sequence[int], near: int = 4) -> bool:
    """Tell whether somebody, a word that joins, and what is said stand in this order, near each other."""
    said = {other - by for other in what for by in range(1, near + 2)}
    return not said.isdisjoint(within(be, whom, near, -1))
