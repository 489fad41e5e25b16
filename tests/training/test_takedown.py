"""What a list names leaves every file of a run, to the last byte, and what learnt from it is told by name."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from pipeline.config import PipelineConfig
from pipeline.export.export import export
from pipeline.export.options import Options
from pipeline.runner import build, run_step, run_table
from pipeline.status import steps_of
from pipeline.why import find as why
from report.page import write_report
from storage import ledger, pairs, scores
from storage.lease import FOLDER, Key, hold
from storage.plan import shards_of
from storage.run import CONFIG, write_config
from storage.samples import SampleSet
from storage.shard import PAIRS, TAR
from storage.tables import read_whole, write_table
from storage.takedown import TOMBSTONES
from storage.tar import TarReader
from storage.text_embeds import TextEmbedsFile
from tests.factory import downloaded, images_of
from tests.training.conftest import train_afresh
from tests.training.small_training import BASE, values_of
from tests.training.small_training import write_config as write_yaml
from training.data.index import read_index
from training.run_folder import check, lock, read_config
from training.takedown import takedown

pytestmark = pytest.mark.long

ROWS: list[dict[str, Any]] = [
    *({"seed": number, "caption": f"picture number {number}"} for number in range(20)),
    {"seed": 3, "caption": "short"},
    {"reason": "http_404", "caption": "gone with the wind"},
    {"seed": 30, "caption": "picture number 1"},  # a copy of a caption
]
SELECT: dict[str, Any] = {"rules": {"words": "caption_words >= 2"}, "held_out": "caption like '%7'"}
URL = "http://a.test/{}.jpg"


class World(NamedTuple):
    """A run with all that can be made from it, and two exports, one outside."""

    config: PipelineConfig
    outside: Path
    pristine: Path

    @property
    def run(self) -> Path:
        return self.config.run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    config = downloaded(folder, ROWS, select=SELECT, dedup={"max_caption_count": 1})
    write_config(config.run, config, fingerprint="made")
    download = build("download", config)
    for shard in shards_of(config.run):  # as if it had been fetched with this config
        table = read_whole(shard.path(PAIRS)).replace_schema_metadata(None)
        write_table(shard.path(PAIRS), table, fingerprint=download.fingerprint(shard))
    for name in ("score", "dedup", "select", "embed", "index"):
        step = build(name, config)
        if name in ("dedup", "index"):
            run_table(step)
        else:
            for shard in shards_of(config.run):
                step(shard)
    validation = {"every_steps": 2, "samples": 2, "buckets": 2}
    stage = {**BASE, "text_width": 384}
    index = config.run / "index.parquet"
    values = values_of(config.run / "train" / "base16", index, stage=stage, steps=6, validation=validation)
    assert train_afresh(write_yaml(folder, values)) == 0
    options = Options("webdataset", text_embeds="beside", shard_size=10)
    export(config.run, options, workers=1)
    export(config.run, Options("hf", shard_size=10), workers=1)
    export(config.run, options, folder=folder / "outside", workers=1)
    _write_samples(config)
    write_report(config)
    shutil.copytree(config.run, folder / "pristine")
    return World(config, folder / "outside", folder / "pristine")


def _write_samples(config: PipelineConfig) -> None:
    """Two sets with real images: one with pair 3, one without."""
    for name, number in (("train", 3), ("held_out", 7)):
        row = row_of(config, number)
        samples = SampleSet(config.run, name)
        samples.write_rows(pa.table({"key": [row["key"]], "caption": [row["caption"]]}), fingerprint="made")
        with TarReader(config.run / row["tar"]) as tar:
            image = tar.image(row["tar_offset"], size=row["tar_size"])
        samples.write("real", image[None], fingerprint="made")
        samples.write_sheet(image[None])


@pytest.fixture
def world(made: World) -> Iterator[World]:
    shutil.rmtree(made.run)
    shutil.copytree(made.pristine, made.run)
    yield made


def row_of(config: PipelineConfig, number: int) -> dict[str, Any]:
    """All that the download knows of the pair with this url, and the tar, below the run."""
    for shard in shards_of(config.run):
        for row in pairs.read(shard).to_pylist():
            if row["url"] == URL.format(number):
                return {**row, "tar": shard.path(TAR).relative_to(config.run), "shard": shard.number}
    raise LookupError(number)


def needles(config: PipelineConfig, number: int) -> dict[str, bytes]:
    """What may be found nowhere: url, caption and its embeds, image, its digest, its perceptual hash, its pixels."""
    row = row_of(config, number)
    found = {"url": row["url"].encode(), "caption": row["caption"].encode() + b"\0"}
    if row["status"] == pairs.OK:
        with TarReader(config.run / row["tar"]) as tar:
            found["image"] = tar.read(row["tar_offset"], size=row["tar_size"])[-400:-200]
            found["pixels"] = tar.image(row["tar_offset"], size=row["tar_size"])[:20].tobytes()
        found["digest"] = row["stored_sha256"].encode()
        shard = shards_of(config.run)[row["shard"]]
        scored = {each["key"]: each for each in scores.read(shard, of=pairs.stored(shard)).to_pylist()}
        found["pdq"] = scored[row["key"]]["pdq"]
        file = TextEmbedsFile(shard, "minilm")
        if (place := file.row_of(row["key"])) is not None:
            found["text embeds"] = file.at(place, key=row["key"]).tobytes()
    return found


def texts_of(path: Path) -> bytes:
    """A file's bytes, and what is packed in it; texts of tables end in a zero, so that 1 is not found in 12."""
    data = path.read_bytes()
    if path.suffix in (".parquet", ".arrow"):
        table = read_whole(path)
        data += b"".join(_bytes(value) + b"\0" for column in table.columns for value in column.to_pylist())
        for column in table.columns:
            if pa.types.is_dictionary(column.type):
                data += b"".join(_bytes(value) for chunk in column.chunks for value in chunk.dictionary.to_pylist())
    if path.suffix == ".npz":
        with np.load(path) as file:
            data += file["pictures"].tobytes()
    return data + b"\0"


