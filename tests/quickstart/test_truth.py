"""The funnel equals the truth that was planted."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.base import Batch
from filters.scorers import build
from pipeline.config import PipelineConfig
from pipeline.funnel import funnel
from pipeline.pictures import decode
from pipeline.plan import DROPPED, shards_of
from pipeline.shard import KEEP, PAIRS, SCORES, TAR
from pipeline.tar import TarReader

# Of each kind that scorers must find, the share that they do find at least.
FLOORS = {"one-word": 1.0, "markup": 1.0, "foreign": 0.9, "hateful": 0.9, "copy": 1.0, "near": 0.9}


def column(config: PipelineConfig, suffix: str, *names: str) -> list[dict]:
    return [
        row for s in shards_of(config.run) for row in pq.read_table(s.path(suffix), columns=list(names)).to_pylist()
    ]


@pytest.fixture(scope="module")
def truth(small: PipelineConfig) -> list[dict]:
    return pq.read_table(small.run / "truth.parquet").to_pylist()


def test_what_the_plan_and_the_web_take_is_exact_reason_by_reason(small: PipelineConfig, truth: list[dict]):
    found = funnel(small)
    for step in ("plan", "download"):
        planted = Counter(row["reason"] for row in truth if row["step"] == step)
        assert Counter(found["counts"][step]) == planted
    assert found["totals"]["rows"] == len(truth)


def test_each_planted_pair_is_lost_for_its_own_reason_and_each_true_one_arrives(
    small: PipelineConfig, truth: list[dict]
):
    status = {(row["url"], row["caption"]): row["status"] for row in column(small, PAIRS, "url", "caption", "status")}
    for row in truth:
        if row["step"] != "plan":
            expected = row["reason"] if row["step"] == "download" else "ok"
            assert status[row["url"], row["caption"]] == expected, row
    dropped = pq.read_table(small.run / DROPPED).to_pylist()
    planned = Counter((row["url"].strip(), row["caption"]) for row in truth if row["step"] == "plan")
    assert Counter((row["url"], row["caption"]) for row in dropped) == planned


def test_scorers_find_what_was_planted(small: PipelineConfig, truth: list[dict]):
    failed = {(one["url"], one["caption"]): set(one["failed"]) for one in judged(small)}
    for kind, floor in FLOORS.items():
        of_kind = [row for row in truth if row["kind"] == kind]
        assert of_kind, kind
        if kind in ("copy", "near"):
            hit = sum(is_told(row, failed, truth) for row in of_kind)
        else:
            hit = sum(row["reason"] in failed[row["url"], row["caption"]] for row in of_kind)
        assert hit >= floor * len(of_kind), f"{kind}: {hit} of {len(of_kind)}"


def test_hardly_a_true_pair_is_lost(small: PipelineConfig, truth: list[dict]):
    failed = {(one["url"], one["caption"]): one["failed"] for one in judged(small)}
    lost = [row for row in truth if row["kind"] == "true" and set(failed[row["url"], row["caption"]]) - COPIES]
    assert len(lost) <= 0.01 * len(truth), lost


COPIES = {"exact_copy", "near_copy"}


def judged(config: PipelineConfig) -> list[dict]:
    urls = {row["key"]: row["url"] for row in column(config, PAIRS, "key", "url")}
    return [{**row, "url": urls[row["key"]]} for row in column(config, KEEP, "key", "caption", "failed")]


def is_told(row: dict, failed: dict, truth: list[dict]) -> bool:
    """Of a copy and its original one stays: whichever has the larger key is told."""
    code = row["url"].rpartition("/")[2].rpartition(".")[0]
    same = [one for one in truth if one["url"].rpartition("/")[2].rpartition(".")[0] == code]
    pairs = [(one["url"], one["caption"]) for one in same if (one["url"], one["caption"]) in failed]
    return any(failed[pair] & COPIES for pair in pairs)


def test_stored_scores_are_the_scorers_own_on_the_stored_bytes(small: PipelineConfig):
    scorers = build(small.score)
    for shard in shards_of(small.run)[:2]:
        pairs = pq.read_table(shard.path(PAIRS))
        stored = [row for row in pairs.to_pylist() if row["status"] == "ok"]
        with TarReader(shard.path(TAR)) as tar:
            images = [decode(tar.read(row["tar_offset"], size=row["tar_size"])) for row in stored]
        columns = {name: [row[name] for row in stored] for name in pairs.column_names}
        scores = pq.read_table(shard.path(SCORES))
        for scorer in scorers:
            direct = scorer(Batch(images=images, captions=columns["caption"], columns=columns))
            for name, kind in scorer.columns.items():
                assert scores[name].combine_chunks().equals(pa.array(direct[name], kind)), name
