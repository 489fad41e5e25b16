"""A run of one shard as `select` leaves it, with images of any sizes, and stages as if they were trained."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from cascade.stage import StageConfig
from cascade.text_encoder import TextConfig
from storage import keep_list, pairs, plan
from storage.atomic import commit_json
from storage.run import TRAINING
from storage.shard import Shard
from tests.cascade.checkpoints import save
from tests.cascade.nets import awake


def make(run: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """rows: caption, further columns, and optionally `size` (width, height) and `held_out`, which are no columns."""
    shard, sizes = Shard(run, 0), [row.get("size", (64, 64)) for row in rows]
    columns = [{name: value for name, value in row.items() if name not in ("size", "held_out")} for row in rows]
    planned = pa.Table.from_pylist(
        [{"key": f"{number:032x}", "url": f"http://a.test/{number}", **row} for number, row in enumerate(columns)]
    )
    plan.write_plan(run, [plan.write_urls(shard, planned, fingerprint="made")], fingerprint="made")

    def fill(_: list[dict[str, Any]], add: pairs.Add) -> None:
        for number, (width, height) in enumerate(sizes):
            data = jpeg(number, width=width, height=height)
            add(pairs.Outcome(status=pairs.OK, stored=data, stored_width=width, stored_height=height))

    pairs.write_shard(shard, planned, fill, fingerprint="made", engine="none")
    held_out = pa.array([row.get("held_out", False) for row in rows], pa.bool_())
    failed = pa.array([[] for _ in rows], pa.list_(pa.string()))
    stored = pairs.stored(shard)
    keep_list.write(shard, stored, failed=failed, held_out=held_out, stages={}, fingerprint="made")
    return run


def jpeg(seed: int, *, width: int, height: int) -> bytes:
    """An image of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def train(run: Path, stage: StageConfig, *, text: TextConfig, text_width: int = 32, step: int = 1) -> None:
    """A checkpoint of a stage that has learned nothing, below the run. text_width: of the encoder."""
    sampler = stage.sampler.model_copy(update={"steps": 2, "method": "ddim"})
    quick = stage.model_copy(update={"text_width": text_width, "sampler": sampler})
    save(run / "train" / stage.name, step, quick, {"ema_ema": awake(quick, seed=step)}, text=text)
    commit_json(run / "train" / stage.name / TRAINING, {})
