"""Batches are pure functions of positions: the same for any workers, world size or restart."""

from dataclasses import fields
from itertools import islice
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from cascade.conditioning import pad_text
from cascade.resize import from_uint8, low_res_input, shrink
from configs import UserError
from pipeline.shard import KEEP, TAR, Shard
from training.ahead import in_order, steps_of
from training.config import TrainConfig
from training.index import check_text, read_index
from training.loader import Batch, Loader
from training.ranks import Ranks
from training.validate import fixed_sets

from .making import BASE, SR, WIDTH, Pair, config_of, draw, make_run, states, write_run


def loader_of(config: TrainConfig) -> Loader:
    return Loader(config, read_index(config.data))


def same(one: Batch, other: Batch) -> bool:
    for item in fields(Batch):
        left, right = getattr(one, item.name), getattr(other, item.name)
        equal = torch.equal(left, right) if isinstance(left, Tensor) else np.array_equal(left, right)
        if not equal:
            return False
    return True


def rank(number: int, of: int) -> Ranks:
    return Ranks(number, of, torch.device("cpu"))


def test_a_batch_joins_picture_caption_and_states(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.0})
    loader = loader_of(config)
    batch = loader.batch(np.arange(24))
    known = {pair.key: pair for pair in map(draw, range(36))}
    assert len(set(batch.keys)) == 24 == loader.order.samples
    for place, key in enumerate(batch.keys):
        pair = known[key]
        assert batch.captions[place] == pair.caption
        expected = shrink(from_uint8(torch.from_numpy(pair.picture).permute(2, 0, 1))[None], 16)[0]
        assert (batch.x[place] - expected).abs().mean() < 0.06  # JPEG
        words = states(pair.caption)
        assert batch.text_mask[place].sum() == len(words)
        bits = batch.text[place, : len(words)].numpy().view(np.uint32) >> 16
        assert (bits == words).all()
    assert batch.x.shape == (24, 3, 16, 16) and batch.x.min() >= -1 and batch.x.max() <= 1
    assert loader.keys(np.arange(24)) == batch.keys


def test_a_control_run_gives_every_picture_the_text_of_another(tmp_path):
    looks = {"every_steps": 1, "samples": 8}
    own = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.0}, validation=looks)
    control = own.model_copy(update={"text": own.text.model_copy(update={"pairing": "shuffled"})})
    right, wrong = (loader_of(config).batch(np.arange(24)) for config in (own, control))
    assert right.keys == wrong.keys and torch.equal(right.x, wrong.x)
    assert sorted(right.captions) == sorted(wrong.captions)
    assert not any(told == other for told, other in zip(right.captions, wrong.captions, strict=True))
    for place, caption in enumerate(wrong.captions):
        words = states(caption)
        bits = wrong.text[place, : len(words)].numpy().view(np.uint32) >> 16
        assert (bits == words).all() and wrong.text_mask[place].sum() == len(words)
    judged, known = (fixed_sets(config, read_index(config.data))["train"].samples for config in (control, own))
    assert [one.caption for one in judged] == [one.caption for one in known]  # judged by the true captions


def test_a_split_without_two_usable_pictures_is_not_looked_at(tmp_path):
    too_large = {**BASE, "image_px": 64}
    config = config_of(tmp_path / "train", make_run(tmp_path), stage=too_large, validation={"every_steps": 1})
    assert fixed_sets(config, read_index(config.data)) == {}


def test_dropped_and_held_out_pairs_are_not_trained_on(tmp_path):
    loader = loader_of(config_of(tmp_path / "train", make_run(tmp_path)))
    trained = set(loader.keys(np.arange(loader.order.samples)))
    held_out = Loader(loader.config, loader.index, split="held_out")
    others = set(held_out.keys(np.arange(held_out.order.samples)))
    rows = [draw(number).key for number in range(36)]
    assert others == {key for row, key in enumerate(rows) if row % 6 != 5 and row % 5 == 4}
    assert trained == {key for row, key in enumerate(rows) if row % 6 != 5 and row % 5 != 4}


