"""Adopted shards say different things in their fields: a number here, a word there, and nothing in a third."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adopt.step import schema_of
from pipeline.config import PipelineConfig
from pipeline.decisions.sweep import sweep
from pipeline.decisions.what_if import what_if
from pipeline.export.export import export
from pipeline.export.options import Options
from pipeline.runner import build
from storage import keep_list
from storage.exports import DATA
from storage.plan import shards_of
from storage.shard import PAIRS
from tests.factory import through

from .test_adopt import adopted, sample, write_tar

# Of three tars; what is not there is in no sample of the tar.
FIELDS: list[dict[str, Any]] = [
    {"licence": None, "id": 1, "similarity": 1, "tags": ["a"]},
    {"licence": "cc0", "id": "x", "similarity": 0.5, "views": 7},
    {"id": None, "similarity": None},
]


def three(folder: Path, **rules: str) -> PipelineConfig:
    for number, fields in enumerate(FIELDS):
        members = sample(f"{number:05d}0", number, **fields) | sample(f"{number:05d}1", number + 10, **fields)
        write_tar(folder / "mine" / f"{number:05d}.tar", members)
    config = adopted(folder, folder / "mine", select={"rules": rules})
    through(config, "score", "dedup", "select")
    return config


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("coalesce(licence, 'none') <> 'nc'", [2, 2, 2]),
        ("licence is null or licence like 'cc%'", [2, 2, 2]),
        ("starts_with(licence, 'cc')", [0, 2, 0]),
        ("similarity >= 0.3", [2, 2, 0]),
        ("tags is null", [0, 2, 2]),
    ],
)
def test_what_a_shard_does_not_know_is_null_of_any_type(tmp_path: Path, rule: str, kept: list[int]):
    config = three(tmp_path, r=rule)
    lists = [keep_list.read(shard, ["kept"])["kept"].to_pylist() for shard in shards_of(config.run)]
    assert [sum(each) for each in lists] == kept
    found = what_if(config, ["r: null", f"other: {rule}"])
    assert (found.kept_now, found.kept_then) == (sum(kept), sum(kept))


def test_other_shards_are_judged_where_the_first_is_not_there(tmp_path: Path):
    config = three(tmp_path, cc="licence like 'cc%'")
    first, second, _ = shards_of(config.run)
    first.path(PAIRS).unlink()
    assert build("select", config)(second)["kept"] == 2


def test_thresholds_pass_over_shards_that_do_not_know_a_number(tmp_path: Path):
    found = sweep(three(tmp_path), "similarity", at=[0.7])
    assert (found.pairs, found.null, found.alone) == (6, 2, [2])


def test_rules_are_checked_against_a_first_shard_that_knows_nothing(tmp_path: Path):
    config = three(tmp_path, cc="licence like 'cc%'")
    assert str(schema_of(config.adopt).field("licence").type) == "null"


def test_an_export_has_one_type_for_what_shards_say_differently(tmp_path: Path):
    config = three(tmp_path)
    folder = tmp_path / "out"
    export(config.run, Options("hf", shard_size=2), folder=folder, workers=1)
    tables = [pq.read_table(path) for path in sorted((folder / DATA).glob("*.parquet"))]
    assert len(tables) == 3 and all(table.schema.equals(tables[0].schema) for table in tables)
    told = {
        name: [table[name][0].as_py() for table in tables] for name in ("licence", "id", "similarity", "tags", "views")
    }
    assert told == {
        "licence": [None, "cc0", None],
        "id": ["1", "x", None],
        "similarity": [1.0, 0.5, None],
        "tags": ['["a"]', None, None],
        "views": [None, 7, None],
    }
    assert export(config.run, Options("webdataset"), folder=tmp_path / "tars", workers=1).counts == {"train": 6}
