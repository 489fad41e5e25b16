"""Batches are pure functions of positions: the same for any workers, world size or restart."""

import numpy as np
import torch

from cascade.conditioning import pad_text_embeds
from cascade.resize import from_uint8, shrink
from tests.factory import WIDTH, draw, embed, make_run
from tests.training.small_training import SR, config_of
from training.data.index import read_index
from training.validation import fixed_sets

from .loading import loader_of, whole_low_res


def test_a_batch_joins_image_caption_and_text_embeds(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.0})
    loader = loader_of(config)
    batch = loader.batch(np.arange(24))
    drawn = {pair.key: pair for pair in map(draw, range(36))}
    assert len(set(batch.keys)) == 24 == loader.order.samples
    for row, key in enumerate(batch.keys):
        pair = drawn[key]
        assert batch.captions[row] == pair.caption
        expected = shrink(from_uint8(torch.from_numpy(pair.image).permute(2, 0, 1))[None], 16)[0]
        assert (batch.x[row] - expected).abs().mean() < 0.06  # JPEG
        words = embed(pair.caption)
        assert batch.text_mask[row].sum() == len(words)
        bits = batch.text_embeds[row, : len(words)].numpy().view(np.uint32) >> 16
        assert (bits == words).all()
    assert batch.x.shape == (24, 3, 16, 16) and batch.x.min() >= -1 and batch.x.max() <= 1
    assert loader.keys(np.arange(24)) == batch.keys


def test_random_numbers_do_not_depend_on_the_micro_batch(tmp_path):
    loader = loader_of(config_of(tmp_path / "train", make_run(tmp_path), stage=SR))
    whole = loader.batch(np.arange(8))
    parts = [loader.batch(np.arange(first, first + 4)) for first in (0, 4)]
    for name in ("x", "noise", "time", "low_res", "aug_level", "aug_noise"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))


def test_dropout_and_text_noise_belong_to_the_sample_and_to_training(tmp_path):
    validation = {"every_steps": 1, "samples": 8}
    config = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.5, "noise": 0.3}, validation=validation)
    model = config.stage.model.model_copy(update={"dropout": 0.2})
    config = config.model_copy(update={"stage": config.stage.model_copy(update={"model": model})})
    loader, plain = loader_of(config), loader_of(config_of(tmp_path / "train", config.data.index, text={"drop": 0.5}))
    whole, quiet = loader.batch(np.arange(8)), plain.batch(np.arange(8))
    parts = [loader.batch(np.arange(first, first + 4)) for first in (0, 4)]
    assert whole.dropout is not None and len(whole.dropout.unique()) == 8 and quiet.dropout is None
    assert whole.dropout.tolist() == [
        seed for part in parts if part.dropout is not None for seed in part.dropout.tolist()
    ]
    assert torch.equal(whole.text_embeds[:4, : parts[0].text_embeds.shape[1]], parts[0].text_embeds)
    has_text = (quiet.text_embeds != 0).any(-1)
    off = whole.text_embeds - quiet.text_embeds
    assert not off[~has_text].any()  # the null text and the padding stay
    strengths = [
        off[row, mask].std() / quiet.text_embeds[row, mask].std() for row, mask in enumerate(has_text) if mask.any()
    ]
    assert 0 < min(strengths) < max(strengths) < 0.33  # each sample its own, and none above what the config says
    judged = fixed_sets(config, read_index(config.data))["train"].batch(np.arange(4), time=0.5, shuffled=False)
    assert judged.dropout is None


def test_times_are_stratified_over_the_global_batch(tmp_path):
    batch = loader_of(config_of(tmp_path / "train", make_run(tmp_path))).batch(np.arange(8, 16))
    assert (batch.time * 8).floor().tolist() == list(range(8))


def test_augmentation_levels_differ_within_a_batch(tmp_path):
    stage = SR | {"aug_level_max": 0.5}
    batch = loader_of(config_of(tmp_path / "train", make_run(tmp_path), stage=stage)).batch(np.arange(8))
    assert batch.aug_level is not None and batch.aug_noise is not None
    assert batch.aug_level.unique().numel() == 8 and batch.aug_level.max() <= 0.5
    assert not torch.equal(batch.noise, batch.aug_noise)


def test_crops_of_image_and_low_res_are_at_the_same_place(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), stage=SR)
    whole = loader_of(config.model_copy(update={"stage": config.stage.model_copy(update={"crop_px": None})}))
    cropped, full = loader_of(config).batch(np.arange(8)), whole.batch(np.arange(8))
    corners = set()
    for small, x in zip(cropped.x, full.x, strict=True):
        windows = x.unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)
        equal = (windows == small).flatten(2).all(2).nonzero()
        corners.add(tuple(equal[0].tolist()))
    assert len(corners) > 4
    assert cropped.low_res is not None
    again = whole_low_res(full.x, low_res_px=16)
    top, left = sorted(corners)[0]
    assert any(torch.equal(low, again[i, :, top : top + 16, left : left + 16]) for i, low in enumerate(cropped.low_res))


def test_dropped_texts_are_the_null_text(tmp_path):
    index = make_run(tmp_path)
    all_gone = loader_of(config_of(tmp_path / "train", index, text={"drop": 1.0})).batch(np.arange(8))
    assert all_gone.text_embeds.shape == (8, 1, WIDTH) and not all_gone.text_embeds.any() and all_gone.text_mask.all()
    some = loader_of(config_of(tmp_path / "train", index, text={"drop": 0.5}))
    batch = some.batch(np.arange(200))
    share = (batch.text_mask.sum(1) == 1).float().mean()
    assert 0.35 < share < 0.65


def test_padding_never_masks_a_whole_row():
    empty = np.zeros((0, WIDTH), np.uint16)
    text = pad_text_embeds([None, empty, embed("a red disc")], width=WIDTH, max_tokens=2)
    assert text.embeds.shape == (3, 2, WIDTH) and text.mask.tolist() == [[True, False], [True, False], [True, True]]
