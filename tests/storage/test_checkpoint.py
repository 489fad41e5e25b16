"""Checkpoints: what is written comes back, what is damaged is named, nothing unsealed or outside is read."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from storage import checkpoint
from storage.checkpoint import BrokenError, faults, read_about, read_tensors, read_track
from storage.marks import SEAL, with_seal

STAGE = {"stage": {"name": "base16"}, "text": {"encoder": "minilm"}}


def tensors_of(rank, kind="params"):
    draw = torch.Generator().manual_seed(rank + 10 * len(kind))
    return {f"layer{rank}.weight": torch.randn(3, 4, generator=draw), f"layer{rank}.bias": torch.zeros(4)}


def written(run, step=5, ranks=2, kinds=("params", "ema_ema", "exp_avg")):
    folder = checkpoint.folder_of(run, step)
    for rank in range(ranks):
        checkpoint.write_share(folder, rank, ((kind, tensors_of(rank, kind)) for kind in kinds))
    checkpoint.seal(folder, step=step, world_size=ranks, stage=STAGE, state={"step": step})
    return folder


def rewrite(folder, path, change):
    """Change a JSON file and make every mark above it right again, as one would who forges a checkpoint."""
    content = json.loads(path.read_text())
    change(content)
    if path.name == checkpoint.COMMIT:
        content = with_seal({name: value for name, value in content.items() if name != SEAL})
    path.write_text(json.dumps(content))
    if path.name != checkpoint.COMMIT:
        mark = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        name = str(path.relative_to(folder))
        rewrite(folder, folder / checkpoint.COMMIT, lambda commit: commit["files"].__setitem__(name, mark))


def test_what_is_written_comes_back(tmp_path):
    folder = written(tmp_path)
    assert (folder.name, checkpoint.step_of(folder)) == ("step_00000005", 5)
    assert faults(folder) == [] and read_about(folder) == (5, STAGE)
    assert (folder.parent / "latest").read_text() == "step_00000005\n"
    for track, kind in (("params", "params"), ("ema", "ema_ema")):
        expected = tensors_of(0, kind) | tensors_of(1, kind)
        tensors, tracks = read_track(folder, track)
        assert tracks == ["ema", "params"] and tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], value) for name, value in expected.items())
        one_by_one = dict(read_tensors(folder, kind))
        assert one_by_one.keys() == expected.keys()
        assert all(torch.equal(one_by_one[name], value) for name, value in expected.items())
    assert read_track(folder, "slow") == ({}, ["ema", "params"])
    assert [name for name, _ in read_tensors(folder, "exp_avg_sq")] == []


def test_equal_checkpoints_are_equal_bytes_and_no_pickle_is_among_them(tmp_path):
    folders = [written(tmp_path / run) for run in ("a", "b")]
    files = [{path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} for folder in folders]
    assert files[0] == files[1] and {path.suffix for path in files[0]} == {".json", ".safetensors"}


def test_only_committed_ones_count_newest_first(tmp_path):
    folders = [written(tmp_path, step) for step in (5, 10, 15)]
    assert checkpoint.committed(tmp_path) == folders[::-1] == checkpoint.committed(tmp_path / "checkpoints")
    (folders[1] / checkpoint.COMMIT).unlink()
    checkpoint.remove(folders[2])
    checkpoint.remove(folders[2])  # nothing is left to remove, and that is fine
    assert checkpoint.committed(tmp_path) == folders[:1] and not folders[2].exists()
    assert checkpoint.committed(tmp_path / "nothing") == []


def test_a_removal_that_is_cut_short_leaves_no_commit(tmp_path, monkeypatch):
    folder = written(tmp_path)

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.remove(folder)
    assert folder.exists() and checkpoint.committed(tmp_path) == []


FILES = ["rank_1/params.safetensors", "rank_0/manifest.json", "stage.json", "state.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "fault"), [("flip", "has other bytes than were written"), ("cut", "bytes, not"), ("remove", "missing")]
)
def test_faults_name_the_file_and_what_is_wrong(tmp_path, name, damage, fault):
    folder = written(tmp_path)
    hurt(folder / name, damage)
    lines = faults(folder)
    assert len(lines) == 1 and str(folder / name) in lines[0]
    if name.endswith(checkpoint.MANIFEST):  # what it listed is not known any more
        assert fault in lines[0] or "is not JSON" in lines[0] or "cannot be read" in lines[0]
    else:
        assert fault in lines[0]


def hurt(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
        return
    data[len(data) // 2] ^= 255
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)


def test_a_flip_in_a_commit_or_a_manifest_changes_nothing_or_is_broken(tmp_path):
    """With a flip the tensors are as before, or it is BrokenError and nothing else."""
    folder = written(tmp_path, ranks=1, kinds=("params",))
    whole = read_track(folder, "params")[0]
    for name in (checkpoint.COMMIT, f"rank_0/{checkpoint.MANIFEST}"):
        data = (folder / name).read_bytes()
        for place in range(len(data)):
            (folder / name).write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
            faults(folder)
            try:
                read_about(folder)
                tensors, _ = read_track(folder, "params")
            except BrokenError as error:
                assert str(folder) in str(error)
            else:
                assert tensors.keys() == whole.keys() and all(torch.equal(tensors[key], whole[key]) for key in whole)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("change", [{"step": 6}, {"world_size": 1}, {"further": 1}, {"files": {}}, {SEAL: "0" * 64}])
def test_an_edited_commit_is_noticed(tmp_path, change):
    folder = written(tmp_path)
    path = folder / checkpoint.COMMIT
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (line,) = faults(folder)
    assert line.startswith(f"{path} says something else than was written")
    with pytest.raises(BrokenError, match="says something else than was written"):
        read_about(folder)
    with pytest.raises(BrokenError, match="says something else than was written"):
        read_track(folder, "ema")


@pytest.mark.parametrize("change", [{}, {"step": 6}, {"world_size": 1}, {"further": 1}, {"files": {}}])
def test_a_commit_of_earlier_versions_has_no_seal_and_is_read_if_its_folder_bears_it_out(tmp_path, change):
    folder = written(tmp_path, ranks=2)
    path = folder / checkpoint.COMMIT
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != SEAL}
    path.write_text(json.dumps(content | change))
    if change:
        assert "its seal is missing" in faults(folder)[0]
    else:
        assert faults(folder) == [] and read_about(folder)[0] == content["step"]


def test_the_ranks_can_share_the_reading(tmp_path):
    folder = written(tmp_path, ranks=3)
    for name in FILES:
        if "manifest" not in name:
            hurt(folder / name, "flip")
    parts = [faults(folder, part=slice(rank, None, 3)) for rank in range(3)]
    assert sorted(line for lines in parts for line in lines) == sorted(faults(folder)) and len(faults(folder)) == 3


def test_the_bytes_that_are_parsed_are_the_bytes_that_were_checked(tmp_path, monkeypatch):
    """Whoever swaps a file right after its bytes were read is too late: it is not read again."""
    folder, read_bytes = written(tmp_path), Path.read_bytes
    expected = {**tensors_of(0, "ema_ema"), **tensors_of(1, "ema_ema")}
    swapped = []

    def read_and_swap(path):
        data = read_bytes(path)
        if path.suffix == ".safetensors" or path.name == checkpoint.STAGE:
            path.write_bytes(save({"swapped": torch.zeros(1)}) if path.suffix == ".safetensors" else b"{}")
            swapped.append(path.name)
        return data

    monkeypatch.setattr(Path, "read_bytes", read_and_swap)
    tensors, _ = read_track(folder, "ema")
    assert tensors.keys() == expected.keys() and all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert read_about(folder) == (5, STAGE)
    assert swapped == ["ema_ema.safetensors", "ema_ema.safetensors", "stage.json"]


def test_what_is_not_sealed_is_not_read(tmp_path):
    folder = written(tmp_path, ranks=1)
    stray = folder / "rank_1"
    stray.mkdir()
    (stray / "params.safetensors").write_bytes(save({"stray": torch.zeros(1)}))
    (folder / "rank_0" / "ema_slow.safetensors").write_bytes(save({"stray": torch.zeros(1)}))
    assert "stray" not in dict(read_tensors(folder, "params"))
    assert read_track(folder, "slow") == ({}, ["ema", "params"])


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hostname", "rank_0/../../outside", "..", "", "a\0b"])
def test_no_checkpoint_leads_out_of_its_folder(tmp_path, name):
    folder = written(tmp_path)
    rewrite(
        folder, folder / checkpoint.COMMIT, lambda commit: commit["files"].update({name: commit["files"][FILES[1]]})
    )
    for read in (
        lambda: read_about(folder),
        lambda: read_track(folder, "ema"),
        lambda: list(read_tensors(folder, "a")),
    ):
        with pytest.raises(BrokenError, match="has an entry that no checkpoint has"):
            read()
    assert len(faults(folder)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda commit: commit.pop("files"), "lists no files"),
        (lambda commit: commit["files"].clear(), "does not list stage.json"),
        (lambda commit: commit.pop("step"), "names no step"),
        (
            lambda commit: commit["files"].update({"stage.json": None}),
            "has an entry that no checkpoint has: 'stage.json'",
        ),
        (lambda commit: commit["files"]["stage.json"].pop("sha256"), "has an entry that no checkpoint has"),
    ],
)
def test_a_commit_that_says_too_little_is_broken(tmp_path, change, reason):
    folder = written(tmp_path)
    rewrite(folder, folder / checkpoint.COMMIT, change)
    with pytest.raises(BrokenError, match=rf"COMMIT\.json {reason}"):
        read_about(folder)


def test_a_commit_without_manifests_is_broken(tmp_path):
    folder = written(tmp_path, ranks=1)
    rewrite(folder, folder / checkpoint.COMMIT, lambda commit: commit["files"].pop("rank_0/manifest.json"))
    assert "lists no manifest.json" in faults(folder)[0]
    with pytest.raises(BrokenError, match=r"COMMIT\.json lists no manifest\.json"):
        read_track(folder, "ema")


def test_a_pickle_under_a_right_digest_is_not_loaded(tmp_path):
    folder = written(tmp_path, ranks=1)
    path = folder / "rank_0" / "ema_ema.safetensors"
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    mark = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
    rewrite(
        folder, folder / "rank_0" / checkpoint.MANIFEST, lambda manifest: manifest["files"].update({path.name: mark})
    )
    assert faults(folder) == []
    with pytest.raises(BrokenError, match=r"ema_ema\.safetensors is not safetensors"):
        read_track(folder, "ema")
