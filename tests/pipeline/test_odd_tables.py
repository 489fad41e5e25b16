"""Tables of odd types and shapes: what can be read is, and what cannot is told in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from pipeline import buckets
from pipeline.runner import run_step
from storage.plan import shards_of
from storage.shard import URLS

from .test_plan import config

COUNT = 4
COLUMNS = {"url": [f"http://a.test/{n}" for n in range(COUNT)], "text": [f"no {n}" for n in range(COUNT)]}
HALVES = np.array([0.5, 0.25, 1.0, 2.0], np.float16)


def planned(tmp_path: Path, table: Path) -> list[dict[str, Any]]:
    """The planned rows in the order of the table, without key and raw caption."""
    made = config(tmp_path, table)
    run_step("plan", made)
    rows = [row for shard in shards_of(made.run) for row in pq.read_table(shard.path(URLS)).to_pylist()]
    hidden = ("key", "caption_raw")
    return sorted(({k: v for k, v in r.items() if k not in hidden} for r in rows), key=lambda row: str(row["url"]))


def parquet(tmp_path: Path, columns: Any) -> Path:
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), "dictionary"])
def test_text_is_text_however_it_is_encoded(tmp_path: Path, kind: Any):
    arrays = {name: pa.array(values) for name, values in COLUMNS.items()}
    made = {name: a.dictionary_encode() if kind == "dictionary" else a.cast(kind) for name, a in arrays.items()}
    rows = planned(tmp_path, parquet(tmp_path, made))
    assert [row["url"] for row in rows] == COLUMNS["url"] and [row["caption"] for row in rows] == COLUMNS["text"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(HALVES), HALVES.tolist()),  # as CLIP similarities and embeds are published
        (pa.array([[half] for half in HALVES], pa.list_(pa.float16())), [[half] for half in HALVES.tolist()]),
        (pa.array([[half] for half in HALVES], pa.list_(pa.float16(), 1)), [[half] for half in HALVES.tolist()]),
        (pa.array([1, 2, None, 4], pa.decimal256(50, 3)), [1.0, 2.0, None, 4.0]),
        (pa.array([{"a": n} for n in range(COUNT)]), [{"a": n} for n in range(COUNT)]),
        (pa.array([["a"], [], None, ["b"]]), [["a"], [], None, ["b"]]),
        (pa.nulls(COUNT), [None] * COUNT),
        (pa.array([b"text", b"\xff\xd8", None, b""], pa.binary()), ["text", None, None, ""]),
    ],
    ids=str,
)
def test_a_further_column_of_any_type_costs_no_row(tmp_path: Path, column: pa.Array, expected: list[Any]):
    rows = planned(tmp_path, parquet(tmp_path, {**COLUMNS, "further": column}))
    assert [row["further"] for row in rows] == expected


def test_a_column_without_a_name_is_called_as_in_a_csv(tmp_path: Path):
    nameless = parquet(tmp_path, pa.table([[*range(COUNT)], *COLUMNS.values()], names=["", *COLUMNS]))
    assert [row["column0"] for row in planned(tmp_path, nameless)] == [*range(COUNT)]
    (tmp_path / "t.csv").write_text(",url,text\n7,http://a.test/1,one\n")
    assert planned(tmp_path, tmp_path / "t.csv") == [{"url": "http://a.test/1", "caption": "one", "column0": 7}]


@pytest.mark.parametrize(
    ("name", "said"), [("text", "caption column 'text' is no text but VARCHAR"), ("url", "url column 'url' is no text")]
)
def test_lists_are_no_captions_and_no_urls(tmp_path: Path, name: str, said: str):
    table = parquet(tmp_path, {**COLUMNS, name: [[value] for value in COLUMNS[name]]})
    with pytest.raises(UserError, match=said):
        planned(tmp_path, table)


def test_an_odd_value_among_json_lines_costs_its_own_row(tmp_path: Path):
    (tmp_path / "t.jsonl").write_text(
        '{"url": "http://a.test/1", "caption": "it says \\"one\\""}\n{"url": {"a": 1}, "caption": "two"}\n'
        '{"url": "http://a.test/3", "caption": ["three"]}\n{"url": "http://a.test/4", "caption": 4}\n'
    )
    rows = planned(tmp_path, tmp_path / "t.jsonl")
    assert [row["caption"] for row in rows] == ['it says "one"', "4"]


def test_an_empty_table_is_told(tmp_path: Path):
    table = parquet(tmp_path, {name: pa.array([], pa.string()) for name in COLUMNS})
    with pytest.raises(UserError, match=r"t\.parquet: there are no rows"):
        planned(tmp_path, table)


def test_buckets_without_a_row_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 2)
    table = parquet(tmp_path, {name: values[:1] * 9 for name, values in COLUMNS.items()})
    assert planned(tmp_path, table) == [{"url": "http://a.test/0", "caption": "no 0"}]


def parts(tmp_path: Path, *tables: pa.Table, kind: str = "parquet", names: str = "out/{}") -> Path:
    """A folder of tables, in the order given."""
    for number, table in enumerate(tables):
        path = tmp_path / f"{names.format(number)}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)
    return tmp_path / "out"


def part(number: int, **further: Any) -> pa.Table:
    return pa.table({"url": [f"http://a.test/{number}"], "caption": [f"no {number}"], **further})


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_the_parts_of_a_table_need_not_have_the_same_columns_in_one_order(tmp_path: Path, kind: str):
    none, whole, half = pa.nulls(1), pa.array([2], pa.int32()), pa.array([0.5])
    made = (part(0, w=none), part(1, w=whole), part(2, w=half).select(["w", "caption", "url"]), part(3, more=["x"]))
    rows = planned(tmp_path, parts(tmp_path, *made, kind=kind))
    assert [row["caption"] for row in rows] == [f"no {number}" for number in range(4)]
    assert [row["w"] for row in rows] == [None, 2.0, 0.5, None]
    assert [row["more"] for row in rows] == [None, None, None, "x"]


def test_parts_whose_types_have_nothing_in_common_are_told_by_name(tmp_path: Path):
    made = parts(tmp_path, part(0, w=[1]), part(1, w=["wide"]))
    with pytest.raises(UserError, match=r"1\.parquet does not go with .*0\.parquet: .*Field w .*int64 vs text"):
        planned(tmp_path, made)


def test_folders_that_are_called_by_a_column_are_read_as_one(tmp_path: Path):
    made = parts(tmp_path, *map(part, range(3)), names="out/year=202{0}/lang=en/part-0")
    (made / "_SUCCESS").touch()
    assert [row["caption"] for row in planned(tmp_path, made)] == ["no 0", "no 1", "no 2"]


def test_line_ends_of_two_kinds_and_captions_that_look_like_dates(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(b"url,caption\r\nhttp://a.test/1,01/02/2020\nhttp://a.test/2,03/04/2021\r\n")
    assert [row["caption"] for row in planned(tmp_path, tmp_path / "t.csv")] == ["01/02/2020", "03/04/2021"]


def test_what_a_spreadsheet_saved_as_unicode_is_told_with_a_remedy(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes("url,caption\nhttp://a.test/1,one\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"t\.csv is UTF-16, and a table is UTF-8: iconv"):
        planned(tmp_path, tmp_path / "t.csv")


def test_line_ends_and_tabs_around_a_url_are_no_part_of_it(tmp_path: Path):
    table = parquet(tmp_path, {"url": ["http://a.test/1\r", "\thttp://a.test/2 \n"], "caption": ["one", "two"]})
    assert [row["url"] for row in planned(tmp_path, table)] == ["http://a.test/1", "http://a.test/2"]


def test_numbers_that_are_whole_at_first_are_not_rounded_further_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The types of a csv are those of its first 20,480 rows."""
    rows = "".join(f"http://a.test/{number},c {number},{number % 3},{2**60 + number}\n" for number in range(21_000))
    late = f"http://a.test/late,late,0.25,{2**60}\nhttp://a.test/none,none,,7\nhttp://a.test/word,word,n/a,8\n"
    (tmp_path / "t.csv").write_text(f"url,caption,score,id\n{rows}{late}")
    pairs = {row["caption"]: row for row in planned(tmp_path, tmp_path / "t.csv")}
    assert (pairs["late"]["score"], pairs["none"]["score"], pairs["c 5"]["score"]) == (0.25, None, 2.0)
    assert len(pairs) == 21_003 and pairs["c 1"]["id"] == 2**60 + 1
    assert (pairs["word"]["score"], pairs["word"]["id"]) == (None, 8)
    assert "plan: 1 cells of 'score' are no numbers: they are NULL" in capsys.readouterr().out


