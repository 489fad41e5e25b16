"""What an evaluation leaves in a run: sets of generated images beside the real ones, and the figures of them.

evaluate.yaml                 how this run is evaluated, where that differs from the defaults; written by people
figures.json                  fingerprint, config, figures {name: figure, bar, holds, says}, gap {split: by log-SNR}
samples/held_out.parquet      key, caption, group, held_out: one row an image
        held_out.real.npz     images (n, px, px, 3) uint8, in the file called `pictures`; fingerprint
        held_out.base16.npz   the same for each stage; made and kept one by one, so a kill loses one stage at most
        held_out.png          a contact sheet, for people
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .atomic import commit, commit_json, read_json
from .pictures import contact_sheet
from .tables import write_table

EVALUATE = "evaluate.yaml"
FIGURES = "figures.json"
FOLDER = "samples"
REAL = "real"
SHEET_COLUMNS, SHEET_PX = 15, 96


def read_figures(run: Path) -> dict[str, Any]:
    """Return what figures.json holds; empty where there is none."""
    return read_json(run / FIGURES) or {}


def write_figures(run: Path, content: Mapping[str, Any], *, fingerprint: str) -> Path:
    """Commit figures.json and return its path."""
    commit_json(run / FIGURES, {"fingerprint": fingerprint, **content})
    return run / FIGURES


@dataclass(frozen=True)
class SampleSet:
    """The files of one set, whether they are there or not."""

    run: Path
    name: str

    @property
    def table(self) -> Path:
        """Return the table: one row an image, in the order of the arrays."""
        return self.run / FOLDER / f"{self.name}.parquet"

    def rows(self) -> pa.Table:
        """Return key, caption and what else is known of each image."""
        return pq.read_table(self.table)

    def write_rows(self, rows: pa.Table, *, fingerprint: str) -> None:
        """Commit the table; the same rows give the same bytes."""
        write_table(self.table, rows, fingerprint=fingerprint)

    def path(self, part: str) -> Path:
        """Return the file of the images by one stage, or of the real ones."""
        return self.run / FOLDER / f"{self.name}.{part}.npz"

    def parts(self) -> dict[str, np.ndarray]:
        """Return part -> (n, px, px, 3) uint8, smallest images first, the real ones last."""
        names = [path.name[len(self.name) + 1 : -4] for path in sorted((self.run / FOLDER).glob(f"{self.name}.*.npz"))]
        parts = {name: images for name in names if (images := self.read(name)) is not None}
        return dict(sorted(parts.items(), key=lambda item: (item[0] == REAL, item[1].shape[1])))

    def read(self, part: str, *, fingerprint: str | None = None) -> np.ndarray | None:
        """Return the images; None where they are not there or were made from something else than `fingerprint` says."""
        try:
            with np.load(self.path(part), allow_pickle=False) as file:
                is_fresh = fingerprint is None or str(file["fingerprint"]) == fingerprint
                return file["pictures"] if is_fresh else None
        except FileNotFoundError:
            return None

    def write(self, part: str, images: np.ndarray, *, fingerprint: str) -> None:
        """Commit (n, px, px, 3) uint8 images."""
        assert images.dtype == np.uint8 and images.ndim == 4, f"{images.dtype} {images.shape}"

        def save(scratch: Path) -> None:
            with scratch.open("wb") as file:
                np.savez_compressed(file, pictures=images, fingerprint=np.array(fingerprint))

        commit(self.path(part), save)

    def write_sheet(self, images: np.ndarray) -> None:
        """Commit a contact sheet of all images, SHEET_COLUMNS in a row."""
        sheet = contact_sheet([*images], columns=SHEET_COLUMNS, px=SHEET_PX)
        commit(self.run / FOLDER / f"{self.name}.png", lambda scratch: sheet.save(scratch, "PNG"))


def remove_set(samples: SampleSet) -> None:
    """Remove a set with everything measured over it: images first, so that the table tells until they are gone."""
    for path in sorted((samples.run / FOLDER).glob(f"{samples.name}.*")):
        if path != samples.table:
            path.unlink()
    (samples.run / FIGURES).unlink(missing_ok=True)
    samples.table.unlink()


def sets_of(run: Path) -> Iterator[SampleSet]:
    """Yield the sets of a run, by name; none where nothing was sampled."""
    for table in sorted((run / FOLDER).glob("*.parquet")):
        yield SampleSet(run, table.stem)
