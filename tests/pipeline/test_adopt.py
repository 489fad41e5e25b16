"""Shards that exist already become a run: whoever made them, without a copy where that can be, whatever they hold."""

import io
import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from configs import UserError, resolve
from pipeline.config import PipelineConfig
from pipeline.losses import heavy_losses
from pipeline.runner import build, run_step
from pipeline.status import steps_of
from pipeline.why import find
from storage import pairs
from storage.plan import shards_of
from storage.shard import PAIRS, TAR, Shard
from tests.factory import WITHOUT_MODELS, images_of, noise_image, through

AFTER = ("score", "dedup", "select", "embed", "index")
TURNED = Image.Exif()
TURNED[0x0112] = 6


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(noise_image(seed))).save(file, "PNG")
    return file.getvalue()


def turned(seed: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(noise_image(seed, px=48))).save(file, "JPEG", exif=TURNED, quality=95)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(key: str, seed: int, *, image: bytes | None = None, ending: str = "jpg", **fields: Any) -> dict[str, bytes]:
    members = {f"{key}.{ending}": noise_image(seed) if image is None else image}
    members[f"{key}.txt"] = f"picture number {seed}".encode()
    return members | ({f"{key}.json": json.dumps({"key": key, **fields}).encode()} if fields else {})


def several(count: int, *, first: int = 0, start: str = "") -> dict[str, bytes]:
    return {
        name: data for seed in range(first, first + count) for name, data in sample(f"{start}{seed:04d}", seed).items()
    }


def config_of(folder: Path, *source: Path, **sections: Any) -> PipelineConfig:
    adopt = {"source": [str(path) for path in source], **sections.pop("adopt", {})}
    values = {"run": str(folder / "run"), "adopt": adopt, "score": WITHOUT_MODELS, "workers": 1}
    return resolve(PipelineConfig, {**values, **sections})


def adopted(folder: Path, *source: Path, **sections: Any) -> PipelineConfig:
    config = config_of(folder, *source, **sections)
    step = build("adopt", config)
    step.prepare()
    for shard in shards_of(config.run):
        step(shard)
    return config


def rows_of(config: PipelineConfig, columns: list[str] | None = None) -> list[dict[str, Any]]:
    return [row for shard in shards_of(config.run) for row in pairs.read(shard, columns).to_pylist()]


def statuses(config: PipelineConfig) -> dict[str, str]:
    return {row["key"]: row["status"] for row in rows_of(config, ["key", "status"])}


def test_a_tar_is_read_where_it_lies_and_nothing_in_it_changes(tmp_path: Path):
    source = write_tar(tmp_path / "mine" / "cc-000.tar", several(5))
    source.chmod(0o440)
    before = (source.read_bytes(), source.stat().st_mtime_ns, source.stat().st_mode)
    config = adopted(tmp_path, tmp_path / "mine")
    link = Shard(config.run, 0).path(TAR)
    assert link.is_symlink() and link.resolve() == source
    assert (source.read_bytes(), source.stat().st_mtime_ns, source.stat().st_mode) == before
    assert images_of(config.run) == {f"cc-000-{seed:04d}": noise_image(seed) for seed in range(5)}
    assert [row["caption"] for row in rows_of(config)] == [f"picture number {seed}" for seed in range(5)]


def test_every_step_goes_on_from_there(tmp_path: Path):
    for number in range(3):
        write_tar(tmp_path / "mine" / f"{number:05d}.tar", several(6, first=6 * number, start=f"{number:05d}"))
    select = {"rules": {"even": "caption not like '%3'"}, "held_out": "caption like '%number 5'"}
    config = adopted(tmp_path, tmp_path / "mine", select=select)
    through(config, *AFTER)
    assert [str(step.states) for step in steps_of(config.run)] == [
        f"Counter({{'done': {1 if step.step in ('dedup', 'index') else 3}}})" for step in steps_of(config.run)
    ]
    assert [step.step for step in steps_of(config.run)] == ["adopt", *AFTER]
    assert pq.read_table(config.run / "index.parquet")["train"].to_pylist() == [4, 6, 5]
    story = find(config, "000010007")
    assert story.kept and any("image" in line and "00001.tar" in line for line in story.lines)


