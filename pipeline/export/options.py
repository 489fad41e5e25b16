"""What an export is to be: for whom, how large, and with which text embeds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from configs import UserError, nearest
from pipeline.download.config import DownloadConfig
from pipeline.download.image import Limits
from storage.keep_list import TRAIN

To = Literal["webdataset", "parquet", "hf"]
Embeds = Literal["beside", "inside", "none"]
SHARD_SIZE = {"webdataset": 10_000, "parquet": 2_000, "hf": 2_000}  # parquet of 500 MB is what the hub asks for


@dataclass(frozen=True)
class Options:
    """What an export is to be. Raises UserError for what cannot be."""

    to: To
    stage: str | None = None  # only what this stage trains on, where it has rules of its own
    max_side_px: int | None = None  # longest side as exported; None: as stored
    shard_size: int = 0  # pairs at most; 0: as is usual for the format
    text_embeds: Embeds = "none"  # beside: as training reads them; inside: float32 in each sample

    def __post_init__(self) -> None:
        for name, value, kind in (("--to", self.to, To), ("--text-embeds", self.text_embeds, Embeds)):
            if value not in get_args(kind):
                raise UserError(f"{name} is {value!r}{nearest(str(value), get_args(kind))}")
        if self.to != "webdataset" and self.text_embeds == "beside":
            raise UserError(f"--text-embeds beside is for webdataset; a sample of {self.to} can have them inside")
        if self.max_side_px is not None and self.max_side_px < 1:
            raise UserError(f"--max-side is {self.max_side_px}, but a side has at least 1 px")
        if self.shard_size < 0:
            raise UserError(f"--shard-size is {self.shard_size}, but a shard has at least 1 pair")

    @property
    def column(self) -> str:
        """Return the column of the keep-lists that says what is trained on."""
        return self.stage or TRAIN

    @property
    def pairs_each(self) -> int:
        """Return how many pairs an exported shard has at most."""
        return self.shard_size or SHARD_SIZE[self.to]

    @property
    def limits(self) -> Limits | None:
        """Return what images are made to; None where they are exported as they are stored."""
        if self.max_side_px is None:
            return None
        return DownloadConfig(size_px=self.max_side_px, originals="plain", max_aspect=65_500.0).limits

    def folder(self, run: Path) -> Path:
        """Return where an export goes if nobody says: each in a folder of its own."""
        names = [self.to, self.stage, f"{self.max_side_px}px" if self.max_side_px else None]
        return run / "export" / "-".join(name for name in names if name)

    def made_of(self) -> list[Any]:
        """Return what decides the content of a shard, beside the rows that it is made from."""
        return [self.to, self.max_side_px, self.text_embeds, list(self.limits) if self.limits else None]
