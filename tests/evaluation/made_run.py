"""A run as far as `select`, made without a web: what the page reads, in the pipeline's own files."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs import resolve
from pipeline.config import PipelineConfig
from pipeline.dedup import DUPLICATES, SCHEMA
from pipeline.files import commit, write_table
from pipeline.plan import DROPPED, PLAN, key_of
from pipeline.select import Select
from pipeline.shard import PAIRS, SCORES, TAR, Shard
from tests.pipeline.world import picture

RULES = {"english": "language = 'en'", "no_hate": "hate < 0.12 and offensive < 0.45", "safe": "nsfw_score < 0.5"}
SCORED = pa.schema(
    [("key", "string"), ("language", "string"), ("hate", "float"), ("offensive", "float"), ("nsfw_score", "float")]
)
GOOD = {"language": "en", "hate": 0.05, "offensive": 0.2, "nsfw_score": 0.01}


def make(folder: Path, pairs: list[dict[str, Any]], dropped: list[dict[str, Any]] | None = None) -> PipelineConfig:
    """A run of one shard. Each pair: caption, and what differs from a good one: url, status, detail, nsfw, scores."""
    run = folder / "run"
    select = {"rules": RULES, "held_out": "caption LIKE '%held out%'"}
    config = resolve(PipelineConfig, {"run": str(run), "table": [str(folder / "table.parquet")], "select": select})
    rows = sorted((_pair(number, pair) for number, pair in enumerate(pairs)), key=lambda row: row["key"])
    shard = Shard(run, 0)
    commit(shard.path(TAR), lambda scratch: _write_tar(scratch, rows))
    plain = [{name: value for name, value in row.items() if name not in ("data", "scores")} for row in rows]
    write_table(shard.path(PAIRS), pa.Table.from_pylist(plain), fingerprint="made")
    scores = [{"key": row["key"], **GOOD, **row["scores"]} for row in rows if row["status"] == "ok"]
    write_table(shard.path(SCORES), pa.Table.from_pylist(scores, schema=SCORED), fingerprint="made")
    write_table(run / DUPLICATES, SCHEMA.empty_table(), fingerprint="made")
    plan = {"shard": [0], "first_key": [rows[0]["key"]], "pairs": [len(rows)]}
    write_table(run / PLAN, pa.table(plan), fingerprint="made")
    schema = pa.schema(
        [("key", "string"), ("url", "string"), ("caption", "string"), ("reasons", pa.list_(pa.string()))]
    )
    lost = [{"key": key_of(one["url"], one["caption"]), **one} for one in dropped or []]
    pq.write_table(pa.Table.from_pylist(lost, schema=schema), run / DROPPED)
    Select(config)(shard)
    return config


def _pair(number: int, pair: dict[str, Any]) -> dict[str, Any]:
    url, stored = pair.get("url", f"http://a.test/{number}.jpg"), pair.get("status", "ok") == "ok"
    data = picture(number) if stored else b""
    return {
        "key": key_of(url, pair["caption"]),
        "url": url,
        "caption": pair["caption"],
        "nsfw": pair.get("nsfw", "UNLIKELY"),
        "license": pair.get("license", "CC-BY 4.0"),
        "status": pair.get("status", "ok"),
        "detail": pair.get("detail", ""),
        "stored_width": 96 if stored else None,
        "stored_height": 96 if stored else None,
        "tar_offset": None,
        "tar_size": len(data) if stored else None,
        "data": data,
        "scores": pair.get("scores", {}),
    }


def _write_tar(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        for row in rows:
            if row["status"] == "ok":
                row["tar_offset"] = file.tell()
                file.write(row["data"])
