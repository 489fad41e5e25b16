"""The configs that the quickstart writes into its run, and what it remembers of its start."""

from pathlib import Path

import pytest

from configs import UserError, load
from evaluation.evaluate import config_of
from quickstart.names import HELD_OUT
from quickstart.run import STAGES, STARTED, configure, quickstart
from storage.atomic import commit_json, read_json
from training.config import TrainConfig

STEPS = dict.fromkeys(STAGES, 7)


def test_a_long_run_is_measured_on_all_names_and_a_short_one_on_fewer(tmp_path: Path):
    configure(tmp_path / "long", STEPS, minutes=110, port=1)
    configure(tmp_path / "short", STEPS, minutes=8, port=1, overrides=["evaluate.enlarged=9"])
    long, short = config_of(tmp_path / "long"), config_of(tmp_path / "short")
    assert (long.per_group, long.held_out) == (30, HELD_OUT)
    assert short.per_group < 30 and short.held_out < HELD_OUT and short.enlarged == 9
    assert (short.bars.of_longer_run, long.bars.of_longer_run) == (True, False)
    assert short.bars == long.bars.model_copy(update={"of_longer_run": True})
    assert None not in long.bars.model_dump().values()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_the_machine_is_that_of_every_stage_and_of_the_evaluation(tmp_path: Path, precision):
    configure(tmp_path, STEPS, minutes=8, port=1, precision=precision, overrides=["sr64.precision=bf16"])
    stages = {stage: load(TrainConfig, tmp_path / f"{stage}.yaml") for stage in STAGES}
    assert {stage: config.precision for stage, config in stages.items()} == {
        "base16": precision,
        "sr64": "bf16",
        "sr256": precision,
    }
    assert {config.steps for config in stages.values()} == {7}
    assert config_of(tmp_path).sample.precision == precision


def test_an_override_of_no_part_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="start with one of pipeline, base16, sr64, sr256, evaluate"):
        configure(tmp_path, STEPS, minutes=8, port=1, overrides=["steps=4"])


def test_a_run_goes_on_as_it_was_started_with_an_earlier_version_too(tmp_path: Path):
    """Before the precision was measured, it was bf16."""
    started = {"minutes": 3, "pairs": 3, "steps": STEPS}
    commit_json(tmp_path / STARTED, started)
    quickstart(tmp_path, minutes=3, pairs=3, port=1, prepare_only=True, overrides=[])
    assert load(TrainConfig, tmp_path / "base16.yaml").precision == "bf16"
    assert load(TrainConfig, tmp_path / "base16.yaml").steps == 7
    assert read_json(tmp_path / STARTED) == started
    with pytest.raises(UserError, match="was started with --minutes 3"):
        quickstart(tmp_path, minutes=8, pairs=3, port=1, prepare_only=True, overrides=[])
