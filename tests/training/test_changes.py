"""A training goes on with other settings: from the step where it was saved, noted once, and never out of order."""

import os
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from configs import UserError
from storage.checkpoint import committed, folder_of, read_track
from storage.ledger import read, read_training
from tests.factory import make_run
from training import beginning
from training.changes import settings, stretches
from training.config import TrainConfig
from training.data.order import Order
from training.loss import DiffusionLoss
from training.run_folder import read_config
from training.status import stages_of
from training.trainer import Trainer
from training.why import steps_of_pair, untold_until

from .processes import exit_code_of, fork
from .small_training import SR, config_of, digests, events, losses, values_of, write_config
from .test_run_folder import digest_of


def steps_at(keys_seen: dict[int, list[str]], key: str) -> list[int]:
    """Return the steps that saw a pair, from what they saw."""
    return [step for step in sorted(keys_seen) for other in keys_seen[step] if other == key]


def config_in(folder: Path) -> TrainConfig:
    """Return the config that stands in a training's folder."""
    config = read_config(folder)
    assert config is not None
    return config


def test_settings_leave_out_where_it_runs(tmp_path):
    config = config_of(tmp_path, tmp_path / "index.parquet")
    same = {"processes": 4, "zero": 2, "wandb": {"mode": "offline"}, "log_every_steps": 3}
    assert settings(config) == settings(config_of(tmp_path / "b", tmp_path / "other.parquet", **same))
    other = settings(config_of(tmp_path, tmp_path / "index.parquet", seed=8, micro_batch=2))
    assert [key for key, value in other.items() if settings(config)[key] != value] == ["micro_batch", "seed"]
    assert settings(config_of(tmp_path, tmp_path / "i", optim={"schedule": "cosine"}))["optim.cosine_steps"] == 6


def test_it_goes_on_with_another_lr_and_says_from_which_step(run, capsys):
    unbroken, _ = run("unbroken")
    folder, _ = run("mine", "steps=3")
    folder, code = run("mine", "optim.lr=1e-4", "optim.clip=0.5", "precision=bf16")
    assert code == 0 and losses(folder)[:3] == losses(unbroken)[:3]
    assert losses(folder)[3] == pytest.approx(losses(unbroken)[3], rel=0.03)  # the same weights, in bf16
    assert [line["lr"] for line in events(folder, "step")][3:] == pytest.approx([8e-5, 1e-4, 1e-4])
    (line,) = events(folder, "changed")
    assert (line["step"], line["seen"]) == (3, 24)
    assert line["changes"] == {
        "optim.clip": [1.0, 0.5],
        "optim.lr": [2e-3, 1e-4],
        "precision": ["fp32", "bf16"],
        "steps": [3, 6],
    }
    said = "from step 3 on: optim.clip 1.0 -> 0.5, optim.lr 0.002 -> 0.0001, precision fp32 -> bf16, steps 3 -> 6"
    assert said in capsys.readouterr().err
    assert f", {said.replace(' on:', ':')}" in stages_of(folder)[0].sentence
    assert config_in(folder).optim.lr == 1e-4


@pytest.mark.parametrize("change", ["micro_batch=4", "checkpoint.every_steps=2", "validation.samples=5"])
def test_a_change_that_changes_nothing_leaves_the_weights_as_an_unbroken_run(run, change):
    unbroken, _ = run("unbroken")
    run("mine", "steps=3")
    folder, _ = run("mine", change)
    assert change.partition("=")[0] in events(folder, "changed")[0]["changes"]
    mine, theirs = (digests(each, 6) for each in (folder, unbroken))
    differing = {name for name in theirs if mine[name] != theirs[name]}
    if change == "micro_batch=4":
        np.testing.assert_allclose(losses(folder), losses(unbroken), rtol=1e-5)
    else:
        assert differing == {"state.json", "COMMIT.json"} and losses(folder) == losses(unbroken)
    resumed, _ = run("mine", change, "steps=7")
    assert [line["step"] for line in events(resumed, "changed")] == [3, 6]  # steps grew; the rest is not said again


@pytest.mark.long
def test_another_batch_goes_on_at_the_same_position(run, index, keys_seen):
    run("whole", "steps=9", "batch=8")
    in_order = [key for step in sorted(keys_seen) for key in keys_seen[step]]
    keys_seen.clear()
    run("mine", "steps=3")
    run("mine", "steps=5", "batch=12", "micro_batch=4")
    folder, _ = run("mine", "steps=8", "batch=4", "micro_batch=2")
    mine = [key for step in sorted(keys_seen) for key in keys_seen[step]]
    assert [len(keys_seen[step]) for step in sorted(keys_seen)] == [8] * 3 + [12] * 2 + [4] * 3
    assert mine == in_order[:60] and events(folder, "step")[-1]["seen"] == 60
    parts = stretches(read_training(folder), batch=4)
    assert [(part.step, part.seen, part.batch) for part in parts] == [(0, 0, 8), (3, 24, 12), (5, 48, 4)]
    config = config_in(folder)
    for key in dict.fromkeys(in_order):
        assert steps_at(keys_seen, key) in [steps_of_pair(config, key, shard=shard) for shard in range(3)]


