"""The one factory of runs for tests: made without a web or a model, always by the writers that the steps use.

downloaded(folder, rows)      planned by the real plan; images of coloured noise, or a reason why there is none
selected(folder, rows)        one shard with scores of our choice, judged by the real `select`
through(config, "score", ...)  further steps, in this process
make_run(run)                 drawn shapes, a keep-list, made-up text embeds and the index: what training reads
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from PIL import Image

from cascade.text_encoder import TextConfig
from configs import fingerprint, resolve
from pipeline.config import PipelineConfig
from pipeline.runner import build, run_table
from pipeline.step import TableStep
from storage import duplicates, index, keep_list, pairs, plan, scores, text_embeds
from storage.pairs import OK, Add, Outcome
from storage.run import write_config
from storage.shard import KEEP, PAIRS, TAR, Shard
from storage.tables import content
from storage.tar import TarReader

MARK: dict[str, Any] = {"fingerprint": "made"}
WITHOUT_MODELS = {"language": None, "nsfw": None, "hate": None, "sexual": None}  # scorers that load none
RULES = {"english": "language = 'en'", "no_hate": "hate < 0.12 and offensive < 0.45", "safe": "nsfw_score < 0.5"}
GOOD = {"language": "en", "hate": 0.05, "offensive": 0.2, "nsfw_score": 0.01}
SCORE_TYPES = {name: pa.string() if name == "language" else pa.float32() for name in GOOD}
WIDTH = 8  # of the made-up text embeds
ENCODER = "minilm"
COLORS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (40, 60, 220), "yellow": (230, 220, 40)}
SHAPES = ("square", "disc", "bar")


def noise_image(seed: int, *, px: int = 96) -> bytes:
    """A JPEG of soft coloured noise, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (px // 12, px // 12, 3), np.uint8)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(coarse.repeat(12, 0).repeat(12, 1)), quality=95)


def stored(data: bytes) -> Outcome:
    """What a download of this JPEG comes to."""
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    sizes = {"original_width": width, "original_height": height, "stored_width": width, "stored_height": height}
    return Outcome(status=OK, stored=data, **sizes)


def write_pairs(shard: Shard, planned: pa.Table, outcome: Callable[[Mapping[str, Any]], Outcome]) -> None:
    """A shard's tar and table of pairs, by the writer that `download` uses. outcome: of one planned pair."""

    def fill(planned_pairs: list[dict[str, Any]], add: Add) -> None:
        for pair in planned_pairs:
            add(outcome(pair))

    pairs.write_shard(shard, planned, fill, engine="made", **MARK)


def config_for(folder: Path, **sections: Any) -> PipelineConfig:
    """The config of the run `folder`/run over the table `folder`/table.parquet."""
    values = {"run": str(folder / "run"), "table": [str(folder / "table.parquet")], "score": WITHOUT_MODELS}
    return resolve(PipelineConfig, {**values, **sections})


def downloaded(folder: Path, rows: list[dict[str, Any]], *, shard_size: int = 8, **sections: Any) -> PipelineConfig:
    """A planned and downloaded run. Each row has caption, and either seed (of its image) or reason (of its loss)."""
    folder.mkdir(parents=True, exist_ok=True)
    table: dict[str, list[Any]] = {"URL": [f"http://a.test/{number}.jpg" for number in range(len(rows))]}
    table |= {"TEXT": [row["caption"] for row in rows]}
    table |= {name: [row.get(name) for row in rows] for name in ("seed", "reason")}
    pq.write_table(pa.table(table), folder / "table.parquet")
    config = config_for(folder, plan={"shard_size": shard_size}, **sections)
    run_table(build("plan", config))
    for shard in plan.shards_of(config.run):
        write_pairs(shard, pairs.planned(shard), _seen)
    return config


def through(config: PipelineConfig, *names: str) -> dict[str, Counter[str]]:
    """Run steps on what is not done, in this process, which is quicker than a pool; return what each counted."""
    write_config(config.run, config, fingerprint="made")
    counts = {}
    for name in names:
        step = build(name, config)
        if isinstance(step, TableStep):
            counts[name] = run_table(step).counts
        else:
            step.prepare()
            todo = [shard for shard in plan.shards_of(config.run) if step.state(shard) != "done"]
            counts[name] = sum(map(step, todo), Counter[str]())
    return counts


def images_of(run: Path) -> dict[str, bytes]:
    """Key -> the stored bytes of every image of a run."""
    images = {}
    for shard in plan.shards_of(run):
        with TarReader(shard.path(TAR)) as tar:
            for row in pairs.stored(shard).to_pylist():
                images[row["key"]] = tar.read(row["tar_offset"], size=row["tar_size"])
    return images


def _seen(pair: Mapping[str, Any]) -> Outcome:
    return Outcome(status=pair["reason"]) if pair["reason"] else stored(noise_image(pair["seed"]))


def selected(folder: Path, rows: list[dict[str, Any]], dropped: Sequence[dict[str, Any]] = ()) -> PipelineConfig:
    """A run of one shard after `select`.

    Each row: caption, and what differs from a good one: url, status, detail, nsfw, license, image, scores. dropped:
    url, caption and reasons of rows that the plan left out.
    """
    select = {"rules": RULES, "held_out": "caption LIKE '%held out%'"}
    config = config_for(folder, select=select, score={})
    rows = [{"url": f"http://a.test/{n}.jpg", "image": noise_image(n), **row} for n, row in enumerate(rows)]
    by_key = {key_of(row): row for row in sorted(rows, key=key_of)}
    shard, planned = Shard(config.run, 0), pa.Table.from_pylist([_planned(row) for row in by_key.values()])
    plan.write_plan(config.run, [plan.write_urls(shard, planned, **MARK)], **MARK)
    with plan.dropped_writer(config.run, **MARK) as writer:
        lost = [{"key": key_of(row), **row} for row in dropped]
        writer.write_table(pa.Table.from_pylist(lost, schema=plan.DROPPED_SCHEMA))
    write_pairs(shard, planned, lambda pair: _outcome(by_key[pair["key"]]))
    scored = [{**GOOD, **row.get("scores", {})} for row in by_key.values() if row.get("status", OK) == OK]
    columns = {name: [values[name] for values in scored] for name in GOOD}
    scores.write(shard, pairs.stored(shard)["key"], columns, SCORE_TYPES, **MARK)
    duplicates.write(config.run, [], **MARK)
    build("select", config)(shard)
    return config


def key_of(row: Mapping[str, Any]) -> str:
    """The key that `plan` gives a pair."""
    return sha256(f"{row['url']}\n{row['caption']}".encode()).hexdigest()[:24]


def _planned(row: Mapping[str, Any]) -> dict[str, Any]:
    further = {"nsfw": row.get("nsfw", "UNLIKELY"), "license": row.get("license", "CC-BY 4.0")}
    return {"key": key_of(row), "url": row["url"], "caption": row["caption"], **further}


def _outcome(row: Mapping[str, Any]) -> Outcome:
    if row.get("status", OK) != OK:
        return Outcome(status=row["status"], detail=row.get("detail", ""))
    return stored(row["image"])


@dataclass
class Pair:
    """A drawn shape for training."""

    key: str
    caption: str
    image: np.ndarray  # (height, width, 3) uint8
    kept: bool = True
    held_out: bool = False


def draw(number: int, *, px: int = 32) -> Pair:
    """A coloured shape and its caption; each number another."""
    color, shape = list(COLORS)[number % 4], SHAPES[number % 3]
    image = np.full((px, px, 3), 250, np.uint8)
    y, x = np.mgrid[:px, :px] / px
    middle = 0.3 + 0.4 * ((number * 7) % 10) / 10
    inside = {
        "square": (abs(x - middle) < 0.25) & (abs(y - 0.5) < 0.25),
        "disc": (x - middle) ** 2 + (y - 0.5) ** 2 < 0.07,
        "bar": abs(y - middle) < 0.12,
    }[shape]
    image[inside] = COLORS[color]
    return Pair(fingerprint("pair", number), f"a {color} {shape} {number}", image)


def embed(caption: str) -> np.ndarray:
    """(tokens, WIDTH) uint16: bf16 bits that depend on the words, a token a word."""
    rows = []
    for word in caption.split():
        seed = int(fingerprint("word", word)[:8], 16)
        values = np.random.Generator(np.random.Philox(key=seed)).standard_normal(WIDTH, dtype=np.float32)
        rows.append((values.view(np.uint32) >> 16).astype(np.uint16))
    return np.stack(rows)


def make_run(run: Path, *, shards: int = 3, pairs: int = 12, px: int = 32) -> Path:
    """A run of `shards` x `pairs`; its index. Every sixth pair is dropped, every fifth held out."""
    drawn = [[draw(shard * pairs + row, px=px) for row in range(pairs)] for shard in range(shards)]
    for row, pair in enumerate(pair for shard in drawn for pair in shard):
        pair.kept, pair.held_out = row % 6 != 5, row % 6 != 5 and row % 5 == 4
    return write_run(run, drawn)


def write_run(run: Path, shards: list[list[Pair]]) -> Path:
    """A run of these pairs, a list a shard; its index.parquet."""
    rows = [_write_shard(Shard(run, number), drawn) for number, drawn in enumerate(shards)]
    text = TextConfig().made_with()
    index.write(run, rows, encoder=ENCODER, width=WIDTH, text=text, stages=["large"], **MARK)
    return run / index.INDEX


def _write_shard(shard: Shard, drawn: list[Pair]) -> dict[str, object]:
    """Write a shard's files; return its row of the index."""
    by_key = {pair.key: pair for pair in drawn}
    planned = [{"key": pair.key, "url": f"http://a.test/{pair.key}", "caption": pair.caption} for pair in drawn]
    write_pairs(shard, pa.Table.from_pylist(planned), lambda pair: stored(_jpeg(by_key[pair["key"]].image)))
    keep_list.write(
        shard,
        pairs.stored(shard),
        failed=pa.array([[] if pair.kept else ["dropped"] for pair in drawn], pa.list_(pa.string())),
        held_out=pa.array([pair.held_out for pair in drawn]),
        stages={"large": pa.array([min(pair.image.shape[:2]) >= 32 for pair in drawn])},
        **MARK,
    )
    kept = [pair for pair in drawn if pair.kept]
    _write_text_embeds(shard, kept)
    keep = keep_list.read(shard)
    files = {"content_pairs": PAIRS, "content_keep": KEEP, "content_text_embeds": text_embeds.suffix(ENCODER)}
    return {
        "shard": shard.number,
        "tar": str(shard.path(TAR).relative_to(shard.run)),
        "pairs": len(drawn),
        "kept": len(kept),
        "train": int(keep_list.trained_on(keep, "train").sum()),
        "held_out": int(keep_list.validated_on(keep).sum()),
        "large": int(keep_list.trained_on(keep, "large").sum()),
        "tokens": sum(len(embed(pair.caption)) for pair in kept),
        **{name: content(shard.path(suffix)) for name, suffix in files.items()},
    }


def _write_text_embeds(shard: Shard, kept: list[Pair]) -> None:
    captions = [pair.caption for pair in kept]
    keys = pa.chunked_array([[pair.key for pair in kept]], pa.string())
    vectors = {caption: embed(caption) for caption in captions}
    path = shard.path(text_embeds.suffix(ENCODER))
    text_embeds.write(path, keys, captions, vectors, encoder="made", width=WIDTH, **MARK)


def _jpeg(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()
