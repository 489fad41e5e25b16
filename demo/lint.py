"""Is a vocabulary fit to be drawn? All its words, and every sentence that they make."""

from collections.abc import Iterator
from typing import NamedTuple

from configs import UserError

from .persons import folded
from .policy import problems_of_prompts, problems_of_word
from .vocabulary import GAP, Vocabulary, combinations

SHOWN = 20  # problems that a refusal names


class Lint(NamedTuple):
    """What lint came to."""

    sentences: int
    words: int  # that are approved
    problems: tuple[str, ...]


def lint(vocabulary: Vocabulary) -> Lint:
    """Look at every word that is not rejected, and at the full product of those that are approved."""
    words = sum(len(vocabulary.approved(group)) for group in vocabulary.groups)
    problems = tuple(dict.fromkeys([*_words(vocabulary), *_prompts(vocabulary)]))
    return Lint(vocabulary.count, words, problems)


def check(vocabulary: Vocabulary) -> None:
    """Raise UserError, for exit code 3, where lint finds a problem."""
    if problems := lint(vocabulary).problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("the vocabulary is refused: " + "; ".join(problems[:SHOWN]) + more, exit_code=3)


def _words(vocabulary: Vocabulary) -> Iterator[str]:
    policy = vocabulary.policy
    for sentence in vocabulary.sentences:
        for problem in problems_of_word(policy, GAP.sub("~", sentence.sentence)):
            yield f"sentence {sentence.name}: {problem}"
    for group, words in vocabulary.groups.items():
        seen: dict[str, str] = {}
        for word in words:
            if word.status == "rejected":
                continue
            yield from (f"{group}: {word.text!r} {problem}" for problem in problems_of_word(policy, word.text))
            if (same := seen.setdefault(folded(word.text), word.text)) is not word.text:
                yield f"{group}: {word.text!r} stands there twice, as {same!r}"


def _prompts(vocabulary: Vocabulary) -> Iterator[str]:
    every = list(combinations(vocabulary))
    prompts = list(dict.fromkeys(combination.prompt for combination in every))
    yield from (f"{prompt!r} {problem}" for prompt, problem in problems_of_prompts(vocabulary.policy, prompts))
    seen: dict[str, tuple[str, ...]] = {}
    for combination in every:
        if seen.setdefault(folded(combination.prompt), combination.words) is not combination.words:
            yield f"{combination.prompt!r} can be said in two ways"
