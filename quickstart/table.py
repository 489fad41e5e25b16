"""The quickstart's input: images in <run>/web, the url table, and beside it the truth about every row.

table.parquet   LAION-400M's columns, SHA256, and NAME, GROUP, FAMILY, SPLIT, TONE_VARIANT, CODE for the evaluation
truth.parquet   url, caption, kind, and the step and reason that must drop the row ("kept", "" for none)
"""

import hashlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
from PIL import Image

from configs import fingerprint, hashed
from pipeline.progress import Progress
from storage.atomic import commit_bytes, remove_left_over
from storage.processes import process_pool
from storage.tables import read_mark, write_table

from .draw import POSTER_PX, encode, form, on_white, plain, poster, render, size_px
from .names import Drawing, drawings
from .planted import BY_NAME, Pair, planted, true_pair
from .web import WEB

VERSION = 3
TINY_PX = 24
WIDE = (640, 128)
POSTERS = ("one-word", "foreign", "markup", "hateful")  # kinds whose images are no drawing's alone
TABLE, TRUTH = "table.parquet", "truth.parquet"
WORKERS = 2


def prepare(run: Path, *, pairs: int | None = None, workers: int = WORKERS) -> None:
    """Draw what is not drawn yet and write both tables, unless they are there. `pairs`: only so many drawings."""
    mark = fingerprint("quickstart", VERSION, pairs)
    written = read_mark(run / TABLE)
    if written is not None and written.fingerprint == mark and (run / TRUTH).exists():
        return
    for folder in (run, *(run / WEB).glob("*/")):
        remove_left_over(folder)
    rows = all_pairs(pairs)
    digests = _draw_all(run / WEB, rows, workers)
    write_table(run / TRUTH, _truth(rows), fingerprint=mark)
    write_table(run / TABLE, _table(rows, digests), fingerprint=mark)


def all_pairs(count: int | None = None) -> list[Pair]:
    """Return every row of the table, in its order."""
    chosen = sorted(drawings(), key=lambda drawing: hashed(drawing.code, "chosen"))[:count]
    true = [true_pair(drawing, form(drawing.code)[0]) for drawing in chosen]
    rows = [*true, *planted(chosen, {pair.drawing.code: pair.url for pair in true})]
    return sorted(rows, key=lambda pair: hashed(pair.url, pair.caption, pair.kind))


def file_of(pair: Pair) -> str | None:
    """Return the name below <run>/web of the file a pair's url leads to; None where it leads to none."""
    code, kind = pair.drawing.code, pair.kind
    if kind in ("true", "twice"):
        return f"pictures/{code}.{form(code)[0]}"
    return f"{kind}/{code}.{BY_NAME[kind].ending}" if kind in MAKERS else None


def _small(code: str, px: int = 256) -> Image.Image:
    return on_white(render(code, px))


def _as(file_format: str, code: str) -> bytes:
    return encode(_small(code), file_format)  # type: ignore[arg-type]


def _gif(code: str) -> bytes:
    out = io.BytesIO()
    _small(code, 96).convert("P").save(out, "GIF")
    return out.getvalue()


def _corrupt(code: str) -> bytes:
    """Return a PNG with a broken middle: its checksums fail."""
    data = bytearray(_as("png", code))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    return bytes(data)


