"""Samplers against the closed form: for x ~ N(0, s^2) the exact denoiser is linear, so the spread of what a sampler
makes follows without sampling noise. Error of the standard deviation in per cent, s = 0.5."""

import math
from typing import Any

import pytest
import torch

from cascade.diffusion import DiffusionConfig, alpha, log_snr_at, sigma, to_x
from cascade.samplers import SamplerConfig, SeededNoise, dpmpp_2m, grid, guide, guides, sample, stage_seed, threshold

DIFFUSION = DiffusionConfig()


def exact(spread):
    """The denoiser of x ~ N(0, spread^2)."""

    def denoise(z, log_snr):
        a, s = alpha(log_snr), sigma(log_snr)
        return a * spread**2 / (a**2 * spread**2 + s**2) * z

    return denoise


def spread_error(method, steps, *, spread=0.5, grid_name="schedule", gamma=0.0, schedule="cosine"):
    """Every "image" of the batch carries one unit of one noise draw; the squares of what comes out add up."""
    config = SamplerConfig(method=method, steps=steps, grid=grid_name, gamma=gamma)
    draws = steps if method == "ddpm" else 1
    impulses = iter(torch.eye(draws, dtype=torch.float64)[:, :, None, None, None])
    levels = grid(config, DiffusionConfig(schedule=schedule))
    drawn = sample(config, exact(spread), grid=levels, z=next(impulses), noise=lambda: next(impulses))
    return (drawn.square().sum().sqrt().item() / spread - 1) * 100


@pytest.mark.parametrize(
    ("method", "options", "at_64", "at_128"),
    [
        ("ddim", {}, -2.38, -1.20),
        ("dpmpp_2m", {}, 0.303, 0.111),
        ("ddpm", {"gamma": 0.0}, -5.21, -2.80),
        ("ddpm", {"gamma": 1.0}, 1.34, 0.70),
        ("ddim", {"grid_name": "edm"}, -4.41, -2.22),
        ("heun", {"grid_name": "edm"}, 0.364, 0.086),
    ],
)
def test_the_spread_of_gaussian_data_errs_as_the_closed_form_says(method, options, at_64, at_128):
    # EDM's own figures start from variance 80^2, a variance-preserving z at that level from 80^2 + 1.
    tolerance = 0.015 if options.get("grid_name") == "edm" else 0.006
    assert spread_error(method, 64, **options) == pytest.approx(at_64, abs=tolerance)
    assert spread_error(method, 128, **options) == pytest.approx(at_128, abs=tolerance)


@pytest.mark.parametrize("spread", [0.25, 0.5])  # at 1 the ancestral sampler's first-order term hides
@pytest.mark.parametrize(
    ("method", "options", "low", "high"),
    [
        ("ddim", {}, 1.75, 2.15),
        ("ddpm", {"gamma": 0.0}, 1.75, 2.15),
        ("ddpm", {"gamma": 1.0}, 1.75, 2.15),
        ("dpmpp_2m", {"grid_name": "edm"}, 3.7, 4.7),
        ("heun", {"grid_name": "edm"}, 3.7, 4.7),
    ],
)
def test_order_gate(method, options, low, high, spread):
    ratio = spread_error(method, 64, spread=spread, **options) / spread_error(method, 128, spread=spread, **options)
    assert low <= ratio <= high


def test_dpmpp_2m_on_the_edm_grid_is_good_with_few_steps():
    assert abs(spread_error("dpmpp_2m", 32, grid_name="edm")) < 2


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("spread", [0.25, 0.5])
def test_dpmpp_2m_does_not_carry_x_hat_on_over_the_wide_last_step(schedule, spread):
    """By its second-order formula the last step would add 10 to 42 % at 32 steps, which is seen as noise."""
    assert abs(spread_error("dpmpp_2m", 32, spread=spread, schedule=schedule)) < 10
    assert abs(spread_error("dpmpp_2m", 64, spread=spread, schedule=schedule)) < 2


@pytest.mark.parametrize("spread", [0.25, 0.5])
def test_order_gate_of_dpmpp_2m_on_the_schedule_s_grid_down_to_where_steps_are_wide(spread):
    """Down to t = 0.1; from there to CLEAN the grid is too coarse for any order to show."""

    def error(steps):
        levels = log_snr_at(DIFFUSION, torch.linspace(1, 0.1, steps + 1, dtype=torch.float64))
        drawn = dpmpp_2m(exact(spread), grid=levels, z=torch.ones(1, 1, 1, 1, dtype=torch.float64)).item()
        at = (alpha(levels) ** 2 * spread**2 + sigma(levels) ** 2).sqrt()
        return drawn / (at[-1] / at[0]).item() - 1

    assert 3.7 <= error(64) / error(128) <= 4.7


