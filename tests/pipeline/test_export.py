"""What was kept, for others: the counts are those of the run, whoever reads it, and our own training does, too."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from configs import UserError
from pipeline.config import PipelineConfig
from pipeline.export.export import export
from pipeline.export.options import Options
from pipeline.export.shards import cut
from storage import keep_list, pairs
from storage.atomic import sha256_file
from storage.plan import shards_of
from storage.shard import TAR, Shard
from storage.text_embeds import TextEmbedsFile
from tests.factory import downloaded, noise_image, through, write_pairs
from tests.factory import stored as stored_image
from tests.training.conftest import train_afresh as train
from tests.training.small_training import BASE, losses, values_of
from tests.training.small_training import write_config as write_yaml

SELECT: dict[str, Any] = {
    "rules": {"words": "caption_words >= 2"},
    "held_out": "caption like '%7'",
    "stages": {"sr": {"not_five": "caption not like '%5'"}},
}
ROWS: list[dict[str, Any]] = [
    *({"seed": number, "caption": f"picture number {number}"} for number in range(30)),
    {"seed": 40, "caption": "short"},
    {"reason": "http_404", "caption": "gone away"},
]
KEPT = {f"picture number {number}" for number in range(30)}
HELD_OUT = {f"picture number {number}" for number in (7, 17, 27)}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    made = downloaded(tmp_path_factory.mktemp("world"), ROWS, select=SELECT)
    through(made, "score", "dedup", "select", "embed", "index")
    return made


def exported(config: PipelineConfig, folder: Path, to: str = "webdataset", **options: Any) -> Path:
    outcome = export(config.run, Options(to, **options), folder=folder, workers=1)  # type: ignore[arg-type]
    assert not outcome.failed, outcome.failed
    return folder


def members(folder: Path) -> dict[str, bytes]:
    """Return name -> data of the members of all tars in a folder."""
    data: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.tar")):
        with tarfile.open(path) as tar:
            data |= {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    return data


def stored(config: PipelineConfig) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for shard in shards_of(config.run) for row in pairs.stored(shard).to_pylist()}


def texts(folder: Path) -> list[str]:
    return [data.decode() for name, data in members(folder).items() if name.endswith(".txt")]


@pytest.mark.parametrize(
    ("counts", "size"), [([5, 0, 7, 3], 4), ([1], 10), ([0, 0, 9], 2), ([10, 10], 20), ([], 5), ([0], 5)]
)
def test_cuts_are_even_and_lose_nothing(counts: list[int], size: int):
    parts = cut(counts, size)
    sizes = [sum(part.end - part.begin for part in each) for each in parts]
    assert len(sizes) == -(-sum(counts) // size) and (not sizes or max(sizes) - min(sizes) <= 1)
    flat = [(part.shard, row) for each in parts for part in each for row in range(part.begin, part.end)]
    assert flat == [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    assert all(part.begin < part.end for each in parts for part in each)


def test_only_what_was_kept_train_and_held_out_apart_with_the_same_bytes(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", shard_size=10)
    assert sorted(texts(folder / "train")) == sorted(KEPT - HELD_OUT)
    assert sorted(texts(folder / "held_out")) == sorted(HELD_OUT)
    assert [len(texts(path.parent)) for path in (folder / "train" / "000").glob("*.tar")][:1] == [27]
    images = {
        row["key"]: row["stored_sha256"] for shard in shards_of(config.run) for row in pairs.stored(shard).to_pylist()
    }
    for shard in [*shards_of(folder / "train"), *shards_of(folder / "held_out")]:
        for row in pairs.read(shard).to_pylist():
            assert images[row["key"]] == row["stored_sha256"]
    told = [json.loads(data) for name, data in members(folder).items() if name.endswith(".json")]
    assert all(line["caption_words"] == 3 and line["url"].startswith("http://a.test/") for line in told)


@pytest.mark.long
def test_the_same_command_again_makes_nothing_and_a_killed_one_ends_with_the_same_bytes(
    config: PipelineConfig, tmp_path: Path
):
    folder = exported(config, tmp_path / "out", shard_size=10, text_embeds="beside")
    before = {path: sha256_file(path) for path in folder.rglob("*.*") if "leases" not in str(path)}
    assert export(config.run, Options("webdataset", shard_size=10, text_embeds="beside"), folder=folder).done == 0
    Shard(folder / "train", 1).path(".keep.parquet").unlink()
    Shard(folder / "train", 2).path(TAR).unlink()
    assert export(config.run, Options("webdataset", shard_size=10, text_embeds="beside"), folder=folder).done == 2
    after = {path: sha256_file(path) for path in folder.rglob("*.*") if "leases" not in str(path)}
    assert {path for path in before if before[path] != after[path]} <= {
        Shard(folder / "train", number).path("_stats.json") for number in (1, 2)
    }


@pytest.mark.long
def test_other_sizes_leave_nothing_of_the_export_before(config: PipelineConfig, tmp_path: Path):
    for size in (4, 20):
        for to in ("webdataset", "hf"):
            exported(config, tmp_path / to, to, shard_size=size)
    assert len(texts(tmp_path / "webdataset")) == 30
    assert sorted(path.name for path in (tmp_path / "hf" / "data").iterdir()) == [
        "held_out-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]


def test_a_stage_gets_what_it_trains_on(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", stage="sr")
    assert sorted(texts(folder / "train")) == sorted(text for text in KEPT - HELD_OUT if not text.endswith("5"))
    assert sorted(texts(folder / "held_out")) == sorted(HELD_OUT)


def test_images_can_be_smaller(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", max_side_px=48)
    sizes = {Image.open(io.BytesIO(data)).size for name, data in members(folder).items() if name.endswith(".jpg")}
    assert sizes == {(48, 48)}
    assert {row["stored_width"] for shard in shards_of(folder / "train") for row in pairs.read(shard).to_pylist()} == {
        48
    }


@pytest.mark.long
def test_text_embeds_beside_are_those_of_the_run_and_a_training_reads_them(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", text_embeds="beside", shard_size=10, max_side_px=32)
    known = _embeds(shards_of(config.run))
    ours = _embeds([*shards_of(folder / "train"), *shards_of(folder / "held_out")])
    assert len(ours) == 30 and all(np.array_equal(known[key], bits) for key, bits in ours.items())
    index = pq.read_table(folder / "index.parquet")
    assert (sum(index["train"].to_pylist()), sum(index["held_out"].to_pylist())) == (27, 3)
    assert index["sr"].to_pylist() == [9, 9, 6, 0] or sum(index["sr"].to_pylist()) == 24
    stage = {**BASE, "text_width": 384}
    validation = {"every_steps": 2, "samples": 2, "buckets": 2}
    values = values_of(tmp_path / "train", folder / "index.parquet", stage=stage, steps=4, validation=validation)
    assert train(write_yaml(tmp_path, values)) == 0
    assert len(losses(tmp_path / "train")) == 4


def _embeds(shards: list[Shard]) -> dict[str, np.ndarray]:
    files = [TextEmbedsFile(shard, "minilm") for shard in shards]
    return {key: file.at(row, key=key) for file in files for row, key in enumerate(file.keys)}


@pytest.mark.long
def test_webdataset_reads_it(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", text_embeds="inside", shard_size=10)
    script = """
