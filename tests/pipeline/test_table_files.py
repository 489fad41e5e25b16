"""Which tables `plan` reads: every usual kind, folders, globs, urls, and what Hugging Face's `datasets` saves."""

import functools
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import duckdb
import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from pipeline import buckets
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from pipeline.table_files import files_of
from pipeline.url_tables import errors_of
from storage.plan import dropped, shards_of
from storage.shard import URLS
from tests.bucket import bucket_called

PAIRS = pa.table({"url": [f"http://a.test/{n}" for n in range(9)], "caption": [f'"one", {n}' for n in range(9)]})
PAIRS = PAIRS.append_column("width", pa.array(range(9)))
HALVES = (PAIRS.slice(0, 4), PAIRS.slice(4))


def config(folder: Path, table: Any, **sections: Any) -> PipelineConfig:
    table = str(table) if isinstance(table, Path) else table
    return resolve(PipelineConfig, {"run": str(folder / "run"), "table": table, **sections})


def planned(made: PipelineConfig) -> pa.Table:
    run_step("plan", made)
    return pa.concat_tables([pq.read_table(shard.path(URLS), partitioning=None) for shard in shards_of(made.run)])


def in_order(pairs: pa.Table) -> pa.Table:
    return pairs.select(PAIRS.column_names).sort_by("url").combine_chunks()


def as_csv(table: pa.Table, *, delimiter: str = ",") -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return sink.getvalue().to_pybytes()


