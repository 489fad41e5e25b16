"""What a demo is made of: the pictures of its sentences, shard by shard, and what people said of them.

demo.json              what it is drawn from: vocabulary, stages with their digests, seed, pictures of each sentence
000/00042.drawn.parquet    a row a picture: its sentence, its seed, its images, or the reason why it has none
review.jsonl           who said what of which picture and when, a line each, only ever appended to
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from configs import UserError, fingerprint

from .atomic import commit_json, read_json
from .shard import Shard
from .tables import content_of, read_mark, read_whole, write_table

DEMO, DRAWN, REVIEW = "demo.json", ".drawn.parquet", "review.jsonl"
WHAT = {"vocabulary", "stages", "pictures", "seed", "precision", "batch", "policy"}  # a demo is drawn from
SITE = Path("demo/site")  # of a run that made a page of its own stages
IMAGE = pa.struct(
    {"stage": pa.string(), "px": pa.int32(), "kind": pa.string(), "sha256": pa.string(), "data": pa.binary()}
)
SCHEMA = pa.schema(
    {
        "key": pa.string(),  # of the sentence
        "number": pa.int32(),  # of its pictures, from 0
        "attempt": pa.int32(),  # how often it was asked for anew
        "prompt": pa.string(),
        "seed": pa.int64(),
        "reason": pa.string(),  # why it is blocked; null: it is not
        "nsfw": pa.float32(),
        "pdq": pa.binary(32),
        "images": pa.list_(IMAGE),  # of every stage, smallest first; none where it is blocked
    }
)


class Image(NamedTuple):
    """One picture as one stage made it, in the bytes that are shown."""

    stage: str
    px: int
    kind: str  # png or webp
    sha256: str
    data: bytes


class Picture(NamedTuple):
    """One drawing of a sentence."""

    key: str
    number: int
    attempt: int
    prompt: str
    seed: int
    reason: str | None
    nsfw: float
    pdq: bytes
    images: tuple[Image, ...]

    @property
    def look(self) -> str:
        """Return a digest of the sentence and of the bytes: what a person who looks at it answers for."""
        return fingerprint("look", self.prompt, [image.sha256 for image in self.images])


def write_demo(folder: Path, content: Mapping[str, Any]) -> None:
    """Commit what a demo is drawn from."""
    commit_json(folder / DEMO, content)


def read_demo(folder: Path) -> dict[str, Any]:
    """Return what a demo is drawn from. Raises UserError where there is none."""
    try:
        content = read_json(folder / DEMO)
    except ValueError:
        content = {}
    if content is None:
        raise UserError(f'{folder} holds no demo; "corgi demo compile VOCABULARY.yaml STAGES --out {folder}" draws one')
    if not isinstance(content, dict) or {*content} != WHAT:
        raise UserError(f"{folder / DEMO} is damaged; run the same `corgi demo compile` again", exit_code=1)
    return content


def write_pictures(shard: Shard, pictures: Sequence[Picture], *, fingerprint: str) -> None:
    """Commit a shard; the same pictures are the same bytes."""
    rows = [{**each._asdict(), "images": [image._asdict() for image in each.images]} for each in pictures]
    write_table(shard.path(DRAWN), pa.Table.from_pylist(rows, schema=SCHEMA), fingerprint=fingerprint)


def read_pictures(shard: Shard, *, fingerprint: str) -> list[Picture]:
    """Return the pictures of a shard. Raises UserError where it was made of anything else than `fingerprint` says.

    Every byte is looked at: decisions are of pictures by the digests that stand beside them.
    """
    path = shard.path(DRAWN)
    mark = read_mark(path)
    if mark is None or mark.fingerprint != fingerprint:
        state = "not there" if mark is None else "stale"
        raise UserError(f"{path} is {state}; run the same `corgi demo compile` again")
    try:
        rows = read_whole(path).to_pylist()
        is_whole = content_of(pa.Table.from_pylist(rows, schema=SCHEMA)) == mark.content
    except (OSError, ValueError, pa.ArrowException):
        is_whole = False
    if not is_whole:
        raise UserError(f"{path} is damaged; remove it, and run the same `corgi demo compile` again", exit_code=1)
    return [Picture(**{**row, "images": tuple(Image(**image) for image in row["images"])}) for row in rows]


def note_review(folder: Path, **what: Any) -> None:
    """Append one line to the log in one write, durably."""
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **what}, ensure_ascii=False)
    descriptor = os.open(folder / REVIEW, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a kill left half a line
        os.write(descriptor, (("\n" if is_torn else "") + line + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reviews(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log; what a kill tore is passed over."""
    try:
        lines = (folder / REVIEW).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(content, dict):
            yield content