import json, sys, webdataset
samples = list(webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode("pil"))
print(json.dumps([
    [sample["__key__"], sample["txt"], sample["jpg"].size, sample["text_embeds.npy"].tolist()] for sample in samples
]))
"""
    samples = answer_of(script, *map(str, sorted((folder / "train").rglob("*.tar"))))
    assert sorted(text for _, text, _, _ in samples) == sorted(KEPT - HELD_OUT)
    known = _embeds(shards_of(config.run))
    for key, _, size, embeds in samples:
        assert size == [96, 96]
        assert np.array_equal(np.array(embeds, np.float32), (known[key].astype(np.uint32) << 16).view(np.float32))


@pytest.mark.long
def test_webdataset_1_reads_it(config: PipelineConfig, tmp_path: Path):
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*install, "--target", tmp_path / "1", "webdataset>=1,<2"], check=True)
    folder = exported(config, tmp_path / "out", shard_size=10)
    script = """
import json, sys
sys.path.insert(0, sys.argv[1])
import webdataset
samples = webdataset.WebDataset(sys.argv[2:], shardshuffle=False).decode("pil")
print(json.dumps([webdataset.__version__, sorted(sample["txt"] for sample in samples)]))
"""
    tars = map(str, sorted((folder / "train").rglob("*.tar")))
    version, texts_read = answer_of(script, str(tmp_path / "1"), *tars)
    assert version.startswith("1.") and texts_read == sorted(KEPT - HELD_OUT)


@pytest.mark.long
def test_hugging_face_reads_it(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", "hf", text_embeds="inside", shard_size=10)
    script = """
import datasets, json, sys
loaded = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
rows = {split: sorted(loaded[split]["caption"]) for split in loaded}
first = loaded["train"][0]
print(json.dumps([rows, first["image"].size, len(first["text_embeds"][0]), first["width"]]))
"""
    rows, size, width, column = answer_of(script, str(folder), str(tmp_path / "cache"))
    assert rows == {"train": sorted(KEPT - HELD_OUT), "held_out": sorted(HELD_OUT)}
    assert (size, width, column) == ([96, 96], 384, 96)


@pytest.mark.long
def test_hugging_face_reads_a_folder_of_tars_as_it_is(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", shard_size=10)
    script = """
