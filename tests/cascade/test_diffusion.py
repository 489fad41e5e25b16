"""The arithmetic of diffusion: heads agree, a weighting is the same for all of them, schedules end right."""

import json
import math
from typing import Any

import pytest
import torch

from cascade.diffusion import (
    DiffusionConfig,
    add_noise,
    alpha,
    aug_log_snr,
    augment,
    log_snr_at,
    loss_per_sample,
    loss_weight,
    sigma,
    stratified_times,
    to_x,
    training_target,
)
from cascade.stage import StageConfig
from configs import resolve

from .nets import SR

HEADS: list[Any] = ["eps", "x", "v"]
WEIGHTINGS: list[Any] = ["eps", "x", "v", "min_snr", "sigmoid"]
SCHEDULES: list[Any] = ["cosine", "linear"]
AUG_SCHEDULES: list[Any] = ["cosine", "linear"]


def noised(log_snr, dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(len(log_snr), 3, 4, 4, generator=draw, dtype=torch.float64).to(dtype) * 2 - 1
    noise = torch.randn(x.shape, generator=draw, dtype=torch.float64).to(dtype)
    return x, noise, add_noise(x, noise=noise, log_snr=log_snr)


@pytest.mark.parametrize(
    ("head", "widest", "dtype", "tolerance"),
    [
        ("v", 15, torch.float32, 3e-6),  # 2e-6 on numbers up to 1; noise goes to 3
        ("x", 5, torch.float32, 1e-5),  # eps and x lose digits like 1/alpha and 1/sigma
        ("eps", 5, torch.float32, 1e-5),
        ("x", 15, torch.float64, 1e-9),
        ("eps", 15, torch.float64, 1e-9),
    ],
)
def test_every_head_gives_back_x(head, widest, dtype, tolerance):
    log_snr = torch.linspace(-widest, widest, 61, dtype=dtype)
    x, noise, z = noised(log_snr, dtype)
    output = training_target(head, x=x, noise=noise, log_snr=log_snr)
    assert (to_x(head, output, z=z, log_snr=log_snr) - x).abs().max() < tolerance


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("schedule", ["cosine", "shifted_cosine", "linear"])
def test_a_weighting_is_the_same_loss_for_every_head(weighting, schedule):
    log_snr = torch.linspace(-9, 9, 19, dtype=torch.float64)
    x, noise, z = noised(log_snr, torch.float64)
    guess = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    a, s = alpha(log_snr)[:, None, None, None], sigma(log_snr)[:, None, None, None]
    guess_eps = (z - a * guess) / s
    outputs = {"x": guess, "eps": guess_eps, "v": a * guess_eps - s * guess}
    losses = [
        loss_per_sample(
            DiffusionConfig(prediction=head, weighting=weighting, schedule=schedule, shift=0.0),
            outputs[head],
            x=x,
            noise=noise,
            log_snr=log_snr,
        )
        for head in HEADS
    ]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=2e-3, atol=1e-9)  # errors are taken in fp32


def test_the_paper_s_loss_is_plain_squared_error_in_eps():
    config = DiffusionConfig(prediction="eps", weighting="eps")
    assert torch.equal(loss_weight(config, torch.linspace(-20, 20, 41)), torch.ones(41))


def test_min_snr_stops_growing_at_its_gamma():
    config = DiffusionConfig(prediction="x", weighting="min_snr", min_snr=5)
    weights = loss_weight(config, torch.tensor([-2.0, math.log(5), 3.0, 15.0]))
    torch.testing.assert_close(weights, torch.tensor([math.exp(-2), 5, 5, 5]))


def test_sigmoid_weighting_is_uniform_in_log_snr_with_sid2_s_weight():
    """Summed over uniform times, the loss must be the integral over log-SNR that SiD2 states."""
    config = DiffusionConfig(prediction="eps", weighting="sigmoid", sigmoid_bias=-1.0)
    t = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    log_snr = log_snr_at(config, t)
    inside = (log_snr > -8) & (log_snr < 8)
    over_time = (loss_weight(config, log_snr).double() * inside).mean()
    grid = torch.linspace(-8, 8, 100_001, dtype=torch.float64)
    # uniform t gives log-SNR the density 1 / (2 pi speed); eps weight: sigmoid(b - lambda), up to the constant e^b
    integral = torch.trapezoid(torch.sigmoid(-1.0 - grid) * math.exp(1.0), grid) / (2 * math.pi)
    assert over_time.item() == pytest.approx(integral.item(), rel=1e-3)


