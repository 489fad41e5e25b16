"""Some of what came through, to look at, and the licences that the table names."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline.files import read_table
from pipeline.pictures import decode, read_member
from pipeline.plan import shards_of
from pipeline.shard import KEEP, PAIRS, SCORES, TAR, Shard

from .html import Html, element
from .page_examples import thumb
from .page_veil import Veil

COUNT = 36  # pictures in the gallery
SHARDS = 4  # looked into
THUMB_PX = 96


class Kept(NamedTuple):
    """What is told of the pairs that came through."""

    gallery: Html | None  # None where nothing was kept
    licences: list[str]


def look(run: Path, veil: Veil) -> Kept:
    """The first kept pairs of the first shards; what the veil would cover is left out."""
    pictures, licences = list[Html](), set[str]()
    for shard in shards_of(run)[:SHARDS]:
        pairs = _kept(shard)
        if "license" in pairs.column_names:
            licences |= {str(value) for value in pc.unique(pairs["license"]).to_pylist() if value}
        pictures += _pictures(shard, pairs.slice(0, COUNT // SHARDS), veil)
    return Kept(element("div", pictures, class_="gallery") if pictures else None, sorted(licences))


def _kept(shard: Shard) -> pa.Table:
    """Columns of the kept pairs, with their scores where there are some."""
    pairs = read_table(shard.path(PAIRS), made_by="download")
    stored = pairs.filter(pc.equal(pairs["status"], "ok"))
    if shard.path(SCORES).exists():
        scores = read_table(shard.path(SCORES), made_by="score")
        if "nsfw_score" in scores.column_names and scores["key"].equals(stored["key"]):
            stored = stored.append_column("nsfw_score", scores["nsfw_score"])
    keep = read_table(shard.path(KEEP), ["key", "kept"], made_by="select")
    return stored.filter(pc.is_in(stored["key"], value_set=keep["key"].filter(keep["kept"]).combine_chunks()))


def _pictures(shard: Shard, pairs: pa.Table, veil: Veil) -> list[Html]:
    rows = pairs.to_pylist()
    hateful = veil.hateful(row["caption"] for row in rows)
    with shard.path(TAR).open("rb") as file:
        return [
            element("img", src=_thumb(read_member(file, row["tar_offset"], row["tar_size"])), alt=row["caption"])
            for row in rows
            if not veil.covers(row, hateful)
        ]


def _thumb(data: bytes) -> str:
    return thumb(Image.fromarray(decode(data, at_least_px=THUMB_PX)), side_px=THUMB_PX)
