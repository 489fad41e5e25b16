"""Near copies that are turned or mirrored, and near ones of another colour: as plain loops over the whole run say."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from filters.base import Batch
from filters.pdq import Pdq, PdqConfig, turned
from pipeline.runner import run_step
from storage import duplicates, pairs
from storage.plan import shards_of
from tests.factory import WITHOUT_MODELS, config_for, downloaded, noise_image, stored, through, write_pairs
from tests.filters.batches import picture

from .scored_run import made, rows_of
from .test_dedup import in_small_parts

TURNS = [lambda image, n=n: np.rot90(np.fliplr(image) if n > 3 else image, n % 4) for n in range(8)]


def words_of(pdq: bytes) -> np.ndarray:
    return np.frombuffer(pdq, np.uint64)[None]


def near_by_hand(rows: list[dict[str, Any]], *, distance: int, is_turned: bool, color: int | None) -> dict[str, str]:
    """Each near copy and its keeper: groups of what is near in any orientation, then by colour."""
    fit = [row for row in rows if row["status"] == pairs.OK and row["pdq_quality"] >= 50]
    hashes = np.concatenate([words_of(row["pdq"]) for row in fit])
    every = turned(hashes) if is_turned else hashes[None]
    near = (np.bitwise_count(every[:, :, None] ^ hashes[None, None]).sum(-1) <= distance).any(0)
    group = np.arange(len(fit))
    while not np.array_equal(group, least := np.where(near | near.T, group[None], len(fit)).min(1)):
        group = least
    keeper = dict[str, str]()
    for name in np.unique(group):
        left = [fit[place] for place in np.flatnonzero(group == name)]
        while left:
            colors = [np.frombuffer(row["pdq_color"], np.uint8).astype(int) for row in left]
            is_like = [color is None or abs(each - colors[0]).max() <= color for each in colors]
            keeper |= {row["key"]: left[0]["key"] for row, like in zip(left, is_like, strict=True) if like}
            left = [row for row, like in zip(left, is_like, strict=True) if not like]
    return {key: kept for key, kept in keeper.items() if key != kept}


def with_turned(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The same pairs, some of them with the hash of another, some of them turned."""
    rng = np.random.default_rng(seed)
    hashes = [rows[rng.integers(number + 1) if rng.random() < 0.3 else number]["pdq"] for number in range(len(rows))]
    turns = [turned(words_of(each))[rng.integers(8) if rng.random() < 0.4 else 0] for each in hashes]
    return [{**row, "pdq": turn.tobytes()} for row, turn in zip(rows, turns, strict=True)]


SETTINGS = [(distance, *looks) for distance in (0, 9) for looks in ((True, None), (False, 12), (False, 255))]


@pytest.mark.parametrize(
    ("distance", "is_turned", "color"),
    [(0, True, 12), (9, True, 12), *(pytest.param(*each, marks=pytest.mark.long) for each in SETTINGS)],
)
def test_near_copies_are_those_of_plain_loops(tmp_path: Path, monkeypatch, distance: int, is_turned: bool, color: Any):
    rows = with_turned(rows_of(distance, 215), distance)
    expected = near_by_hand(rows, distance=distance, is_turned=is_turned, color=color)
    upright = near_by_hand(rows, distance=distance, is_turned=False, color=None)
    assert (expected == upright) == (not is_turned and color == 255)
    in_small_parts(monkeypatch)
    run_step("dedup", made(tmp_path, rows, dedup={"distance": distance, "turned": is_turned, "color": color}))
    found = pq.read_table(tmp_path / duplicates.DUPLICATES).to_pylist()
    assert {row["key"]: row["keeper"] for row in found if row["kind"] == "near"} == expected


def test_a_hash_tells_what_its_image_becomes_when_it_is_turned():
    scorer = Pdq(PdqConfig())
    for seed in range(6):
        image = picture(seed, width=600, height=480)
        hashes = [words_of(each) for each in scorer(Batch(images=[turn(image) for turn in TURNS]))["pdq"]]
        apart = np.bitwise_count(turned(hashes[0])[:, 0][:, None] ^ np.concatenate(hashes)[None]).sum(-1)
        assert apart.min(0).max() <= 31, "each orientation is near one of the eight"
        assert len({*apart.argmin(0).tolist()}) == 8, "and each near another"
        other = words_of(scorer(Batch(images=[picture(seed + 50)]))["pdq"][0])
        assert np.bitwise_count(turned(hashes[0])[:, 0] ^ other).sum(-1).min() > 31


def test_a_blue_heart_is_no_copy_of_a_green_one():
    scorer, heart = Pdq(PdqConfig()), picture(2, width=256, height=256)
    blue = np.where((heart == 255).all(2, keepdims=True), heart, heart // 3 + np.array([0, 0, 120], np.uint8))
    said = scorer(Batch(images=[blue, blue[..., [0, 2, 1]]]))
    assert np.bitwise_count(words_of(said["pdq"][0]) ^ words_of(said["pdq"][1])).sum() <= 31
    means = [np.frombuffer(each, np.uint8).astype(int) for each in said["pdq_color"]]
    assert abs(means[0] - means[1]).max() > 12
    assert means[0].tolist() == np.rint(blue.mean((0, 1))).astype(int).tolist()


def test_scores_without_colours_are_refused_in_one_line(tmp_path: Path):
    rows = downloaded(tmp_path, [{"seed": n, "caption": f"number {n}"} for n in range(3)], dedup={"color": 12})
    rows = rows.model_copy(update={"score": rows.score.model_copy(update={"pdq": None})})
    with pytest.raises(UserError, match=r'dedup\.color asks for pdq_color: run "corgi score'):
        through(rows, "score", "dedup")


def with_comment(data: bytes) -> bytes:
    """The same JPEG with a few words in it that nobody sees."""
    return data[:2] + b"\xff\xfe\x00\x07hello" + data[2:]


@pytest.mark.parametrize("noise", [{}, None])
def test_pictures_of_equal_pixels_are_exact_copies_whatever_their_bytes(tmp_path: Path, noise: Any):
    config = config_for(tmp_path, score={**WITHOUT_MODELS, "noise": noise})
    table = {"url": [f"http://a.test/{n}.jpg" for n in range(4)], "caption": ["one", "two", "three", "four"]}
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    through(config, "plan")
    (shard,) = shards_of(config.run)
    data = [noise_image(1), with_comment(noise_image(1)), noise_image(2), noise_image(3)]
    write_pairs(shard, pairs.planned(shard), lambda pair: stored(data[int(pair["url"][-5])]))
    through(config, "score", "dedup")
    copies = [
        row["key"] for row in pq.read_table(config.run / duplicates.DUPLICATES).to_pylist() if row["kind"] == "exact"
    ]
    keys = sorted(row["key"] for row in pairs.stored(shard).to_pylist() if row["caption"] in ("one", "two"))
    assert copies == (keys[1:] if noise is not None else [])