def _truncated(code: str) -> bytes:
    data = _as("jpg", code)
    return data[: len(data) * 6 // 10]


def _bomb(code: str) -> bytes:
    """Return a PNG of a few hundred bytes that announces 50,000 x 50,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(200))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _wide(code: str) -> bytes:
    width, height = WIDE
    paper = Image.new("RGB", WIDE, "white")
    paper.paste(_small(code, height), ((width - height) // 2, 0))
    return encode(paper, "png")


def _near(code: str) -> bytes:
    """Return the true pair's image with a faint dot in a corner: other bytes, the same look."""
    image = on_white(Image.open(io.BytesIO(plain(code))).convert("RGBA"))
    image.paste((235, 235, 235), (0, 0, 2, 2))
    return encode(image, "png")


MAKERS: dict[str, Callable[[str], bytes]] = {
    **dict.fromkeys(("noai", "noimageai", "not-for-robots", "robots", "mismatch"), partial(_as, "png")),
    **dict.fromkeys(("fat", "fat-unannounced", "slow", "cut-off"), partial(_as, "jpg")),
    **dict.fromkeys(POSTERS, lambda code: encode(poster(code), "jpg")),
    "unknown": lambda code: b"\x93" + bytes.fromhex(hashlib.sha256(code.encode()).hexdigest()) * 8,
    "svg": lambda code: b'<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"/>',
    "gif": _gif,
    "truncated": _truncated,
    "corrupt": _corrupt,
    "bomb": _bomb,
    "tiny": lambda code: encode(_small(code, TINY_PX), "png"),
    "wide": _wide,
    "copy": plain,
    "near": _near,
}


def _draw(folder: Path, image: tuple[str, Pair]) -> tuple[str, str]:
    """Draw one image if it is not there; return its name and sha256."""
    name, pair = image
    if not (folder / name).exists():
        commit_bytes(folder / name, MAKERS.get(pair.kind, plain)(pair.drawing.code))
    return name, hashlib.sha256((folder / name).read_bytes()).hexdigest()


def _draw_all(folder: Path, rows: list[Pair], workers: int) -> list[str | None]:
    """Return the sha256 of every row's image.

    One that two rows share is drawn once, or two workers would write one scratch.
    """
    names = [file_of(pair) for pair in rows]
    images = {name: pair for name, pair in zip(names, rows, strict=True) if name is not None}
    digests: dict[str | None, str] = {}
    with process_pool(workers) as pool, Progress("draw", total=len(images), unit="pictures") as progress:
        for name, digest in pool.map(partial(_draw, folder), images.items(), chunksize=32):
            digests[name] = digest
            progress.advance(1)
    return [digests.get(name) for name in names]


def _table(rows: list[Pair], digests: list[str | None]) -> pa.Table:
    drawn: list[Drawing] = [pair.drawing for pair in rows]
    wrong = hashlib.sha256(b"what the picture was when the table was made").hexdigest()
    dice = [hashed(pair.url, pair.caption) for pair in rows]
    widths, heights = zip(*map(_size_in_table, rows), strict=True)
    return pa.table(
        {
            "SAMPLE_ID": pa.array(range(len(rows)), pa.int64()),
            "URL": [pair.url for pair in rows],
            "TEXT": [pair.caption for pair in rows],
            "HEIGHT": pa.array(heights, pa.int32()),
            "WIDTH": pa.array(widths, pa.int32()),
            "LICENSE": ["CC-BY 4.0"] * len(rows),
            "NSFW": ["UNSURE" if number % 50 == 0 else "UNLIKELY" for number in dice],
            "similarity": [0.28 + number % 1000 / 10_000 for number in dice],
            "SHA256": [
                wrong if pair.kind == "mismatch" else digest for pair, digest in zip(rows, digests, strict=True)
            ],
            "CODE": [drawing.code for drawing in drawn],
            "NAME": [drawing.name for drawing in drawn],
            "GROUP": [drawing.group for drawing in drawn],
            "FAMILY": [drawing.family for drawing in drawn],
            "SPLIT": ["held_out" if drawing.held_out else "train" for drawing in drawn],
            "TONE_VARIANT": [drawing.tone_variant for drawing in drawn],
        }
    )


def _size_in_table(pair: Pair) -> tuple[int, int]:
    """Return width and height as they stand in the table: those of the image when the table was made."""
    if pair.kind == "wide":
        return WIDE
    side = TINY_PX if pair.kind == "tiny" else POSTER_PX if pair.kind in POSTERS else size_px(pair.drawing.code)
    return side, side


def _truth(rows: list[Pair]) -> pa.Table:
    names = ("url", "caption", "kind", "step", "reason")
    return pa.table({name: [getattr(pair, name) for pair in rows] for name in names})
