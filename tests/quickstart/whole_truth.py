"""The whole table, not a part of it: every planted pair, and the survivors that the published policy promises.

It takes minutes to make, so what makes it anyway looks at it: tests/slurm/test_whole_chain.py.
"""

import re
from collections import Counter

import pyarrow.parquet as pq

from pipeline.config import PipelineConfig
from pipeline.funnel import funnel
from quickstart.run import YAML

EXPECTED = re.compile(r"^ {4}(\w+): .*# (\d+)\b", re.MULTILINE)  # a rule and the count written beside it


def check_whole_funnel(whole: PipelineConfig) -> None:
    """Compare what a whole quickstart lost, and why, with what was planted and what its policy says."""
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
