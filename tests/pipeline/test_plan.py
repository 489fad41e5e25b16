"""plan: from a table of urls to shards of keyed pairs, with a reason for every row that is left out."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from filters import rules
from pipeline import plan
from pipeline.config import PipelineConfig
from pipeline.runner import build, run_step, run_table
from storage.pairs import joined
from storage.plan import dropped, shards_of
from storage.shard import URLS, Shard

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


def key_of(pair: dict[str, Any]) -> str:
    caption = pair.get("caption_raw", pair["caption"])  # as the table has it
    return sha256(f"{pair['url']}\n{caption}".encode()).hexdigest()[:24]


def test_every_row_is_planned_once_or_dropped_with_its_reason(tmp_path: Path):
    outcome = run_table(build("plan", config(tmp_path, write(tmp_path / "t.parquet"))))
    assert outcome.counts == {"planned": 4, "bad_scheme": 3, "bad_url": 6, "no_caption": 2, "duplicate_pair": 1}
    (shard,) = shards_of(tmp_path / "run")
    planned = pq.read_table(shard.path(URLS))
    assert planned.column_names == ["key", "url", "caption", "caption_raw", "sample_id", "width"]
    assert planned["key"].to_pylist() == sorted(map(key_of, planned.to_pylist()))
    assert len(planned) + len(dropped(tmp_path / "run")) == len(ROWS)


def test_shards_are_cut_by_key_and_do_not_depend_on_the_order_of_the_table(tmp_path: Path):
    table = pq.read_table(write(tmp_path / "a.parquet", 60))
    backwards = table.slice(len(ROWS)).take(list(reversed(range(60))))
    pq.write_table(pa.concat_tables([table.slice(0, len(ROWS)), backwards]), tmp_path / "b.parquet")
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = config(tmp_path / name, tmp_path / f"{name}.parquet", shard_size=10)
        run_table(build("plan", made))
        found.append([pq.read_table(shard.path(URLS)) for shard in shards_of(made.run)])
    assert [len(shard) for shard in found[0]] == [10] * 6 + [4]
    keys = [key for shard in found[0] for key in shard["key"].to_pylist()]
    assert keys == sorted(keys)
    assert [t.select(["key", "url"]) for t in found[0]] == [t.select(["key", "url"]) for t in found[1]]


def test_the_same_command_again_does_nothing_and_a_new_table_plans_anew(tmp_path: Path):
    made = config(tmp_path, write(tmp_path / "t.parquet"))
    assert run_table(build("plan", made)).done == 1
    assert run_table(build("plan", made)).skipped == 1
    write(tmp_path / "t.parquet", 1)
    assert run_table(build("plan", made)).done == 1


def test_rules_of_the_config_drop_too_and_all_reasons_are_kept(tmp_path: Path):
    table = write(tmp_path / "t.parquet")
    made = config(tmp_path, table, rules={"short_id": "sample_id < 3", "no_dogs": "caption NOT LIKE '%dog%'"})
    run_table(build("plan", made))
    rows = dropped(made.run)
    assert {tuple(row["reasons"]) for row in rows if row["caption"] == "a dog"} == {("short_id", "no_dogs")}


def test_a_rule_fails_on_nan_and_on_what_cannot_be_computed_and_ends_no_plan(tmp_path: Path):
    similarity = pa.array([0.5, float("nan"), None, 0.5, 0.5], pa.float32())
    columns = {"similarity": similarity, "wide": [4, 4, 4, 0, 4], "said": ["9", "9", "9", "9", "n/a"]}
    rows = {"url": [f"http://a.test/{n}.jpg" for n in range(5)], "caption": [f"one {n}" for n in range(5)]}
    pq.write_table(pa.table({**rows, **columns}), tmp_path / "t.parquet")
    asked = {"alike": "similarity >= 0.3", "even": "8 % wide = 0", "nine": "cast(said as int) = 9"}
    made = config(tmp_path, tmp_path / "t.parquet", rules=asked)
    run_table(build("plan", made))
    reasons = {row["caption"]: row["reasons"] for row in dropped(made.run)}
    assert reasons == {"one 1": ["alike"], "one 2": ["alike"], "one 3": ["even"], "one 4": ["nine"]}
    (shard,) = shards_of(made.run)
    assert pq.read_table(shard.path(URLS))["caption"].to_pylist() == ["one 0"]


def test_csv_and_jsonl_tables_are_read_too(tmp_path: Path):
    table = pa.table({"url": ["http://a.test/1.jpg"], "caption": ["one, two"]})
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    (tmp_path / "t.jsonl").write_text('{"url": "http://a.test/1.jpg", "caption": "one, two"}\n')
    for name in ("t.csv", "t.jsonl"):
        (tmp_path / name[2:]).mkdir()
        made = config(tmp_path / name[2:], tmp_path / name)
        run_table(build("plan", made))
        assert pq.read_table(shards_of(made.run)[0].path(URLS))["caption"].to_pylist() == ["one, two"]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"caption": "TEXTT"}, "did you mean 'TEXT'"),
        ({"rules": {"r": "widht > 3"}}, "width"),
        ({"url": "x"}, "url column"),
        ({"rules": {"r": "caption > 3 + 'x'"}}, "rule 'r'"),
        ({"rules": {"r": "length(caption)"}}, "must be true or false"),
        ({"rules": {"duplicate_pair": "true"}}, "the plan's own"),
    ],
)
def test_what_cannot_be_planned_is_told(tmp_path: Path, plan: dict[str, object], said: str):
    with pytest.raises(UserError, match=said):
        run_table(build("plan", config(tmp_path, write(tmp_path / "t.parquet"), **plan)))


def test_a_missing_table_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="no such table"):
        run_table(build("plan", config(tmp_path, tmp_path / "none.parquet")))


def test_a_plan_without_pairs_says_why(tmp_path: Path):
    (tmp_path / "empty.csv").write_text("url,caption\n")
    with pytest.raises(UserError, match=r"empty\.csv: there are no rows$"):
        run_table(build("plan", config(tmp_path, tmp_path / "empty.csv")))
    (tmp_path / "bad.csv").write_text("url,caption\nftp://a.test/1.jpg,a cat\n")
    with pytest.raises(UserError, match=r"bad\.csv: no pair is left after planning: bad_scheme 1$"):
        run_table(build("plan", config(tmp_path, tmp_path / "bad.csv")))


def test_what_is_no_table_says_so(tmp_path: Path):
    for name, content in (("empty.parquet", b""), ("torn.parquet", b"PAR1" + b"x" * 100), ("t.txt", b"url")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            run_table(build("plan", config(tmp_path, tmp_path / name)))
    with pytest.raises(UserError, match="table"):
        resolve(PipelineConfig, {"run": str(tmp_path), "table": []})


def test_one_changed_letter_in_a_table_plans_anew(tmp_path: Path):
    made = config(tmp_path, write(tmp_path / "t.parquet", 3))
    run_table(build("plan", made))
    table = pq.read_table(tmp_path / "t.parquet")
    captions = table["TEXT"].to_pylist()
    captions[-1], captions[-2] = captions[-2], captions[-1]  # sizes and bounds stay as they were
    pq.write_table(table.set_column(2, "TEXT", pa.array(captions)), tmp_path / "t.parquet")
    assert run_table(build("plan", made)).done == 1
    assert run_table(build("plan", made)).skipped == 1


def test_a_new_plan_that_is_cut_off_leaves_none_that_looks_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = write(tmp_path / "t.parquet", 40)
    run_table(build("plan", config(tmp_path, table, shard_size=10)))
    write_urls = plan.write_urls

    def cut_off(shard: Shard, pairs: pa.Table, *, fingerprint: str) -> dict[str, Any]:
        if shard.number == 2:
            raise KeyboardInterrupt
        return write_urls(shard, pairs, fingerprint=fingerprint)

    monkeypatch.setattr(plan, "write_urls", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_table(build("plan", config(tmp_path, table, shard_size=7)))
    monkeypatch.undo()
    with pytest.raises(UserError, match="corgi plan"):
        shards_of(tmp_path / "run")
    made = config(tmp_path, table, shard_size=10)
    assert run_table(build("plan", made)).done == 1
    assert sum(pq.read_metadata(shard.path(URLS)).num_rows for shard in shards_of(made.run)) == 44


HOSTILE = ["x\", (SELECT content FROM read_text('/etc/hostname')) || \"y", "copy", "reasons", "position", "it's \\"]


def test_no_name_of_a_column_is_code_or_takes_the_place_of_ours(tmp_path: Path):
    columns = {"url": [f"http://a.test/{n // 2}" for n in range(6)], "caption": ["same"] * 6}
    columns |= {name: [f"{n}" for n in range(6)] for name in HOSTILE}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    made = config(tmp_path, tmp_path / "t.parquet")
    assert run_table(build("plan", made)).counts == {"planned": 3, "duplicate_pair": 3}
    planned = pq.read_table(shards_of(made.run)[0].path(URLS))
    assert planned.column_names == ["key", "url", "caption", "caption_raw", *(name.lower() for name in HOSTILE)]
    assert all(set(planned[name.lower()].to_pylist()) == {"0", "2", "4"} for name in HOSTILE)


TABLES = {  # columns as they are published: the first two are read as url and caption
    "laion400m": ["URL", "TEXT", "SAMPLE_ID", "HEIGHT", "WIDTH", "LICENSE", "NSFW", "similarity"],
    "laion2b-multi": ["URL", "TEXT", "LANGUAGE", "WIDTH", "HEIGHT", "hash", "pwatermark", "punsafe"],
    "re-laion": ["url", "caption", "key", "status", "width", "height", "exif"],
    "datacomp": ["url", "text", "uid", "original_width", "original_height", "sha256", "clip_l14_similarity_score"],
    "coyo": ["url", "text", "id", "width", "height", "image_phash", "aesthetic_score_laion_v2"],
    "cc12m, sbu": ["image_url", "caption"],
    "wit": ["image_url", "caption_alt_text_description", "language", "page_url", "caption_reference_description"],
    "somebody": ["url", "alt_text", "CORGI_copy", "Near_Copy", "table"],
}


@pytest.mark.parametrize("name", TABLES)
def test_published_tables_are_understood_and_no_column_is_taken_for_one_of_ours(tmp_path: Path, name: str):
    columns = TABLES[name]
    values = {column: [f"http://a.test/{column}/{n}" for n in range(3)] for column in columns}
    pq.write_table(pa.table(dict(sorted(values.items()))), tmp_path / "t.parquet")
    made = config(tmp_path, tmp_path / "t.parquet")
    run_step("plan", made)
    planned = pq.read_table(shards_of(made.run)[0].path(URLS))
    assert set(planned["url"].to_pylist()) == set(values[columns[0]])
    assert set(planned["caption"].to_pylist()) == set(values[columns[1]])
    further = {name.lower(): set(values[name]) for name in columns[2:]}
    expected = {f"table_{name}" if name in OURS else name: rows for name, rows in further.items()}
    assert {name: set(planned[name].to_pylist()) for name in planned.column_names[4:]} == expected
    joined(planned.schema)  # the download's columns fit beside them


OURS = {"language", "key", "status", "original_width", "original_height", "corgi_copy", "near_copy"}


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    for columns in (["url", "text", "Width", "WIDTH"], ["url", "text", "key", "table_key"]):
        pq.write_table(pa.table({name: ["http://a.test/1"] for name in columns}), tmp_path / "t.parquet")
        with pytest.raises(UserError, match=r"two columns that are called '(width|table_key)' here; rename one"):
            run_step("plan", config(tmp_path, tmp_path / "t.parquet"))


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"rules": {"r": "min_side >= 5", "s": "nsfw < 0.5"}}, "rule 's' uses the column 'nsfw', which does not exist"),
        ({"held_out": "split = 'test'"}, "rule 'held_out' uses the column 'split'"),
        ({"stages": {"sr256": {"big": "stored_widht >= 256"}}}, "did you mean 'stored_width'"),
        ({"rules": {"r": "hate < 0.5"}}, "rule 'r' uses the column 'hate'"),
    ],
)
def test_a_rule_over_a_column_that_nothing_makes_fails_before_anything_is_done(
    tmp_path: Path, select: dict[str, object], said: str
):
    made = config(tmp_path, write(tmp_path / "t.parquet"))
    values = {**made.model_dump(mode="json"), "select": select, "score": {"hate": None}}
    with pytest.raises(UserError, match=said):
        run_step("plan", resolve(PipelineConfig, values))
    assert not made.run.exists()
    good = {"rules": {"r": "sample_id > 1 and nsfw_score < 1 and not exact_copy and fetched_bytes > 9"}}
    run_step("plan", resolve(PipelineConfig, {**values, "select": good}))


SURROGATE = b"half \xed\xa0\x80 a pair"


def test_a_cell_that_is_no_text_loses_its_row_and_no_other(tmp_path: Path):
    urls = pa.array([b"http://a.test/1", b"http://a.test/\xff", b"http://a.test/3", b"http://a.test/4"], pa.binary())
    texts = pa.array([b"fine", b"good", SURROGATE, b"well"], pa.binary())
    notes = pa.array([b"", None, b"", b"\xfe"], pa.binary())
    columns = {"url": urls, "text": texts, "note": notes}
    as_text = {name: pa.Array.from_buffers(pa.string(), 4, column.buffers()) for name, column in columns.items()}
    pq.write_table(pa.table({**as_text, "bytes": texts.cast(pa.large_binary())}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_bytes(b"url,text\nhttp://a.test/1,fine\nhttp://a.test/\xff,good\nhttp://a.test/4,well\n")
    lines = [
        b'{"url": "http://a.test/1", "text": "fine"}',
        b'{"url": "http://a.test/2", "text": "\\ud800"}',
        b'{"url": "x',
    ]
    (tmp_path / "t.jsonl").write_bytes(b"\n".join(lines))
    for suffix, kept, lost in ((".parquet", 1, 3), (".csv", 2, 1), (".jsonl", 1, 2)):
        (tmp_path / suffix[1:]).mkdir()
        made = config(tmp_path / suffix[1:], tmp_path / f"t{suffix}")
        assert run_step("plan", made).counts == {"planned": kept, "unreadable": lost}
        rows = dropped(made.run)
        assert len(rows) == lost and all(row["reasons"][0] == "unreadable" for row in rows)


def test_the_name_of_a_folder_is_no_column(tmp_path: Path):
    folder = tmp_path / "date=2024"
    folder.mkdir()
    for suffix in ("parquet", "csv", "jsonl"):
        table = pa.table({"url": ["http://a.test/1.jpg"], "caption": ["one"]})
        if suffix == "parquet":
            pq.write_table(table, folder / "t.parquet")
        elif suffix == "csv":
            pyarrow.csv.write_csv(table, folder / "t.csv")
        else:
            (folder / "t.jsonl").write_text('{"url": "http://a.test/1.jpg", "caption": "one"}\n')
        made = config(tmp_path / suffix, folder / f"t.{suffix}")
        run_step("plan", made)
        assert pq.read_table(shards_of(made.run)[0].path(URLS), partitioning=None).column_names == [
            "key",
            "url",
            "caption",
            "caption_raw",
        ]


def test_rules_reach_no_file_through_the_database_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table, secret = write(tmp_path / "t.parquet"), tmp_path / "secret.txt"
    secret.write_text("swordfish")
    for rule in (f"(SELECT content FROM read_text('{secret}')) = 'swordfish'", f"exists (FROM glob('{secret}'))"):
        made = config(tmp_path, table, rules={"r": rule})
        with pytest.raises(UserError, match="rule 'r'"):
            run_table(build("plan", made))
        with monkeypatch.context() as without_parser, pytest.raises(UserError, match="rule 'r' cannot be decided"):
            without_parser.setattr(rules, "_checked", lambda *_: ())
            run_table(build("plan", made))


def test_a_plan_of_fewer_shards_leaves_none_of_the_earlier_ones(tmp_path: Path):
    table = write(tmp_path / "t.parquet", 40)
    made = config(tmp_path, table, shard_size=4)
    run_step("plan", made)
    for shard in shards_of(made.run):
        for suffix in (".tar", ".parquet", "_stats.json", ".keep.parquet", ".minilm.arrow"):
            shard.path(suffix).write_bytes(b"made")
    (made.run / "000" / "20240101_note.txt").write_text("mine")
    run_step("plan", config(tmp_path, table, shard_size=22))
    names = sorted(path.name for path in (made.run / "000").iterdir())
    assert [name for name in names if name.endswith(URLS)] == ["00000.urls.parquet", "00001.urls.parquet"]
    assert {name[:5] for name in names} == {"00000", "00001", "20240"}
