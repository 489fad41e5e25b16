"""The funnel equals the truth that was planted."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.base import Batch
from filters.scorers import build
from pipeline.config import PipelineConfig
from pipeline.funnel import funnel
from storage import keep_list, pairs, scores
from storage.plan import dropped, shards_of
from storage.shard import TAR
from storage.tar import TarReader

# Of each kind that scorers must find, the share that they do find at least.
FLOORS = {"one-word": 1.0, "markup": 1.0, "foreign": 0.9, "hateful": 0.9, "copy": 1.0, "near": 0.9}


@pytest.fixture(scope="module")
def truth(small: PipelineConfig) -> list[dict]:
    return pq.read_table(small.run / "truth.parquet").to_pylist()


def test_what_the_plan_and_the_web_take_is_exact_reason_by_reason(small: PipelineConfig, truth: list[dict]):
    counted = funnel(small)
    for step in ("plan", "download"):
        planted = Counter(row["reason"] for row in truth if row["step"] == step)
        assert Counter(counted["counts"][step]) == planted
    assert counted["totals"]["rows"] == len(truth)


def test_each_planted_pair_is_lost_for_its_own_reason_and_each_true_one_arrives(
    small: PipelineConfig, truth: list[dict]
):
    rows = [row for shard in shards_of(small.run) for row in pairs.read(shard).to_pylist()]
    status = {(row["url"], row["caption"]): row["status"] for row in rows}
    for row in truth:
        if row["step"] != "plan":
            expected = row["reason"] if row["step"] == "download" else "ok"
            assert status[row["url"], row["caption"]] == expected, row
    planned = Counter((row["url"].strip(), row["caption"]) for row in truth if row["step"] == "plan")
    assert Counter((row["url"], row["caption"]) for row in dropped(small.run)) == planned


def test_scorers_find_what_was_planted(small: PipelineConfig, truth: list[dict]):
    failed = {(row["url"], row["caption"]): set(row["failed"]) for row in judged(small)}
    for kind, floor in FLOORS.items():
        of_kind = [row for row in truth if row["kind"] == kind]
        assert of_kind, kind
        if kind in ("copy", "near"):
            hit = sum(is_known_as_a_copy(row, failed, truth) for row in of_kind)
        else:
            hit = sum(row["reason"] in failed[row["url"], row["caption"]] for row in of_kind)
        assert hit >= floor * len(of_kind), f"{kind}: {hit} of {len(of_kind)}"


def test_hardly_a_true_pair_is_lost(small: PipelineConfig, truth: list[dict]):
    failed = {(row["url"], row["caption"]): row["failed"] for row in judged(small)}
    lost = [row for row in truth if row["kind"] == "true" and set(failed[row["url"], row["caption"]]) - COPIES]
    assert len(lost) <= 0.01 * len(truth), lost


COPIES = {"exact_copy", "near_copy"}


def judged(config: PipelineConfig) -> list[dict]:
    """The keep-lists of all shards, with the urls."""
    rows = []
    for shard in shards_of(config.run):
        stored = pairs.stored(shard, ["key", "url"])
        keep = keep_list.read(shard, ["caption", "failed"], of=stored)
        rows += keep.append_column("url", stored["url"]).to_pylist()
    return rows


def code_of(row: dict) -> str:
    return row["url"].rpartition("/")[2].rpartition(".")[0]


def is_known_as_a_copy(row: dict, failed: dict, truth: list[dict]) -> bool:
    """Of a copy and its original one stays: whichever has the larger key fails."""
    same = [(other["url"], other["caption"]) for other in truth if code_of(other) == code_of(row)]
    return any(failed[pair] & COPIES for pair in same if pair in failed)


def test_stored_scores_are_the_scorers_own_on_the_stored_bytes(small: PipelineConfig):
    scorers = build(small.score)
    for shard in shards_of(small.run)[:2]:
        stored = pairs.stored(shard)
        with TarReader(shard.path(TAR)) as tar:
            images = [tar.image(row["tar_offset"], size=row["tar_size"]) for row in stored.to_pylist()]
        columns = stored.to_pydict()
        table = scores.read(shard, of=stored)
        for scorer in scorers:
            direct = scorer(Batch(images=images, captions=columns["caption"], columns=columns))
            for name, kind in scorer.columns.items():
                assert table[name].combine_chunks().equals(pa.array(direct[name], kind)), name
