"""A run whose download is done, made without a web: drawn pictures, straight into the files that `download` writes."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from configs import resolve
from pipeline.config import PipelineConfig
from pipeline.files import commit, write_table
from pipeline.plan import Plan, shards_of
from pipeline.shard import PAIRS, TAR, URLS
from pipeline.step import run_table
from pipeline.tar import TarWriter


def picture(seed: int, *, px: int = 96) -> bytes:
    """A JPEG of soft coloured noise, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (px // 12, px // 12, 3), np.uint8)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(coarse.repeat(12, 0).repeat(12, 1)), quality=95)


def config(folder: Path, **sections: Any) -> PipelineConfig:
    """The run `folder`/run over the table `folder`/table.parquet."""
    score = {"language": None, "nsfw": None, "hate": None}
    values = {"run": str(folder / "run"), "table": [str(folder / "table.parquet")], "score": score, **sections}
    return resolve(PipelineConfig, values)


def downloaded(folder: Path, rows: list[dict[str, Any]], *, shard_size: int = 8, **sections: Any) -> PipelineConfig:
    """A planned and downloaded run. Each row has caption, and either seed (of its picture) or reason (of its loss)."""
    urls = [f"http://a.test/{number}.jpg" for number in range(len(rows))]
    folder.mkdir(parents=True, exist_ok=True)
    seeds, reasons = [row.get("seed") for row in rows], [row.get("reason") for row in rows]
    table = {"URL": urls, "TEXT": [row["caption"] for row in rows], "SEED": seeds, "REASON": reasons}
    pq.write_table(pa.table(table), folder / "table.parquet")
    made = config(folder, plan={"shard_size": shard_size}, **sections)
    run_table(Plan(made))
    for shard in shards_of(made.run):
        pairs = [_stored(row) for row in pq.read_table(shard.path(URLS)).to_pylist()]
        commit(shard.path(TAR), partial(_write_tar, pairs=pairs))
        write_table(shard.path(PAIRS), pa.Table.from_pylist(pairs).drop_columns("data"), fingerprint="made")
    return made


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    data = b"" if row["reason"] else picture(row["seed"])
    stored = {
        "original_width": 96,
        "original_height": 96,
        "stored_width": 96,
        "stored_height": 96,
        "stored_sha256": hashlib.sha256(data).hexdigest(),
    }
    return {
        **row,
        **stored,
        "status": row["reason"] or "ok",
        "detail": "",
        "data": data,
        "tar_offset": 0,
        "tar_size": len(data),
    }


def _write_tar(path: Path, pairs: list[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        tar = TarWriter(file)
        for pair in pairs:
            if pair["status"] == "ok":
                pair["tar_offset"] = tar.add(f"{pair['key']}.jpg", data=pair["data"])
                tar.add(f"{pair['key']}.txt", data=pair["caption"].encode())
        tar.close()