@pytest.mark.parametrize("stage", ["base", "sr"])
def test_same_batches_for_any_number_of_workers(tmp_path, stage):
    index = make_run(tmp_path)
    further = {"stage": SR} if stage == "sr" else {}

    def first(workers: int) -> list[Batch]:
        data = {"index": str(index), "window_shards": 2, "workers": workers}
        loader = loader_of(config_of(tmp_path / "train", index, data=data, micro_batch=4, **further))
        steps = steps_of(loader, first_step=0, ranks=rank(0, 1))
        batches = [batch for step in islice(steps, 4) for batch in step]
        steps.close()
        return batches

    alone = first(0)
    for workers in (1, 3):
        assert all(same(*pair) for pair in zip(alone, first(workers), strict=True))


def test_world_size_and_restart_only_choose_who_reads_what(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), micro_batch=2)
    alone = list(islice(steps_of(loader_of(config), first_step=0, ranks=rank(0, 1)), 3))
    for world in (2, 4):
        steps = [steps_of(loader_of(config), first_step=0, ranks=rank(number, world)) for number in range(world)]
        for expected in alone:
            dealt = [next(ours) for ours in steps]
            joined = [dealt[number % world][number // world] for number in range(len(expected))]
            assert all(same(*pair) for pair in zip(expected, joined, strict=True))
    later = next(steps_of(loader_of(config), first_step=2, ranks=rank(0, 1)))
    assert all(same(*pair) for pair in zip(alone[2], later, strict=True))


def test_random_numbers_do_not_depend_on_the_micro_batch(tmp_path):
    index = make_run(tmp_path)
    loader = loader_of(config_of(tmp_path / "train", index, stage=SR))
    whole = loader.batch(np.arange(8))
    parts = [loader.batch(np.arange(first, first + 4)) for first in (0, 4)]
    for name in ("x", "noise", "time", "low_res", "aug_level", "aug_noise"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts]))


def test_dropout_and_text_noise_belong_to_the_sample_and_to_training(tmp_path):
    looks = {"every_steps": 1, "samples": 8}
    config = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.5, "noise": 0.3}, validation=looks)
    model = config.stage.model.model_copy(update={"dropout": 0.2})
    config = config.model_copy(update={"stage": config.stage.model_copy(update={"model": model})})
    loader, plain = loader_of(config), loader_of(config_of(tmp_path / "train", config.data.index, text={"drop": 0.5}))
    whole, quiet = loader.batch(np.arange(8)), plain.batch(np.arange(8))
    parts = [loader.batch(np.arange(first, first + 4)) for first in (0, 4)]
    assert whole.dropout is not None and len(whole.dropout.unique()) == 8 and quiet.dropout is None
    assert whole.dropout.tolist() == [
        seed for part in parts if part.dropout is not None for seed in part.dropout.tolist()
    ]
    assert torch.equal(whole.text[:4, : parts[0].text.shape[1]], parts[0].text)
    told = (quiet.text != 0).any(-1)
    off = whole.text - quiet.text
    assert not off[~told].any()  # the null text and the padding stay
    strengths = [off[row, mask].std() / quiet.text[row, mask].std() for row, mask in enumerate(told) if mask.any()]
    assert 0 < min(strengths) < max(strengths) < 0.33  # each sample its own, and none above what the config says
    judged = fixed_sets(config, read_index(config.data))["train"].batch(np.arange(4), time=0.5, shuffled=False)
    assert judged.dropout is None


def test_times_are_stratified_over_the_global_batch(tmp_path):
    loader = loader_of(config_of(tmp_path / "train", make_run(tmp_path)))
    batch = loader.batch(np.arange(8, 16))
    assert (batch.time * 8).floor().tolist() == list(range(8))


