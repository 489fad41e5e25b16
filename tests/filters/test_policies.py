"""Every policy that comes with Corgi can be decided over the columns that a pair has."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from filters.rules import check, failed_rules
from filters.scorers import ScorersConfig, build

POLICIES = sorted((Path(__file__).parents[2] / "configs" / "policies").glob("*.yaml"))
DOWNLOADED = {
    **dict.fromkeys(("key", "url", "caption", "status", "content_type", "format"), pa.string()),
    **dict.fromkeys(("original_width", "original_height", "stored_width", "stored_height"), pa.int32()),
    "fetched_bytes": pa.int64(),
}
COPIES = dict.fromkeys(("exact_copy", "near_copy", "caption_copy"), pa.bool_())
SCORED = {name: kind for scorer in build(ScorersConfig()) for name, kind in scorer.columns.items()}
PUBLISHED = dict.fromkeys(("similarity", "clip_l14_similarity_score", "punsafe"), pa.float64())
SCHEMA = pa.schema({**DOWNLOADED, **PUBLISHED, **SCORED, **COPIES})
GOOD = {
    "url": "https://a.test/x.jpg",
    "format": "jpeg",
    "original_width": 512,
    "original_height": 600,
    "similarity": 0.33,
    "clip_l14_similarity_score": 0.3,
    "punsafe": 0.01,
    "caption": "a red apple on the table",
    "fetched_bytes": 90_000,
    "min_side": 512,
    "max_side": 600,
    "aspect": 1.2,
    "caption_chars": 24,
    "caption_words": 6,
    "caption_letters": 1.0,
    "caption_markup": False,
    "caption_filename": False,
    "language": "en",
    "language_score": 0.9,
    "english": 0.95,
    "hate": 0.04,
    "hateful": 0.02,
    "sexual": 0.01,
    "caption_child": False,
    "offensive": 0.29,
    "nsfw_score": 0.01,
    "pdq_quality": 100,
    **dict.fromkeys(COPIES, False),
}


def rules_of(name: str) -> dict[str, str]:
    (path,) = [path for path in POLICIES if path.stem == name]
    return yaml.safe_load(path.read_text())


def failed(name: str, **differs: object) -> list[str]:
    pairs = pa.Table.from_pylist([{**GOOD, **differs}], schema=SCHEMA)
    return failed_rules(pairs, rules_of(name))[0]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_can_be_decided_and_says_where_it_comes_from(path):
    check(yaml.safe_load(path.read_text()), SCHEMA)
    assert failed(path.stem) == []
    assert {"# Source:", "# Differs:", "# Needs:", "# Expect:"} <= {line[:10].rstrip() for line in open_lines(path)}


def open_lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


CHILD = "two Kids at the beach"
LONG_HOST = f"https://{'a' * 61}/x.jpg"
PLANTED: dict[str, list[tuple[Any, list[str]]]] = {  # policy -> what differs from a good pair, what fails
    "laion400m": [
        ({"caption_chars": 5, "fetched_bytes": 5000, "similarity": 0.3}, []),
        ({"caption_chars": 4}, ["caption_chars"]),
        ({"fetched_bytes": 4999}, ["fetched_bytes"]),
        ({"similarity": 0.2999}, ["similarity"]),
        ({"caption": CHILD, "nsfw_score": 0.3}, ["no_suspect_child"]),
        ({"caption": CHILD, "nsfw_score": 0.29}, []),
        ({"caption": "the kidney of a goat", "nsfw_score": 0.4}, []),
        (
            {"caption": CHILD, "nsfw_score": 0.9, "caption_chars": 1, "fetched_bytes": 1, "similarity": 0.1},
            ["caption_chars", "fetched_bytes", "similarity", "no_suspect_child"],
        ),
        ({"nsfw_score": None, "caption": None, "similarity": None}, ["similarity", "no_suspect_child"]),
    ],
    "laion2b_en": [
        ({"caption_chars": 5, "fetched_bytes": 5000, "similarity": 0.28, "url": f"https://{'a' * 60}/x.jpg"}, []),
        ({"caption_chars": 4}, ["caption_chars"]),
        *(
            ({"url": f"https://a.test/x{end}"}, ["url_kind"])
            for end in (".SVG", ".gif?w=3", "?javascript:void", ".svgz")
        ),
        ({"url": "data:image/jpeg;base64,xx"}, ["url_kind", "host_chars"]),
        ({"url": LONG_HOST}, ["host_chars"]),
        ({"language": "de"}, ["english"]),
        ({"language": None}, ["english"]),
        ({"fetched_bytes": 4999}, ["fetched_bytes"]),
        *(({"format": kind}, []) for kind in ("jpeg", "png", "webp")),
        ({"format": "gif"}, ["format"]),
        ({"original_width": 44739242, "original_height": 2}, []),
        ({"original_width": 44739243, "original_height": 2}, ["pixels"]),
        ({"original_width": 2**31 - 1, "original_height": 2**31 - 1}, ["pixels"]),
        ({"similarity": 0.27}, ["similarity"]),
        (
            {"caption_chars": 0, "url": f"{LONG_HOST}.gif", "language": "fr", "similarity": -1.0, "format": "bmp"},
            ["caption_chars", "url_kind", "host_chars", "english", "format", "similarity"],
        ),
    ],
    "datacomp_basic": [
        ({"caption_words": 3, "caption_chars": 6, "min_side": 200, "aspect": 3}, []),
        ({"caption_words": 2, "min_side": 199}, ["caption_words", "min_side"]),
        ({"language": "fr", "caption_chars": 5, "aspect": 3.1}, ["english", "caption_chars", "aspect"]),
    ],
    "datacomp_clip": [
        ({"clip_l14_similarity_score": 0.243}, []),
        ({"clip_l14_similarity_score": 0.242}, ["similarity"]),
        ({"clip_l14_similarity_score": None}, ["similarity"]),
    ],
    "coyo700m": [
        ({"fetched_bytes": 5000, "min_side": 200, "aspect": 3, "nsfw_score": 0.5, "caption_words": 256}, []),
        ({"caption_words": 3, "caption_chars": 1000}, []),
        ({"fetched_bytes": 4999, "min_side": 199, "aspect": 3.01}, ["fetched_bytes", "min_side", "aspect"]),
        ({"nsfw_score": 0.6, "language": "ko", "caption_words": 257}, ["nsfw", "english", "caption_words"]),
        ({"caption_words": 2, "caption_chars": 1001}, ["caption_words", "caption_chars"]),
        ({"near_copy": True, "caption_copy": True}, ["caption_seen", "picture_seen"]),
    ],
    "cc12m": [
        ({"min_side": 401, "aspect": 2.5, "nsfw_score": 0.49, "caption_words": 256}, []),
        ({"format": "png", "min_side": 400, "aspect": 2.51}, ["format", "min_side", "aspect"]),
        ({"nsfw_score": 0.5, "caption_words": 2}, ["nsfw", "caption_words"]),
        ({"caption": "one two three four Four"}, []),  # 1 of 5 words said it again
        ({"caption": "one two three three"}, ["repetition"]),  # 1 of 4
        ({"caption": "  sale sale\tsale  "}, ["repetition"]),
        ({"format": None, "caption": None}, ["format", "repetition"]),
    ],
    "relaion_safe": [({"punsafe": 0.45}, []), ({"punsafe": 0.451}, ["safe"]), ({"punsafe": None}, ["safe"])],
    "corgi_strict": [
        ({"fetched_bytes": 5000, "min_side": 256, "aspect": 3, "caption_chars": 5, "caption_words": 3}, []),
        ({"fetched_bytes": 1, "min_side": 255, "aspect": 4}, ["fetched_bytes", "min_side", "aspect"]),
        ({"caption_chars": 1001, "caption_words": 2}, ["caption_chars", "caption_words"]),
        ({"caption_letters": 0.4, "caption_markup": True}, ["caption_letters", "no_markup"]),
        ({"caption_filename": True, "english": 0.49}, ["no_markup", "english"]),
        ({"english": 0.5, "language": "it"}, []),
        ({"hateful": 0.5}, ["no_hate"]),
        ({"sexual": 0.5}, ["not_sexual"]),
        ({"sexual": 0.35, "nsfw_score": 0.25}, ["not_sexual"]),
        ({"sexual": 0.35, "nsfw_score": 0.2}, []),
        ({"nsfw_score": 0.3}, ["safe"]),
        ({"nsfw_score": 0.1, "caption_child": True}, ["no_suspect_child"]),
        ({"sexual": 0.2, "caption_child": True}, ["no_suspect_child"]),
        ({"sexual": 0.19, "nsfw_score": 0.09, "caption_child": True}, []),
        (dict.fromkeys(COPIES, True), ["caption_seen", "exact_copy", "near_copy"]),
    ],
}


def test_every_policy_is_planted():
    assert [path.stem for path in POLICIES] == sorted(PLANTED)


@pytest.mark.parametrize("policy", sorted(PLANTED))
def test_a_planted_table_falls_row_by_row_in_the_published_order(policy: str):
    rows, expected = zip(*PLANTED[policy], strict=True)
    pairs = pa.Table.from_pylist([{**GOOD, **differs} for differs in rows], schema=SCHEMA)
    for differs, names, found in zip(rows, expected, failed_rules(pairs, rules_of(policy)), strict=True):
        assert found == names, differs
    assert {name for names in expected for name in names} == {*rules_of(policy)}, "every rule takes some row"
