"""What a vocabulary is: its product, and what is no vocabulary."""

from pathlib import Path

import pytest

from configs import UserError, load, resolve
from demo.lint import lint
from demo.vocabulary import Vocabulary, combinations

from .small_demo import values, vocabulary

HERE = Path(__file__).parents[2] / "configs" / "demo"
SHIPPED = {"imagen.yaml": 360, "emoji.yaml": 84}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_vocabularies_that_ship_pass_lint(name: str):
    given = load(Vocabulary, HERE / name)
    result = lint(given)
    assert result.sentences == SHIPPED[name] <= 400
    assert result.problems == ()


def test_every_vocabulary_in_the_folder_is_counted_here():
    assert {path.name for path in HERE.iterdir()} == {*SHIPPED}


def test_the_product_is_whole_and_in_order():
    every = list(combinations(vocabulary()))
    assert len(every) == vocabulary().count == 2 * 4 + 2 * 3
    assert every[0].prompt == "a drawing of a red apple, food"
    assert every[-1].prompt == "an emoji of a blue circle"
    assert len({each.key for each in every}) == len(every)


def test_a_key_stays_when_other_words_come_and_go():
    fewer = {each.key for each in combinations(vocabulary(thing=["a pear"], colour=["a red"]))}
    assert fewer < {each.key for each in combinations(vocabulary())}


def test_only_approved_words_fill_a_gap():
    proposed = {"text": "a plum"}
    rejected = {"text": "a person", "status": "rejected", "reviewer": "ada"}
    given = vocabulary(thing=["a pear", proposed, rejected])
    assert given.approved("thing") == ("a pear",)
    assert lint(given).problems == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sentences": [{"name": "one", "sentence": "{medium} of {nothing}"}]}, "no group is called nothing"),
        ({"sentences": [{"name": "one", "sentence": "{medium} of a pear"}]}, "no sentence has a gap for"),
        ({"sentences": [{"name": "one", "sentence": "a pear"}]}, "needs gaps"),
        ({"sentences": [{"name": "one", "sentence": "{medium} of {medium}"}]}, "each of another group"),
        ({"sentences": [{"name": "one", "sentence": "{medium} {thing.__class__}"}]}, "a gap is written"),
        ({"sentences": []}, "sentences"),
        ({"model_page": "javascript:alert(1)"}, "model_page"),
        ({"model_page": 'https://a.test/"onclick='}, "model_page"),
        ({"script": "x"}, "no field 'script'"),
    ],
)
def test_what_is_no_vocabulary_is_told_in_a_line(change: dict, says: str):
    with pytest.raises(UserError, match=says) as error:
        resolve(Vocabulary, values() | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ({"text": "a pear", "status": "approved"}, "needs the name of its reviewer"),
        ({"text": "", "status": "proposed"}, "at least 1 character"),
        ({"text": "a\u200bpear"}, "cannot be seen"),
        ({"text": "a\npear"}, "cannot be seen"),
        ({"text": " a pear"}, "spaces"),
        ({"text": "a  pear"}, "spaces"),
        ({"text": "a pear" * 20}, "at most 80"),
        ({"text": "a pear", "status": "published"}, "status"),
    ],
)
def test_a_word_is_plain_and_has_a_reviewer(word: dict, says: str):
    with pytest.raises(UserError, match=says):
        vocabulary(thing=["a lemon", word])


def test_a_group_without_an_approved_word_is_refused():
    with pytest.raises(UserError, match="no word of thing is approved"):
        vocabulary(thing=[{"text": "a plum"}])


def test_more_sentences_than_anybody_can_look_through_are_refused():
    given = vocabulary(thing=[f"a pear {'x' * n}" for n in range(1, 70)], medium=[f"a {'y' * n}" for n in range(1, 75)])
    many = given.model_copy(update={"groups": given.groups | {"thing": given.groups["thing"] * 5}})
    with pytest.raises(UserError, match="20,000 at most"):
        list(combinations(many))