def test_augmentation_levels_differ_within_a_batch(tmp_path):
    stage = SR | {"aug_level_max": 0.5}
    batch = loader_of(config_of(tmp_path / "train", make_run(tmp_path), stage=stage)).batch(np.arange(8))
    assert batch.aug_level is not None and batch.aug_noise is not None
    assert batch.aug_level.unique().numel() == 8 and batch.aug_level.max() <= 0.5
    assert not torch.equal(batch.noise, batch.aug_noise)


def test_crops_of_picture_and_low_res_are_at_the_same_place(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), stage=SR)
    whole = loader_of(config.model_copy(update={"stage": config.stage.model_copy(update={"crop_px": None})}))
    cropped, full = loader_of(config).batch(np.arange(8)), whole.batch(np.arange(8))
    places = set()
    for small, x in zip(cropped.x, full.x, strict=True):
        windows = x.unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)
        found = (windows == small).flatten(2).all(2).nonzero()
        places.add(tuple(found[0].tolist()))
    assert len(places) > 4
    assert cropped.low_res is not None
    again = low_res_input(full.x, low_res_px=16)
    top, left = sorted(places)[0]
    assert any(torch.equal(low, again[i, :, top : top + 16, left : left + 16]) for i, low in enumerate(cropped.low_res))


def test_dropped_texts_are_the_null_text(tmp_path):
    index = make_run(tmp_path)
    all_gone = loader_of(config_of(tmp_path / "train", index, text={"drop": 1.0})).batch(np.arange(8))
    assert all_gone.text.shape == (8, 1, WIDTH) and not all_gone.text.any() and all_gone.text_mask.all()
    some = loader_of(config_of(tmp_path / "train", index, text={"drop": 0.5}))
    batch = some.batch(np.arange(200))
    share = (batch.text_mask.sum(1) == 1).float().mean()
    assert 0.35 < share < 0.65


def test_padding_never_masks_a_whole_row():
    empty = np.zeros((0, WIDTH), np.uint16)
    text = pad_text([None, empty, states("a red disc")], width=WIDTH, max_tokens=2)
    assert text.states.shape == (3, 2, WIDTH) and text.mask.tolist() == [[True, False], [True, False], [True, True]]


def test_wide_pictures_give_their_middle_square(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, 16:48] = 200
    index = write_run(tmp_path, [[Pair("ab" * 12, "wide", picture)]])
    batch = loader_of(config_of(tmp_path / "train", index)).batch([0])
    assert (batch.x[..., 2:-2] - (200 / 127.5 - 1)).abs().max() < 0.1


def test_a_bad_picture_is_replaced_by_the_next_row_and_named(tmp_path):
    index = make_run(tmp_path)
    config = config_of(tmp_path / "train", index)
    good = loader_of(config).batch(np.arange(24))
    hurt = loader_of(config)
    rows = hurt._open(1)
    key, offset = rows.key(0), rows.table["tar_offset"][0].as_py()
    with Shard(tmp_path, 1).path(TAR).open("r+b") as tar:
        tar.seek(offset)
        tar.write(b"\0" * 64)
    for _ in range(2):  # the same again, also by another loader
        batch = loader_of(config).batch(np.arange(24))
        place = good.keys.index(key)
        assert batch.keys[place] == rows.key(1)
        assert [key for i, key in enumerate(batch.keys) if i != place] == [k for k in good.keys if k != key]
        assert torch.equal(batch.noise, good.noise)
        (bad,) = batch.bad
        assert (bad.position, bad.shard, bad.key, bad.instead) == (place, 1, key, rows.key(1)) and bad.reason


def test_a_missing_tar_costs_its_pictures_but_not_the_order(tmp_path):
    index = make_run(tmp_path)
    config = config_of(tmp_path / "train", index)
    good = loader_of(config).batch(np.arange(24))
    Shard(tmp_path, 0).path(TAR).unlink()
    batch = loader_of(config).batch(np.arange(24))
    gone = {bad.key for bad in batch.bad}
    assert len(gone) == 8 and all("is not there" in bad.reason for bad in batch.bad)
    assert [new for new, old in zip(batch.keys, good.keys, strict=True) if old not in gone] == [
        key for key in good.keys if key not in gone
    ]


