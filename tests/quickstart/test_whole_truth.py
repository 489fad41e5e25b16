"""The whole table, not a part of it: every planted pair, and the survivors that the published policy promises."""

import re
from collections import Counter

import pyarrow.parquet as pq
import pytest

from pipeline.config import PipelineConfig
from pipeline.funnel import funnel
from quickstart.run import YAML

EXPECTED = re.compile(r"^ {4}(\w+): .*# (\d+)\b", re.MULTILINE)  # a rule and the count written beside it


@pytest.mark.long
def test_the_whole_funnel_is_what_was_planted_and_what_the_policy_says(whole: PipelineConfig):
    truth, counted = pq.read_table(whole.run / "truth.parquet").to_pylist(), funnel(whole)
    for step in ("plan", "download"):
        assert Counter(counted["counts"][step]) == Counter(row["reason"] for row in truth if row["step"] == step)
    policy = (YAML / "pipeline.yaml").read_text(encoding="utf-8")
    assert counted["counts"]["select"] == {rule: int(count) for rule, count in EXPECTED.findall(policy)}
    sums = {step: sum(counts.values()) for step, counts in counted["counts"].items()}
    totals = counted["totals"]
    sentence = (
        f"of {totals['rows']:,} rows {sums['plan']} end in plan and {sums['download']} in download; "
        f"of the {totals['rows'] - sums['plan'] - sums['download']:,} pictures the rules below take as many as "
        f"stands beside each, and {totals['kept']:,} stay: {totals['train']:,} to train on and {totals['held_out']} "
        "held out"
    )
    assert sentence in re.sub(r"\s+#?\s*", " ", policy)
