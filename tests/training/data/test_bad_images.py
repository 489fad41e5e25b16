"""Images that are missing or broken cost themselves, and neither the order nor the training."""

import numpy as np
import pytest
import torch

from configs import UserError
from storage import keep_list
from storage.shard import TAR, Shard
from tests.factory import draw, make_run, write_run
from tests.training.small_training import SR, config_of
from training.data.dataset import Place

from .loading import loader_of


def test_a_bad_image_is_replaced_by_the_next_row_and_named(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path))
    good, shard = loader_of(config), Shard(tmp_path, 1)
    key, instead = (good.dataset.key(Place(1, row)) for row in (0, 1))
    keep = keep_list.read(shard)
    with shard.path(TAR).open("r+b") as tar:
        tar.seek(keep["tar_offset"][keep["key"].to_pylist().index(key)].as_py())
        tar.write(b"\0" * 64)
    whole = loader_of(config_of(tmp_path / "train", make_run(tmp_path / "whole"))).batch(np.arange(24))
    for _ in range(2):  # the same again, also by another loader
        batch = loader_of(config).batch(np.arange(24))
        row = whole.keys.index(key)
        assert batch.keys[row] == instead
        assert [key for i, key in enumerate(batch.keys) if i != row] == [k for k in whole.keys if k != key]
        assert torch.equal(batch.noise, whole.noise)
        (bad,) = batch.bad
        assert (bad.position, bad.shard, bad.key, bad.instead) == (row, 1, key, instead) and bad.reason


def test_a_missing_tar_costs_its_images_but_not_the_order(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path))
    good = loader_of(config).batch(np.arange(24))
    Shard(tmp_path, 0).path(TAR).unlink()
    batch = loader_of(config).batch(np.arange(24))
    gone = {bad.key for bad in batch.bad}
    assert len(gone) == 8 and all("is not there" in bad.reason for bad in batch.bad)
    assert [new for new, old in zip(batch.keys, good.keys, strict=True) if old not in gone] == [
        key for key in good.keys if key not in gone
    ]


def test_a_tar_cut_short_names_the_remedy(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path))
    with Shard(tmp_path, 0).path(TAR).open("r+b") as tar:
        tar.truncate(600)
    batch = loader_of(config).batch(np.arange(24))
    assert len(batch.bad) == 8
    assert all("is cut short" in bad.reason and 'remove it and run "corgi download ' in bad.reason for bad in batch.bad)


def test_too_many_bad_images_stop_the_training(tmp_path):
    data = {"index": str(make_run(tmp_path)), "bad_images": 3, "workers": 0}
    Shard(tmp_path, 0).path(TAR).unlink()
    with pytest.raises(UserError, match=r"more than data.bad_images = 3"):
        loader_of(config_of(tmp_path / "train", tmp_path / "index.parquet", data=data)).batch(np.arange(24))


def test_where_no_image_is_left_people_are_asked_for_the_tars(tmp_path):
    index = make_run(tmp_path)
    for number in range(3):
        Shard(tmp_path, number).path(TAR).unlink()
    with pytest.raises(UserError, match=r"no image of any shard can be used; that of .*tar is not there"):
        loader_of(config_of(tmp_path / "train", index)).batch([0])


def test_small_images_name_the_remedy(tmp_path):
    index = write_run(tmp_path, [[draw(number, px=px) for number, px in enumerate((16, 32, 32, 16))]])
    batch = loader_of(config_of(tmp_path / "train", index, stage=SR)).batch(np.arange(4))
    assert {bad.reason for bad in batch.bad} == {
        "16 x 16 px is smaller than the stage's 32 px; give the stage a rule in select.stages"
    }
    data = {"index": str(index), "column": "large", "workers": 0}
    loader = loader_of(config_of(tmp_path / "train", index, stage=SR, data=data))
    assert loader.order.samples == 2 and not loader.batch(np.arange(4)).bad
