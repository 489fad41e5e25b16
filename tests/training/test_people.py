"""What people are told of a training: status, why, explain."""

import re
from pathlib import Path

import pytest

from configs import UserError, dump
from training import ledger
from training.explain import explain
from training.index import read_index
from training.loader import Loader
from training.progress import Progress
from training.status import show, stages_of, waiting
from training.trainer import Trainer
from training.validate import derangement
from training.why import _of_training, sentence, trained_on

from .making import config_of, draw, make_run, values_of, write_config


@pytest.fixture
def trained(tmp_path, train, monkeypatch):
    """A training of seven steps, its config, and the keys that each step really saw."""
    seen = []
    step = Trainer.step

    def noted(self, ours):
        batches = next(ours)
        seen.append([key for batch in batches for key in batch.keys])
        step(self, iter([batches]))

    monkeypatch.setattr(Trainer, "step", noted)
    index = make_run(tmp_path / "data")
    run = tmp_path / "data/train/base16"
    assert train(write_config(tmp_path / "configs", values_of(run, index, steps=7))) == 0
    return config_of(run, index, steps=7), seen


def test_the_steps_of_a_pair_are_those_that_saw_it(trained):
    config, seen = trained
    for number in range(36):
        key = draw(number).key
        expected = [step for step, keys in enumerate(seen, 1) if key in keys]
        found = trained_on(config, key, shard=number // 12)
        assert found.steps == expected and found.until == 7
        assert (found.row is None) == (number % 6 == 5 or number % 5 == 4)
    several = next(t for n in range(36) if len((t := trained_on(config, draw(n).key, shard=n // 12)).steps) > 1)
    assert re.fullmatch(r"base16    seen \d times in 7 steps, at step \d(, \d)+", sentence(several))
    assert "not trained on: held out" in sentence(trained_on(config, draw(4).key, shard=0))


def test_steps_are_not_told_of_another_index_than_the_one_trained_on(trained):
    config, _ = trained
    assert "base16    seen" in _of_training(config, draw(0).key, shard=0)
    make_run(config.data.index.parent, pairs=18)
    said = _of_training(config, draw(0).key, shard=0)
    assert said == "base16    its steps cannot be told: it was trained on another index than there is now"
    config.data.index.unlink()
    assert 'run "corgi index" first' in _of_training(config, draw(0).key, shard=0)


def test_status_is_a_line_for_each_stage(trained, capsys):
    config, _ = trained
    (line,) = stages_of(config.run)
    assert (line.stage, line.step, line.steps) == ("base16", 7, 7)
    assert re.search(r"step 7 of 7, loss 0\.\d+, .* images/s, done, saved at 7", line.sentence)
    show(config.run)
    assert capsys.readouterr().out.startswith("base16     train: step 7 of 7")
    make_run(config.data.index.parent, pairs=18)
    assert stages_of(config.run)[0].sentence.endswith("stale: the index has changed since it began")
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


def test_no_caption_is_shuffled_onto_itself():
    for captions in (["a", "b"], ["a", "a", "b", "b"], list("abcabcx"), [str(n) for n in range(9)]):
        others = derangement(captions)
        assert sorted(others) == list(range(len(captions)))
        assert all(captions[place] != captions[other] for place, other in enumerate(others))
    with pytest.raises(UserError, match=r"2 of the 3 captions to validate on are the same"):
        derangement(["a", "a", "b"])


def test_held_out_pairs_are_the_ones_validated(trained):
    config, _ = trained
    held_out = Loader(config, read_index(config.data), split="held_out")
    keys = set(held_out.keys(range(held_out.order.samples)))
    assert keys == {draw(n).key for n in range(36) if n % 6 != 5 and n % 5 == 4}
    assert ledger.read(config.run)[-1]["event"] == "done"


def test_a_log_gets_a_line_now_and_then_and_the_last(capsys):
    with Progress("base16", total=3, done=0) as progress:
        for step in (1, 2, 3):
            progress.show(step, loss=0.25, images_per_s=100.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "base16  step 3/3  loss 0.2500  100.0 images/s  eta 0:00"