def test_keys_scores_and_losses_of_img2dataset_are_kept(tmp_path: Path):
    told: dict[str, Any] = {"url": "http://a.test/0.jpg", "status": "success"}
    told |= {"original_width": 800, "original_height": 600}
    told |= {"sha256": "a" * 64, "punsafe": 0.25, "language": "en", "similarity": 1, "exif": '{"GPS": "here"}'}
    members = sample("000000000", 0, **told) | sample("000000002", 2, **{**told, "similarity": 0.5, "punsafe": None})
    write_tar(tmp_path / "mine" / "00000.tar", members)
    lost = {"key": "000000001", "url": "http://a.test/1.jpg", "caption": "gone", "status": "failed_to_download"}
    lost["error_message"] = "HTTP Error 404: Not Found"
    table = [lost, *({"key": key, "status": "success"} for key in ("000000000", "000000002"))]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "mine" / "00000.parquet")
    (tmp_path / "mine" / "00000_stats.json").write_text("{}")
    config = adopted(
        tmp_path, tmp_path / "mine", select={"rules": {"safe": "punsafe < 0.5", "en": "table_language = 'en'"}}
    )
    first, second, third = rows_of(config)
    assert [row["key"] for row in (first, second, third)] == ["000000000", "000000002", "000000001"]
    assert (first["punsafe"], first["similarity"], second["similarity"]) == (0.25, 1.0, 0.5)
    assert (first["original_width"], first["stored_width"], first["fetched_sha256"]) == (800, 96, "a" * 64)
    assert (third["status"], third["url"], third["caption"]) == ("http_404", "http://a.test/1.jpg", "gone")
    assert "exif" not in first and first["table_language"] == "en"


@pytest.mark.parametrize("image", [png(1), turned(1)])
def test_a_tar_with_an_image_that_cannot_be_used_as_it_is_is_copied(tmp_path: Path, image: bytes):
    members = sample("a", 0) | sample("b", 1, image=image, ending="png") | sample("c", 2)
    source = write_tar(tmp_path / "mine" / "x.tar", members)
    before = source.read_bytes()
    config = adopted(tmp_path, source)
    assert source.read_bytes() == before and not Shard(config.run, 0).path(TAR).is_symlink()
    images = images_of(config.run)
    assert images["x-a"] == noise_image(0) and images["x-c"] == noise_image(2)
    assert Image.open(io.BytesIO(images["x-b"])).format == "JPEG"
    with tarfile.open(Shard(config.run, 0).path(TAR)) as tar:
        assert tar.getnames()[:3] == ["x-a.jpg", "x-a.txt", "x-a.json"]


def test_the_members_of_a_sample_may_lie_anywhere_in_the_tar(tmp_path: Path):
    members = several(4)
    by_ending = sorted(members.items(), key=lambda member: member[0].partition(".")[2])
    again = list(sample("0002", 9).items())
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", [*by_ending, *again]))
    assert statuses(config) == {**{f"x-000{n}": "ok" for n in range(4)}, "x-0002~2": "duplicate_key"}
    assert [row["caption"] for row in rows_of(config)][:4] == [f"picture number {n}" for n in range(4)]


def test_names_with_dots_are_samples_of_their_own(tmp_path: Path):
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", sample("in.2/img.A1", 1) | sample("in.2/img.B1", 2)))
    assert statuses(config) == {"x-in%2E2%2Fimg%2EA1": "ok", "x-in%2E2%2Fimg%2EB1": "ok"}


def test_a_mask_or_depth_is_not_taken_for_the_picture(tmp_path: Path):
    members = {"cat.depth.jpg": noise_image(2), **sample("cat", 1), "cat.mask.jpg": noise_image(3)}
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", members))
    assert [row["stored_sha256"] for row in rows_of(config)] == [sha256(noise_image(1)).hexdigest()]


def gif(seed: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(noise_image(seed))).save(file, "GIF")
    return file.getvalue()


def test_further_formats_are_taken_by_an_option_that_the_loss_names(tmp_path: Path):
    source = write_tar(tmp_path / "x.tar", sample("cat", 1, image=gif(1), ending="gif"))
    config = adopted(tmp_path / "one", source)
    assert statuses(config) == {"x-cat": "bad_format"}
    (_, advice) = heavy_losses(build("adopt", config), shards_of(config.run))
    assert "adopt.formats" in advice and "names those that are taken" in advice
    assert statuses(adopted(tmp_path / "two", source, adopt={"formats": ["jpeg", "gif"]})) == {"x-cat": "ok"}


