"""A small pipeline run, drawn on the spot: what training reads, in the pipeline's own formats."""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image

from cascade.text import TextConfig
from configs import fingerprint, resolve
from pipeline.files import commit, read_mark, sha256_file, with_mark, write_table
from pipeline.shard import KEEP, PAIRS, TAR, Shard
from training import ledger
from training.checkpoint import folder_of
from training.config import TrainConfig

WIDTH = 8  # of the made-up text states
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (40, 60, 220), "yellow": (230, 220, 40)}
SHAPES = ("square", "disc", "bar")


@dataclass
class Pair:
    key: str
    caption: str
    picture: np.ndarray  # (height, width, 3) uint8
    kept: bool = True
    held_out: bool = False


def draw(number: int, *, px: int = 32) -> Pair:
    """A coloured shape and its caption; each number another."""
    colour, shape = list(COLOURS)[number % 4], SHAPES[number % 3]
    picture = np.full((px, px, 3), 250, np.uint8)
    y, x = np.mgrid[:px, :px] / px
    middle = 0.3 + 0.4 * ((number * 7) % 10) / 10
    inside = {
        "square": (abs(x - middle) < 0.25) & (abs(y - 0.5) < 0.25),
        "disc": (x - middle) ** 2 + (y - 0.5) ** 2 < 0.07,
        "bar": abs(y - middle) < 0.12,
    }[shape]
    picture[inside] = COLOURS[colour]
    return Pair(fingerprint("pair", number), f"a {colour} {shape} {number}", picture)


def jpeg(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=95)
    return out.getvalue()


def states(caption: str) -> np.ndarray:
    """(tokens, WIDTH) uint16: bf16 bits that depend on the words, a token a word."""
    rows = []
    for word in caption.split():
        seed = int(fingerprint("word", word)[:8], 16)
        values = np.random.Generator(np.random.Philox(key=seed)).standard_normal(WIDTH, dtype=np.float32)
        rows.append((values.view(np.uint32) >> 16).astype(np.uint16))
    return np.stack(rows)


def make_run(run: Path, *, shards: int = 3, pairs: int = 12, px: int = 32) -> Path:
    """A finished pipeline run of `shards` x `pairs`: its index. Every sixth pair is dropped, every fifth held out."""
    made = [[draw(shard * pairs + row, px=px) for row in range(pairs)] for shard in range(shards)]
    for row, pair in enumerate(pair for shard in made for pair in shard):
        pair.kept, pair.held_out = row % 6 != 5, row % 6 != 5 and row % 5 == 4
    return write_run(run, made)


def write_run(run: Path, made: list[list[Pair]]) -> Path:
    """These pairs as a finished pipeline run; returns its index.parquet."""
    rows = [_write_shard(Shard(run, number), pairs) for number, pairs in enumerate(made)]
    metadata = {"corgi.encoder": "minilm", "corgi.width": str(WIDTH), "corgi.stages": '["large"]'}
    metadata["corgi.text"] = json.dumps(TextConfig().made_with())
    write_table(run / "index.parquet", pa.Table.from_pylist(rows), fingerprint="made", metadata=metadata)
    return run / "index.parquet"


