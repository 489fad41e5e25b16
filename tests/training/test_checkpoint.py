"""Checkpoints: a broken one never loads, the one before it does, and nothing is lost by removing old ones."""

import errno
import json
import shutil

import pytest
import safetensors.torch
import torch

from configs import UserError
from storage.atomic import read_json
from storage.checkpoint import committed, folder_of
from tests.factory import make_run
from training import checkpoint
from training.distributed import Ranks

from .conftest import train_afresh
from .small_training import digests, events, losses, values_of, write_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train six steps with checkpoints at 3 and 6, once."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_afresh(write_config(folder / "configs", values_of(folder / "mine", make_run(folder / "data")))) == 0
    return folder


@pytest.fixture
def saved(trained, tmp_path):
    """Copy that training; return its run and the means to run it again."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "mine"
    file = write_config(tmp_path / "configs", values_of(run, tmp_path / "data/index.parquet"))
    return run, lambda *overrides: train_afresh(file, overrides)


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    place = len(data) // 2 if at is None else at
    data[place] ^= 1
    path.write_bytes(data)


def test_the_layout(saved):
    run, _ = saved
    folder = folder_of(run, 6)
    assert sorted(path.name for path in folder.iterdir()) == ["COMMIT.json", "rank_0", "stage.json", "state.json"]
    tensors = {f"{name}.safetensors" for name in ("params", "exp_avg", "exp_avg_sq", "ema_ema")}
    assert {path.name for path in (folder / "rank_0").iterdir()} == {*tensors, "manifest.json"}
    assert set(read_json(folder / "rank_0/manifest.json")["files"]) == tensors
    assert set(read_json(folder / "COMMIT.json")["files"]) == {"rank_0/manifest.json", "stage.json", "state.json"}
    assert (run / "checkpoints/latest").read_text() == "step_00000006\n"
    state = checkpoint.TrainState.model_validate(read_json(folder / "state.json"))
    assert (state.step, state.seen, state.updates, state.bad_steps) == (6, 48, 6, 0)
    assert set(read_json(folder / "stage.json")) == {"stage", "text", "max_tokens"}


FILES = ["rank_0/params.safetensors", "rank_0/exp_avg.safetensors", "rank_0/exp_avg_sq.safetensors"]
FILES += ["rank_0/ema_ema.safetensors", "rank_0/manifest.json", "stage.json", "state.json", "COMMIT.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("hurt", ["flipped", "cut", "gone"])
def test_hurt_files_are_found_and_named(saved, name, hurt):
    run, _ = saved
    path = folder_of(run, 6) / name
    if hurt == "flipped":
        flip(path, at=1 if name == "COMMIT.json" else None)
    elif hurt == "cut":
        path.write_bytes(path.read_bytes()[:-1] if name != "COMMIT.json" else b"{")
    else:
        path.unlink()
    newest, passed = checkpoint.newest(run, ranks=lone())
    assert newest == folder_of(run, 3)
    if name == "COMMIT.json":
        assert bool(passed) == (hurt != "gone")  # without a COMMIT the folder does not count at all
    else:
        assert any(name.split("/")[-1] in line or "manifest" in line for line in passed)


def lone():
    return Ranks(0, 1, torch.device("cpu"))


def test_it_falls_back_says_so_and_ends_with_the_same_bytes(saved, capsys):
    run, again = saved
    whole, before = digests(run, 6), losses(run)
    flip(folder_of(run, 6) / "rank_0/params.safetensors")
    assert again() == 0
    lines = capsys.readouterr().err
    assert "passed over: " in lines and "params.safetensors has other bytes" in lines and "goes on from step 3" in lines
    assert digests(run, 6) == whole and losses(run) == before
    (restart,) = events(run, "restart")
    assert restart["step"] == 3 and "params.safetensors" in restart["passed_over"][0]


def test_where_none_is_whole_nothing_is_started_anew(saved):
    run, again = saved
    for step in (3, 6):
        flip(folder_of(run, step) / "rank_0/exp_avg.safetensors")
    with pytest.raises(UserError, match=r"is whole: .*exp_avg.safetensors has other bytes") as error:
        again()
    assert error.value.exit_code == 1


def test_old_ones_go_once_newer_ones_are_committed(saved):
    run, again = saved
    assert again("steps=12") == 0
    assert [folder.name for folder in committed(run)] == ["step_00000012", "step_00000009"]
    assert not folder_of(run, 3).exists()


def test_what_a_killed_save_left_is_written_over(saved):
    run, again = saved
    whole = digests(run, 6)
    torn = folder_of(run, 6)
    (torn / "COMMIT.json").unlink()
    (torn / "rank_0/exp_avg.safetensors").write_bytes(b"half")
    shutil.copytree(torn / "rank_0", torn / "rank_1")  # of a larger world
    assert again() == 0 and digests(run, 6) == whole


def test_a_full_disk_leaves_the_one_before_whole_and_is_one_line(saved, monkeypatch, capsys):
    run, again = saved
    write, calls = safetensors.torch.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(tensors, path)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError, match=r"step 9 could not be saved \(rank 0: No space left on device\)") as error:
        again("steps=9")
    assert error.value.exit_code == 1 and "step 6 is the last that stands" in str(error.value)
    assert sorted(folder.name[-1] for folder in (run / "checkpoints").glob("step_*")) == ["3", "6"]
    assert [line["step"] for line in events(run, "not_saved")] == [9]
    calls.clear()
    assert again("steps=12") == 0  # the save at step 9 fails again, that of step 12 does not
    assert "step 9 could not be saved (rank 0: No space left on device)" in capsys.readouterr().err
    assert [folder.name for folder in committed(run)] == ["step_00000012", "step_00000006"]
    assert [line["step"] for line in events(run, "not_saved")] == [9]
    calls.clear()
    with pytest.raises(UserError, match=r"step 15 could not be saved"):
        again("steps=18", "checkpoint.on_error=stop")


def test_nothing_in_it_depends_on_the_clock_or_is_a_pickle(saved):
    run, _ = saved
    folder = folder_of(run, 6)
    for path in folder.rglob("*.json"):
        assert "time" not in json.loads(path.read_text())
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_the_sampler_reads_what_training_wrote(saved):
    from cascade.weights import load_stage

    run, _ = saved
    loaded = load_stage(run)
    assert (loaded.step, loaded.track, loaded.config.name) == (6, "ema", "base16")
    assert loaded.max_tokens == 256  # of text.max_tokens
    raw = load_stage(run, track="params")
    names = dict(raw.net.named_parameters())
    assert any(not torch.equal(weight, names[name]) for name, weight in loaded.net.named_parameters())
