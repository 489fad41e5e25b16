"""Validation looks at fixed samples with their own captions and with those of others, and changes nothing."""

import numpy as np
import pytest

from tests.factory import draw, write_run
from training.data.index import read_index
from training.trainer import Trainer
from training.validation import fixed_sets

from .small_training import BASE, config_of, events, losses, values_of, write_config

LOOKS = {"every_steps": 3, "samples": 5, "buckets": 4, "grid": 0}


@pytest.mark.long
def test_validation_repeats_itself_and_shows_the_gap(run):
    whole, _ = run("whole", validation=LOOKS)
    parts, _ = run("parts", validation=LOOKS, micro_batch=4)
    lines = [events(folder, "validation") for folder in (whole, parts)]
    assert [line["step"] for line in lines[0]] == [3, 6]
    for mine, theirs in zip(*lines, strict=True):
        assert mine["log_snr"] == sorted(mine["log_snr"], reverse=True)
        for split in ("train", "held_out"):
            np.testing.assert_allclose(mine[split]["loss"], theirs[split]["loss"], rtol=1e-4)
            gaps = 1 - np.array(mine[split]["loss"]) / np.array(mine[split]["shuffled"])
            np.testing.assert_allclose(mine[split]["gap"], gaps)
    assert losses(whole) == losses(run("none")[0])  # looking does not change the training


def test_a_control_run_trains_on_the_captions_of_others_and_is_judged_by_its_own(run, monkeypatch):
    trainers, step = [], Trainer.step

    def noted(self, batches):
        trainers.append(self)
        step(self, batches)

    monkeypatch.setattr(Trainer, "step", noted)
    run("control", "steps=1", validation=LOOKS, text={"pairing": "shuffled"})
    drawn = {pair.key: pair.caption for pair in map(draw, range(36))}
    batch = trainers[0].loader.batch(np.arange(24))
    assert not any(drawn[key] == caption for key, caption in zip(batch.keys, batch.captions, strict=True))
    for fixed in trainers[0].looks.fixed_sets.values():
        assert all(drawn[sample.key] == sample.caption for sample in fixed.samples)
        rows = np.arange(4)
        right, wrong = (fixed.batch(rows, time=0.5, shuffled=shuffled) for shuffled in (False, True))
        assert (right.noise == wrong.noise).all() and (right.x == wrong.x).all()
        texts = zip(right.text_embeds, wrong.text_embeds, strict=True)
        assert not any(own.shape == other.shape and (own == other).all() for own, other in texts)


def test_held_out_pairs_are_the_ones_validated(tmp_path, index):
    config = config_of(tmp_path / "train", index, validation=LOOKS)
    keys = {sample.key for sample in fixed_sets(config, read_index(config.data))["held_out"].samples}
    assert len(keys) == 5 and keys <= {draw(n).key for n in range(36) if n % 6 != 5 and n % 5 == 4}


def test_a_split_without_two_usable_images_is_not_looked_at(tmp_path, index):
    config = config_of(tmp_path / "train", index, stage={**BASE, "image_px": 64}, validation={"every_steps": 1})
    assert fixed_sets(config, read_index(config.data)) == {}


@pytest.mark.parametrize("same", [2, 3])
def test_captions_that_repeat_are_swapped_for_another_where_there_is_one(tmp_path, same):
    pairs = [draw(number) for number in range(3)]
    for pair in pairs[:same]:
        pair.caption = pairs[0].caption
    config = config_of(tmp_path / "train", write_run(tmp_path, [pairs]), validation=LOOKS)
    fixed = fixed_sets(config, read_index(config.data))["train"]
    captions = [sample.caption for sample in fixed.samples]
    told = [captions[int(other)] for other in fixed._others]
    assert len(captions) == 3
    assert all((other != own) == (same < 3) for own, other in zip(captions, told, strict=True))


def test_a_training_on_one_caption_alone_validates_and_its_gap_is_nothing(tmp_path, train):
    pairs = [draw(number) for number in range(12)]
    for pair in pairs:
        pair.caption = "a shape"
    index, folder = write_run(tmp_path / "data", [pairs]), tmp_path / "train"
    file = write_config(tmp_path, values_of(folder, index, steps=1, validation=LOOKS))
    assert train(file) == 0
    (line,) = events(folder, "validation")
    assert line["train"]["gap"] == [0] * len(line["log_snr"]) and min(line["train"]["loss"]) > 0
