"""What trainings and an evaluation leave in a run, for the page to show."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from storage import ledger
from storage.atomic import commit_json
from storage.run import TRAIN, TRAINING
from storage.samples import REAL, SampleSet
from tests.factory import MARK


def learned(run: Path, stage: str, *, splits: tuple[str, ...] = ("train", "held_out"), steps: int = 2) -> None:
    """A training that was validated at eight noise levels after every step."""
    folder = run / TRAIN / stage
    folder.mkdir(parents=True)
    commit_json(folder / TRAINING, {})
    for step in range(1, steps + 1):
        losses = {"loss": [0.5 / step] * 8, "shuffled": [0.6] * 8, "gap": [0.1 * step] * 8}
        where = {"step": step, "seen": step * 32, "log_snr": list(range(8, -8, -2))}
        ledger.note(folder, event="validation", **where, **dict.fromkeys(splits, losses))


def sampled(
    run: Path,
    *,
    groups: tuple[str, ...] = ("Flags",),
    px: tuple[int, ...] = (16, 64),
    real: bool = True,
    held_out: bool = True,
) -> None:
    """Sets of images by a stage a size, one of them half made. groups: in turn; none: no such column."""
    for name, count in {"training": 2, **({"held_out": 1} if held_out else {}), "torn": 2}.items():
        images = SampleSet(run, name)
        columns = {"key": [f"{n}" for n in range(count)], "caption": [f"an image {n}" for n in range(count)]}
        grouped = {"group": [groups[n % len(groups)] for n in range(count)]} if groups else {}
        table = pa.table({**columns, **grouped, "held_out": [name == "held_out"] * count})
        images.write_rows(table, **MARK)
        for part, side in [*([(REAL, px[-1])] if real else []), *((f"stage{side}", side) for side in px)]:
            if name != "torn" or part == REAL:
                images.write(part, np.zeros((count, side, side, 3), np.uint8), **MARK)
