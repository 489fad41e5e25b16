"""How often pictures, captions and hosts stand in the whole run, counted by dedup and asked by rules."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.rule_columns import idle_rules
from pipeline.runner import build, run_step
from pipeline.select import candidates_of
from storage import duplicates, frequent, keep_list, pairs
from storage.pairs import host_of
from storage.plan import shards_of
from tests.factory import config_for, downloaded, through

from .scored_run import made, rows_of
from .test_dedup import in_small_parts

LEAST = 4
VALUE = {"image": "stored_sha256", "caption": "caption", "host": "url"}


def by_hand(rows: list[dict[str, Any]], kind: str) -> Counter[str]:
    values = [row[VALUE[kind]] for row in rows if row["status"] == pairs.OK]
    counts = Counter(host_of(value) for value in values) if kind == "host" else Counter(values)
    return Counter({value: count for value, count in counts.items() if count >= LEAST and value})


@pytest.mark.parametrize("max_caption_count", [pytest.param(None, marks=pytest.mark.long), 3])
def test_counts_are_those_of_plain_counting(tmp_path: Path, monkeypatch, max_caption_count: int | None):
    in_small_parts(monkeypatch)
    rows = rows_of(3, 215)
    dedup = {"frequent": LEAST, "max_caption_count": max_caption_count, "distance": 8}
    run_step("dedup", made(tmp_path, rows, dedup=dedup))
    table = pq.read_table(tmp_path / frequent.FREQUENT).to_pylist()
    by_key = {row["key"]: row for row in rows}
    for kind in frequent.KINDS:
        expected = by_hand(rows, kind)
        assert len(expected) > 1, kind
        values = [(by_key[row["key"]][VALUE[kind]], row["count"]) for row in table if row["kind"] == kind]
        assert {host_of(value) if kind == "host" else value: count for value, count in values} == expected
        counts = [count for _, count in values]
        assert counts == sorted(counts, reverse=True)
        for shard in shards_of(tmp_path):
            stored = candidates_of(shard, {"key", f"{kind}_count", VALUE[kind]}).to_pydict()
            names = [host_of(value) if kind == "host" else value for value in stored[VALUE[kind]]]
            assert stored[f"{kind}_count"] == [expected[name] or 1 for name in names]


def test_it_changes_nothing_else_and_goes_where_it_is_not_asked_for(tmp_path: Path):
    rows = rows_of(4, 100)
    without = made(tmp_path, rows)
    run_step("dedup", without)
    before = pq.read_table(tmp_path / duplicates.DUPLICATES)
    assert not (tmp_path / frequent.FREQUENT).exists()
    counted = without.model_copy(update={"dedup": without.dedup.model_copy(update={"frequent": LEAST})})
    assert build("dedup", counted).state() == "stale"
    run_step("dedup", counted)
    assert (tmp_path / frequent.FREQUENT).exists()
    assert pq.read_table(tmp_path / duplicates.DUPLICATES).equals(before)
    run_step("dedup", without)
    assert not (tmp_path / frequent.FREQUENT).exists()


def test_a_rule_drops_a_placeholder_and_follows_its_count(tmp_path: Path):
    seeds = [0, 0, 0, 1, 2, 0]
    rules = {"no_placeholder": "image_count < 4", "own_words": "caption_count = 1"}
    told = [{"seed": seed, "caption": f"picture number {n}"} for n, seed in enumerate(seeds)]
    config = downloaded(tmp_path, told, select={"rules": rules, "tolerate_lost": 1}, dedup={"frequent": 3})
    through(config, "score", "dedup", "select")
    (shard,) = shards_of(config.run)
    seen = {row["caption"]: row["failed"] for row in keep_list.read(shard, ["caption", "failed"]).to_pylist()}
    assert {int(caption[-1]) for caption, failed in seen.items() if failed == ["no_placeholder"]} == {0, 1, 2, 5}
    assert [seen[f"picture number {n}"] for n in (3, 4)] == [[], []]
    assert frequent.forget(config.run, lambda keys: np.ones(len(keys), bool)) == 2  # the picture, and its host
    assert build("select", config).state(shard) == "done"  # the counts stay
    config = config.model_copy(update={"dedup": config.dedup.model_copy(update={"frequent": 5})})
    through(config, "dedup")
    assert build("select", config).state(shard) == "stale"
    through(config, "select")
    assert keep_list.read(shard, ["kept"])["kept"].to_pylist() == [True] * len(seeds)


def test_a_rule_on_counts_that_nobody_takes_is_told(tmp_path: Path):
    config = config_for(tmp_path, select={"rules": {"few": "host_count < 9"}})
    (tmp_path / "table.parquet").unlink(missing_ok=True)
    rows = made(tmp_path, rows_of(1, 20))
    assert rows.dedup.frequent is None
    pq.write_table(pq.read_table(shards_of(tmp_path)[0].path(".parquet"), columns=["url", "caption"]), config.table[0])
    assert "the rule 'few' decides nothing by host_count: it is 1 of every pair without dedup.frequent" in [
        *idle_rules(config)
    ]