@pytest.mark.parametrize(("ending", "text"), [("csv", "url,caption\nhttp://a.test/1,one\n"), ("jsonl", None)])
def test_parts_that_are_empty_files_are_passed_over(tmp_path: Path, ending: str, text: str | None):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"0.{ending}").touch()
    (tmp_path / "parts" / f"1.{ending}").write_text(text or '{"url": "http://a.test/1", "caption": "one"}\n')
    assert [row["caption"] for row in planned(tmp_path, tmp_path / "parts")] == ["one"]
    assert [row["caption"] for row in planned(tmp_path, tmp_path / "parts" / "*")] == ["one"]


def test_what_the_first_lines_do_not_know_is_read_too(tmp_path: Path):
    """An odd value among later ones costs itself, and no other value of its column."""
    first: dict[str, Any] = {"score": 1, "licence": None, "tag": "a", "size": {"w": 1}}
    later: list[dict[str, Any]] = [
        {"score": 0.25, "licence": "cc0", "views": 7, "size": {"w": 0.5, "h": 2}},
        {"score": 2, "tag": ["b"], "size": {}},
    ]
    with (tmp_path / "t.jsonl").open("w") as lines:
        for number, fields in enumerate([first] * 20_500 + later):
            lines.write(json.dumps({"url": f"http://a.test/{number:05d}", "caption": "one", **fields}) + "\n")
    rows = planned(tmp_path, tmp_path / "t.jsonl")
    told = [{name: row[name] for name in ("score", "licence", "tag", "views", "size")} for row in rows[-3:]]
    assert told == [
        {"score": 1.0, "licence": None, "tag": "a", "views": None, "size": {"w": 1.0, "h": None}},
        {"score": 0.25, "licence": "cc0", "tag": None, "views": 7, "size": {"w": 0.5, "h": 2}},
        {"score": 2.0, "licence": None, "tag": '["b"]', "views": None, "size": {"w": None, "h": None}},
    ]


def test_a_line_that_is_a_whole_picture_ends_no_plan(tmp_path: Path):
    picture = f'"data:image/png;base64,{"A" * 3_000_000}",a picture'
    (tmp_path / "t.csv").write_text(f"url,caption\nhttp://a.test/1,one\n{picture}\nhttp://a.test/2,two\n")
    assert [row["caption"] for row in planned(tmp_path, tmp_path / "t.csv")] == ["one", "two"]
