"""A policy can be taken whole: the run's config then holds its rules."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, dump, load, resolve
from pipeline.check import pairs_in, problems_of
from pipeline.config import PipelineConfig
from pipeline.runner import build, run_table
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


def test_a_rule_on_a_missing_column_says_what_would_bring_it(tmp_path: Path):
    pq.write_table(
        pa.table({"url": [f"http://a.test/{n}" for n in range(3000)], "caption": ["a"] * 3000}), tmp_path / "t.parquet"
    )
    values = {"run": str(tmp_path / "run"), "table": [str(tmp_path / "t.parquet")]}
    score = {"nsfw": None}
    config = resolve(PipelineConfig, {**values, "score": score, "select": {"policy": "laion400m"}})
    told = [str(problem) for problem in problems_of(config)]
    assert len(told) == 2
    assert "'similarity', which no scorer here makes: LAION's tables bring it" in told[0]
    assert "`similarity: null` in select.rules; or name a model in score.clip.model" in told[0]
    assert "'nsfw_score', which score.nsfw makes, and it is null" in told[1]
    assert told[1].endswith("switched on it costs less than 0.01 core-hours for the 3,000 pairs here")  # 11.6 ms each
    run_table(build("plan", config))
    assert [str(problem) for problem in problems_of(config)][1].endswith("core-hours for the 3,000 pairs here")
    shards = resolve(PipelineConfig, {**values, "score": score, "table": [], "adopt": {"source": [str(tmp_path)]}})
    assert pairs_in(shards.model_copy(update={"run": tmp_path / "none"})) is None
    similar = {**values, "select": {"rules": {"similarity": "clip_similarity > 0.3"}}}
    (told_of_clip,) = [str(problem) for problem in problems_of(resolve(PipelineConfig, similar))]
    assert told_of_clip.endswith(
        "score.clip makes, and it is null; switched on it costs about 0.14 core-hours for the 3,000 pairs here with "
        "CLIP ViT-B/32 on CPUs; ViT-L/14 takes 11 times as long"
    )
    judged = {**values, "select": {"rules": {"pretty": "aesthetic_score >= 5"}}}
    (told_of_head,) = [str(problem) for problem in problems_of(resolve(PipelineConfig, judged))]
    assert "which score.aesthetic makes, and it is null; switched on it costs less than 0.01" in told_of_head
    assert told_of_head.endswith("for the 3,000 pairs here; score.clip, whose embeddings it judges, costs its own")
