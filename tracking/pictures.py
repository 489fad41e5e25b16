"""What a training drew, as far as it may be shown: nothing of captions that report's veil covers."""

from typing import NamedTuple

import numpy as np

from report.sensitive import SensitivePairs
from storage.grids import Grid, read_grid

from .sources import Source
from .told import Line


class Drawn(NamedTuple):
    """One image of a grid."""

    caption: str
    image: np.ndarray  # (px, px, 3) uint8


def drawn(source: Source, line: Line, sensitive: SensitivePairs) -> list[Drawn]:
    """Return the images of a `grid` line whose captions may be read; none where the file is gone or another."""
    grid = Grid(source.folder / line["file"], line["step"], line["seen"], line["px"], line["captions"], line["splits"])
    try:
        images = read_grid(grid)
    except (OSError, ValueError):  # taken down, or torn by hand: the figures are told all the same
        return []
    hateful = sensitive.hateful(grid.captions)
    pairs = zip(grid.captions, images, strict=True)
    return [Drawn(caption, image) for caption, image in pairs if caption and caption not in hateful]
