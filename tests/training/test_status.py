"""What people are told of trainings: where they stand, and what one amounts to before it begins."""

import re
from pathlib import Path

from configs import dump
from tests.factory import make_run
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
