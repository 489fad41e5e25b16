"""The vocabulary: sentences with gaps, groups of words that fill them, and every sentence that can come of it.

    sentences: [{name: food, sentence: "{medium} of {food}, food and drink"}]
    groups:
      medium: [{text: a drawing, status: approved, reviewer: ada}]
      food:   [{text: a lemon, status: approved, reviewer: ada}, {text: a pear, status: proposed}]

Only approved words fill a gap. Rejected ones stay in the file so that nobody proposes them again.
"""

import hashlib
import re
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from configs import Config, UserError

from .policy import Policy

MOST = 20_000  # sentences of a vocabulary: each is to be drawn, and looked at by a person
KEY_CHARS = 16
GAP = re.compile(r"\{([a-z][a-z0-9_]*)\}")
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1, max_length=80)]


class Word(Config):
    """What fills a gap, and who answers for it."""

    text: Text
    status: Literal["approved", "proposed", "rejected"] = "proposed"
    reviewer: str = Field(default="", max_length=80)  # who approved or rejected it

    @model_validator(mode="after")
    def _check(self) -> "Word":
        check_text(self.text)
        if self.status != "proposed" and not self.reviewer.strip():
            raise ValueError(f"{self.text!r} is {self.status}, so it needs the name of its reviewer")
        return self


class Sentence(Config):
    """A sentence with gaps, each named after the group that fills it: `{medium} of {food}`."""

    name: Name
    sentence: Annotated[str, Field(min_length=1, max_length=300)]

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return the names of the groups that fill it, in order."""
        return tuple(GAP.findall(self.sentence))

    @model_validator(mode="after")
    def _check(self) -> "Sentence":
        check_text(self.sentence)
        if not self.gaps or len({*self.gaps}) < len(self.gaps):
            raise ValueError(f"{self.sentence!r} needs gaps like {{food}}, each of another group")
        if "{" in (rest := GAP.sub("", self.sentence)) or "}" in rest:
            raise ValueError(f"{self.sentence!r}: a gap is written {{name}}, in small letters")
        return self


class Vocabulary(Config):
    """Everything a visitor can say, and what the page tells about the model that drew it."""

    title: Text
    about: Annotated[str, Field(min_length=1, max_length=2000)]  # what the model is and was trained on
    model_page: Annotated[str, Field(pattern=r"^(https://[^\s\"'<>\\]+)?$")] = ""  # where more is said; "": nowhere
    sentences: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    groups: dict[Name, tuple[Word, ...]]
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _check(self) -> "Vocabulary":
        used = {gap for sentence in self.sentences for gap in sentence.gaps}
        if missing := sorted(used - {*self.groups}):
            raise ValueError(f"no group is called {', '.join(missing)}; groups: {', '.join(self.groups)}")
        if unused := sorted({*self.groups} - used):
            raise ValueError(f"no sentence has a gap for {', '.join(unused)}")
        if empty := sorted(group for group in used if not self.approved(group)):
            raise ValueError(f"no word of {', '.join(empty)} is approved")
        if len({sentence.name for sentence in self.sentences}) < len(self.sentences):
            raise ValueError("two sentences have one name")
        return self

    def approved(self, group: str) -> tuple[str, ...]:
        """Return the words that may fill a gap, in the file's order."""
        return tuple(word.text for word in self.groups[group] if word.status == "approved")

    @property
    def count(self) -> int:
        """Return how many sentences there are, without making them."""
        return sum(prod(len(self.approved(gap)) for gap in sentence.gaps) for sentence in self.sentences)


class Combination(NamedTuple):
    """One sentence, all gaps filled."""

    key: str  # of the prompt alone, so an address keeps its meaning when other words come and go
    sentence: int  # which of the vocabulary's
    words: tuple[str, ...]  # in the order of its gaps
    prompt: str


def combinations(vocabulary: Vocabulary) -> Iterator[Combination]:
    """Yield the full product. Raises UserError for one that nobody could look through."""
    if vocabulary.count > MOST:
        raise UserError(f"the vocabulary makes {vocabulary.count:,} sentences; {MOST:,} at most can be looked through")
    for number, sentence in enumerate(vocabulary.sentences):
        for words in product(*(vocabulary.approved(gap) for gap in sentence.gaps)):
            filling = iter(words)
            prompt = GAP.sub(lambda _, filling=filling: next(filling), sentence.sentence)  # type: ignore[misc]
            yield Combination(key_of(prompt), number, words, prompt)


def key_of(prompt: str) -> str:
    """Return what a page's address calls a sentence."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:KEY_CHARS]


def check_text(text: str) -> None:
    """Raise ValueError for text with characters that cannot be seen, or spaces where none belong."""
    if not text.isprintable():
        raise ValueError(f"{text!r} has characters that cannot be seen")
    if text != " ".join(text.split(" ")).strip() or "  " in text:
        raise ValueError(f"{text!r} has spaces at its ends, or several in a row")
