"""What a scorer is, and what it is given."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some pairs, in order. Parts that no scorer needs may be left out."""

    # RGB uint8 (height, width, 3): as stored, or of larger ones a smaller whole, at least 512 px on the shorter side
    images: list[np.ndarray] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)  # metadata by name, one value a pair


class Scorer(Protocol):
    """Computes columns for pairs. A pair's values depend on that pair alone, never on its neighbours in the batch.

    Who looks closer than at 512 px says `image_px`, the shorter side that it needs.
    Building a scorer is cheap: models are loaded by the first batch, in the process that needs them.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]  # "images", "captions", or names of columns: metadata, or of scorers before it
    columns: ClassVar[dict[str, pa.DataType]]  # what it adds

    @property
    def fingerprint(self) -> str:
        """Cover its config, its model file and the library that computes it."""
        ...

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Return every column of `columns`, one value a pair."""
        ...
