"""Losses that stay bad: steps are skipped, then the training goes back and leaves their samples out, then it stops."""

from collections import Counter

import numpy as np
import pytest
import torch

from configs import UserError
from storage.atomic import read_json
from storage.checkpoint import committed
from storage.ledger import read, read_training
from training.changes import left_out_in, stretches
from training.data.positions import merged, of_step
from training.loss import DiffusionLoss
from training.run_folder import read_config
from training.trainer import Trainer
from training.why import steps_of_pair

from .small_training import digests, events, losses

CARELESS = {"lr": 2e-3, "warmup_steps": 5, "max_bad_steps": 2}


@pytest.fixture
def seen(monkeypatch):
    """Note (step, positions, keys) of every step that was tried."""
    tried = []
    step = Trainer.step

    def noted(self, batches):
        micro_batches = next(batches)
        positions = [int(position) for batch in micro_batches for position in batch.positions]
        tried.append((self.state.step + 1, positions, [key for batch in micro_batches for key in batch.keys]))
        step(self, iter([micro_batches]))

    monkeypatch.setattr(Trainer, "step", noted)
    return tried


def poison(monkeypatch, begin, end):
    """Let samples at these positions have no finite loss."""
    forward = DiffusionLoss.forward

    def poisoned(self, batch):
        bad = torch.tensor([begin <= position < end for position in batch.positions])
        return forward(self, batch) * torch.where(bad, torch.nan, 1.0)

    monkeypatch.setattr(DiffusionLoss, "forward", poisoned)


def test_it_goes_back_once_and_leaves_the_samples_out(run, seen, monkeypatch, capsys):
    poison(monkeypatch, 32, 48)  # steps 5 and 6 of 8 samples each
    folder, code = run("mine", steps=9, optim=CARELESS)
    assert code == 0 and "goes back to step 3 and leaves out positions 32 to 47" in capsys.readouterr().err
    (line,) = events(folder, "rewind")
    assert (line["step"], line["seen"], line["left_out"]) == (3, 24, [32, 48])
    assert [step for step, *_ in seen] == [1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9]
    assert [positions[0] for _, positions, _ in seen[6:]] == [24, 48, 56, 64, 72, 80]
    assert [line["step"] for line in events(folder, "step")] == list(range(1, 10)) and len(losses(folder)) == 9
    assert [line["step"] for line in read(folder) if line["event"] == "bad_step"] == [5, 6]
    assert events(folder, "bad_step") == []
    state = read_json(committed(folder)[0] / "state.json")
    assert state["left_out"] == [[32, 48]] and (state["step"], state["seen"]) == (9, 88)


def test_killed_after_going_back_it_trains_on_the_same_samples(run, seen, monkeypatch):
    with monkeypatch.context() as patch:
        poison(patch, 32, 48)
        whole, _ = run("whole", steps=9, optim=CARELESS)
        expected = [positions for _, positions, _ in seen[6:]]
        rewind = Trainer.rewind

        def dies(self):
            rewind(self)
            raise KeyboardInterrupt

        patch.setattr(Trainer, "rewind", dies)
        with pytest.raises(KeyboardInterrupt):
            run("killed", steps=9, optim=CARELESS)
    seen.clear()
    killed, code = run("killed", steps=9, optim=CARELESS)
    assert code == 0 and [positions for _, positions, _ in seen] == expected
    assert losses(killed) == losses(whole) and digests(killed, 9) == digests(whole, 9)


def test_why_tells_the_steps_that_really_saw_a_pair(run, seen, monkeypatch, index):
    poison(monkeypatch, 32, 48)
    folder, _ = run("mine", steps=9, optim=CARELESS)
    config = read_config(folder)
    assert config is not None
    last = {step: keys for step, _, keys in seen}
    for key in {key for keys in last.values() for key in keys}:
        told = next(steps for shard in range(3) if (steps := steps_of_pair(config, key, shard=shard)) is not None)
        assert Counter(told) == Counter(step for step, keys in last.items() for other in keys if other == key)


def test_where_going_back_does_not_help_it_stops(run, monkeypatch):
    poison(monkeypatch, 32, 10_000)
    with pytest.raises(UserError, match=r"2 steps in a row were not finite .* go on from step 3 with") as error:
        run("mine", steps=20, optim=CARELESS)
    assert error.value.exit_code == 1


def test_checkpoints_among_skipped_steps_are_no_progress(run, monkeypatch):
    """Each would be a place of its own to go back to, until the last step is reached without an update."""
    poison(monkeypatch, 16, 10_000)
    with pytest.raises(UserError, match=r"2 steps in a row were not finite"):
        run("mine", steps=12, checkpoint={"every_steps": 1}, optim=CARELESS)


def test_a_rewind_keeps_what_the_start_said_and_voids_the_rest(run, monkeypatch):
    poison(monkeypatch, 32, 48)
    run("mine", "steps=3", optim=CARELESS)
    folder, _ = run("mine", steps=9, optim=CARELESS)
    assert [line["step"] for line in read_training(folder) if line["event"] == "changed"] == [3]
    assert [line["event"] for line in read_training(folder)].count("rewind") == 1


def test_positions_of_steps():
    everything = [*range(0, 20), *range(30, 45), *range(50, 200)]
    at, found = 0, []
    for _ in range(12):
        step = of_step(at, batch=8, left_out=[(20, 30), (45, 50)])
        found += step.tolist()
        at = int(step[-1]) + 1
    assert found == everything[: 12 * 8]
    np.testing.assert_array_equal(of_step(5, batch=3), [5, 6, 7])
    assert merged([(20, 30), (10, 12), (30, 35), (11, 14)]) == [(10, 14), (20, 35)]


def test_stretches_know_what_was_left_out():
    lines = [
        {"event": "changed", "step": 2, "seen": 16, "changes": {"batch": [8, 4]}},
        {"event": "rewind", "step": 4, "seen": 24, "left_out": [30, 40]},
        {"event": "rewind", "step": 4, "seen": 24, "left_out": [42, 50]},
    ]
    parts = stretches(lines, batch=4)
    left_out = merged(left_out_in(lines))
    at, expected = 24, dict[int, int]()
    for step in range(5, 12):
        positions = of_step(at, batch=4, left_out=left_out)
        at = int(positions[-1]) + 1
        expected |= dict.fromkeys(positions.tolist(), step)
    told = {
        position: next(part for part in reversed(parts) if part.seen <= position).step_of(position)
        for position in expected
    }
    assert told == expected
