"""What a training drew over time: a row a caption, a column a validation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.grids import Grid, grids_of, read_grid

from .about import url
from .album import Album
from .sensitive import SensitivePairs, pack

COLUMNS = 6  # validations that are shown, spread over all of them
CELL_PX = 96


class Row(NamedTuple):
    """One caption over time. Of a sensitive one the page shows nothing but what is packed."""

    caption: str
    is_held_out: bool
    images: list[str]  # data: urls, one a column
    packed: str | None


class Over(NamedTuple):
    """One stage over time."""

    steps: list[int]  # of the columns
    files: list[str | None]  # url of each column's whole grid; None where a caption in it is hidden
    px: int  # side of an image
    rows: list[Row]
    total: int  # validations


def over_time(training: Path, page: Path, sensitive: SensitivePairs, album: Album) -> Over | None:
    """Return the grids of a training; None where it has drawn none, or where there is no room for them."""
    grids = [grid for grid in grids_of(training) if grid.captions]
    grids = [grid for grid in grids if grid.captions == grids[-1].captions and grid.px == grids[-1].px]
    if not grids or album.is_full("grids"):
        return None
    last, shown = grids[-1], _spread(grids)
    hateful = sensitive.hateful(last.captions)
    pixels = [read_grid(grid) for grid in shown]
    rows = [
        _row(last, number, [images[number] for images in pixels], hateful, album) for number in range(len(pixels[0]))
    ]
    files = [None if hateful else url(grid.path, page) for grid in shown]
    return Over([grid.step for grid in shown], files, last.px, [row for row in rows if row], len(grids))


def _row(grid: Grid, number: int, images: list[np.ndarray], hateful: set[str], album: Album) -> Row | None:
    if album.is_full("grids"):
        return None
    caption, is_held_out = grid.captions[number], grid.splits[number] == "held_out"
    urls = [album.thumbnail(image, CELL_PX, part="grids") for image in images]
    if caption in hateful:
        return Row("", is_held_out, [], pack({"caption": caption, "image": urls[-1], "alt": "generated"}))
    return Row(caption, is_held_out, urls, None)


def _spread(grids: list[Grid]) -> list[Grid]:
    """Return the first, the last, and some between."""
    places = np.linspace(0, len(grids) - 1, min(COLUMNS, len(grids))).round().astype(int)
    return [grids[place] for place in dict.fromkeys(places.tolist())]
