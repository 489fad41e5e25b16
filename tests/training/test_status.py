"""What people are told of trainings: where they stand, and what one amounts to before it begins."""

import re
from pathlib import Path
from typing import Any

from configs import dump
from tests.factory import make_run
from training.standing import slow_ranks
from training.status import explain, stages_of, waiting

from .small_training import values_of, write_config


def test_status_is_a_line_for_each_stage(trained):
    config, _ = trained
    (line,) = stages_of(config.run)
    assert line.stage == "base16"
    assert re.search(r"step 7 of 7, loss 0\.\d+, .* images/s, done, saved at 7, goodput \d+%", line.sentence)
    assert line.standing.eta_s is None and 0 < line.standing.useful_s < line.standing.paid_s and not line.is_here
    make_run(config.data.index.parent, pairs=18)
    assert stages_of(config.run)[0].sentence.endswith(
        f"stale: the index has changed since it began; corgi train {config.run}/config.yaml --accept-new-data"
        " goes on with it"
    )
    assert stages_of(config.run.parent) == []


def test_a_rank_that_is_slow_time_and_again_is_named_until_it_no_longer_is():
    def lines(*slow: bool) -> list[dict[str, Any]]:
        told: dict[str, Any] = {
            "event": "straggler",
            "rank": 3,
            "section": "data",
            "seconds": 2.04,
            "median_s": 0.5,
            "node": "gpu07",
        }
        steps: list[list[dict[str, Any]]] = [[*([told] if is_slow else []), {"event": "step"}] for is_slow in slow]
        return [{"event": "start"}, *(line for each in steps for line in each)]

    assert slow_ranks(lines(True, False, True)) == ["rank 3 on gpu07 is slow at data: 2.04 s, the median is 0.5 s"]
    assert slow_ranks(lines(True, True)) == []  # a start is slow
    assert slow_ranks(lines(*[True] * 10, *[False] * 6)) == []
    assert slow_ranks([*lines(True, True, True), {"event": "restart"}, {"event": "step"}]) == []


def test_status_names_the_stages_that_wait_for_their_turn(trained, tmp_path: Path):
    config, _ = trained
    (tmp_path / "begun.yaml").write_text(dump(config))
    (tmp_path / "pipeline.yaml").write_text("table: [x.parquet]\n")
    (tmp_path / "waits.yaml").write_text(dump(config.model_copy(update={"run": tmp_path / "train/base16"})))
    assert [file.name for file, _ in waiting(tmp_path)] == ["waits.yaml"]


def test_explain_works_before_there_is_any_data(tmp_path):
    values = values_of(tmp_path / "run", tmp_path / "index.parquet", processes=2, micro_batch=4)
    text = explain(write_config(tmp_path, values))
    assert "base16" in text and "parameters" in text
    assert "batch 8 = micro_batch 4 x accumulation 1 x 2 processes" in text
    assert "6 steps see 48 samples" in text and "epochs" not in text
