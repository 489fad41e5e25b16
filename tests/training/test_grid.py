"""What a training draws at its validations: fixed captions, averaged weights, the sampler of `corgi sample`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cascade.generate import Cascade
from cascade.weights import load_stage
from storage import takedown
from storage.checkpoint import folder_of
from storage.grids import Grid, grids_of, read_grid, remove_pairs, write_grid
from storage.ledger import read
from tests.factory import draw
from training.data.index import read_index
from training.grid import items_of, track_of
from training.trainer import Trainer
from training.validation import fixed_sets

from .small_training import SR, config_of, digests, events, losses

DRAWS = {"every_steps": 3, "samples": 5, "buckets": 2, "grid": 4, "grid_steps": 3}


@pytest.mark.long
@pytest.mark.parametrize("stage", ["base", "sr"])
def test_a_grid_is_what_corgi_sample_draws_with_that_checkpoint(run, index, stage):
    further = {"stage": SR} if stage == "sr" else {}
    folder, _ = run("mine", validation=DRAWS, **further)
    first, last = grids_of(folder)
    assert [(grid.step, grid.seen, grid.path.name) for grid in (first, last)] == [
        (3, 24, "step-00000003.webp"),
        (6, 48, "step-00000006.webp"),
    ]
    assert first.captions == last.captions and first.splits == ["held_out"] * 2 + ["train"] * 2
    config = config_of(folder, index, validation=DRAWS, **further)
    items = items_of(config, fixed_sets(config, read_index(config.data)))
    lows = [item.sample.image.low for item in items]
    start = None if stage == "base" else np.stack([low.permute(1, 2, 0).numpy() for low in lows if low is not None])
    for grid in (first, last):
        loaded = load_stage(folder_of(folder, grid.step))
        sampler = loaded.config.sampler.model_copy(update={"steps": 3})
        embeds = [item.embeds for item in items]
        name = loaded.config.name
        drawn = Cascade([loaded]).sample(embeds, range(4), start=start, samplers={name: sampler}, batch=8)[name]
        assert np.array_equal(read_grid(grid), drawn) and drawn.std() > 0
    assert not np.array_equal(read_grid(first), read_grid(last))
    assert losses(folder) == losses(run("none", **further)[0])  # drawing does not change the training
    keys = events(folder, "grid")[0]["keys"]
    drawn_by_key = {pair.key: pair.caption for pair in map(draw, range(36))}
    assert [drawn_by_key[key] for key in keys] == first.captions


@pytest.mark.long
def test_grids_are_the_same_after_a_stop(run):
    unbroken, _ = run("unbroken", validation=DRAWS)
    run("mine", "steps=3", validation=DRAWS)
    folder, _ = run("mine", validation=DRAWS)
    for mine, theirs in zip(grids_of(folder), grids_of(unbroken), strict=True):
        assert mine.path.read_bytes() == theirs.path.read_bytes()
    assert digests(folder, 6) == digests(unbroken, 6)


def test_none_is_drawn_where_none_is_asked_for(run):
    folder, _ = run("mine", validation=DRAWS | {"grid": 0})
    assert len(events(folder, "validation")) == 2 and not grids_of(folder) and not (folder / "grids").exists()


def test_a_split_that_has_too_few_leaves_its_places_to_the_other(tmp_path, index):
    config = config_of(tmp_path / "train", index, validation=DRAWS | {"samples": 3, "grid": 5})
    sets = fixed_sets(config, read_index(config.data))
    assert [item.split for item in items_of(config, sets)] == ["held_out"] * 3 + ["train"] * 2
    assert [item.split for item in items_of(config, {"train": sets["train"]})] == ["train"] * 3
    many = config.model_copy(update={"validation": config.validation.model_copy(update={"grid": 50})})
    assert len(items_of(many, sets)) == 6 and items_of(many, {}) == []


def test_the_weights_are_those_that_corgi_sample_takes(tmp_path, index):
    def track(ema: dict[str, object]) -> str:
        return track_of(config_of(tmp_path, index, ema=ema))

    assert track({"slow": {}, "ema": {}}) == "ema" and track({"slow": {}}) == "slow" and track({}) == "params"


def test_raw_weights_draw_where_there_are_no_averages(run):
    folder, code = run("mine", ema={}, validation=DRAWS)
    assert code == 0 and events(folder, "grid")[0]["track"] == "params"


def test_weights_that_are_not_finite_draw_something_and_end_nothing(run, monkeypatch):
    step = Trainer.step

    def poisoned(self, batches):
        step(self, batches)
        for average in self.ema.averages["ema"].values():
            average.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "step", poisoned)
    folder, code = run("mine", validation=DRAWS)
    assert code == 0 and len(grids_of(folder)) == 2


@pytest.mark.parametrize(("count", "px"), [(1, 16), (4, 16), (7, 48), (3, 160)])
def test_a_grid_is_read_as_it_was_written(tmp_path: Path, count, px):
    smooth = np.linspace(0, 255, px * px * 3).reshape(px, px, 3)
    images = np.stack([np.roll(smooth, number * 7, axis=0) for number in range(count)]).astype(np.uint8)
    name = write_grid(tmp_path, 12, images)
    assert name == "grids/step-00000012.webp"
    back = read_grid(Grid(tmp_path / name, 12, 96, px, ["x"] * count, ["train"] * count))
    assert back.shape == images.shape
    assert np.array_equal(back, images) if px <= 128 else np.abs(back.astype(int) - images).mean() < 12
    before = (tmp_path / name).read_bytes()
    write_grid(tmp_path, 12, images)
    assert (tmp_path / name).read_bytes() == before
    with Image.open(tmp_path / name) as file:
        assert file.format == "WEBP"


def test_a_pair_that_is_taken_down_leaves_grids_and_ledger(run):
    folder, _ = run("mine", validation=DRAWS)
    line = events(folder, "grid")[0]
    gone, kept = line["captions"][0].encode(), line["captions"][1:]
    others = [each for each in read(folder) if each["event"] != "grid"]
    takedown.add(folder, [takedown.Tombstone("key", takedown.digest(line["keys"][0]), "2026-01-01", "list")])
    assert remove_pairs(folder, takedown.Tombstones(folder)) == 2 and not grids_of(folder)
    assert gone not in (folder / "ledger.jsonl").read_bytes()
    assert [each["captions"] for each in events(folder, "grid")] == [["", *kept]] * 2
    assert [each for each in read(folder) if each["event"] != "grid"] == others
    assert remove_pairs(folder, takedown.Tombstones(folder)) == 0
