"""plan: from a table of urls to shards of keyed pairs, with a reason for every row that is left out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from pipeline.config import PipelineConfig
from pipeline.plan import Plan, key_of, shards_of
from pipeline.shard import URLS
from pipeline.step import run_table

ROWS = [
    ("http://a.test/1.jpg", "a red apple", None),
    ("http://a.test/1.jpg", "a red apple", None),
    ("http://a.test/1.jpg", "an apple", "duplicate only with the same words"),
    ("HTTPS://b.test/2.png?x=1", "a dog", None),
    ("ftp://a.test/3.jpg", "a cat", "bad_scheme"),
    ("data:image/png;base64,AAAA", "a cat", "bad_scheme"),
    ("file:///etc/passwd", "a cat", "bad_scheme"),
    ("not a url", "a cat", "bad_url"),
    ("http://", "a cat", "bad_url"),
    ("http:///x.jpg", "a cat", "bad_url"),
    ("//a.test/x.jpg", "a cat", "bad_url"),
    ("", "a cat", "bad_url"),
    (None, "a cat", "bad_url"),
    ("http://a.test/4.jpg", "  ", "no_caption"),
    ("http://a.test/5.jpg", None, "no_caption"),
    ("http://a.test/6.jpg", "quotes ' and \" and\nnewlines; DROP TABLE", None),
]


def write(path: Path, count: int = 0) -> Path:
    urls = [row[0] for row in ROWS] + [f"http://c.test/{n}.jpg" for n in range(count)]
    captions = [row[1] for row in ROWS] + [f"picture {n}" for n in range(count)]
    table = pa.table({"SAMPLE_ID": range(len(urls)), "URL": urls, "TEXT": captions, "WIDTH": [7] * len(urls)})
    pq.write_table(table, path)
    return path


def config(folder: Path, table: Path, **plan: object) -> PipelineConfig:
    return resolve(PipelineConfig, {"run": str(folder / "run"), "table": [str(table)], "plan": plan})


def test_every_row_is_planned_once_or_dropped_with_its_reason(tmp_path: Path):
    outcome = run_table(Plan(config(tmp_path, write(tmp_path / "t.parquet"))))
    assert outcome.counts == {"planned": 4, "bad_scheme": 3, "bad_url": 6, "no_caption": 2, "duplicate_pair": 1}
    (shard,) = shards_of(tmp_path / "run")
    planned = pq.read_table(shard.path(URLS))
    assert planned.column_names == ["key", "url", "caption", "sample_id", "width"]
    assert planned["key"].to_pylist() == sorted(key_of(r["url"], r["caption"]) for r in planned.to_pylist())
    dropped = pq.read_table(tmp_path / "run" / "plan.dropped.parquet").to_pylist()
    assert len(planned) + len(dropped) == len(ROWS)


def test_shards_are_cut_by_key_and_do_not_depend_on_the_order_of_the_table(tmp_path: Path):
    table = pq.read_table(write(tmp_path / "a.parquet", 60))
    backwards = table.slice(len(ROWS)).take(list(reversed(range(60))))
    pq.write_table(pa.concat_tables([table.slice(0, len(ROWS)), backwards]), tmp_path / "b.parquet")
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = config(tmp_path / name, tmp_path / f"{name}.parquet", shard_size=10)
        run_table(Plan(made))
        found.append([pq.read_table(shard.path(URLS)) for shard in shards_of(made.run)])
    assert [len(shard) for shard in found[0]] == [10] * 6 + [4]
    keys = [key for shard in found[0] for key in shard["key"].to_pylist()]
    assert keys == sorted(keys)
    assert [t.select(["key", "url"]) for t in found[0]] == [t.select(["key", "url"]) for t in found[1]]


def test_the_same_command_again_does_nothing_and_a_new_table_plans_anew(tmp_path: Path):
    made = config(tmp_path, write(tmp_path / "t.parquet"))
    assert run_table(Plan(made)).done == 1
    assert run_table(Plan(made)).skipped == 1
    write(tmp_path / "t.parquet", 1)
    assert run_table(Plan(made)).done == 1


def test_rules_of_the_config_drop_too_and_all_reasons_are_kept(tmp_path: Path):
    table = write(tmp_path / "t.parquet")
    made = config(tmp_path, table, rules={"short_id": "sample_id < 3", "no_dogs": "caption NOT LIKE '%dog%'"})
    run_table(Plan(made))
    rows = pq.read_table(made.run / "plan.dropped.parquet").to_pylist()
    assert {tuple(row["reasons"]) for row in rows if row["caption"] == "a dog"} == {("short_id", "no_dogs")}


def test_csv_and_jsonl_tables_are_read_too(tmp_path: Path):
    table = pa.table({"url": ["http://a.test/1.jpg"], "caption": ["one, two"]})
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    (tmp_path / "t.jsonl").write_text('{"url": "http://a.test/1.jpg", "caption": "one, two"}\n')
    for name in ("t.csv", "t.jsonl"):
        (tmp_path / name[2:]).mkdir()
        made = config(tmp_path / name[2:], tmp_path / name)
        run_table(Plan(made))
        assert pq.read_table(shards_of(made.run)[0].path(URLS))["caption"].to_pylist() == ["one, two"]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"caption": "TEXTT"}, "did you mean 'TEXT'"),
        ({"rules": {"r": "widht > 3"}}, "width"),
        ({"url": "x"}, "url column"),
    ],
)
def test_a_missing_column_is_named_with_its_nearest(tmp_path: Path, plan: dict[str, object], said: str):
    with pytest.raises(UserError, match=said):
        run_table(Plan(config(tmp_path, write(tmp_path / "t.parquet"), **plan)))


def test_a_missing_table_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="no such table"):
        run_table(Plan(config(tmp_path, tmp_path / "none.parquet")))
