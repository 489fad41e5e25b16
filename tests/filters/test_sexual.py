"""Sexual captions, and rules that join them with the picture's own score."""

import pyarrow as pa

from filters.base import Batch
from filters.rules import failed_rules
from filters.sexual import Sexual, SexualConfig

RULES = {
    "no_porn": "nsfw_score < 0.5 and sexual < 0.5 and nsfw_score + sexual < 0.8",
    "no_minors": "not caption_child or (nsfw_score < 0.1 and sexual < 0.2)",
}


def of(*captions):
    return Sexual(SexualConfig())(Batch(captions=list(captions)))


def test_words_count_together_and_museums_and_birds_do_not():
    sexual = ["hardcore porn with a busty blonde", "nude amateur milf, free webcam porn"]
    plain = [
        "blue-footed booby on a rock",
        "nude lipstick, matte",
        "Sex Pistols tour poster",
        "Venus, marble nude, museum",
    ]
    found = of(*sexual, *plain)["sexual"]
    assert min(found[:2]) > 0.5 > max(found[2:])


def test_children_are_told_in_any_language_of_the_list():
    assert of("two boys on a swing", "kinder im garten", "\u5973\u5b69\u5728\u82b1\u56ed", "a kidney bean")[
        "caption_child"
    ] == [
        True,
        True,
        True,
        False,
    ]


def test_persons_are_told_children_among_them():
    named = ["an old Man with a hat", "zwei Frauen im Park", "\u5973\u4eba", "two boys on a swing"]
    others = ["a mannequin in a shop window", "a woodman axe", "clock face on a record player"]
    assert of(*named, *others)["caption_person"] == [True] * 4 + [False] * 3


def test_picture_and_caption_judge_together():
    rows = {
        "nsfw_score": [0.45, 0.45, 0.05, 0.15, 0.15],
        "sexual": [0.4, 0.02, 0.02, 0.02, 0.02],
        "caption_child": [False, False, True, True, False],
    }
    assert failed_rules(pa.table(rows), RULES) == [["no_porn"], [], [], ["no_minors"], []]
