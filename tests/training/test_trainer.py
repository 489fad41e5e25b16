"""A small training in this process: goes on bit for bit, skips what is not finite, says what happened."""

import math

import numpy as np
import pytest
import torch
from safetensors import safe_open

from cascade import layers
from cascade.stage import build
from configs import UserError
from storage.checkpoint import committed
from storage.ledger import read_training
from storage.run import STOP
from training.ema import decay_at
from training.loss import DiffusionLoss
from training.trainer import Trainer

from .small_training import SR, config_of, digests, events, losses


@pytest.mark.parametrize("stage", ["base", "sr"])
def test_a_resumed_training_has_the_bytes_of_an_unbroken_one(run, stage):
    further = {"stage": SR} if stage == "sr" else {}
    unbroken, code = run("unbroken", **further)
    resumed, _ = run("resumed", "steps=3", **further)
    assert losses(resumed) == losses(unbroken)[:3]
    resumed, again = run("resumed", **further)
    assert code == again == 0
    assert digests(resumed, 6) == digests(unbroken, 6)
    assert losses(resumed) == losses(unbroken) and len(losses(unbroken)) == 6


def test_asked_to_stop_it_saves_leaves_with_75_and_goes_on(run, monkeypatch):
    unbroken, _ = run("unbroken")
    step = Trainer.step

    def interrupted(self, batches):
        if self.state.step == 1:
            (self.config.run / STOP).touch()
        step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        stopped, code = run("stopped")
    assert code == 75 and read_training(stopped)[-1]["event"] == "stopped"
    assert [folder.name for folder in committed(stopped)] == ["step_00000002"]
    _, code = run("stopped")
    assert code == 0 and digests(stopped, 6) == digests(unbroken, 6)


def test_a_finished_training_says_so(run, capsys):
    folder, _ = run("done")
    before = (folder / "ledger.jsonl").read_bytes()
    assert run("done")[1] == 0 and "6 steps are done already" in capsys.readouterr().err
    assert (folder / "ledger.jsonl").read_bytes() == before
    assert run("done", "steps=7")[1] == 0 and len(losses(folder)) == 7


def test_accumulation_changes_nothing_but_rounding(run):
    whole, _ = run("whole", batch=16, micro_batch=16)
    parts, _ = run("parts", batch=16, micro_batch=4)
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("zero", [1, 2])
def test_zero_in_one_process_gives_the_losses_and_resumes_too(run, monkeypatch, zero):
    plain, _ = run("plain", batch=16, micro_batch=8)
    for module in ("engine", "config"):
        monkeypatch.setattr(f"training.{module}.effective_zero", lambda config, world_size: config.zero)
    shared, _ = run("shared", batch=16, micro_batch=8, zero=zero)
    np.testing.assert_allclose(losses(shared), losses(plain), rtol=1e-5)
    run("resumed", "steps=3", batch=16, micro_batch=8, zero=zero)
    resumed, _ = run("resumed", batch=16, micro_batch=8, zero=zero)
    assert digests(resumed, 6) == digests(shared, 6)
    crossed, _ = run("crossed", "steps=3", batch=16, micro_batch=8, zero=zero)
    monkeypatch.undo()
    crossed, _ = run("crossed", batch=16, micro_batch=8)
    np.testing.assert_allclose(losses(crossed), losses(plain), rtol=1e-5)