def test_times_of_another_batch_lie_in_all_its_parts(run, monkeypatch):
    times = []
    forward = DiffusionLoss.forward

    def noted(self, batch):
        times.append(batch.time)
        return forward(self, batch)

    monkeypatch.setattr(DiffusionLoss, "forward", noted)
    run("mine", "steps=3")
    run("mine", "steps=4", "batch=5", "micro_batch=5")  # 24 is no multiple of 5
    assert sorted((times[-1] * 5).long().tolist()) == [0, 1, 2, 3, 4]


def test_a_new_track_of_averages_begins_with_the_weights_of_then(run):
    run("mine", "steps=3")
    (before,) = [read_track(folder_of(run("mine", "steps=3")[0], 3), "params")[0]]
    folder, _ = run("mine", "steps=4", ema={"ema": {"decay": 0.99}, "slow": {"decay": 0.999, "warmup": "none"}})
    after, tracks = read_track(folder_of(folder, 4), "slow")
    raw, _ = read_track(folder_of(folder, 4), "params")
    assert tracks == ["ema", "params", "slow"]
    for name, average in after.items():
        torch.testing.assert_close(average, before[name].lerp(raw[name], 0.001))
    assert events(folder, "changed")[0]["changes"]["ema.slow.decay"] == [None, 0.999]
    folder, _ = run("mine", "steps=5", ema={"slow": {"decay": 0.999, "warmup": "none"}})
    assert read_track(folder_of(folder, 5), "slow")[1] == ["params", "slow"]


@pytest.mark.parametrize("good_steps", [0, 4])
def test_after_an_abort_for_nan_its_advice_works_as_printed(run, train, monkeypatch, good_steps):
    forward, calls = DiffusionLoss.forward, []

    def poisoned(self, batch):
        calls.append(batch)
        return forward(self, batch) * (torch.nan if len(calls) > good_steps else 1.0)

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"2 steps in a row were not finite") as error:
        patch.setattr(DiffusionLoss, "forward", poisoned)
        run("mine", optim={"lr": 2e-3, "warmup_steps": 0, "max_bad_steps": 2})
    first = 3 if good_steps else 0  # a checkpoint every three steps
    assert f"go on from step {first} with a lower learning rate than 0.002" in str(error.value)
    (advice,) = re.findall(r"corgi (train .*)$", str(error.value))
    _, file, override = shlex.split(advice)
    assert override == "optim.lr=0.0005" and train(file, [override]) == 0
    folder = Path(file).parent
    assert len(losses(folder)) == 6
    assert [line["lr"] for line in events(folder, "step")] == [2e-3] * first + [5e-4] * (6 - first)
    assert [line["step"] for line in events(folder, "changed")] == ([3] if first else [])


def test_it_starts_from_the_weights_of_another_training(run, monkeypatch):
    other, _ = run("other")
    started: dict[str, torch.Tensor] = {}
    step = Trainer.step

    def noted(self, batches):
        started.update({name: param.detach().clone() for name, param in self.engine.params.items()})
        started.update({f"ema/{name}": tensor.clone() for name, tensor in self.ema.averages["ema"].items()})
        step(self, batches)

    monkeypatch.setattr(Trainer, "step", noted)
    for track in ("ema", "params"):
        weights, _ = read_track(committed(other)[0], track)
        folder, code = run(f"from-{track}", "steps=1", "seed=8", f"init_from={other}", f"init_track={track}")
        assert code == 0 and all(torch.equal(started[name], tensor) for name, tensor in weights.items())
        assert all(torch.equal(started[f"ema/{name}"], tensor) for name, tensor in weights.items())
        (line,) = events(folder, "init")
        assert (line["step"], line["track"], line["folder"]) == (0, track, str(folder_of(other, 6)))
    began = losses(run("from-ema", "steps=1", "seed=8", f"init_from={other}")[0])
    assert began == losses(folder.parent / "from-ema") and len(began) == 1
    folder, _ = run("from-ema", "steps=2", "seed=8")  # once begun, init_from may go
    assert len(losses(folder)) == 2 and len(events(folder, "init")) == 1


def test_another_net_hands_on_nothing(run, tmp_path):
    other, _ = run("other", "steps=1")
    with pytest.raises(UserError) as error:
        run("mine", "stage.model.text_dim=32", f"init_from={other}")
    assert len(str(error.value).splitlines()) == 1 and "tensors differ: " in str(error.value)
    named = re.findall(r"(\S+) is \([\d, ]*\) there, \([\d, ]*\) here", str(error.value))
    assert [str(len(named))] == re.findall(r"(\d+) tensors differ", str(error.value)) and named
    with pytest.raises(UserError, match=r"has no track 'slow'; it has ema, params"):
        run("mine", f"init_from={other}", "init_track=slow")
    with pytest.raises(UserError, match=r"nowhere has no committed checkpoint"):
        run("mine", f"init_from={tmp_path / 'nowhere'}")
    assert not (tmp_path / "mine").exists()