def _bytes(value: object) -> bytes:
    if isinstance(value, dict):
        return b"\0".join(map(_bytes, value.values()))
    return value if isinstance(value, bytes) else str(value).encode()


def holding(run: Path, needle: bytes) -> list[str]:
    """The files of a run in which some bytes are found."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and needle in texts_of(path))


def take_down(world: World, tmp_path: Path, *lines: str, is_applied: bool = True) -> list[str]:
    (tmp_path / "list.txt").write_text("\n".join(["# of today", "", *lines]) + "\n")
    return list(takedown(world.run, tmp_path / "list.txt", is_applied=is_applied))


def digests(run: Path) -> dict[str, str]:
    files = (path for path in run.rglob("*") if path.is_file() and "leases" not in path.parts)
    uncompared = ("ledger.jsonl", "lock")  # dates
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in uncompared and not path.name.endswith("_stats.json")
    }


def states(run: Path) -> dict[str, dict[str, int]]:
    return {status.step: {str(name): count for name, count in status.states.items()} for status in steps_of(run)}


def test_without_apply_nothing_changes_and_all_that_is_touched_is_told(world: World, tmp_path: Path):
    before = digests(world.run)
    row = row_of(world.config, 3)
    said = "\n".join(take_down(world, tmp_path, URL.format(3), "host:b.test", is_applied=False))
    assert digests(world.run) == before
    assert "1 pairs of" in said and "meant by 1 of 2 lines" in said and "line      4 means no pair" in said
    assert f"pair      {row['key']}  shard {row['shard']:05d}, by line 3" in said
    stem = f"{world.run}/000/{row['shard']:05d}"
    for suffix in (".tar", ".parquet", ".urls.parquet", ".scores.parquet", ".keep.parquet", ".minilm.arrow"):
        assert f"file      {stem}{suffix}" in said
    assert f"samples   {world.run}/samples/train.parquet" in said and "held_out.parquet and" not in said
    for name in (
        f"{world.run}/export/webdataset/train/000/",
        f"{world.run}/export/hf/data/",
        f"{world.outside}/train/",
    ):
        assert f"export    {name}" in said
    assert f"outside   {world.outside}/train/000/" in said
    assert "training" in said and "saw them at step" in said and "step_00000006" in said
    assert f"source    {world.config.table[0]} names them still" in said
    assert f"copy      {row_of(world.config, 20)['key']} stores one of their images" in said
    assert "nothing was changed" in said


def test_no_byte_of_them_is_left_and_others_keep_theirs(world: World, tmp_path: Path):
    victims = {number: needles(world.config, number) for number in (3, 21)}
    for found in victims.values():
        for name, needle in found.items():
            assert holding(world.run, needle), name
    others = images_of(world.run)
    keys = {row_of(world.config, number)["key"] for number in victims}
    take_down(world, tmp_path, *(URL.format(number) for number in victims))
    for name, needle in victims[3].items():
        if name not in ("image", "pixels", "digest", "pdq"):  # pair 20 has the same image
            assert not holding(world.run, needle), name
    for name, needle in victims[21].items():
        assert not holding(world.run, needle), name
    take_down(world, tmp_path, URL.format(20))
    for name, needle in victims[3].items():
        assert not holding(world.run, needle), name
    copies = read_whole(world.run / "duplicates.parquet")
    assert len(copies) and not keys & {*copies["key"].to_pylist(), *copies["keeper"].to_pylist()}
    left = images_of(world.run)
    gone = keys | {key for key in others if key not in left}
    assert len(gone) == 3 and all(left[key] == others[key] for key in left)


def test_downloads_and_scores_stay_fresh_and_what_is_cheap_is_made_anew(world: World, tmp_path: Path):
    row = row_of(world.config, 3)
    before = states(world.run)
    take_down(world, tmp_path, URL.format(3))
    after = states(world.run)
    for step in ("plan", "download", "score"):
        assert after[step] == before[step] and set(after[step]) == {"done"}, step
    shard = shards_of(world.run)[row["shard"]]
    kept = {each["key"]: each for each in pairs.read(shard).to_pylist()}
    assert kept[row["key"]]["status"] == "taken_down" and row["key"] in pairs.planned(shard)["key"].to_pylist()
    assert "dropped   by the download: taken_down" in why(world.config, row["key"]).lines
    for name in ("dedup", "select", "embed", "index"):
        assert set(after[name]) != {"done"}
        assert not run_step(name, world.config, workers=1).failed
    assert all(set(each) == {"done"} for each in states(world.run).values())
    outcome = export(world.run, Options("webdataset", text_embeds="beside", shard_size=10), workers=1)
    assert not outcome.failed
    write_report(world.config)
    assert not holding(world.run, URL.format(3).encode())
    begun = read_config(world.run / "train" / "base16")
    assert begun is not None
    with pytest.raises(UserError, match="has changed since"):
        check(begun, read_index(begun.data), accepts_new_data=False)


def test_files_of_others_in_the_run_that_still_name_them_are_told(world: World, tmp_path: Path):
    (world.run / "notes.txt").write_text(f"look at {URL.format(3)}")
    (world.run / "more.txt").write_text(f"look at {URL.format(4)}")
    for _ in range(2):  # the second time no pair is meant any more
        said = "\n".join(take_down(world, tmp_path, URL.format(3)))
        assert f"left      {world.run}/notes.txt still holds" in said and "more.txt" not in said


def test_the_training_that_saw_it_is_in_the_ledger(world: World, tmp_path: Path):
    take_down(world, tmp_path, URL.format(3))
    (line,) = [line for line in ledger.read(world.run) if line["event"] == "takedown"]
    (training,) = line["trainings"]
    assert training["run"].endswith("train/base16") and training["steps"] and training["checkpoints"]


def test_an_image_is_taken_down_by_what_it_looks_like_with_its_url(world: World, tmp_path: Path):
    found = needles(world.config, 4)
    said = "\n".join(take_down(world, tmp_path, f"pdq:{found['pdq'].hex()}"))
    assert "1 pairs of" in said
    for name, needle in found.items():
        assert not holding(world.run, needle), name
    assert "url" in {row["kind"] for row in pq.read_table(world.run / TOMBSTONES).to_pylist()}


def test_it_never_comes_back(world: World, tmp_path: Path):
    take_down(world, tmp_path, URL.format(3), f"key:{row_of(world.config, 5)['key']}")
    assert {row["kind"] for row in pq.read_table(world.run / TOMBSTONES).to_pylist()} == {"key", "url"}
    config = world.config.model_copy(update={"plan": world.config.plan.model_copy(update={"shard_size": 5})})
    outcome = run_step("plan", config)
    assert outcome.counts["taken_down"] == 2 and outcome.counts["planned"] == len(ROWS) - 2
    for number in (3, 5):
        assert not holding(world.run, URL.format(number).encode())


def test_a_shard_that_is_downloaded_anew_asks_for_no_pair_that_was_taken_down(world: World, tmp_path: Path):
    take_down(world, tmp_path, URL.format(3))
    row = next(row for shard in shards_of(world.run) for row in pairs.read(shard).to_pylist() if row["url"] == "")
    config = world.config.model_copy(
        update={"download": world.config.download.model_copy(update={"max_bytes": 1000, "dns_s": 0.1, "retries": 0})}
    )
    shard = next(shard for shard in shards_of(world.run) if row["key"] in pairs.planned(shard)["key"].to_pylist())
    assert build("download", config)(shard)["taken_down"] == 1


class CutOffError(BaseException):
    """In the place of a kill."""


def _counted(change: Any, left: list[int]) -> Any:
    """A change of the file system that does not come to pass when the count in `left` comes to nothing."""

    def call(path: Path, *arguments: Any, **keywords: Any) -> Any:
        left[0] -= path.parent.name != FOLDER  # a lease of this process, which lives, would be waited for
        if left[0] == 0:
            raise CutOffError
        return change(path, *arguments, **keywords)

    return call


def test_a_cut_at_any_moment_and_the_same_command_end_alike(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines = (URL.format(3), URL.format(21))
    shutil.rmtree(world.run / "train")
    take_down(world, tmp_path, *lines)
    expected, number, is_over = digests(world.run), 0, False
    while not is_over:
        shutil.rmtree(world.run)
        shutil.copytree(world.pristine, world.run)
        shutil.rmtree(world.run / "train")
        number += 1
        left = [number]

        monkeypatch.setattr(Path, "rename", _counted(Path.rename, left))
        monkeypatch.setattr(Path, "unlink", _counted(Path.unlink, left))
        try:
            take_down(world, tmp_path, *lines)
            is_over = True
        except CutOffError:
            pass
        monkeypatch.undo()
        take_down(world, tmp_path, *lines)
        assert digests(world.run) == expected, number
    assert number > 20, number


def test_a_killed_command_and_the_same_again(world: World, tmp_path: Path):
    (tmp_path / "list.txt").write_text(URL.format(3))
    before = needles(world.config, 3)["url"]
    command = [
        sys.executable,
        "-m",
        "corgi",
        "takedown",
        str(tmp_path / "list.txt"),
        "--run",
        str(world.run),
        "--apply",
    ]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (world.run / TOMBSTONES).exists():
        assert child.poll() is None
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert subprocess.run(command, check=False).returncode == 0
    assert not holding(world.run, before)
    assert not list(world.run.rglob("*.next")) and not list(world.run.rglob("*.scratch"))


def test_what_killed_steps_left_goes_too(world: World, tmp_path: Path):
    left = (".plan.scratch/rows", "dedup.scratch/rows", "000/00000.img2dataset/rows", "000/.00000.tar.host-1-2.scratch")
    for name in left:
        (world.run / name).parent.mkdir(exist_ok=True)
        (world.run / name).write_text(URL.format(3))
    take_down(world, tmp_path, URL.format(3))
    assert not holding(world.run, URL.format(3).encode())


def test_a_tar_that_is_cut_short_is_told_in_a_line(world: World, tmp_path: Path):
    tar = world.run / row_of(world.config, 3)["tar"]
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"is cut short: nothing at byte \d+; remove it and run"):
        take_down(world, tmp_path, URL.format(3))
    tar.unlink()
    take_down(world, tmp_path, URL.format(3))
    assert not holding(world.run, URL.format(3).encode())


def test_no_step_and_no_training_runs_beside_it(world: World, tmp_path: Path):
    with hold(world.run, Key("score")), pytest.raises(UserError, match="is at work on score"):
        take_down(world, tmp_path, URL.format(3))
    with lock(world.run / "train" / "base16"), pytest.raises(UserError, match="is being trained; stop it"):
        take_down(world, tmp_path, URL.format(3))
    assert holding(world.run, URL.format(3).encode())


def test_an_adopted_tar_is_left_and_the_shard_gets_one_of_its_own(made: World, tmp_path: Path):
    theirs = tmp_path / "theirs"
    shutil.copytree(made.outside / "train" / "000", theirs)
    for path in theirs.iterdir():
        if path.suffix != ".tar":
            path.unlink()
    config = resolve(PipelineConfig, {"run": str(tmp_path / "run"), "adopt": {"source": [str(theirs)]}})
    run_step("adopt", config, workers=1)
    assert (config.run / CONFIG).exists()
    world = World(config, made.outside, made.pristine)
    shard = shards_of(config.run)[0]
    row = pairs.stored(shard).to_pylist()[0]
    assert shard.path(TAR).is_symlink()
    source, before = shard.path(TAR).resolve(), images_of(world.run)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    said = "\n".join(take_down(world, tmp_path, row["stored_sha256"]))
    assert f"outside   {source} is linked by the run, holds them still, and is left" in said
    assert hashlib.sha256(source.read_bytes()).hexdigest() == digest
    assert not shard.path(TAR).is_symlink() and not holding(config.run, row["url"].encode())
    after = images_of(world.run)
    assert {*before} - {*after} == {row["key"]} and all(before[key] == after[key] for key in after)
    shard.path(PAIRS).unlink()
    run_step("adopt", config, workers=1)  # as if it were new
    assert not shard.path(TAR).is_symlink() and not holding(config.run, row["url"].encode())
    assert {*images_of(world.run)} == {*after}
