"""Which columns rules may use: told before anything runs, and with what they hold once a run has them."""

import re
from pathlib import Path

import pytest

from configs import UserError, dump
from pipeline.check import check_pipeline
from pipeline.column_facts import told
from pipeline.rule_columns import idle_rules
from storage.run import write_config
from tests.factory import config_for, downloaded, through

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(9)] + [{"reason": "dns", "caption": "lost"}]


def line(text: str, column: str) -> list[str]:
    """The cells of a column's line."""
    (found,) = re.findall(rf"^{column} .*$", text, re.MULTILINE)
    return re.split(r" {2,}", found)


def test_before_a_download_every_column_is_told_with_its_source(tmp_path: Path):
    downloaded(tmp_path, ROWS)  # for its table
    config = config_for(tmp_path).model_copy(update={"run": tmp_path / "other"})
    (tmp_path / "pipeline.yaml").write_text(dump(config))
    text = told(tmp_path / "pipeline.yaml")
    assert line(text, "seed") == ["seed", "int64", "table"]
    assert line(text, "stored_width") == ["stored_width", "int32", "download"]
    assert line(text, "caption_words") == ["caption_words", "int32", "score: caption"]
    assert line(text, "near_copy") == ["near_copy", "bool", "dedup"]
    assert "language" not in text.split() and "nothing is planned yet" in text
    assert not (tmp_path / "other").exists()


def test_a_run_tells_range_nulls_and_an_example(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    write_config(config.run, config, fingerprint="made")
    assert line(told(config.run), "stored_width")[3:] == ["96 .. 96", "0 %", "96"]
    assert line(told(config.run), "caption_words")[3:] == []
    through(config, "score", "dedup")
    text = told(config.run)
    assert line(text, "caption_words")[3:] == ["3 .. 3", "0 %", "3"]
    assert line(text, "near_copy")[3] == "true 0 %"
    assert line(text, "content_type")[3:] == ["100 %"]
    assert (
        "of 9 pairs in 2 of 2 shards" in text and "caption_copy is never true without dedup.max_caption_count" in text
    )
    (tmp_path / "table.parquet").unlink()
    assert told(config.run) == text


def test_strangers_text_is_escaped(tmp_path: Path):
    config = downloaded(tmp_path, [{"seed": 1, "caption": "a\x1b[31m red one"}])
    write_config(config.run, config, fingerprint="made")
    assert r"\x1b[31m" in told(config.run) and "\x1b" not in told(config.run)


def test_a_rule_that_decides_nothing_for_want_of_a_setting_is_told(tmp_path: Path):
    downloaded(tmp_path, ROWS)
    rules = {"seen": "not Caption_Copy", "new": "not near_copy", "words": "caption_words > 1"}
    lines = list(idle_rules(config_for(tmp_path, select={"rules": rules})))
    assert lines == [
        "the rule 'seen' decides nothing by caption_copy: it is never true without dedup.max_caption_count"
    ]
    assert not list(idle_rules(config_for(tmp_path, select={"rules": rules}, dedup={"max_caption_count": 2})))
    bytes_too = config_for(
        tmp_path, select={"rules": {"bytes": "fetched_bytes > 1"}}, download={"engine": "img2dataset"}
    )
    assert ["NULL with download.engine" in said for said in idle_rules(bytes_too)] == [True]


def test_a_rule_on_a_scorer_that_is_left_out_names_it(tmp_path: Path):
    downloaded(tmp_path, ROWS)
    with pytest.raises(
        UserError, match=r"'english' uses the column 'language', which score\.language makes, and it is"
    ):
        check_pipeline(config_for(tmp_path, select={"rules": {"english": "language = 'en'"}}))
