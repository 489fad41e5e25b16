"""Hate and insult: the classifier equals its package, and no single word is enough."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hatesonar.api import DEFAULT_MODEL_FILE

from configs import resolve
from filters import words
from filters.base import Batch
from filters.hate import Hate, HateConfig
from filters.sonar import Sonar

from .batches import HARMLESS, HATEFUL

TOO_CLEVER = ["you 1d10t, you m0r0n", "you i d i o t", "you stuuuupid fool", "you \uff29\uff24\uff29\uff2f\uff34"]


def of(*captions, **config):
    return Hate(resolve(HateConfig, config))(Batch(captions=list(captions)))


def packaged():
    """The package's graph, lower-casing in locale "C": its own file insists on en_US.UTF-8, which few servers have."""
    graph = onnx.load(str(DEFAULT_MODEL_FILE))
    for node in graph.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
        del node.attribute[:]
        locale = [onnx.helper.make_attribute("locale", "C")] if node.op_type == "StringNormalizer" else []
        node.attribute.extend([*kept, *locale])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return lambda caption: session.run(["output_probability"], {"text": np.array([caption], dtype=object)})[0][0]


def test_the_classifier_equals_the_package_s_own_answers():
    captions = [*HARMLESS, *HATEFUL, "", "HATE in capitals", "caf\u00e9 \u4e2d\u6587 hate", "word " * 3000, "\u212aill"]
    judge, sonar = packaged(), Sonar()
    for caption in captions:
        assert sonar(caption) == pytest.approx([judge(caption)[number] for number in range(3)], abs=1e-6)


def test_hateful_captions_are_found_and_harmless_ones_left():
    found = of(*HATEFUL, *HARMLESS)
    assert [score >= 0.5 for score in found["hateful"]] == [True] * len(HATEFUL) + [False] * len(HARMLESS)
    bad = (np.array(found["hate"]) >= 0.15) | (np.array(found["offensive"]) >= 0.45)
    assert bad[: len(HATEFUL)].all() and not bad[len(HATEFUL) :].any()


def test_words_that_are_not_read_do_not_count():
    assert np.argmax(Sonar()("a white flower")) == 0  # why there are words that are not read
    assert of("a flower")["hate"] == of("a White flower")["hate"]
    assert of("a flower", unread=[])["hate"] != of("a white flower", unread=[])["hate"]


@pytest.mark.parametrize("number", range(len(TOO_CLEVER)))
def test_spellings_that_hide_a_word_hide_nothing(number):
    assert of(TOO_CLEVER[number])["hateful"][0] > 0.5


def test_no_word_of_any_list_is_enough_in_the_name_of_a_thing():
    slurs = [word for word, entry in words.entries().items() if entry.kind == "slur" and word.isalpha()]
    assert len(slurs) > 20
    found = of(*(f"{word}, a novel in two volumes" for word in slurs))
    assert max(found["hateful"]) < 0.5


@pytest.mark.long
def test_judges_that_disagree_are_told():
    slur = max(
        (word for word, entry in words.entries().items() if entry.kind == "slur" and word.isalpha()),
        key=lambda word: Sonar()(word)[0],
    )
    found = of(f"{slur}, a record", "an apple on a table", "those people are vermin")
    assert found["hateful_unsure"] == [True, False, False]


def test_lists_have_29_languages_and_severities():
    entries = words.entries().values()
    assert len({language for entry in entries for language in entry.languages}) >= 28
    assert {entry.severity for entry in entries} == {1, 2, 3}