def test_of_several_captions_the_first_is_taken(tmp_path: Path):
    said = json.dumps({"captions": ["one", "two"]}).encode()
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", {"cat.jpg": noise_image(1), "cat.json": said}))
    assert [row["caption"] for row in rows_of(config)] == ["one"]


def test_every_loss_has_its_reason_and_takes_no_other_with_it(tmp_path: Path):
    members = [
        *sample("good", 0).items(),
        *sample("broken", 1, image=noise_image(1)[:600]).items(),
        ("bare.jpg", noise_image(2)),
        ("words.txt", b"a text alone"),
        ("latin.jpg", noise_image(3)),
        ("latin.txt", b"caf\xe9"),
        ("spoilt.jpg", noise_image(4)),
        ("spoilt.json", b'{"caption": '),
        ("deep.jpg", noise_image(4)),
        ("deep.json", b"[" * 100_000),
        *sample("gif", 5, image=b"GIF89a" + bytes(50), ending="gif").items(),
        *sample("void", 6, image=b"").items(),
        *sample("good", 7).items(),
        ("../../up.jpg", noise_image(8)),
        ("../../up.txt", b"out of the folder"),
        (".hidden.jpg", noise_image(9)),
        ("odd\x1b[31m.jpg", noise_image(10)),
        ("odd\x1b[31m.txt", b"an escape in a name"),
    ]
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", members))
    assert statuses(config) == {
        "x-good": "ok",
        "x-broken": "corrupt",
        "x-bare": "no_caption",
        "x-words": "no_image",
        "x-latin": "unreadable",
        "x-spoilt": "unreadable",
        "x-deep": "unreadable",
        "x-gif": "bad_format",
        "x-void": "no_image",
        "x-good~2": "duplicate_key",
        "x-%2E%2E%2F%2E%2E%2Fup": "ok",
        "x-odd%1B%5B31m": "ok",
    }
    through(config, "score", "dedup", "select")
    assert not list(tmp_path.rglob("up*"))


def test_a_tar_that_is_cut_short_gives_what_came_before(tmp_path: Path):
    source = write_tar(tmp_path / "x.tar", several(8))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    reasons = list(statuses(adopted(tmp_path, source)).values())
    assert reasons[0] == "ok" and reasons[-1] == "cut_short"


def test_links_and_devices_are_passed_over(tmp_path: Path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(noise_image(50))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "a.jpg"), (tarfile.LNKTYPE, "b.jpg"), (tarfile.CHRTYPE, "c.jpg")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            tar.addfile(info)
            text = tarfile.TarInfo(name.replace("jpg", "txt"))
            text.size = 4
            tar.addfile(text, io.BytesIO(b"text"))
    assert set(statuses(adopted(tmp_path, tmp_path / "x.tar")).values()) == {"no_image"}


def test_a_tar_of_too_many_samples_is_refused_with_a_remedy(tmp_path: Path):
    config = config_of(tmp_path, write_tar(tmp_path / "x.tar", several(5)), adopt={"max_samples": 4})
    with pytest.raises(UserError, match=r"more than adopt.max_samples=4 samples; repack"):
        run_step("adopt", config)