def test_weights_stay_finite_to_the_ends_of_every_schedule():
    for weighting in WEIGHTINGS:
        for head in HEADS:
            for schedule in SCHEDULES:
                config = DiffusionConfig(prediction=head, weighting=weighting, schedule=schedule)
                assert loss_weight(config, log_snr_at(config, torch.linspace(0, 1, 101))).isfinite().all()


def test_schedules_end_where_the_paper_s_do():
    ends = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    cosine = log_snr_at(DiffusionConfig(), ends).tolist()
    assert cosine == pytest.approx([20, 0, -20], abs=1e-9)
    linear = log_snr_at(DiffusionConfig(schedule="linear"), ends).tolist()
    assert (linear[0], linear[2]) == (pytest.approx(9.21, abs=0.01), pytest.approx(-10.12, abs=0.01))
    shifted = log_snr_at(DiffusionConfig(schedule="shifted_cosine", shift=-2.77), ends)
    assert shifted[1].item() == pytest.approx(-2.77)
    times = torch.linspace(0, 1, 4001, dtype=torch.float64)
    for schedule in SCHEDULES:
        assert (log_snr_at(DiffusionConfig(schedule=schedule), times).diff() <= 0).all()


def test_a_shift_without_its_schedule_is_refused():
    with pytest.raises(ValueError, match="shifted_cosine"):
        DiffusionConfig(shift=-1.0)


def test_stratified_times_hit_every_part_once_and_depend_on_nothing_else():
    uniform = torch.rand(64, generator=torch.Generator().manual_seed(0))
    place = torch.arange(64)
    times = stratified_times(uniform, place=place, count=64)
    assert torch.equal((times * 64).floor().long(), place)
    part = stratified_times(uniform[16:32], place=place[16:32], count=64)
    assert torch.equal(part, times[16:32])


def test_the_target_is_a_function_of_data_and_noise_only():
    log_snr = torch.zeros(2)
    x, noise, _ = noised(log_snr)
    config = DiffusionConfig(prediction="x", weighting="x")
    output = torch.zeros_like(x, requires_grad=True)
    first = loss_per_sample(config, output, x=x, noise=noise, log_snr=log_snr)
    torch.testing.assert_close(first, x.square().flatten(1).mean(1))


def test_augmentation_level_zero_is_the_clean_image_and_levels_are_each_image_s_own():
    low_res = torch.rand(3, 3, 8, 8) * 2 - 1
    noise = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    level = torch.tensor([0.0, 0.3, 1.0])
    noisy = augment(low_res, noise=noise, level=level, schedule="cosine")
    assert torch.equal(noisy[0], low_res[0])
    torch.testing.assert_close(noisy[2], noise[2], atol=1e-3, rtol=0)
    assert 0.1 < (noisy[1] - low_res[1]).std() < 0.7
    for schedule in AUG_SCHEDULES:
        assert aug_log_snr(level, schedule=schedule).diff().lt(0).all()
    assert aug_log_snr(level, schedule="cosine")[[0, 2]].tolist() == [20, -20]


def test_what_an_augmentation_level_means_is_stored_and_follows_no_default(monkeypatch):
    """A trained net was told levels by the schedule in its stage.json; new defaults of a config class come later."""
    stored = json.loads(json.dumps(SR.model_dump(mode="json")))
    assert stored["aug_schedule"] == "cosine"
    of_before = {name: value for name, value in stored.items() if name != "aug_schedule"}
    assert resolve(StageConfig, of_before) == SR  # nets that were stored before the field was
    level = torch.linspace(0, 1, 11)
    before = aug_log_snr(level, schedule=resolve(StageConfig, stored).aug_schedule)
    for name, value in {"schedule": "linear", "shift": -3.0, "log_snr_clip": (-4.0, 4.0)}.items():
        monkeypatch.setattr(DiffusionConfig.model_fields[name], "default", value)
    monkeypatch.setattr(StageConfig.model_fields["aug_schedule"], "default", "linear")
    for model in (DiffusionConfig, StageConfig):
        model.model_rebuild(force=True)
    try:
        assert log_snr_at(DiffusionConfig(shift=0), torch.zeros(1)).item() == 4  # the new defaults are in force
        again = resolve(StageConfig, stored)
        assert again == SR and torch.equal(aug_log_snr(level, schedule=again.aug_schedule), before)
    finally:
        monkeypatch.undo()
        for model in (DiffusionConfig, StageConfig):
            model.model_rebuild(force=True)
