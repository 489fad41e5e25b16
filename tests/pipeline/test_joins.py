"""Further tables beside the url table: what others published of the same pairs, and further captions."""

import functools
import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from pipeline import buckets
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from storage.plan import dropped, shards_of
from storage.shard import URLS

COUNT = 40
URL = [f"http://a.test/{n}" for n in range(COUNT)]
TEXT = [f"caption {n}" for n in range(COUNT)]


def write(path: Path, columns: dict[str, list[Any]]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def config(folder: Path, table: str, **plan: Any) -> PipelineConfig:
    return resolve(PipelineConfig, {"run": str(folder / "run"), "table": table, "plan": plan})


def planned(made: PipelineConfig) -> dict[str, dict[str, Any]]:
    """The planned pairs, by url."""
    run_step("plan", made)
    pairs = [pair for shard in shards_of(made.run) for pair in pq.read_table(shard.path(URLS)).to_pylist()]
    return {pair["url"]: pair for pair in pairs}


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write(tmp_path / "t.parquet", {"URL": URL, "TEXT": TEXT, "uid": [f"{n:04x}" for n in range(COUNT)]})


IDS: dict[str, tuple[str, Callable[[int], str]]] = {
    "url": ("image_url", lambda n: f"{URL[n]} "),
    "uid": ("UID", lambda n: f"{n:04x}"),
    "key": ("key", lambda n: sha256(f"{URL[n]}\n{TEXT[n]}".encode()).hexdigest()[:24]),
}


@pytest.mark.parametrize("on", IDS)
def test_columns_of_a_joined_table_stand_beside_the_pairs(
    tmp_path: Path, table: str, on: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 7)
    name, id_of = IDS[on]
    numbers = [*range(0, COUNT, 2), 4, 4, 999]
    random.Random(1).shuffle(numbers)
    scores = [float(place) for place in range(len(numbers))]
    ids = [id_of(n) if n < COUNT else "of no pair" for n in numbers]
    other = write(tmp_path / "o.parquet", {name: [*ids, None], "Punsafe": [*scores, 0.5], "NSFW": ["no"] * 24})
    made = config(tmp_path, table, join=[{"table": other, "on": on}], rules={"scored": "punsafe >= 0"}, shard_size=9)
    pairs = planned(made)
    expected = {URL[n]: scores[numbers.index(n)] for n in range(0, COUNT, 2)}
    assert {url: pair["punsafe"] for url, pair in pairs.items()} == expected
    assert list(pairs[URL[0]]) == ["key", "url", "caption", "caption_raw", "uid", "punsafe", "nsfw"]
    assert {tuple(row["reasons"]) for row in dropped(made.run)} == {("scored",)} and len(dropped(made.run)) == 20
    assert f"2 rows of {other} are left out: an earlier row has the same {on}" in capsys.readouterr().out
    assert run_step("plan", made).skipped == 1
    write(Path(other), {name: [id_of(0)], "Punsafe": [7.0], "NSFW": [None]})
    assert run_step("plan", made).counts == {"planned": 1, "scored": COUNT - 1}


def test_two_tables_are_joined_and_columns_are_chosen_and_renamed(tmp_path: Path, table: str):
    for name, cells in (("one", URL[:2]), ("two", URL[1:3])):
        (tmp_path / f"{name}.csv").write_text("url,caption,x\n" + "".join(f"{url},{name} {url},1\n" for url in cells))
    joins = [
        {"table": str(tmp_path / f"{name}.csv"), "on": "url", "columns": {"Caption": f"By_{name}"}}
        for name in ("one", "two")
    ]
    pairs = planned(config(tmp_path, table, join=joins, captions=["by_one", "by_two"]))
    assert list(pairs[URL[0]]) == ["key", "url", "caption", "caption_raw", "uid", "by_one", "by_two"]
    found = [(pairs[url]["by_one"], pairs[url]["by_two"]) for url in URL[:4]]
    assert found == [(f"one {URL[0]}", None), (f"one {URL[1]}", f"two {URL[1]}"), (None, f"two {URL[2]}"), (None, None)]
    assert len(pairs) == COUNT


def test_digits_of_an_id_are_no_number(tmp_path: Path):
    uids = ["1e3", "10e2", "7"]
    rows = "".join(f"{url},x,{uid}\n" for url, uid in zip(URL, uids, strict=False))
    (tmp_path / "t.csv").write_text(f"url,caption,uid\n{rows}")
    (tmp_path / "o.csv").write_text("uid,score\n" + "".join(f"{uid},{n}\n" for n, uid in enumerate(uids)))
    of_parquet = write(tmp_path / "t.parquet", {"url": URL[:3], "caption": ["x"] * 3, "uid": uids})
    for folder, table in (("csv", str(tmp_path / "t.csv")), ("parquet", of_parquet)):
        made = config(tmp_path / folder, table, join=[{"table": str(tmp_path / "o.csv"), "on": "uid"}])
        assert [planned(made)[url]["score"] for url in URL[:3]] == [0, 1, 2]


def test_a_whole_number_is_an_id_in_whatever_type_and_what_finds_no_row_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """With a gap in it, pandas makes a column of integers one of floats, whose text would be 7.0."""
    ids: dict[str, list[Any]] = {
        "int": [7, 2**40, 9],
        "float": [7.0, float(2**40), None],
        "nan": [7.0, float("nan"), 0.5],
    }
    found = {("int", "float"): [0, 1, None], ("float", "int"): [0, 1, None], ("nan", "nan"): [0, None, 2]}
    for (ours, theirs), scores in found.items():
        table = write(tmp_path / "t.parquet", {"url": URL[:3], "caption": TEXT[:3], "uid": ids[ours]})
        other = write(tmp_path / "o.parquet", {"uid": ids[theirs], "score": [0, 1, 2]})
        pairs = planned(config(tmp_path / f"{ours}-{theirs}", table, join=[{"table": other, "on": "uid"}]))
        assert [pairs[url]["score"] for url in URL[:3]] == scores
        assert f"plan: 1 rows of the url table find no uid in {other}" in capsys.readouterr().out


def test_cells_of_a_joined_csv_that_are_no_numbers_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = "".join(f"{number:04x},{number % 3},1\n" for number in range(1, 21_000))
    (tmp_path / "o.csv").write_text(f"uid,score,further\n{rows}0000,n/a,n/a\n")
    table = write(tmp_path / "t.parquet", {"url": URL[:2], "caption": TEXT[:2], "uid": ["0000", "0001"]})
    join = {"table": str(tmp_path / "o.csv"), "on": "uid", "columns": {"score": "score"}}
    pairs = planned(config(tmp_path, table, join=[join]))
    assert [pairs[url]["score"] for url in URL[:2]] == [None, 1]
    told = capsys.readouterr().out
    assert f"plan: {tmp_path}/o.csv: 1 cells of 'score' are no numbers: they are NULL" in told
    assert "'further'" not in told


def test_further_captions_are_text_and_the_pair_keeps_its_first(tmp_path: Path):
    columns: dict[str, list[Any]] = {"url": URL[:3], "caption": TEXT[:3], "Recaption": ["a dog", " \n", None]}
    columns["none"] = [None] * 3
    made = config(tmp_path, write(tmp_path / "t.parquet", columns), captions=["recaption", "none"])
    pairs = planned(made)
    assert pq.read_schema(shards_of(made.run)[0].path(URLS)).field("none").type == pa.string()
    assert [pairs[url]["recaption"] for url in URL[:3]] == ["a dog", None, None]
    assert [pairs[url]["caption"] for url in URL[:3]] == TEXT[:3]
    without = config(tmp_path, str(tmp_path / "t.parquet"))
    assert planned(without)[URL[1]]["recaption"] == " \n"


def test_further_captions_of_digits_are_captions(tmp_path: Path):
    (tmp_path / "t.csv").write_text(f"url,caption,recaption\n{URL[0]},a,7\n{URL[1]},b,\n")
    pairs = planned(config(tmp_path, str(tmp_path / "t.csv"), captions=["recaption"]))
    assert [pairs[url]["recaption"] for url in URL[:2]] == ["7", None]


JOIN = {"on": "url", "columns": None}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"captions": ["recapton"]}, r"plan\.captions: 'recapton' is no further column"),
        ({"captions": ["caption"]}, r"plan\.captions: 'caption' is no further column"),
        ({"captions": ["width"], "join": [JOIN]}, r"plan\.captions: 'width' is no text but BIGINT"),
        ({"join": [{**JOIN, "on": "udi"}]}, r"no column 'udi' to join on; did you mean 'uid'"),
        ({"join": [{**JOIN, "on": "uid"}]}, r"o\.parquet has no uid column 'uid'"),
        ({"join": [{**JOIN, "columns": {"wdith": "w"}}]}, r"has no wdith column 'wdith'; did you mean 'width'"),
        ({"join": [{**JOIN, "columns": {"width": "UID"}}]}, r"has \['uid'\], which the pairs have already"),
        ({"join": [JOIN, JOIN]}, r"has \['width'\], which the pairs have already; say `columns`"),
        ({"join": [{**JOIN, "columns": {"width": "Status"}}]}, r"'Status' is a column of ours"),
        ({"join": [{**JOIN, "table": "none.parquet"}]}, r"none\.parquet: no such table"),
        ({"rules": {"r": "widht > 1"}, "join": [JOIN]}, r"did you mean 'width'"),
    ],
)
def test_what_cannot_be_joined_is_told(tmp_path: Path, table: str, plan: dict[str, Any], said: str):
    other = write(tmp_path / "o.parquet", {"url": URL, "width": list(range(COUNT))})
    plan = {**plan, "join": [{"table": other, **join} for join in plan.get("join", [])]}
    with pytest.raises(UserError, match=said):
        planned(config(tmp_path, table, **plan))
    assert not (tmp_path / "run" / "plan.parquet").exists()


def test_the_bytes_of_a_joined_plan_do_not_depend_on_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 3_000)
    rows = [(n * 7919 % 20_000, n) for n in range(30_000)]
    for name in ("t", "o"):
        (tmp_path / f"{name}.csv").write_text(
            f"url,caption,{name}\n" + "".join(f"http://{i}/,c,{n}\n" for i, n in rows)
        )
    contents = []
    for threads in (1, 2):
        connect = functools.partial(_connect, duckdb.connect, threads)
        join = {"table": str(tmp_path / "o.csv"), "on": "url", "columns": {"o": "o"}}
        with monkeypatch.context() as patched:
            patched.setattr(duckdb, "connect", connect)
            planned(config(tmp_path / str(threads), str(tmp_path / "t.csv"), join=[join], shard_size=7_000))
        files = sorted((tmp_path / str(threads) / "run").rglob("*.parquet"))
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1] and len(contents[0]) == 5


def _connect(connect: Any, threads: int, *args: Any, config: Any = None, **kwargs: Any) -> Any:
    return connect(*args, config={**(config or {}), "threads": threads}, **kwargs)