def test_a_folder_of_pictures_with_their_captions(tmp_path: Path):
    folder = tmp_path / "pictures"
    for seed, name in enumerate(["b/cat.jpg", "a dog.png", "a.jpg", "a.png", "untold.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(seed) if name.endswith("png") else noise_image(seed))
        if name != "untold.jpg":
            (folder / name).with_suffix(".txt").write_text(f" about {name}\n")
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    config = adopted(tmp_path, folder, adopt={"shard_size": 2})
    keys = ["a", "a%20dog", "a%2Epng", "b%2Fcat", "untold"]
    assert [row["key"] for row in rows_of(config)] == keys
    assert [row["status"] for row in rows_of(config)] == ["ok"] * 4 + ["no_caption"]
    assert rows_of(config)[1]["caption"] == "about a dog.png"
    assert len(shards_of(config.run)) == 3
    assert all(find(config, key).key == key for key in keys)


def test_files_as_img2dataset_writes_them_keep_their_urls(tmp_path: Path):
    """What is beside a picture and says nothing of url or caption, as outlines of objects do, is no column."""
    folder = tmp_path / "out"
    (folder / "00000").mkdir(parents=True)
    told = {"url": "http://a.test/0.jpg", "caption": "as served", "original_width": 800, "similarity": 0.5}
    for seed, about in enumerate([json.dumps(told), '{"shapes": [1], "imageData": "AAAA"}', '{"url": ', "[1]"]):
        (folder / "00000" / f"{seed}.jpg").write_bytes(noise_image(seed))
        (folder / "00000" / f"{seed}.txt").write_text(f"number {seed}")
        (folder / "00000" / f"{seed}.json").write_text(about)
    pq.write_table(pa.table({"key": ["0"], "status": ["success"]}), folder / "00000.parquet")
    rows = rows_of(adopted(tmp_path, folder))
    assert [(row["url"], row["caption"]) for row in rows] == [
        ("http://a.test/0.jpg" if seed == 0 else "", f"number {seed}") for seed in range(4)
    ]
    assert (rows[0]["original_width"], rows[0]["similarity"]) == (800, 0.5) and "shapes" not in rows[0]
    assert rows_of(adopted(tmp_path, folder, adopt={"caption": "caption"}))[0]["caption"] == "as served"
    (folder / "00000" / "0.json").write_text(json.dumps({**told, "url": "http://b.test/0.jpg"}))
    assert rows_of(adopted(tmp_path, folder))[0]["url"] == "http://b.test/0.jpg"


def test_endings_in_capitals_and_a_byte_order_mark_are_no_hindrance(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "CAT.JPG").write_bytes(noise_image(1))
    (folder / "CAT.TXT").write_text("a cat", encoding="utf-8-sig")
    config = adopted(tmp_path, folder)
    assert [(row["key"], row["caption"]) for row in rows_of(config)] == [("CAT", "a cat")]


def test_names_of_any_length_and_script_are_keys(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = ["猫" * 30, "猫" * 29 + "犬", "x" * 150]
    for seed, name in enumerate(names):
        (folder / f"{name}.jpg").write_bytes(noise_image(seed))
        (folder / f"{name}.txt").write_text(f"number {seed}")
    config = adopted(tmp_path, folder)
    keys = {row["caption"]: row["key"] for row in rows_of(config)}
    assert len({*keys.values()}) == 3 and max(map(len, keys.values())) <= 84
    assert images_of(config.run) == {keys[f"number {seed}"]: noise_image(seed) for seed in range(3)}
    with tarfile.open(Shard(config.run, 0).path(TAR)) as tar:
        assert sorted(tar.getnames())[::3] == sorted(f"{key}.jpg" for key in keys.values())
    assert all(find(config, key).key == key for key in keys.values())


def test_keys_of_any_length_in_a_tar_that_is_copied(tmp_path: Path):
    members = sample("k" * 90, 0, image=png(0), ending="png") | sample("k" * 91, 1) | sample("short", 2)
    config = adopted(tmp_path, write_tar(tmp_path / f"{'long' * 20}.tar", members))
    assert not Shard(config.run, 0).path(TAR).is_symlink()
    assert [row["status"] for row in rows_of(config)] == ["ok"] * 3
    assert all(len(row["key"]) <= 84 and find(config, row["key"]).key == row["key"] for row in rows_of(config))


def test_a_picture_that_comes_later_is_adopted_too(tmp_path: Path):
    for seed, name in enumerate(["a", "c", "b"]):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(noise_image(seed))
        (tmp_path / "pictures" / f"{name}.txt").write_text(f"about {name}")
        config = adopted(tmp_path, tmp_path / "pictures")
        assert len(rows_of(config)) == seed + 1
    assert [row["key"] for row in rows_of(config)] == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_folder_of_pictures_with_one_file_of_captions(tmp_path: Path, kind: str):
    folder = tmp_path / "pictures"
    (folder / "train").mkdir(parents=True)
    for seed in range(3):
        (folder / "train" / f"{seed}.jpg").write_bytes(noise_image(seed))
    rows = [{"file_name": f"train/{seed}.jpg", "text": f"number {seed}", "license": "CC0"} for seed in range(3)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    if kind == "csv":
        text = "file_name,text,license\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    (folder / f"metadata.{kind}").write_text(text)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet", row_group_size=2)
    config = adopted(tmp_path, folder)
    assert [(row["key"], row["caption"], row["license"]) for row in rows_of(config)] == [
        (f"train%2F{seed}", f"number {seed}", "CC0") for seed in range(3)
    ]


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_an_image_dataset_of_hugging_face(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    import datasets

    images = [{"bytes": data, "path": None} for data in (noise_image(0), png(1), noise_image(2))]
    columns = {"image": images, "caption": ["zero", "one", ""], "aesthetic": [1.5, 2.5, 3.5]}
    dataset = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    folder = tmp_path / "mine"
    if kind == "saved":
        dataset.save_to_disk(str(folder))
    else:
        (folder / "data").mkdir(parents=True)
        dataset.to_parquet(str(folder / "data" / "train-00000-of-00001.parquet"))
    config = adopted(tmp_path, folder)
    rows = rows_of(config)
    assert [(row["status"], row["caption"], row["aesthetic"]) for row in rows] == [
        ("ok", "zero", 1.5),
        ("ok", "one", 2.5),
        ("no_caption", "", 3.5),
    ]
    assert images_of(config.run)[rows[0]["key"]] == noise_image(0)


def test_a_path_in_the_place_of_an_image_is_told_and_not_followed(tmp_path: Path):
    (tmp_path / "0.jpg").write_bytes(noise_image(0))
    images = [{"bytes": None, "path": str(tmp_path / "0.jpg")}, {"bytes": noise_image(1), "path": "1.jpg"}, None]
    pq.write_table(pa.table({"image": images, "text": ["a", "b", "c"]}), tmp_path / "t.parquet")
    rows = rows_of(adopted(tmp_path, tmp_path / "t.parquet"), ["status", "detail"])
    assert [row["status"] for row in rows] == ["no_image", "ok", "no_image"]
    assert f"only its path, {tmp_path}/0.jpg; save_to_disk" in rows[0]["detail"] and rows[2]["detail"] == "empty"


def test_captions_are_found_by_the_names_that_other_tools_give_them(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "CAT.JPG").write_bytes(noise_image(0))
    (folder / "CAT.TXT").write_text("loud")
    assert [row["caption"] for row in rows_of(adopted(tmp_path, folder))] == ["loud"]
    pq.write_table(pa.table({"jpg": [noise_image(1)], "txt": ["of a tar"]}), tmp_path / "t.parquet")
    (tmp_path / "table").mkdir()
    assert [row["caption"] for row in rows_of(adopted(tmp_path / "table", tmp_path / "t.parquet"))] == ["of a tar"]


@pytest.mark.parametrize("kind", ["hub", "saved"])
def test_splits_that_become_one_run_are_told(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]):
    folder, places = tmp_path / "mine", []
    for number, split in enumerate(("test", "train")):
        place = f"data/{split}-00000-of-00001.parquet" if kind == "hub" else f"{split}/data-00000-of-00001.arrow"
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"image": [{"bytes": noise_image(number), "path": None}], "text": [split]})
        if kind == "hub":
            pq.write_table(table, path)
        else:
            (folder / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
            with pa.ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)
        places.append(f"{folder}/data/{split}-*" if kind == "hub" else f"{folder}/{split}")
    for given, captions in ((places[1:], ["train"]), ([str(folder)], ["test", "train"])):
        (tmp_path / str(len(captions))).mkdir()
        rows = rows_of(adopted(tmp_path / str(len(captions)), *map(Path, given)))
        assert sorted(row["caption"] for row in rows) == captions
        assert ("adopt: the splits test, train become one run" in capsys.readouterr().out) == (len(captions) > 1)


def test_two_folders_that_call_their_tars_alike_have_different_keys(tmp_path: Path):
    for name in "ab":
        write_tar(tmp_path / name / "00000.tar", several(2, start="00000"))
    config = adopted(tmp_path, tmp_path / "a", tmp_path / "b")
    assert [row["key"] for row in rows_of(config)] == [
        f"{number:02d}-00000-00000000{seed}" for number in range(2) for seed in range(2)
    ]


@pytest.mark.long
def test_what_is_there_is_skipped_and_what_changed_is_made_anew(tmp_path: Path):
    for number in range(3):
        write_tar(tmp_path / "mine" / f"{number}.tar", several(2, first=2 * number))
    config = adopted(tmp_path, tmp_path / "mine")
    assert run_step("adopt", config).skipped == 3
    write_tar(tmp_path / "mine" / "1.tar", several(3, first=20))
    outcome = run_step("adopt", config)
    assert (outcome.done, outcome.skipped, outcome.counts["ok"]) == (1, 2, 3)
    (tmp_path / "mine" / "2.tar").unlink()
    run_step("adopt", config)
    assert len(shards_of(config.run)) == 2 and not Shard(config.run, 2).path(PAIRS).exists()


def test_of_copies_over_shards_the_first_stays(tmp_path: Path):
    write_tar(tmp_path / "mine" / "a.tar", several(3, start="quite-a-long-name-"))
    write_tar(tmp_path / "mine" / "bb.tar", sample("z", 1) | sample("y", 9) | sample("x", 2))
    rules = {"exact": "not exact_copy", "once": "not caption_copy"}
    dedup = {"max_caption_count": 1, "distance": 0}
    config = adopted(tmp_path, tmp_path / "mine", select={"rules": rules}, dedup=dedup)
    through(config, "score", "dedup", "select")
    copies = pq.read_table(config.run / "duplicates.parquet").to_pylist()
    assert {(row["key"], row["kind"], row["keeper"]) for row in copies} == {
        (key, kind, f"a-quite-a-long-name-000{number}")
        for key, number in (("bb-z", 1), ("bb-x", 2))
        for kind in ("caption", "exact", "near")
    }
    assert not find(config, "bb-z").kept and find(config, "bb-y").kept
    assert any("exact copy of a-quite-a-long-name-0001" in line for line in find(config, "bb-z").lines)


def test_a_caption_that_changes_under_its_key_is_embedded_anew(tmp_path: Path):
    members = several(3)
    config = adopted(tmp_path, write_tar(tmp_path / "x.tar", members))
    through(config, *AFTER)
    members["0001.txt"] = b"quite another caption"
    write_tar(tmp_path / "x.tar", members)
    assert through(config, "adopt", *AFTER)["embed"] == {"kept": 3, "encoded": 1, "reused": 2}
    fresh = adopted(tmp_path / "fresh", tmp_path / "x.tar")
    through(fresh, *AFTER)
    (one,), (two,) = ([shard.path(".minilm.arrow") for shard in shards_of(each.run)] for each in (config, fresh))
    assert one.read_bytes() == two.read_bytes()


def test_equal_sources_give_equal_bytes(tmp_path: Path):
    members = several(3) | sample("p", 9, image=png(9), ending="png")
    source = write_tar(tmp_path / "mine" / "x.tar", members)
    os.utime(source, ns=(1, 1))
    made = []
    for name in ("one", "two"):
        config = adopted(tmp_path / name, tmp_path / "mine")
        made.append(
            {suffix: Shard(config.run, 0).path(suffix).read_bytes() for suffix in (TAR, PAIRS, ".urls.parquet")}
        )
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nothing", "is not there"),
        ("no*.tar", "nothing is like"),
        ("empty", "no tar, table or picture"),
        ("packed", "is packed in a way that is not read; unpack it"),
        ("urls", "has no column of images"),
        ("text.doc", "is neither a tar"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, source: str, says: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.tar.xz").write_bytes(b"")
    (tmp_path / "urls").mkdir()
    pq.write_table(pa.table({"url": ["http://a.test/"], "caption": ["a"]}), tmp_path / "urls" / "a.parquet")
    (tmp_path / "text.doc").write_bytes(b"")
    with pytest.raises(UserError, match=says):
        run_step("adopt", config_of(tmp_path, tmp_path / source))


def test_a_run_has_one_beginning(tmp_path: Path):
    with pytest.raises(UserError, match="give one of them"):
        config_of(tmp_path, tmp_path / "a", table=["b.parquet"])
    with pytest.raises(UserError, match="give one of them"):
        config_of(tmp_path)
    config = config_of(tmp_path, write_tar(tmp_path / "x.tar", several(1)))
    with pytest.raises(UserError, match="begins with shards, so plan is no step of its run; its steps: adopt"):
        run_step("plan", config)


def test_a_rule_on_a_column_that_nothing_makes_is_told_before_anything_is_read(tmp_path: Path):
    config = config_of(tmp_path, write_tar(tmp_path / "x.tar", several(1)), select={"rules": {"safe": "punsafe < 1"}})
    with pytest.raises(UserError, match="punsafe"):
        run_step("adopt", config)
    assert not (config.run / "plan.parquet").exists()


@pytest.mark.long
def test_ranks_that_share_the_work_make_what_one_makes(tmp_path: Path):
    for number in range(4):
        write_tar(tmp_path / "mine" / f"{number}.tar", several(2, first=2 * number))
    alone = adopted(tmp_path / "alone", tmp_path / "mine")
    shared = config_of(tmp_path / "shared", tmp_path / "mine")
    for rank in (2, 0, 1):
        run_step("adopt", shared, rank=rank, world_size=3)
    assert rows_of(alone) == rows_of(shared)
