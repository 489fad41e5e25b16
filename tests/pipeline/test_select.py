"""select says of every pair what its rules say one by one; a keep-list's bytes follow from the shard alone."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from configs import UserError
from filters.rules import holds
from pipeline.config import PipelineConfig
from pipeline.runner import build
from pipeline.select import candidates_of
from storage import duplicates, keep_list
from storage.plan import shards_of
from storage.shard import KEEP

from .scored_run import made, rows_of

SELECT: dict[str, Any] = {
    "rules": {"good": "pdq_quality >= 50", "new": "not exact_copy and NOT near_copy", "long": "length(caption) > 5"},
    "held_out": "caption LIKE '%7'",
    "stages": {"sr": {"long": "length(caption) > 10", "good": "pdq_quality > 70"}, "all": {}},
}


@pytest.fixture
def deduplicated(tmp_path: Path) -> PipelineConfig:
    """A run after `dedup`."""
    config = made(tmp_path, rows_of(3, 200), select=SELECT)
    build("dedup", config)()
    return config


def failing(shard: Any, rules: dict[str, str]) -> list[list[str]]:
    """The rules that each pair fails, each rule asked alone over all columns."""
    candidates = candidates_of(shard)
    held = {name: holds(candidates, {name: rule})[name].to_pylist() for name, rule in rules.items()}
    return [[name for name in rules if not held[name][row]] for row in range(len(candidates))]


def test_a_keep_list_is_that_of_every_rule_asked_alone(deduplicated: PipelineConfig):
    step, names = build("select", deduplicated), set[str]()
    for shard in shards_of(deduplicated.run):
        counts = step(shard)
        written = shard.path(KEEP).read_bytes()
        candidates, failed = candidates_of(shard), failing(shard, SELECT["rules"])
        held_out = [not names for names in failing(shard, {"held_out": SELECT["held_out"]})]
        stages = {
            stage: pa.array([not names for names in failing(shard, rules)], pa.bool_())
            for stage, rules in SELECT["stages"].items()
        }
        lists = pa.array(failed, pa.list_(pa.string()))
        mark = step.fingerprint(shard)
        keep_list.write(shard, candidates, failed=lists, held_out=pa.array(held_out), stages=stages, fingerprint=mark)
        assert written == shard.path(KEEP).read_bytes()
        assert counts.total() == len(failed) and counts["kept"] == failed.count([])
        assert counts["new"] == sum(names[:1] == ["new"] for names in failed)
        names |= {name for some in failed for name in some}
    assert names == {*SELECT["rules"]}


def test_rules_of_stages_may_be_called_like_those_of_all(deduplicated: PipelineConfig):
    shard = shards_of(deduplicated.run)[-1]
    build("select", deduplicated)(shard)
    keep = keep_list.read(shard)
    assert keep["all"].to_pylist() == keep_list.trained_on(keep, "train").tolist()
    assert 0 < sum(keep["sr"].to_pylist()) < sum(keep["all"].to_pylist())


def test_no_column_is_read_that_no_rule_speaks_of(deduplicated: PipelineConfig):
    shard = shards_of(deduplicated.run)[0]
    assert {*candidates_of(shard, {"key", "pdq_quality"}).column_names} == {
        *("key", "pdq_quality"),
        *duplicates.COLUMNS,
    }
    unknown = deduplicated.select.model_copy(update={"rules": {"bad": "pdq_qualty > 1"}})
    with pytest.raises(UserError, match=r"pdq_qualty.*pdq_quality"):
        build("select", deduplicated.model_copy(update={"select": unknown}))(shard)


def test_after_a_rule_that_cannot_be_decided_the_next_one_can(deduplicated: PipelineConfig):
    candidates = candidates_of(shards_of(deduplicated.run)[0])
    for _ in range(2):
        with pytest.raises(UserError, match="rule 'bad' cannot be decided"):
            holds(candidates, {"good": "true", "bad": "length(stored_width) > 0"})
        assert holds(candidates, {"good": "true"})["good"].to_pylist() == [True] * len(candidates)
