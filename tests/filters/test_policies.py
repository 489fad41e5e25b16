"""Every policy that comes with Corgi can be decided over the columns that a pair has."""

from pathlib import Path

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
SCHEMA = pa.schema({**DOWNLOADED, **SCORED, **COPIES})
GOOD = {
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
    "hate": 0.04,
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


def test_datacomp_basic():
    assert failed("datacomp_basic", caption_words=2, min_side=199) == ["caption_words", "min_side"]
    assert failed("datacomp_basic", language="fr", caption_chars=5, aspect=3.1) == [
        "english",
        "caption_chars",
        "aspect",
    ]
    assert failed("datacomp_basic", caption_words=3, caption_chars=6, min_side=200, aspect=3) == []


def test_laion400m():
    assert failed("laion400m", caption_chars=4, fetched_bytes=4999) == ["caption_chars", "fetched_bytes"]
    assert failed("laion400m", caption="two Kids at the beach", nsfw_score=0.4) == ["no_suspect_child"]
    assert failed("laion400m", caption="two kids at the beach", nsfw_score=0.1) == []
    assert failed("laion400m", caption="the kidney of a goat", nsfw_score=0.4) == []
    assert failed("laion400m", nsfw_score=None, caption=None) == ["no_suspect_child"]


def test_coyo700m():
    assert failed("coyo700m", nsfw_score=0.6, caption_words=257) == ["nsfw", "caption_words"]
    assert failed("coyo700m", near_copy=True, caption_copy=True) == ["caption_seen", "picture_seen"]
