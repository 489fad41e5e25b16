"""The arithmetic of a training, and what a person is told where it does not work out."""

import math

import pytest

from configs import UserError, dump, resolve
from training.config import OptimConfig, TrainConfig, accumulation, learning_rate, shown

from .small_training import config_of, values_of


def test_wrong_arithmetic_stops_with_the_numbers(tmp_path):
    config = config_of(tmp_path, tmp_path / "index.parquet", batch=24, micro_batch=8)
    assert accumulation(config, 3) == 1 and accumulation(config, 1) == 3
    with pytest.raises(UserError, match=r"batch 24 is not a multiple of micro_batch 8 x 2 processes = 16"):
        accumulation(config, 2)
    with pytest.raises(UserError, match=r"micro_batch 7 must divide batch 24"):
        config_of(tmp_path, tmp_path / "index.parquet", batch=24, micro_batch=7)


def test_zero_3_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"zero 3 is not supported yet, .* use zero: 1 or 2"):
        config_of(tmp_path, tmp_path / "index.parquet", zero=3)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("optim.betas=[0.9,1.5]", r"betas.1: .*less than 1, got 1.5"),
        ("optim.lr=.inf", r"lr: .*finite number"),
        ("optim.eps=.inf", r"eps: .*finite number"),
        ("ema.params.decay=0.9", "'params' names the weights without averaging"),
    ],
)
def test_what_adam_or_a_track_cannot_be_is_refused_at_the_config(tmp_path, override, reason):
    with pytest.raises(UserError, match=reason):
        resolve(TrainConfig, values_of(tmp_path, tmp_path / "index.parquet"), [override])


def test_an_unknown_key_names_the_nearest(tmp_path):
    values = values_of(tmp_path, tmp_path / "index.parquet")
    with pytest.raises(UserError, match=r"optim has no field 'lrr'; did you mean 'lr'"):
        resolve(TrainConfig, values, ["optim.lrr=1"])


def test_derived_numbers_are_shown(tmp_path):
    config = config_of(tmp_path, tmp_path / "index.parquet", steps=100, batch=16, micro_batch=4)
    lines = shown(config, world_size=2, samples=400)
    assert lines[0] == "batch 16 = micro_batch 4 x accumulation 2 x 2 processes"
    assert lines[1] == "100 steps see 1,600 samples: 4.00 epochs of 400"
    assert "one process has nothing to share out" in shown(config, world_size=1, samples=400)[2]


def test_a_training_that_ends_within_the_warm_up_is_told(tmp_path):
    for warmup_steps, told in ((6, []), (1000, ["ends while lr still rises to 0.002: optim.warmup_steps is 1,000"])):
        config = config_of(tmp_path, tmp_path, optim={"lr": 2e-3, "warmup_steps": warmup_steps})
        lines = [line for line in shown(config, world_size=1, samples=None) if line.startswith("ends while")]
        assert [line.removesuffix("; lower it") for line in lines] == told


def test_a_config_survives_its_yaml(tmp_path):
    import yaml

    config = config_of(tmp_path, tmp_path / "index.parquet")
    assert resolve(TrainConfig, yaml.safe_load(dump(config))) == config


def test_learning_rates():
    warm = OptimConfig(lr=1.0, warmup_steps=4)
    assert [learning_rate(warm, step=step, steps=100) for step in (0, 1, 3, 4, 50)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    cosine = OptimConfig(lr=1.0, warmup_steps=0, schedule="cosine")
    assert learning_rate(cosine, step=50, steps=100) == pytest.approx(0.5)
    assert learning_rate(cosine, step=200, steps=100) == 0
    root = OptimConfig(lr=1.0, warmup_steps=10, schedule="inverse_sqrt")
    assert learning_rate(root, step=39, steps=100) == pytest.approx(math.sqrt(10 / 40))