def test_ema_is_its_closed_form(run, monkeypatch):
    weights: list[dict[str, torch.Tensor]] = []
    trainers: list[Trainer] = []
    step = Trainer.step

    def noted(self, batches):
        if not weights:
            trainers.append(self)
            weights.append(copied(self))
        step(self, batches)
        weights.append(copied(self))

    def copied(trainer):
        return {name: param.detach().double().clone() for name, param in trainer.engine.params.items()}

    monkeypatch.setattr(Trainer, "step", noted)
    run("mine", ema={"slow": {"decay": 0.999}, "fast": {"decay": 0.5, "warmup": "none"}})
    (trainer,) = trainers
    for track, config in trainer.config.ema.items():
        decays = [decay_at(config, updates=number) for number in range(6)]
        shares = [math.prod(decays)]
        shares += [(1 - decay) * math.prod(decays[number + 1 :]) for number, decay in enumerate(decays)]
        assert sum(shares) == pytest.approx(1)
        for name, average in trainer.ema.averages[track].items():
            expected = sum(share * weight[name] for share, weight in zip(shares, weights, strict=True))
            torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-7)
            assert not torch.equal(average.double(), weights[-1][name]) or not (weights[0][name] - expected).any()


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_a_loss_that_is_not_finite_changes_nothing_and_is_named(run, monkeypatch, zero):
    forward, calls = DiffusionLoss.forward, []

    def poisoned(self, batch):
        calls.append(batch)
        return forward(self, batch) * (float("inf") if len(calls) == 4 else 1.0)  # step 2, second micro-batch

    monkeypatch.setattr(DiffusionLoss, "forward", poisoned)
    for module in ("engine", "config"):
        monkeypatch.setattr(f"training.{module}.effective_zero", lambda config, world_size: zero)
    kept = {}
    step = Trainer.step

    def noted(self, batches):
        step(self, batches)
        kept[self.state.step] = ({n: p.detach().clone() for n, p in self.engine.params.items()}, self.state)

    monkeypatch.setattr(Trainer, "step", noted)
    folder, code = run("mine", micro_batch=4)
    assert code == 0 and len(losses(folder)) == 5
    (bad,) = events(folder, "bad_step")
    assert bad["step"] == 2 and bad["positions"] == [12, 13, 14, 15] and bad["keys"] == calls[3].keys
    assert all(torch.equal(kept[1][0][name], weight) for name, weight in kept[2][0].items())
    assert not all(torch.equal(kept[2][0][name], weight) for name, weight in kept[3][0].items())
    assert kept[2][1].updates == 1 and kept[6][1].updates == 5 and kept[6][1].seen == 48


def test_many_such_steps_in_a_row_end_the_training(run, monkeypatch):
    forward = DiffusionLoss.forward
    monkeypatch.setattr(DiffusionLoss, "forward", lambda self, batch: forward(self, batch) * torch.nan)
    with pytest.raises(UserError, match=r"3 steps in a row were not finite .*the last is step 3") as error:
        run("mine", optim={"max_bad_steps": 3})
    assert error.value.exit_code == 1


def test_bad_images_are_in_the_ledger(run, index):
    (index.parent / "000/00000.tar").unlink()
    folder, code = run("mine")
    bad = events(folder, "bad_image")
    assert code == 0 and bad and {line["shard"] for line in bad} == {0}
    assert len({line["position"] for line in bad}) == len(bad)


def test_bf16_trains_near_fp32(run):
    fp32, _ = run("fp32", steps=12)
    bf16, code = run("bf16", steps=12, precision="bf16")
    assert code == 0
    np.testing.assert_allclose(losses(bf16), losses(fp32), rtol=0.03)
    assert losses(bf16) != losses(fp32)


def test_gradients_are_clipped_alike(run, monkeypatch):
    runs = []
    for zero in (0, 1):
        for module in ("engine", "config"):
            monkeypatch.setattr(f"training.{module}.effective_zero", lambda config, world_size, zero=zero: zero)
        folder, _ = run(f"zero{zero}", optim={"lr": 1e-3, "clip": 0.05, "warmup_steps": 0})
        norms = [line["grad_norm"] for line in events(folder, "step")]
        assert min(norms) > 0.05
        runs.append((norms, losses(folder)))
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-3)  # Adam amplifies rounding


def test_parameters_are_named_as_the_net_names_them(run):
    folder, _ = run("mine", "steps=1")
    with safe_open(committed(folder)[0] / "rank_0/params.safetensors", framework="pt") as file:
        names = set(file.keys())
    net = build(config_of(folder, folder).stage)
    assert names == {name for name, _ in net.named_parameters()}


def test_activations_that_are_computed_again_give_the_same_training(run, monkeypatch):
    plain, _ = run("plain", "steps=2")
    checkpoint, calls = layers.checkpoint, []

    def counted(*args, **how):
        calls.append(args)
        return checkpoint(*args, **how)

    monkeypatch.setattr(layers, "checkpoint", counted)
    run("plain", "steps=2")
    assert not calls
    again, code = run("again", "steps=2", "recompute=block")
    assert code == 0 and calls and losses(again) == losses(plain) and digests(again, 2) == digests(plain, 2)
