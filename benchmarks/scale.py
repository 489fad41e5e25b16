"""Runs of millions of pairs, made up after the download and scoring: no images, only what tells pairs apart.

Copies are planted, and where they are is known by their numbers alone. Everything follows from the number of a pair, so
shards are made side by side and nothing is held for all rows but the planted ones. Of 100 pairs about

    2  have the image of another pair          5  an image 1 to 15 bits away from another pair's
    4  one of ten captions                     1  an image of one family, 0 to 7 bits from its first (100,000 at most)
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import data
from configs import resolve
from pipeline.config import PipelineConfig
from storage import pairs
from storage.plan import write_plan
from storage.shard import PAIRS, SCORES, Shard
from storage.tables import write_table

SHARD_ROWS = 10_000
FAMILY = 100_000
MADE = "made"  # fingerprint
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
KIND, SOURCE, FLIPS, IMAGE, FETCHED, CAPTION = range(6)  # of random words: what each is for
UNIQUE, EXACT, NEAR, MEMBER = range(4)


def words(numbers: np.ndarray, purpose: int, count: int = 1) -> np.ndarray:
    """Return (n, count) random uint64 that follow from the numbers and the purpose (splitmix64)."""
    at = numbers.astype(np.uint64)[:, None] * np.uint64(64) + np.uint64(8 * purpose) + np.arange(count, dtype=np.uint64)
    mixed: np.ndarray = (at + np.uint64(1)) * GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def kinds(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return what each of these pairs of a run of `count` is: UNIQUE, EXACT, NEAR or MEMBER of the family."""
    draw = words(numbers, KIND)[:, 0].astype(np.float64) / 2**64
    family = min(0.01, FAMILY / count)
    kind = np.select([draw < family, draw < family + 0.05, draw < family + 0.07], [MEMBER, NEAR, EXACT], UNIQUE)
    kind[numbers == 0] = UNIQUE  # the family's first
    return kind


