"""A policy can be taken whole: the run's config then holds its rules."""

from pathlib import Path

import pytest

from configs import UserError, dump, load, resolve
from pipeline.config import PipelineConfig
from pipeline.select import SelectConfig

VALUES = {"run": "runs/x", "table": ["x.parquet"]}


def test_rules_may_be_the_path_of_a_policy(tmp_path: Path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("large: min_side >= 200\nwords: caption_words > 2\n")
    config = resolve(PipelineConfig, VALUES, [f"select.rules={policy}"])
    assert list(config.select.rules.items()) == [("large", "min_side >= 200"), ("words", "caption_words > 2")]
    (tmp_path / "run.yaml").write_text(dump(config))
    policy.unlink()
    assert load(PipelineConfig, tmp_path / "run.yaml") == config


def test_a_policy_that_is_not_there_or_no_policy_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        resolve(SelectConfig, {"rules": str(tmp_path / "none.yaml")})
    (tmp_path / "list.yaml").write_text("- min_side >= 200\n")
    with pytest.raises(UserError, match="expected keys and values"):
        resolve(SelectConfig, {"rules": str(tmp_path / "list.yaml")})
