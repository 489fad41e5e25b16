"""Pairs by place: which there are, what belongs to them, and whose captions a control run sees."""

import numpy as np
import pytest

from cascade.text_encoder import TextConfig, TextEncoder
from configs import UserError
from storage.shard import KEEP, PAIRS, Shard
from storage.tar import TarReader
from storage.text_embeds import suffix
from tests.factory import ENCODER, Pair, draw, embed, make_run, write_run
from tests.training.small_training import BASE, config_of
from training.data.dataset import PairDataset, ShuffledCaptions, worthwhile_mib
from training.data.index import read_index
from training.data.loader import Loader

from .loading import loader_of


def test_dropped_and_held_out_pairs_are_not_trained_on(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path))
    trained, held_out = loader_of(config), loader_of(config, "held_out")
    keys = [draw(number).key for number in range(36)]
    assert set(held_out.keys(np.arange(held_out.order.samples))) == {
        key for row, key in enumerate(keys) if row % 6 != 5 and row % 5 == 4
    }
    assert set(trained.keys(np.arange(trained.order.samples))) == {
        key for row, key in enumerate(keys) if row % 6 != 5 and row % 5 != 4
    }


def test_a_control_run_gives_every_image_the_text_of_another(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), text={"drop": 0.0})
    pairs = PairDataset(config, read_index(config.data))
    right, wrong = (Loader(config, kind).batch(np.arange(24)) for kind in (pairs, ShuffledCaptions(pairs)))
    assert right.keys == wrong.keys and (right.x == wrong.x).all()
    assert sorted(right.captions) == sorted(wrong.captions)
    assert not any(own == other for own, other in zip(right.captions, wrong.captions, strict=True))
    for row, caption in enumerate(wrong.captions):
        words = embed(caption)
        bits = wrong.text_embeds[row, : len(words)].numpy().view(np.uint32) >> 16
        assert (bits == words).all() and wrong.text_mask[row].sum() == len(words)


def test_wide_images_give_their_middle_square(tmp_path):
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 16:48] = 200
    index = write_run(tmp_path, [[Pair("ab" * 12, "wide", image)]])
    batch = loader_of(config_of(tmp_path / "train", index)).batch([0])
    assert (batch.x[..., 2:-2] - (200 / 127.5 - 1)).abs().max() < 0.1


def test_images_are_decoded_once_as_long_as_there_is_room(tmp_path, monkeypatch):
    index, decoded, read = make_run(tmp_path), [], TarReader.read

    def counted(*args, **options):
        decoded.append(args)
        return read(*args, **options)

    monkeypatch.setattr(TarReader, "read", counted)
    for cache_mib, expected in ((1, 24), (0, 48)):
        data = {"index": str(index), "workers": 0, "cache_mib": cache_mib}
        loader = loader_of(config_of(tmp_path / "train", index, data=data))
        decoded.clear()
        for _ in range(2):
            loader.batch(np.arange(24))
        assert len(decoded) == expected


def test_files_that_are_not_those_of_the_index_are_an_error(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path))
    make_run(tmp_path / "other", pairs=10)
    own, other = Shard(tmp_path, 0), Shard(tmp_path / "other", 0)
    pairs = own.path(PAIRS).read_bytes()
    own.path(PAIRS).write_bytes(other.path(PAIRS).read_bytes())
    with pytest.raises(UserError, match=r'holds other pairs than the index; run "corgi score .*" and what follows'):
        loader_of(config).batch(np.arange(24))
    own.path(PAIRS).write_bytes(pairs)
    other.path(KEEP).replace(own.path(KEEP))
    with pytest.raises(UserError, match=r'has changed since .* was made; run "corgi embed .* && corgi index .*"'):
        loader_of(config).batch(np.arange(24))


@pytest.mark.long
def test_live_text_needs_no_files_and_has_the_numbers_of_stored_text(tmp_path):
    captions = [f"a drawing of a {word}, food" for word in ("red apple", "slice of pizza", "pea", "red apple")]
    stored = dict(zip(captions, TextEncoder(TextConfig()).encode(captions), strict=True))
    pairs = [Pair(f"{number:024x}", caption, draw(number).image) for number, caption in enumerate(captions)]
    index = write_run(tmp_path, [pairs])
    Shard(tmp_path, 0).path(suffix(ENCODER)).unlink()
    stage, text = {**BASE, "text_width": 384}, {"mode": "live", "drop": 0.0}
    batch = loader_of(config_of(tmp_path / "train", index, stage=stage, text=text)).batch(np.arange(4))
    for row, caption in enumerate(batch.captions):
        bits = batch.text_embeds[row, : len(stored[caption])].numpy().view(np.uint32) >> 16
        assert (bits == stored[caption]).all() and batch.text_mask[row].sum() == len(stored[caption])


def test_images_of_a_web_sized_set_are_not_kept(tmp_path):
    config = config_of(tmp_path, tmp_path / "index.parquet")  # 16 px: 699,050 images in 512 MiB
    assert worthwhile_mib(config, samples=24) == worthwhile_mib(config, samples=69_000_000) == 512
    assert worthwhile_mib(config, samples=70_000_000) == 0