def sources(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return the pair from which each has its image: itself, or a unique one anywhere in the run."""
    kind = kinds(numbers, count)
    source = numbers.copy()
    source[kind == MEMBER] = 0
    for attempt in range(64):
        wanting = np.flatnonzero(np.isin(kind, (EXACT, NEAR)) & (kinds(source, count) != UNIQUE))
        drawn = words(numbers[wanting] + attempt * count, SOURCE)[:, 0] % np.uint64(count)
        source[wanting] = drawn.astype(np.int64)
    return source


def hashes(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return the PDQ hash of each pair's image, (n, 32) uint8."""
    kind, rng = kinds(numbers, count), words(numbers, FLIPS, 8).view(np.uint8).reshape(len(numbers), -1)
    bits = np.unpackbits(words(sources(numbers, count), IMAGE, 4).view(np.uint8).reshape(-1, 32), axis=1)
    flips = np.select([kind == NEAR, kind == MEMBER], [1 + rng[:, 0] % 15, rng[:, 0] % 8], 0)
    for flip in range(15):
        rows = np.flatnonzero(flip < flips)
        bits[rows, (rng[rows, 1].astype(int) + 17 * flip) % 256] ^= 1  # 17 and 256 share no divisor: no bit comes twice
    return np.packbits(bits, axis=1)


def expected_copies(count: int) -> dict[str, np.ndarray]:
    """Return kind -> (n, 2) numbers of copies and their keepers, for exact and near ones, by copy."""
    numbers = np.arange(count)
    kind, source = kinds(numbers, count), sources(numbers, count)
    answers = {}
    for name, fits in {"exact": np.isin(kind, (UNIQUE, EXACT)), "near": np.ones(count, bool)}.items():
        keeper = numbers.copy()
        np.minimum.at(keeper, source[fits], numbers[fits])
        copies = np.flatnonzero(fits & (keeper[source] != numbers))
        answers[name] = np.stack([copies, keeper[source[copies]]], axis=1)
    return answers


def keys(numbers: np.ndarray, count: int) -> list[str]:
    """Return 24 hex digits for each, which sort as the numbers do."""
    halves = np.zeros((len(numbers), 3), ">u4")
    halves[:, :2] = (numbers.astype(np.uint64) * np.uint64(2**64 // count)).astype(">u8").view(">u4").reshape(-1, 2)
    halves[:, 2] = numbers
    return _hex(halves.tobytes(), 24)


def _hex(data: bytes, digits: int) -> list[str]:
    text = data.hex()
    return [text[at : at + digits] for at in range(0, len(text), digits)]


def make_run(run: Path, *, count: int, workers: int = 2, **sections: Any) -> PipelineConfig:
    """Write a run of `count` pairs, planned, downloaded and scored, without tars; return its config."""
    run.mkdir(parents=True)
    shards = -(-count // SHARD_ROWS)
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(partial(_write_shard, run, count), range(shards)))
    write_plan(run, rows, fingerprint=MADE)
    return resolve(PipelineConfig, {"run": str(run), "table": ["none.parquet"], "workers": workers, **sections})


def _write_shard(run: Path, count: int, number: int) -> dict[str, Any]:
    shard = Shard(run, number)
    numbers = np.arange(number * SHARD_ROWS, min(count, (number + 1) * SHARD_ROWS))
    names, size = keys(numbers, count), len(numbers)
    sides = pa.array(200 + (words(numbers, SOURCE)[:, 0] % np.uint64(800)).astype(np.int32))
    kind = kinds(numbers, count)
    images = np.where(np.isin(kind, (NEAR, MEMBER)), numbers, sources(numbers, count))
    draw = words(numbers, CAPTION)[:, 0]
    frequent = draw % np.uint64(25) == 0
    texts = data.captions(1000)
    captions = [
        f"Frequent caption {some % 10}" if often else f"{texts[some % 1000]} number {n}"
        for n, some, often in zip(numbers.tolist(), draw.tolist(), frequent.tolist(), strict=True)
    ]
    values: dict[str, Any] = {
        "key": names,
        "url": [f"https://images.made-up-{n % 997}.test/a/path/of/usual/length/{n:012d}.jpg?w=800" for n in numbers],
        "caption": captions,
        "status": [pairs.OK] * size,
        "http_status": pa.array([200] * size, pa.int32()),
        "content_type": ["image/jpeg"] * size,
        "final_url": [None] * size,
        "fetched_bytes": pa.array((draw % np.uint64(200_000)).astype(np.int64)),
        "fetched_sha256": _hex(words(numbers, FETCHED, 4).tobytes(), 64),
        "stored_sha256": _hex(words(images, IMAGE, 4).tobytes(), 64),
        "tar_offset": pa.array(np.arange(size) * 40_000),
        "tar_size": pa.array((draw % np.uint64(30_000)).astype(np.int64)),
    }
    values |= {name: sides for name in pairs.COLUMNS.names if name.endswith(("_width", "_height"))}
    schema = pairs.joined(pa.schema([("key", pa.string()), ("url", pa.string()), ("caption", pa.string())]))
    columns = [pa.array(values.get(field.name, [None] * size), field.type) for field in schema]
    write_table(shard.path(PAIRS), pa.Table.from_arrays(columns, schema=schema), fingerprint=MADE)
    scored: dict[str, Any] = {
        "key": names,
        "min_side": sides,
        "caption_words": pa.array((draw % np.uint64(20)).astype(np.int32)),
        "language": ["en"] * size,
        "hate": pa.array((draw % np.uint64(1000)).astype(np.float32) / 1000),
        "nsfw_score": pa.array((draw % np.uint64(997)).astype(np.float32) / 997),
        "pdq": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), size, [None, pa.py_buffer(hashes(numbers, count))]),
        "pdq_quality": pa.array([100] * size, pa.int32()),
    }
    write_table(shard.path(SCORES), pa.table(scored), fingerprint=MADE)
    return {"shard": number, "first_key": names[0], "pairs": size}


def watched(work: Callable[[], Any], folder: Path | None = None) -> dict[str, float]:
    """Return the seconds that `work` took, and the most memory of this process and its children, and of a folder.

    Memory is the sum of what is resident of each, in GiB: what processes share counts more than once.
    """
    over, most = threading.Event(), {"peak_gib": 0.0, "spilled_gib": 0.0}

    def watch() -> None:
        looks = 0
        while not over.wait(0.1):
            most["peak_gib"] = max(most["peak_gib"], sum(map(_resident, _family(os.getpid()))) / 2**30)
            if folder is not None and looks % 10 == 0:
                most["spilled_gib"] = max(most["spilled_gib"], size_of(folder) / 2**30)
            looks += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        work()
    finally:
        seconds = time.monotonic() - began
        over.set()
        watcher.join()
    return {"seconds": seconds, **most}


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder; files may come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def _family(process: int) -> list[int]:
    """Return a process and all that descend from it."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return [process]
    return [process, *(one for child in children for one in _family(child))]


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0
