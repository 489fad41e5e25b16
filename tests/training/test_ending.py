"""How `corgi train` ends: what came of it, and commands that work as they are printed."""

import shlex
import time

import pytest

from configs import UserError
from storage.ledger import read_training
from storage.run import STOP
from storage.shard import TAR, Shard
from tests.factory import draw, write_run
from training.data.loader import Loader
from training.ending import last_lines
from training.trainer import Trainer

from .small_training import SR, events

LOOKS = {"every_steps": 3, "samples": 4, "buckets": 4, "grid": 2, "grid_steps": 2}


def test_it_ends_with_loss_gap_checkpoint_and_a_command_that_draws(run, tmp_path, capsys, monkeypatch):
    folder, _ = run("train/base 16", "stage.sampler.steps=2", validation=LOOKS)
    lines = [line.removeprefix("base16: ") for line in capsys.readouterr().err.splitlines()]
    last = events(folder, "validation")[-1]
    held_out, trained = last["held_out"], last["train"]
    assert held_out["mean_loss"] == pytest.approx(sum(held_out["loss"]) / 4)
    assert held_out["middle_gap"] == pytest.approx(sum(held_out["gap"][1:3]) / 2)
    assert lines[-3:] == last_lines(folder)
    said = f"held-out loss {held_out['mean_loss']:.4f}, caption gap {held_out['middle_gap']:.3f}"
    assert lines[-3] == (
        f"done at step 6, {said}; trained-on loss {trained['mean_loss']:.4f}, "
        f"caption gap {trained['middle_gap']:.3f} (at step 6)"
    )
    assert lines[-2] == f"checkpoint {folder}/checkpoints/step_00000006"
    corgi, name, *arguments = shlex.split(lines[-1].removeprefix("to sample it: "))
    assert (corgi, name) == ("corgi", "sample") and arguments[0] == str(folder)
    assert arguments[-1] == events(folder, "grid")[-1]["captions"][0]
    assert run("train/base 16", "stage.sampler.steps=2", validation=LOOKS)[1] == 0  # done already
    again = [line.removeprefix("base16: ") for line in capsys.readouterr().err.splitlines()]
    assert again == [f"6 steps are done already, see {folder}", *last_lines(folder)]


def test_a_stage_that_enlarges_names_the_stages_before_it(run, tmp_path):
    sr, _ = run("train/sr32", "steps=1", stage=SR)
    assert last_lines(sr)[-1] == "to sample it, train a stage of 16 px first: it enlarges what that one draws"
    base, _ = run("train/base16", "steps=1")
    assert last_lines(sr)[-1] == f"to sample it: corgi sample {base} {sr} --caption 'a red apple'"
    (tmp_path / "train/old/checkpoints/step_00000001").mkdir(parents=True)
    (tmp_path / "train/old/checkpoints/step_00000001/COMMIT.json").write_text("{}")
    (tmp_path / "train/old/config.yaml").write_text("run: x\nwrong: 1\n")
    assert f"{base} {sr}" in last_lines(sr)[-1]  # what nobody can read is no stage


@pytest.mark.parametrize(
    ("base", "sr", "named"),
    [
        ({}, {"ema": {}}, ["--ema", "params"]),
        ({"slow": {}, "fast": {"decay": 0.9}}, {"fast": {}, "ema": {}}, ["--ema", "fast"]),
        ({"slow": {}, "ema": {}}, {"ema": {}, "slow": {}}, []),
    ],
)
def test_the_command_that_draws_names_weights_that_all_stages_have(run, base, sr, named):
    first, _ = run("train/base16", "steps=1", ema=base)
    last, _ = run("train/sr32", "steps=1", stage=SR, ema=sr)
    words = shlex.split(last_lines(last)[-1].removeprefix("to sample it: "))
    assert words == ["corgi", "sample", str(first), str(last), *named, "--caption", "a red apple"]


def test_stopped_it_says_how_to_go_on(run, train, monkeypatch):
    step = Trainer.step

    def interrupted(self, batches):
        (self.config.run / STOP).touch()
        step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        folder, code = run("mine")
    assert code == 75
    (command,) = [line for line in last_lines(folder) if line.startswith("to go on: ")]
    corgi, name, file = shlex.split(command.removeprefix("to go on: "))
    assert (corgi, name) == ("corgi", "train") and train(file) == 0
    assert read_training(folder)[-1]["event"] == "done"


def test_images_that_could_not_be_used_are_counted_at_the_end(run, index):
    tar = Shard(index.parent, 0).path(TAR)
    whole = tar.read_bytes()
    try:
        tar.write_bytes(b"")
        folder, _ = run("mine")
    finally:
        tar.write_bytes(whole)
    noted = {
        (bad["shard"], key) for bad in events(folder, "bad_image") for key in [bad["key"], *(k for _, k in bad["also"])]
    }
    (line,) = [line for line in last_lines(folder) if "could not be used" in line]
    assert noted and line.startswith(f"{len(noted)} images could not be used, and others stood in; the last, ")


def test_one_pair_is_too_few_to_be_judged_by(run, tmp_path):
    alone = write_run(tmp_path / "alone", [[draw(1)]])
    folder, _ = run("mine", f"data.index={alone}", steps=1, validation=LOOKS)
    assert last_lines(folder)[0].startswith("done at step 1, never validated (")


def test_images_that_are_too_small_for_the_stage_say_so(run):
    stage = {**SR, "image_px": 64, "low_res_px": 32}
    with pytest.raises(UserError, match=r"no image of any shard can be used; that of .* 32 x 32 px"):
        run("mine", steps=1, stage=stage)


def test_a_mirrored_training_names_the_command_that_sends_it(run):
    folder, _ = run("mine", wandb={"mode": "offline"})
    (line,) = [line for line in last_lines(folder) if line.startswith("to send it to W&B: ")]
    assert shlex.split(line.removeprefix("to send it to W&B: ")) == ["corgi", "sync", str(folder)]


def test_time_and_memory_are_noted(run, index, monkeypatch):
    batch = Loader.batch

    def slow(self, positions):
        time.sleep(0.2)
        return batch(self, positions)

    monkeypatch.setattr(Loader, "batch", slow)
    folder, _ = run("mine", "steps=2")
    for line in events(folder, "step"):
        assert line["data_s"] >= 0.2 and line["compute_s"] > 0
        both_s = line["data_s"] + line["compute_s"]  # rounded to milliseconds
        assert line["data_share"] == pytest.approx(line["data_s"] / both_s, abs=5e-3)
        assert 0 < line["rss_mib"] <= line["peak_mib"]
