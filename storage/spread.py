"""Records of a step that sees all rows, spread over parts, so that what belongs together can be judged alone.

One file holds the records of many parts, part after part, behind the places where they begin: as many files as writers,
not writers times parts. They are scratch: of one machine's byte order, and gone when the step is done.

    number of parts, then the parts' first records and the end (int64 each), then the records
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .atomic import commit

WORD = np.dtype(np.int64)


def write(path: Path, records: np.ndarray, part: np.ndarray | None = None, parts: int = 1) -> None:
    """Commit (n,) records of one dtype. part: (n,) int, to which of `parts` each belongs; None: all to part 0.

    The records of a part keep their order.
    """
    if part is None:
        begins = np.array([0, len(records)])
    else:
        order = np.argsort(part, kind="stable")
        records, begins = records[order], np.searchsorted(part[order], np.arange(parts + 1))
    head = np.concatenate([[parts], begins]).astype(WORD)
    commit(path, lambda scratch: scratch.write_bytes(head.tobytes() + np.ascontiguousarray(records).tobytes()))


def read(paths: Iterable[Path], dtype: np.dtype, part: int = 0) -> np.ndarray:
    """Return the records of one part in all these files, in the order of the files."""
    pieces = [np.zeros(0, dtype)]
    for path in paths:
        with path.open("rb") as file:
            (parts,) = np.fromfile(file, WORD, 1)
            begin, end = np.fromfile(file, WORD, 2, offset=WORD.itemsize * part)
            at = WORD.itemsize * int(parts - part - 1) + int(begin) * dtype.itemsize
            pieces.append(np.fromfile(file, dtype, int(end - begin), offset=at))
    return np.concatenate(pieces)


def text_of(path: Path, count: int) -> np.dtype:
    """Return the dtype of a file of `count` texts in one part: it is as wide as the longest of them."""
    return np.dtype(f"S{max(1, (path.stat().st_size - 3 * WORD.itemsize) // max(1, count))}")


def mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    """Return all records of a file without reading them; only what is looked at is."""
    parts = int(np.fromfile(path, WORD, 1)[0])
    at = WORD.itemsize * (parts + 2)
    if path.stat().st_size == at:
        return np.zeros(0, dtype)  # nothing cannot be mapped
    return np.memmap(path, dtype, "r", offset=at)