def as_lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def as_arrow(table: pa.Table, *, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def as_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def as_zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


WRITERS: dict[str, Callable[[pa.Table], bytes]] = {
    "t.parquet": as_parquet,
    "t.csv": as_csv,
    "t.tsv": functools.partial(as_csv, delimiter="\t"),
    "t.jsonl": as_lines,
    "T.NDJSON": as_lines,
    "t.csv.gz": lambda table: gzip.compress(as_csv(table)),
    "t.csv.zst": lambda table: as_zstd(as_csv(table)),
    "t.tsv.gz": lambda table: gzip.compress(as_csv(table, delimiter="\t")),
    "t.jsonl.gz": lambda table: gzip.compress(as_lines(table)),
    "t.jsonl.zst": lambda table: as_zstd(as_lines(table)),
    "file.arrow": functools.partial(as_arrow, stream=False),
    "stream.arrow": functools.partial(as_arrow, stream=True),
    "t.feather": functools.partial(as_arrow, stream=False),
    "list.json": lambda table: json.dumps(table.to_pylist()).encode(),
    "columns.json": lambda table: json.dumps({"from": "somewhere", **table.to_pydict()}).encode(),
    "lines.json": as_lines,
}


@pytest.mark.long
@pytest.mark.parametrize("place", ["file", "memory"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_gives_the_same_pairs_here_and_elsewhere(tmp_path: Path, name: str, place: str):
    table = f"memory://{tmp_path.name}/{name}" if place == "memory" else str(tmp_path / name)
    filesystem, path = fsspec.core.url_to_fs(table)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, WRITERS[name](PAIRS))
    made = config(tmp_path, table)
    assert in_order(planned(made)) == PAIRS
    assert run_step("plan", made).skipped == 1
    assert not (made.run / ".plan.scratch").exists()
    filesystem.pipe_file(path, WRITERS[name](PAIRS.slice(1)))
    assert run_step("plan", made).counts == {"planned": 8}


def test_feather_is_read_as_its_library_writes_it(tmp_path: Path):
    pyarrow.feather.write_feather(PAIRS, str(tmp_path / "t.feather"), chunksize=2)
    assert in_order(planned(config(tmp_path, tmp_path / "t.feather"))) == PAIRS


def write_folder(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_a_folder_or_glob_is_all_its_tables_and_nothing_beside_them(tmp_path: Path):
    first, second = map(as_parquet, HALVES)
    folder = write_folder(tmp_path / "t", a__parquet=first, b__parquet=second, _SUCCESS=b"", README__md=b"words")
    (folder / "stats.json").write_text("{}")
    (folder / ".hidden.parquet").write_bytes(b"torn")
    (folder / "_metadata.parquet").write_bytes(b"torn")
    for table in (str(folder), f"{folder}/", f"{folder}/*.parquet", [f"{folder}/a*", f"{folder}/b.parquet"]):
        (tmp_path / str(table)[-3]).mkdir(exist_ok=True)
        assert in_order(planned(config(tmp_path, table))) == PAIRS
    names = [Path(file.name).name for file in files_of([str(folder)])]
    assert names == ["a.parquet", "b.parquet"]


def test_links_are_followed_as_a_cache_of_the_hub_has_them(tmp_path: Path):
    blobs = write_folder(tmp_path / "blobs", one=as_parquet(HALVES[0]), two=as_parquet(HALVES[1]))
    data = tmp_path / "snapshot" / "data"
    data.mkdir(parents=True)
    for name, number in (("one", 0), ("two", 1)):
        (data / f"train-{number:05d}-of-00002.parquet").symlink_to(blobs / name)
    (data / "lost.parquet").symlink_to(blobs / "nowhere")
    (tmp_path / "linked").symlink_to(tmp_path / "snapshot")
    for number, table in enumerate((tmp_path / "linked", f"{data}/*.parquet")):
        assert in_order(planned(config(tmp_path / str(number), table))) == PAIRS


def test_a_name_that_looks_like_a_glob_is_a_file_where_there_is_one(tmp_path: Path):
    pq.write_table(PAIRS, tmp_path / "t[1].parquet")
    assert in_order(planned(config(tmp_path, tmp_path / "t[1].parquet"))) == PAIRS


def test_a_saved_dataset_is_read_without_its_cache(tmp_path: Path):
    datasets.Dataset(PAIRS).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    (tmp_path / "saved" / "cache-1234.arrow").write_bytes(b"left over")
    assert in_order(planned(config(tmp_path, tmp_path / "saved"))) == PAIRS


def test_of_several_splits_the_one_that_is_meant_is_asked_for(tmp_path: Path):
    splits = datasets.DatasetDict({"train": datasets.Dataset(HALVES[0]), "test": datasets.Dataset(HALVES[1])})
    splits.save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(UserError, match=r"2 splits; give the one meant, or several.* \S+/saved/train, \S+/saved/test"):
        planned(config(tmp_path, tmp_path / "saved"))
    both = [f"{tmp_path}/saved/train", f"{tmp_path}/saved/test"]
    assert in_order(planned(config(tmp_path, both))) == PAIRS
    datasets.DatasetDict({"train": datasets.Dataset(PAIRS)}).save_to_disk(str(tmp_path / "only"))
    assert in_order(planned(config(tmp_path, tmp_path / "only"))) == PAIRS


def test_a_folder_of_the_hub_is_read_split_by_split(tmp_path: Path):
    names = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    folder = write_folder(tmp_path / "hub" / "data", **dict(zip(names, map(as_parquet, HALVES), strict=True)))
    (tmp_path / "hub" / "README.md").write_text("a card")
    assert in_order(planned(config(tmp_path, tmp_path / "hub"))) == PAIRS
    (folder / "test-00000-of-00001.parquet").write_bytes(as_parquet(PAIRS))
    with pytest.raises(UserError, match=r"2 splits.* \S+/hub/data/test-\*, \S+/hub/data/train-\*"):
        planned(config(tmp_path, tmp_path / "hub"))
    assert in_order(planned(config(tmp_path, f"{tmp_path}/hub/data/train-*"))) == PAIRS


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("urls.txt", "a list of urls has no captions"),
        ("t.xlsx", r"a table is parquet, csv, tsv.*, not '\.xlsx'"),
        ("t.parquet.gz", r"a table is parquet, csv, tsv.*, not '\.gz'"),
        ("none/*.parquet", "no such table; no file's name fits"),
        ("mixed", r"of one kind, not csv and parquet: \S+a\.csv, \S+b\.parquet"),
        ("outer", r"holds no table.*; its folders are deep, inner: give the one meant"),
        ("weird://x/t.parquet", r"weird://x/t\.parquet: .*weird"),
        ("memory://nowhere/t.csv", r"memory://nowhere/t\.csv: no such table"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, table: str, said: str):
    for name in ("urls.txt", "t.xlsx", "t.parquet.gz"):
        (tmp_path / name).write_bytes(b"http://a.test/1.jpg\n")
    write_folder(tmp_path / "mixed", a__csv=as_csv(PAIRS), b__parquet=as_parquet(PAIRS))
    for name in ("inner", "deep"):
        (tmp_path / "outer" / name).mkdir(parents=True)
    with pytest.raises(UserError, match=said):
        planned(config(tmp_path, table if "://" in table else tmp_path / table))


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="gcsfs is there")
def test_a_package_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"gs:// needs a package that is not there; pip install gcsfs"):
        planned(config(tmp_path, "gs://bucket/t.parquet"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A real web server over the folder `web`."""
    (tmp_path / "web").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_tables_are_read_over_http(tmp_path: Path, web: str):
    for name in ("t.parquet", "t.csv.gz"):
        (tmp_path / "web" / name).write_bytes(WRITERS[name](PAIRS))
        made = config(tmp_path, f"{web}/{name}?download=true")
        assert in_order(planned(made)) == PAIRS
        assert run_step("plan", made).skipped == 1
    with pytest.raises(UserError, match=r"none\.csv: no such table"):
        planned(config(tmp_path, f"{web}/none.csv"))


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    with bucket_called("tables") as filesystem:
        yield filesystem


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")  # of botocore
def test_tables_are_read_from_a_bucket(tmp_path: Path, bucket: fsspec.AbstractFileSystem):
    for kind, write in (("parquet", as_parquet), ("jsonl", as_lines), ("arrow", WRITERS["stream.arrow"])):
        for number, half in enumerate(HALVES):
            bucket.pipe_file(f"tables/{kind}/{number}.{kind}", write(half))
        for table in (f"s3://tables/{kind}", f"s3://tables/{kind}/*.{kind}"):
            made = config(tmp_path / kind, table)
            assert in_order(planned(made)) == PAIRS
            assert run_step("plan", made).skipped == 1
        bucket.pipe_file(f"tables/{kind}/1.{kind}", write(HALVES[1].slice(1)))
        assert run_step("plan", made).counts == {"planned": 8}
    with pytest.raises(UserError, match=r"s3://nowhere/t\.csv: no such table"):
        planned(config(tmp_path, "s3://nowhere/t.csv"))


def test_tables_without_a_header_line_are_read_by_where_the_urls_are(tmp_path: Path):
    lines = ['a "small dog on a hill\thttp://a.test/1.jpg', "the sea\thttp://a.test/2.jpg"]
    (tmp_path / "cc3m.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "cc12m.tsv").write_text("\n".join("\t".join(reversed(line.split("\t"))) for line in lines) + "\n")
    for name in ("cc3m", "cc12m"):
        pairs = planned(config(tmp_path / name, tmp_path / f"{name}.tsv")).to_pylist()
        assert {pair["url"]: pair["caption"] for pair in pairs} == {
            "http://a.test/1.jpg": 'a "small dog on a hill',
            "http://a.test/2.jpg": "the sea",
        }
    (tmp_path / "quoted.csv").write_text('http://a.test/1,"one, two"\nhttp://a.test/2,three\n')
    pairs = planned(config(tmp_path / "quoted", tmp_path / "quoted.csv")).to_pylist()
    assert {pair["caption"] for pair in pairs} == {"one, two", "three"}
    (tmp_path / "three.tsv").write_text("http://a.test/1.jpg\tone\ttwo\n")
    with pytest.raises(UserError, match="has no caption column"):
        planned(config(tmp_path / "three", tmp_path / "three.tsv"))
    made = config(tmp_path / "three", tmp_path / "three.tsv", plan={"caption": "column2"})
    assert planned(made)["caption"].to_pylist() == ["two"]


def test_json_of_two_lists_is_a_table(tmp_path: Path):
    lists = {"image_urls": ["http://a.test/1"], "user_ids": [7], "captions": ["one"]}
    (tmp_path / "sbu.json").write_text(json.dumps(lists))
    (pair,) = planned(config(tmp_path, tmp_path / "sbu.json")).to_pylist()
    assert (pair["url"], pair["caption"], pair["user_ids"]) == ("http://a.test/1", "one", 7)
    (tmp_path / "sbu.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match="a list of objects, or an object of lists"):
        planned(config(tmp_path, tmp_path / "sbu.json"))


def test_a_line_that_is_no_object_keeps_what_it_says(tmp_path: Path):
    good = [b'\xef\xbb\xbf{"url": "http://a.test/1", "text": "fine", "n": {"deep": [1]}}', b"", b'{"url": "x', b"[3]"]
    (tmp_path / "t.jsonl").write_bytes(b"\n".join([*good, b'{"text": "\xff"}', b'{"text": "\\ud800"}']))
    (pair,) = planned(config(tmp_path, tmp_path / "t.jsonl")).to_pylist()
    assert (pair["caption"], pair["n"]) == ("fine", {"deep": [1]})
    lost = sorted(row["caption"] for row in dropped(tmp_path / "run"))
    assert lost == ["[3]", '{"text": "?"}', '{"text": "\\ud800"}', '{"url": "x']


def test_a_full_disk_is_told_as_one(tmp_path: Path):
    pq.write_table(PAIRS, tmp_path / "t.parquet")
    settings: dict[str, Any] = {"memory_limit": "60MB", "temp_directory": str(tmp_path), "threads": 1}
    with (
        pytest.raises(UserError, match="No space left on device"),
        errors_of(files_of([str(tmp_path / "t.parquet")])),
        duckdb.connect(config=settings) as database,
    ):
        database.execute("SET max_temp_directory_size = '1MB'")
        database.execute("CREATE TABLE t AS SELECT sha256(i::VARCHAR) AS key FROM range(6000000) r(i) ORDER BY key")


def test_the_bytes_of_a_plan_do_not_depend_on_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [f"http://a.test/{n * 7919 % 20000},caption,{n}" for n in range(40_000)]
    (tmp_path / "t.csv").write_text("\n".join(["url,caption,n", *rows]) + "\n")
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 2_000)
    contents = []
    for threads in (1, 2):
        connect = functools.partial(connect_with, duckdb.connect, threads)
        with monkeypatch.context() as patched:
            patched.setattr(duckdb, "connect", connect)
            run_step("plan", config(tmp_path / str(threads), tmp_path / "t.csv", plan={"shard_size": 3_000}))
        files = sorted((tmp_path / str(threads) / "run").rglob("*.parquet"))
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1] and len(contents[0]) == 9


def connect_with(connect: Any, threads: int, *args: Any, config: Any = None, **kwargs: Any) -> Any:
    return connect(*args, config={**(config or {}), "threads": threads}, **kwargs)
