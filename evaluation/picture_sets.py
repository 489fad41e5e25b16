"""Sets of generated pictures in a run, beside the real ones they are compared with.

samples/held_out.parquet      key, caption, group, held_out: one row a picture
        held_out.real.npz     pictures (n, px, px, 3) uint8, fingerprint
        held_out.base16.npz   the same for each stage; made and kept one by one, so a kill loses one stage at most
        held_out.png          a contact sheet, for people
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.files import commit, write_table

FOLDER = "samples"
REAL = "real"
SHEET_COLUMNS, SHEET_PX = 15, 96


@dataclass(frozen=True)
class PictureSet:
    """The files of one set, whether they are there or not."""

    run: Path
    name: str

    @property
    def folder(self) -> Path:
        """Where all sets of the run lie."""
        return self.run / FOLDER

    @property
    def table(self) -> Path:
        """One row a picture, in the order of the arrays."""
        return self.folder / f"{self.name}.parquet"

    def rows(self) -> pa.Table:
        """key, caption and what else is known of each picture."""
        return pq.read_table(self.table)

    def write_rows(self, rows: pa.Table, *, fingerprint: str) -> None:
        """Commits the table; the same rows give the same bytes."""
        write_table(self.table, rows, fingerprint=fingerprint)

    def path(self, part: str) -> Path:
        """Of the pictures by one stage, or of the real ones."""
        return self.folder / f"{self.name}.{part}.npz"

    def parts(self) -> dict[str, np.ndarray]:
        """Part -> (n, px, px, 3) uint8, smallest pictures first, the real ones last."""
        names = [path.name[len(self.name) + 1 : -4] for path in sorted(self.folder.glob(f"{self.name}.*.npz"))]
        found = {name: pictures for name in names if (pictures := self.read(name)) is not None}
        return dict(sorted(found.items(), key=lambda item: (item[0] == REAL, item[1].shape[1])))

    def read(self, part: str, *, fingerprint: str | None = None) -> np.ndarray | None:
        """The pictures, or None where they are not there or were made from something else than `fingerprint` says."""
        try:
            with np.load(self.path(part), allow_pickle=False) as file:
                fresh = fingerprint is None or str(file["fingerprint"]) == fingerprint
                return file["pictures"] if fresh else None
        except FileNotFoundError:
            return None

    def write(self, part: str, pictures: np.ndarray, *, fingerprint: str) -> None:
        """Commits (n, px, px, 3) uint8 pictures."""
        assert pictures.dtype == np.uint8 and pictures.ndim == 4, f"{pictures.dtype} {pictures.shape}"

        def save(scratch: Path) -> None:
            with scratch.open("wb") as file:
                np.savez_compressed(file, pictures=pictures, fingerprint=np.array(fingerprint))

        commit(self.path(part), save)

    def write_sheet(self, pictures: np.ndarray) -> None:
        """A contact sheet of all pictures, SHEET_COLUMNS in a row."""
        rows = -(-len(pictures) // SHEET_COLUMNS)
        sheet = Image.new("RGB", (SHEET_COLUMNS * SHEET_PX, rows * SHEET_PX), "white")
        for number, pixels in enumerate(pictures):
            small = Image.fromarray(pixels).resize((SHEET_PX, SHEET_PX), Image.Resampling.BOX)
            sheet.paste(small, (number % SHEET_COLUMNS * SHEET_PX, number // SHEET_COLUMNS * SHEET_PX))
        commit(self.folder / f"{self.name}.png", lambda scratch: sheet.save(scratch, "PNG"))


def sets_of(run: Path) -> Iterator[PictureSet]:
    """The sets of a run, by name; none where nothing was sampled."""
    for table in sorted((run / FOLDER).glob("*.parquet")):
        yield PictureSet(run, table.stem)
