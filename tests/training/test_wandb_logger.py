"""The mirror in W&B: one run a training, curves from lines, no secret, and no harm where it breaks."""

import sys

import pytest

from training.wandb_logger import flat, run_id

from .small_training import losses


def test_the_id_of_the_mirror_is_made_once(tmp_path):
    assert run_id(tmp_path) == run_id(tmp_path) and len(run_id(tmp_path)) == 12


def test_lines_become_curves():
    line = {"event": "validation", "step": 3, "seen": 24, "held_out": {"gap": [0.5, 0.25]}, "folder": "x", "time": 1.5}
    assert flat(line) == {
        "step": 3,
        "seen": 24,
        "validation/held_out/gap/0": 0.5,
        "validation/held_out/gap/1": 0.25,
    }


def test_a_broken_mirror_does_not_stop_the_training(run, monkeypatch, capsys):
    import wandb

    def down(**_):
        raise ConnectionError("no route")

    monkeypatch.setattr(wandb, "init", down)
    folder, code = run("mine", wandb={"mode": "online"})
    assert code == 0 and len(losses(folder)) == 6
    assert "wandb: ConnectionError: no route; training goes on without it" in capsys.readouterr().err


@pytest.mark.long
def test_the_offline_mirror_holds_the_curves_and_no_secret(run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["corgi", "--token=canary-in-argv"])
    monkeypatch.setenv("SECRET_TOKEN", "canary-in-environment")
    folder, code = run("mine", wandb={"mode": "offline"})
    known = (folder / "wandb.json").read_text()
    (mirror,) = folder.glob("wandb/offline-run-*/*.wandb")
    assert code == 0 and mirror.stem.removeprefix("run-") in known
    assert b"step/loss" in mirror.read_bytes() and b"checkpoint/seconds" in mirror.read_bytes()
    for path in folder.rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes()
    assert run("mine", "steps=7", wandb={"mode": "offline"})[1] == 0
    assert (folder / "wandb.json").read_text() == known
