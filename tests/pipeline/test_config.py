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


def test_a_policy_is_taken_by_name_and_combined_with_own_rules(tmp_path: Path):
    own = {"english": None, "min_side": "min_side >= 512", "red": "contains(caption, 'red')"}
    config = resolve(PipelineConfig, VALUES | {"select": {"policy": "datacomp_basic", "rules": own}})
    assert list(config.select.rules.items()) == [
        ("caption_words", "caption_words > 2"),
        ("caption_chars", "caption_chars > 5"),
        ("min_side", "min_side >= 512"),
        ("aspect", "aspect <= 3"),
        ("red", "contains(caption, 'red')"),
    ]
    (tmp_path / "run.yaml").write_text(dump(config))
    assert load(PipelineConfig, tmp_path / "run.yaml") == config  # what was switched off stays so


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"policy": "coyo"}, "there is no policy 'coyo'; did you mean 'coyo700m'"),
        ({"policy": "laion400m", "rules": {"englsh": None}}, "rules.englsh is null, but there is no such rule"),
        ({"policy": "laion400m", "rules": "coyo700m"}, "both name a policy"),
        ({"policy": 3}, "policy: Input should be a valid string"),
    ],
)
def test_a_policy_that_cannot_be_taken_is_told_in_a_line(select, said):
    with pytest.raises(UserError) as caught:
        resolve(PipelineConfig, VALUES | {"select": select})
    assert said in str(caught.value) and "\n" not in str(caught.value)
