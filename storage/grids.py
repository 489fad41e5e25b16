"""What a training drew over time: one file of images a validation, and a line of its ledger that says what they show.

    <training>/grids/step-00000500.webp    GRID_COLUMNS images a row, each of the stage's size, in the order of the line

    {"event": "grid", "step": 500, "seen": 32000, "file": "grids/step-00000500.webp", "px": 64,
     "captions": [...], "splits": ["held_out", ..., "train"], "keys": [...], "track": "ema", "seconds": 1.8}

Captions and noise are the same at every step. The ledger says which files hold: a file of steps that were taken back is
written anew when the training comes there again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .atomic import commit
from .ledger import read, read_training, rewrite
from .takedown import Tombstones

FOLDER = "grids"
GRID_COLUMNS = 4
LOSSLESS_PX = 128  # images up to this size are stored as they are; larger ones by WebP's quality of 90


class Grid(NamedTuple):
    """One validation's images."""

    path: Path
    step: int
    seen: int
    px: int  # side of an image
    captions: list[str]  # one an image
    splits: list[str]  # held_out or train, one an image


def write_grid(run: Path, step: int, images: np.ndarray) -> str:
    """Commit (n, px, px, 3) uint8 images; return the file's name within the training's folder."""
    name, px = f"{FOLDER}/step-{step:08d}.webp", images.shape[1]
    columns = min(GRID_COLUMNS, len(images))
    sheet = np.full((-(-len(images) // columns) * px, columns * px, 3), 255, np.uint8)
    for image, (top, left) in zip(images, _corners(len(images), columns, px), strict=True):
        sheet[top : top + px, left : left + px] = image
    kind = {"lossless": True} if px <= LOSSLESS_PX else {"quality": 90}
    commit(run / name, lambda scratch: Image.fromarray(sheet).save(scratch, "WEBP", **kind))
    return name


def grids_of(run: Path) -> list[Grid]:
    """Return the grids of a training that hold and are there, in order."""
    grids = [
        Grid(run / line["file"], line["step"], line["seen"], line["px"], line["captions"], line["splits"])
        for line in read_training(run)
        if line["event"] == "grid"
    ]
    return [grid for grid in grids if grid.path.exists()]


def read_grid(grid: Grid) -> np.ndarray:
    """Return a grid's images, (n, px, px, 3) uint8, one a caption."""
    with Image.open(grid.path) as file:
        sheet = np.asarray(file.convert("RGB"))
    count, px = len(grid.captions), grid.px
    corners = _corners(count, min(GRID_COLUMNS, count), px)
    return np.stack([sheet[top : top + px, left : left + px] for top, left in corners])


def remove_pairs(run: Path, gone: Tombstones) -> int:
    """Remove grids that show a pair which was taken down, and its captions from the ledger; return how many.

    The ledger is changed last, so that the same call after a kill still finds the files.
    """
    shown = [line for line in read(run) if line.get("event") == "grid" and any(map(gone.holds, line["keys"]))]
    stale = [line for line in shown if (run / line["file"]).exists() or any(_captions_of(line, gone))]
    if stale:
        for line in stale:
            (run / line["file"]).unlink(missing_ok=True)
        rewrite(run, lambda line: line | {"captions": _kept_captions(line, gone)} if line in stale else line)
    return len(stale)


def _captions_of(line: Mapping[str, Any], gone: Tombstones) -> list[str]:
    """Return the captions in a line of pairs that were taken down."""
    return [caption for caption, key in zip(line["captions"], line["keys"], strict=True) if gone.holds(key)]


def _kept_captions(line: Mapping[str, Any], gone: Tombstones) -> list[str]:
    pairs = zip(line["captions"], line["keys"], strict=True)
    return ["" if gone.holds(key) else caption for caption, key in pairs]


def _corners(count: int, columns: int, px: int) -> Sequence[tuple[int, int]]:
    return [(number // columns * px, number % columns * px) for number in range(count)]
