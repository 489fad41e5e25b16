"""Lint: no edit brings a person, a hateful word or a double into a vocabulary."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs import UserError, dump, resolve
from corgi import app
from demo.compile import compile_demo
from demo.lint import lint
from demo.persons import person_in
from demo.vocabulary import Vocabulary

from .small_demo import WORDS, values, vocabulary

PERSONS = {
    "en": ["a woman", "two men", "a little boy", "a policeman", "children", "the queen", "a firefighter", "my family"],
    "de": ["eine Frau", "ein Mann", "M\u00e4dchen", "Feuerwehrleute", "ein K\u00f6nig", "die Lehrerinnen"],
    "fr": ["une femme", "un gar\u00e7on", "des enfants", "la s\u0153ur", "un m\u00e9decin"],
    "es": ["una mujer", "un ni\u00f1o", "la se\u00f1ora", "los abuelos"],
    "it": ["una ragazza", "gli uomini"],
    "pt": ["uma crian\u00e7a", "um homem"],
    "ru": ["\u0436\u0435\u043d\u0449\u0438\u043d\u0430", "\u043c\u0430\u043b\u044c\u0447\u0438\u043a"],
    "zh": ["\u4e00\u4e2a\u5973\u4eba", "\u5b69\u5b50"],
    "ja": ["\u5b50\u3069\u3082", "\u5973\u6027"],
    "ko": ["\ub0a8\uc790", "\uc544\uc774"],
    "ar": ["\u0627\u0645\u0631\u0623\u0629"],
    "hi": ["\u0914\u0930\u0924"],
}
DISGUISED = [
    "a WOMAN",
    "a w\u00f3m\u00e0n",
    "a w0m4n",
    "a wo-man",
    "a wo man",
    "a w o m a n",
    "a m.a.n",
    "a m_a_n",
    "a wo\u00adman",
    "a m\u0430n",  # a Cyrillic a
    "a \uff4d\uff41\uff4e",  # full width
    "a \U0001d426\U0001d41a\U0001d427",  # mathematical bold
    "a womaaaan",
    "a b0y",
    "a ch1ld",
    "business-women",
    "a superwoman's hat",
    "a beekeeperwoman",
    "k!ds",
    "a p3rs0n",
]
NOBODY = [
    *("a cowboy hat", "a raccoon", "a Persian cat", "a lemon", "a manatee", "a mango", "a salamander", "a mandolin"),
    *("a ramen bowl", "a king penguin", "a pair of sunglasses", "an emperor penguin", "a lion with a mane", "a cookie"),
    *("a kidney bean", "a dachshund", "on top of a mountain", "skateboarding"),
]


@pytest.mark.parametrize("group", sorted(WORDS))
@pytest.mark.parametrize("language", sorted(PERSONS))
def test_an_edit_that_adds_a_person_to_any_group_fails(group: str, language: str):
    for word in PERSONS[language]:
        for status in ("approved", "proposed"):
            added = {"text": word, "status": status, "reviewer": "mallory"}
            found = [line for line in lint(vocabulary(**{group: [*WORDS[group], added]})).problems if word in line]
            assert any("speaks of a person" in line for line in found), (language, word, status)


@pytest.mark.parametrize("text", DISGUISED)
def test_disguises_are_seen_through(text: str):
    assert person_in(text), text


@pytest.mark.parametrize("text", NOBODY)
def test_what_only_sounds_like_a_person_is_let_through(text: str):
    assert person_in(text) is None


def test_a_person_cut_in_two_by_groups_is_found_in_the_sentence():
    sentences = [{"name": "one", "sentence": "{thing} {medium} {colour}"}]
    cut = values(thing=["fire"], medium=["fighter jet", "fight er"], colour=["red"]) | {"sentences": sentences}
    problems = lint(resolve(Vocabulary, cut)).problems
    assert any("'fire fight er red' speaks of a person" in line for line in problems)


def test_a_name_with_a_capital_is_asked_about():
    lines = lint(vocabulary(thing=["a lemon", "Ada Lovelace"])).problems
    assert any("'Ada' has a capital" in line for line in lines)
    assert not lint(vocabulary("policy.names=[Shiba, Inu]", thing=["a Shiba Inu dog"])).problems


def test_hate_blocked_words_doubles_and_markup_are_found():
    hateful = "stupid ugly trash idiots"
    given = vocabulary(
        "policy.blocked_words=[turnip]", thing=["a T\u00dcRNIP".lower(), hateful, "a pear", "a p\u00e9ar", "x.jpg"]
    )
    text = "\n".join(lint(given).problems)
    assert "'turnip' is a blocked word" in text
    assert f"{hateful}, food' hate" in text or f"{hateful}, food' offensive" in text
    assert "stands there twice" in text and "can be said in two ways" in text
    assert "\n" not in lint(given).problems[0]


def test_the_command_counts_tells_and_leaves_with_3(tmp_path: Path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(dump(vocabulary()))
    bad.write_text(dump(vocabulary(thing=["a pear", "a woman"])))
    run = CliRunner().invoke
    done = run(app, ["demo", "lint", str(good)])
    assert (done.exit_code, done.stdout) == (0, f"{good}: 9 words, 14 sentences, 0 problems\n")
    refused = run(app, ["demo", "lint", str(bad)])
    assert refused.exit_code == 3
    assert "thing: 'a woman' speaks of a person: \"woman\" (en)" in refused.stderr


def test_compile_refuses_what_lint_refuses(tmp_path: Path):
    with pytest.raises(UserError, match="the vocabulary is refused: thing: 'a woman'") as error:
        compile_demo(vocabulary(thing=["a woman"]), [], out=tmp_path / "demo")
    assert error.value.exit_code == 3 and not (tmp_path / "demo").exists()