@pytest.mark.long
@pytest.mark.parametrize("pairs", [18, 30])
def test_a_changed_index_is_taken_when_it_is_accepted(run, train, index, tmp_path, keys_seen, capsys, pairs):
    folder, _ = run("mine", "steps=2")  # 16 of 24
    before = digest_of(folder)
    make_run(index.parent, pairs=pairs)
    file = write_config(tmp_path / "configs/mine", values_of(folder, index, steps=12))
    with pytest.raises(UserError, match=r"has changed since .* began \(\d+ samples then, \d+ now\).*--accept-new-data"):
        train(file)
    assert digest_of(folder) == before
    keys_seen.clear()
    assert train(file, accepts_new_data=True) == 0
    (line,) = events(folder, "changed")
    samples = line["changes"]["data.samples"][1]
    assert (line["step"], line["seen"]) == (2, 16) and "data.content" in line["changes"]
    assert (
        f"from position 16 on samples follow the new index, from the start of an epoch: each of its {samples} comes"
        in (" ".join(capsys.readouterr().err.split()))
    )
    new = [key for step in sorted(keys_seen) for key in keys_seen[step]]
    epochs = [new[first : first + samples] for first in range(0, len(new) - samples + 1, samples)]
    assert epochs and all(len(set(epoch)) == samples for epoch in epochs)  # nothing twice, nothing skipped
    config = config_in(folder)
    assert untold_until(config) == 2
    for key in dict.fromkeys(new):
        assert steps_at(keys_seen, key) in [steps_of_pair(config, key, shard=shard) for shard in range(3)]


def test_a_new_index_goes_on_the_same_after_a_stop(run, train, index, tmp_path, keys_seen):
    run("mine", "steps=3")
    make_run(index.parent, pairs=18)

    def go_on(steps: int, *, accepts: bool) -> list[list[str]]:
        keys_seen.clear()
        file = write_config(tmp_path / "configs/mine", values_of(tmp_path / "mine", index, steps=steps))
        assert train(file, accepts_new_data=accepts) == 0
        return [keys_seen[step] for step in sorted(keys_seen)]

    parts = go_on(5, accepts=True) + go_on(8, accepts=False)
    assert [line["step"] for line in events(tmp_path / "mine", "changed")] == [3, 5]
    order = Order([4] * 3, seed=7, window_shards=2, begins=24)
    assert order.at([24]).epoch.tolist() == [24] and len(parts) == 5
    with pytest.raises(ValueError, match="position 23 is before 24"):
        order.at([23])


def dies(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_note() -> None:
    setattr(beginning, "note", dies)  # noqa: B010


def die_after_the_note() -> None:
    note = beginning.note

    def note_and_die(*arguments):
        note(*arguments)
        dies()

    beginning.note = note_and_die


def die_at_the_first_step() -> None:
    setattr(Trainer, "step", dies)  # noqa: B010


@pytest.mark.long
@pytest.mark.parametrize("dies", [die_before_the_note, die_after_the_note, die_at_the_first_step])
def test_a_kill_neither_loses_nor_doubles_the_note(run, tmp_path, index, dies):
    folder, _ = run("mine", "steps=3")
    optim = {"lr": 1e-4, "warmup_steps": 5}
    file = write_config(tmp_path / "configs" / "mine", values_of(folder, index, optim=optim))
    assert exit_code_of(fork(file, before=dies)) == -signal.SIGKILL
    run("mine", optim=optim)
    assert [(line["step"], line["changes"]["optim.lr"]) for line in events(folder, "changed")] == [(3, [2e-3, 1e-4])]
    whole, _ = run("whole", "steps=3")
    run("whole", optim=optim)
    assert digests(whole, 6) == digests(folder, 6)
    assert sum(line["event"] == "changed" for line in read(folder)) <= 2  # what each start said


def test_a_change_taken_back_before_it_mattered_is_none(run, monkeypatch):
    unbroken, _ = run("unbroken")
    run("mine", "steps=3")

    def fails(self, batches):
        raise UserError("no")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="no"):
        patch.setattr(Trainer, "step", fails)
        run("mine", "optim.lr=0.1")
    folder, _ = run("mine")
    assert [line["changes"] for line in events(folder, "changed")] == [{"steps": [3, 6]}]
    assert digests(folder, 6) == digests(unbroken, 6)


def test_a_stage_that_enlarges_goes_on_with_another_batch(run):
    run("mine", "steps=3", stage=SR)
    folder, code = run("mine", "batch=4", "micro_batch=4", stage=SR)
    assert code == 0 and events(folder, "changed")[0]["changes"]["batch"] == [8, 4]
    assert yaml.safe_load((folder / "config.yaml").read_text())["batch"] == 4