def test_too_many_bad_pictures_stop_the_training(tmp_path):
    index = make_run(tmp_path)
    data = {"index": str(index), "bad_pictures": 3, "workers": 0}
    Shard(tmp_path, 0).path(TAR).unlink()
    with pytest.raises(UserError, match=r"more than data.bad_pictures = 3"):
        loader_of(config_of(tmp_path / "train", index, data=data)).batch(np.arange(24))


def test_small_pictures_name_the_remedy(tmp_path):
    pairs = [draw(number, px=px) for number, px in enumerate((16, 32, 32, 16))]
    index = write_run(tmp_path, [pairs])
    batch = loader_of(config_of(tmp_path / "train", index, stage=SR)).batch(np.arange(4))
    assert {bad.reason for bad in batch.bad} == {
        "16 x 16 px is smaller than the stage's 32 px; give the stage a rule in select.stages"
    }
    data = {"index": str(index), "column": "large", "workers": 0}
    loader = loader_of(config_of(tmp_path / "train", index, stage=SR, data=data))
    assert loader.order.samples == 2 and not loader.batch(np.arange(4)).bad


def test_files_that_are_not_those_of_the_index_are_an_error(tmp_path):
    index = make_run(tmp_path)
    config = config_of(tmp_path / "train", index)
    make_run(tmp_path / "other", pairs=10)
    Shard(tmp_path / "other", 0).path(KEEP).replace(Shard(tmp_path, 0).path(KEEP))
    with pytest.raises(UserError, match='has changed since the index was made; run "corgi embed" and "corgi index"'):
        loader_of(config).batch(np.arange(24))


def test_errors_of_the_index_say_what_to_do(tmp_path):
    index = make_run(tmp_path)
    with pytest.raises(UserError, match='run "corgi index" first'):
        read_index(config_of(tmp_path, tmp_path / "nowhere.parquet").data)
    data = {"index": str(index), "column": "larg"}
    with pytest.raises(UserError, match=r"'larg' is not in .*; did you mean 'large'"):
        read_index(config_of(tmp_path, index, data=data).data)
    config = config_of(tmp_path, index, text={"encoder": {"encoder": "google/t5-v1_1-small"}})
    with pytest.raises(UserError, match=r"text.encoder is 'google-t5-v1_1-small', but .* holds states of 'minilm'"):
        check_text(read_index(config.data), config.text, text_width=WIDTH)
    config = config_of(tmp_path, index, text={"encoder": {"max_tokens": 16}})
    with pytest.raises(UserError, match=r"max_tokens is 16, but was 64 when the states of .* were made"):
        check_text(read_index(config.data), config.text, text_width=WIDTH)
    with pytest.raises(UserError, match=r"stage.text_width is 9, but states of 'minilm' are 8 wide"):
        check_text(read_index(config.data), config_of(tmp_path, index).text, text_width=9)


def test_work_ahead_keeps_the_order_and_passes_errors_on():
    def make(number: Any) -> Any:
        if number == 7:
            raise ValueError("seven")
        return number

    made = in_order(make, iter(cast(Any, range(20))), workers=3, ahead=2)
    assert list(islice(made, 7)) == list(range(7))
    with pytest.raises(ValueError, match=r"seven"):
        next(made)


@pytest.mark.long
def test_live_text_has_the_numbers_of_stored_text(tmp_path):
    from cascade.text import TextConfig, TextEncoder
    from training.text import LiveText

    captions = [f"a drawing of a {word}, food" for word in ("red apple", "slice of pizza", "pea", "red apple")]
    stored = dict(zip(captions, TextEncoder(TextConfig()).encode(captions), strict=True))
    live = LiveText(TextConfig())
    for caption in captions:
        assert np.array_equal(live([caption])[0], stored[caption])
    assert all(np.array_equal(one, stored[c]) for one, c in zip(live(captions), captions, strict=True))
