"""What DeepSpeed is told."""

from training.config import effective_zero
from training.engine import deepspeed_config

from .small_training import config_of


def test_deepspeeds_json_follows_from_the_config(tmp_path):
    config = config_of(tmp_path, tmp_path / "index.parquet", batch=16, micro_batch=4, zero=2)
    knobs = deepspeed_config(config, world_size=2, elements=1001)
    assert (knobs["train_batch_size"], knobs["gradient_accumulation_steps"]) == (16, 2)
    assert knobs["zero_optimization"]["stage"] == 2 and knobs["gradient_clipping"] == config.optim.clip
    assert knobs["zero_optimization"]["reduce_bucket_size"] == 1000
    assert effective_zero(config, 1) == 0
