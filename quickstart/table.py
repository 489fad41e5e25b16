"""The quickstart's input: pictures in <run>/web, the url table, and beside it the truth about every row.

table.parquet   LAION-400M's columns, SHA256, and NAME, GROUP, FAMILY, SPLIT, TONE_VARIANT, CODE for the evaluation
truth.parquet   url, caption, kind, and the step and reason that must drop the row ("kept", "" for none)
"""

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from os import getpid
from pathlib import Path

import pyarrow as pa
from PIL import Image

from configs import fingerprint
from pipeline.files import commit_bytes, read_mark, write_table
from pipeline.orphans import die_with
from pipeline.progress import Progress

from .draw import POSTER_PX, encode, form, on_white, plain, poster, render, size_px
from .faults import BY_NAME, Pair, planted, true_pair
from .names import Drawing, drawings, hashed
from .web import WEB

VERSION = 3
TINY_PX = 24
WIDE = (640, 128)
POSTERS = ("one-word", "foreign", "markup", "hateful")  # kinds whose pictures are no drawing's alone
TABLE, TRUTH = "table.parquet", "truth.parquet"
WORKERS = 2


def prepare(run: Path, *, pairs: int | None = None, workers: int = WORKERS) -> None:
    """Draws what is not drawn yet and writes both tables, unless they are there. `pairs`: only so many drawings."""
    mark = fingerprint("quickstart", VERSION, pairs)
    done = read_mark(run / TABLE)
    if done is not None and done.fingerprint == mark and (run / TRUTH).exists():
        return
    rows = all_pairs(pairs)
    digests = _draw_all(run / WEB, rows, workers)
    write_table(run / TRUTH, _truth(rows), fingerprint=mark)
    write_table(run / TABLE, _table(rows, digests), fingerprint=mark)


def all_pairs(count: int | None = None) -> list[Pair]:
    """Every row of the table, in its order."""
    chosen = sorted(drawings(), key=lambda one: hashed(one.code, "chosen"))[:count]
    true = [true_pair(one, form(one.code)[0]) for one in chosen]
    rows = [*true, *planted(chosen, {pair.drawing.code: pair.url for pair in true})]
    return sorted(rows, key=lambda pair: hashed(pair.url, pair.caption, pair.kind))


def file_of(pair: Pair) -> str | None:
    """The name below <run>/web of the file a pair's url leads to; None where it leads to none."""
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
    """A PNG with a broken middle: its checksums fail."""
    data = bytearray(_as("png", code))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    return bytes(data)


def _truncated(code: str) -> bytes:
    data = _as("jpg", code)
    return data[: len(data) * 6 // 10]


def _bomb(code: str) -> bytes:
    """A PNG of a few hundred bytes that announces 50,000 x 50,000 pixels."""
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
    """The true pair's picture with a faint dot in a corner: other bytes, the same look."""
    picture = on_white(Image.open(io.BytesIO(plain(code))).convert("RGBA"))
    picture.paste((235, 235, 235), (0, 0, 2, 2))
    return encode(picture, "png")


MAKERS: dict[str, Callable[[str], bytes]] = {
    "noai": partial(_as, "png"),
    "noimageai": partial(_as, "png"),
    "not-for-robots": partial(_as, "png"),
    "unknown": lambda code: b"\x93" + bytes.fromhex(hashlib.sha256(code.encode()).hexdigest()) * 8,
    "robots": partial(_as, "png"),
    "svg": lambda code: b'<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"/>',
    "gif": _gif,
    "truncated": _truncated,
    "corrupt": _corrupt,
    "bomb": _bomb,
    "fat": partial(_as, "jpg"),
    "fat-unannounced": partial(_as, "jpg"),
    "slow": partial(_as, "jpg"),
    "cut-off": partial(_as, "jpg"),
    "mismatch": partial(_as, "png"),
    "tiny": lambda code: encode(_small(code, TINY_PX), "png"),
    "wide": _wide,
    "copy": plain,
    "near": _near,
    **{kind: lambda code: encode(poster(code), "jpg") for kind in POSTERS},
}


def _draw(folder: Path, picture: tuple[str, Pair]) -> tuple[str, str]:
    """Draws one picture if it is not there; returns its name and sha256."""
    name, pair = picture
    if not (folder / name).exists():
        commit_bytes(folder / name, MAKERS.get(pair.kind, plain)(pair.drawing.code))
    return name, hashlib.sha256((folder / name).read_bytes()).hexdigest()


def _draw_all(folder: Path, rows: list[Pair], workers: int) -> list[str | None]:
    """sha256 of every row's picture. One that two rows share is drawn once, or two workers would write one scratch."""
    names = [file_of(pair) for pair in rows]
    pictures = {name: pair for name, pair in zip(names, rows, strict=True) if name is not None}
    context = get_context("spawn")
    digests: dict[str | None, str] = {}
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=die_with, initargs=(getpid(),)) as pool,
        Progress("draw", total=len(pictures), unit="pictures") as progress,
    ):
        for name, digest in pool.map(partial(_draw, folder), pictures.items(), chunksize=32):
            digests[name] = digest
            progress.advance(1)
    return [digests.get(name) for name in names]


def _table(rows: list[Pair], digests: list[str | None]) -> pa.Table:
    drawn: list[Drawing] = [pair.drawing for pair in rows]
    wrong = hashlib.sha256(b"what the picture was when the table was made").hexdigest()
    dice = [hashed(pair.url, pair.caption) for pair in rows]
    widths, heights = zip(*map(_told_size, rows), strict=True)
    return pa.table(
        {
            "SAMPLE_ID": pa.array(range(len(rows)), pa.int64()),
            "URL": [pair.url for pair in rows],
            "TEXT": [pair.caption for pair in rows],
            "HEIGHT": pa.array(heights, pa.int32()),
            "WIDTH": pa.array(widths, pa.int32()),
            "LICENSE": ["CC-BY 4.0"] * len(rows),
            "NSFW": ["UNSURE" if one % 50 == 0 else "UNLIKELY" for one in dice],
            "similarity": [0.28 + one % 1000 / 10_000 for one in dice],
            "SHA256": [
                wrong if pair.kind == "mismatch" else digest for pair, digest in zip(rows, digests, strict=True)
            ],
            "CODE": [one.code for one in drawn],
            "NAME": [one.name for one in drawn],
            "GROUP": [one.group for one in drawn],
            "FAMILY": [one.family for one in drawn],
            "SPLIT": ["held_out" if one.held_out else "train" for one in drawn],
            "TONE_VARIANT": [one.tone_variant for one in drawn],
        }
    )


def _told_size(pair: Pair) -> tuple[int, int]:
    """Width and height as the table tells them: those of the picture when the table was made."""
    if pair.kind == "wide":
        return WIDE
    side = TINY_PX if pair.kind == "tiny" else POSTER_PX if pair.kind in POSTERS else size_px(pair.drawing.code)
    return side, side


def _truth(rows: list[Pair]) -> pa.Table:
    names = ("url", "caption", "kind", "step", "reason")
    return pa.table({name: [getattr(pair, name) for pair in rows] for name in names})