import datasets, json, sys
loaded = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
print(json.dumps({split: sorted(loaded[split]["txt"]) for split in loaded}))
"""
    rows = answer_of(script, str(folder), str(tmp_path / "cache"))
    assert rows == {"train": sorted(KEPT - HELD_OUT), "held_out": sorted(HELD_OUT)}


@pytest.mark.parametrize("to", ["webdataset", "parquet", "hf"])
def test_hashes_are_left_out_as_json_has_no_bytes(config: PipelineConfig, tmp_path: Path, to: str):
    folder = exported(config, tmp_path / "out", to)
    schemas = [pq.read_schema(path) for path in (*folder.rglob("0*.parquet"), *folder.rglob("data/*.parquet"))]
    kinds = {field.name: field.type for schema in schemas for field in schema}
    assert kinds and not any(pa.types.is_fixed_size_binary(kind) for kind in kinds.values())
    said = [json.loads(data) for name, data in members(folder).items() if name.endswith(".json")]
    assert not any(str(value).startswith("b'") for each in said for value in each.values())


def answer_of(script: str, *arguments: str) -> Any:
    """Return what a script prints as its last line, JSON: others' readers run in processes of their own."""
    environment = {"PATH": "/usr/bin", "HF_HOME": f"{arguments[-1]}/home", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-c", script, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_parquet_has_the_bytes_and_all_that_is_known(config: PipelineConfig, tmp_path: Path):
    folder = exported(config, tmp_path / "out", "parquet", shard_size=10)
    table = pq.read_table(folder / "data")
    assert Counter(table["caption"].to_pylist()) == Counter(KEPT)
    known = stored(config)
    for row in table.to_pylist():
        assert hashlib.sha256(row["image"]).hexdigest() == known[row["key"]]["stored_sha256"]
        assert row["url"] == known[row["key"]]["url"] and row["caption_words"] == 3


def test_every_keep_list_is_read_once_before_anything_is_written(
    config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    exported(config, tmp_path / "out")
    read, asked = keep_list.read, list[int]()

    def counted(shard: Shard, *arguments: Any, **named: Any) -> Any:
        asked.append(shard.number)
        return read(shard, *arguments, **named)

    monkeypatch.setattr(keep_list, "read", counted)
    exported(config, tmp_path / "out")
    assert asked == [shard.number for shard in shards_of(config.run)]


def test_licences_are_counted_of_what_is_exported(tmp_path: Path):
    rows = [{"seed": n, "caption": f"{'picture' if n < 6 else ''} {n}".strip()} for n in range(8)]
    config = downloaded(tmp_path, rows, select=SELECT)
    by_caption = {f"picture {n}": "CC0" if n < 4 else "CC-BY" for n in (0, 2, 3, 4, 5)}
    for shard in shards_of(config.run):
        planned = pairs.planned(shard)
        named = pa.array(map(by_caption.get, planned["caption"].to_pylist()), pa.string())
        write_pairs(
            shard, planned.append_column("license", named), lambda pair: stored_image(noise_image(pair["seed"]))
        )
    through(config, "score", "dedup", "select")
    text = (exported(config, tmp_path / "out") / "README.md").read_text()
    assert "- CC0: 3" in text and "- CC-BY: 2" in text and "- not named: 1" in text


def test_the_readme_tells_counts_and_licence(config: PipelineConfig, tmp_path: Path):
    text = (exported(config, tmp_path / "out") / "README.md").read_text()
    assert "30 pairs" in text and "- train: 27" in text and "names no licence" in text


def test_what_is_not_done_is_told_with_the_command(config: PipelineConfig, tmp_path: Path):
    keep = Shard(config.run, 0).path(".keep.parquet")
    before = keep.read_bytes()
    keep.unlink()
    try:
        with pytest.raises(UserError, match=r'1 of 4 shards are not up to date; run "corgi select .*" first'):
            export(config.run, Options("webdataset"), folder=tmp_path / "out")
    finally:
        keep.write_bytes(before)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": "tar"}, "--to is 'tar'"),
        ({"to": "hf", "text_embeds": "beside"}, "is for webdataset"),
        ({"to": "hf", "max_side_px": 0}, "at least 1 px"),
        ({"to": "hf", "shard_size": -1}, "at least 1 pair"),
        ({"to": "hf", "text_embeds": "besides"}, "did you mean 'beside'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], says: str):
    with pytest.raises(UserError, match=says):
        Options(**options)


def test_a_stage_without_rules_and_a_folder_of_others_are_refused(config: PipelineConfig, tmp_path: Path):
    with pytest.raises(UserError, match="'sr1024' is no stage with rules of its own"):
        export(config.run, Options("webdataset", stage="sr1024"), folder=tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"holds thesis.tex, which no export made"):
        export(config.run, Options("webdataset"), folder=tmp_path / "mine")
    with pytest.raises(UserError, match="is a run"):
        export(config.run, Options("webdataset"), folder=config.run)