def _write_shard(shard: Shard, pairs: list[Pair]) -> dict[str, object]:
    shard.path(TAR).parent.mkdir(parents=True, exist_ok=True)
    data = [jpeg(pair.picture) for pair in pairs]
    with tarfile.open(shard.path(TAR), "w") as tar:
        for pair, picture in zip(pairs, data, strict=True):
            for suffix, content in ((".jpg", picture), (".txt", pair.caption.encode()), (".json", b"{}")):
                member = tarfile.TarInfo(pair.key + suffix)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    with tarfile.open(shard.path(TAR)) as tar:
        offsets = [member.offset_data for member in tar if member.name.endswith(".jpg")]
    place = {
        "tar_offset": pa.array(offsets, pa.int64()),
        "tar_size": pa.array([len(picture) for picture in data], pa.int64()),
        "stored_width": pa.array([pair.picture.shape[1] for pair in pairs], pa.int32()),
        "stored_height": pa.array([pair.picture.shape[0] for pair in pairs], pa.int32()),
        "caption": [pair.caption for pair in pairs],
    }
    keys = {"key": [pair.key for pair in pairs]}
    write_table(shard.path(PAIRS), pa.table({**keys, "status": ["ok"] * len(pairs), **place}), fingerprint="made")
    kept, held_out = [pair.kept for pair in pairs], [pair.held_out for pair in pairs]
    large = [pair.kept and not pair.held_out and min(pair.picture.shape[:2]) >= 32 for pair in pairs]
    keep = pa.table({**keys, "kept": kept, "held_out": held_out, "large": large, **place})
    write_table(shard.path(KEEP), keep, fingerprint="made")
    tokens = _write_states(shard, [pair for pair in pairs if pair.kept])
    counts = {"train": sum(kept) - sum(held_out), "held_out": sum(held_out), "large": sum(large), "tokens": tokens}
    contents = {"content_pairs": PAIRS, "content_keep": KEEP, "content_states": ".minilm.arrow"}
    marks = {name: mark.content for name, suffix in contents.items() if (mark := read_mark(shard.path(suffix)))}
    tar_name = str(shard.path(TAR).relative_to(shard.run))
    return {"shard": shard.number, "tar": tar_name, "pairs": len(pairs), "kept": sum(kept), **counts, **marks}


def _write_states(shard: Shard, pairs: list[Pair]) -> int:
    unique = list(dict.fromkeys(pair.caption for pair in pairs))
    values = {caption: states(caption) for caption in unique}
    dictionary = pa.array([values[caption].tobytes() for caption in unique], pa.large_binary())
    indices = pa.array([unique.index(pair.caption) for pair in pairs], pa.int32())
    tokens = [len(values[pair.caption]) for pair in pairs]
    columns = [
        pa.array([pair.key for pair in pairs]),
        pa.array(tokens, pa.int32()),
        pa.DictionaryArray.from_arrays(indices, dictionary),
    ]
    table = with_mark(pa.table(columns, names=["key", "tokens", "states"]), "made", {"corgi.width": str(WIDTH)})

    def write(path: Path) -> None:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    commit(shard.path(".minilm.arrow"), write)
    return sum(tokens)


NET = {
    "kind": "adm",
    "channels": 16,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "attention_px": [8],
    "head_channels": 16,
    "text_dim": 16,
}
SR_NET = {
    "kind": "efficient",
    "channels": [8, 16],
    "res_blocks": [1, 1],
    "strides": [1, 2],
    "attention": ["none", "text"],
    "heads": 2,
    "text_dim": 16,
}
BASE = {"name": "base16", "image_px": 16, "text_width": WIDTH, "model": NET}
SR = {"name": "sr32", "image_px": 32, "low_res_px": 16, "crop_px": 16, "text_width": WIDTH, "model": SR_NET}


def values_of(run: Path, index: Path, **further: object) -> dict[str, object]:
    """The values of a small training's config, as a YAML file would hold them."""
    return {
        "run": str(run),
        "stage": BASE,
        "data": {"index": str(index), "window_shards": 2, "workers": 0},
        "optim": {"lr": 2e-3, "warmup_steps": 5},
        "ema": {"ema": {"decay": 0.99}},
        "steps": 6,
        "batch": 8,
        "micro_batch": 8,
        "checkpoint": {"every_steps": 3},
        "validation": {"every_steps": 0, "samples": 4, "buckets": 4},
        "log_every_steps": 1,
        "seed": 7,
    } | further


def config_of(run: Path, index: Path, **further: object) -> TrainConfig:
    """The same, checked."""
    return resolve(TrainConfig, values_of(run, index, **further))


def write_config(folder: Path, values: dict[str, object]) -> Path:
    """A YAML file of these values."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def digests(run: Path, step: int) -> dict[str, str]:
    """sha256 of every file of a checkpoint."""
    folder = folder_of(run, step)
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def losses(run: Path) -> list[float]:
    """The loss of every step that still holds."""
    return [line["loss"] for line in ledger.read(run) if line["event"] == "step"]