def test_heun_on_the_schedule_s_grid_is_refused():
    with pytest.raises(ValueError, match="grid: edm"):
        SamplerConfig(method="heun")


def test_grids_rise_and_stay_where_the_schedule_was_trained():
    schedules: list[tuple[Any, float, float]] = [("cosine", -20, 20), ("linear", -10.2, 9.3)]
    names: list[Any] = ["schedule", "edm"]
    for name in names:
        for schedule, low, high in schedules:
            levels = grid(SamplerConfig(grid=name, steps=50), DiffusionConfig(schedule=schedule))
            assert len(levels) == 51 and (levels.diff() > 0).all()
            assert low <= levels[0] and levels[-2] <= high and levels[-1] == 20


def test_a_grid_cut_off_at_both_ends_has_no_step_that_stands_still():
    narrow = DiffusionConfig(log_snr_clip=(-5, 5))
    levels = grid(SamplerConfig(method="dpmpp_2m", steps=128), narrow)
    assert len(levels) < 129 and (levels.diff() > 0).all()
    z = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    drawn = sample(SamplerConfig(method="dpmpp_2m"), lambda z, _: 0.5 * z, grid=levels, z=z, noise=lambda: z)
    assert drawn.isfinite().all()


def test_guidance_is_the_same_image_in_eps_x_and_v():
    draw = torch.Generator().manual_seed(0)
    log_snr = torch.linspace(-4, 4, 5, dtype=torch.float64)
    z, conditional, unconditional = torch.randn(3, 5, 3, 4, 4, generator=draw, dtype=torch.float64)
    a, s = alpha(log_snr)[:, None, None, None], sigma(log_snr)[:, None, None, None]
    in_x = guide(conditional, unconditional, 3.0)
    heads: dict[Any, Any] = {"eps": lambda x: (z - a * x) / s, "v": lambda x: a * (z - a * x) / s - s * x}
    for head, output in heads.items():
        guided = guide(output(conditional), output(unconditional), 3.0)
        torch.testing.assert_close(to_x(head, guided, z=z, log_snr=log_snr), in_x)
    assert torch.equal(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)


def test_guidance_acts_in_its_interval_only():
    config = SamplerConfig(guidance=4, guidance_interval=(-3, 5))
    assert [guides(config, torch.tensor(level)) for level in (-4.0, 0.0, 6.0)] == [False, True, False]
    assert not guides(SamplerConfig(guidance=1), torch.tensor(0.0))
    with pytest.raises(ValueError, match=r"guidance_interval must rise, got \(5\.0, -3\.0\)"):
        SamplerConfig(guidance=4, guidance_interval=(5, -3))


def test_dynamic_threshold_is_each_image_s_own():
    config = SamplerConfig(threshold="dynamic", percentile=99.5)
    draw = torch.Generator().manual_seed(0)
    calm = torch.rand(1, 3, 32, 32, generator=draw) * 2 - 1
    wild = torch.randn(1, 3, 32, 32, generator=draw) * 4
    both = threshold(config, torch.cat([calm, wild]))
    assert torch.equal(both[:1], calm)  # identity where abs(x) <= 1
    assert torch.equal(both[1:], threshold(config, wild))
    assert both.abs().max() <= 1
    assert (both[1].abs() == 1).float().mean().item() == pytest.approx(0.005, abs=0.001)
    assert torch.equal(threshold(SamplerConfig(threshold="static"), wild), wild.clamp(-1, 1))
    assert torch.equal(threshold(SamplerConfig(threshold="none"), wild), wild)


def test_an_image_s_noise_is_its_seed_s_and_not_its_batch_s():
    alone, together = SeededNoise([7], shape=(3, 4, 4)), SeededNoise([5, 7, 0], shape=(3, 4, 4))
    for _ in range(2):
        assert torch.equal(alone()[0], together()[1])
    assert not torch.equal(SeededNoise([0], shape=(4,))(), SeededNoise([1], shape=(4,))())
    assert len({stage_seed(seed, stage) for seed in range(3) for stage in ("base", "sr256", "sr256 aug")}) == 9


@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("limit", ["none", "static", "dynamic"])
def test_every_method_runs_with_every_threshold_and_finds_the_only_image(method, limit):
    config = SamplerConfig(method=method, steps=20, grid="edm" if method == "heun" else "schedule", threshold=limit)
    only = torch.linspace(-0.9, 0.9, 48).reshape(1, 3, 4, 4)
    noise = SeededNoise([1], shape=(3, 4, 4))
    levels = grid(config, DIFFUSION)
    drawn = sample(config, lambda z, log_snr: threshold(config, only), grid=levels, z=noise(), noise=noise)
    torch.testing.assert_close(drawn, only, atol=1e-3, rtol=0)
    assert math.isfinite(drawn.sum().item())
