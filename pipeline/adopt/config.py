"""What is adopted, and how far it is trusted."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from configs import Config
from pipeline.download.config import FORMATS, DownloadConfig, Format
from pipeline.download.image import Limits

ANY_ASPECT = 65_500.0  # the longest a side of a JPEG can be


class AdoptConfig(Config):
    """Where shards or pictures lie that exist already. Nothing in them is changed."""

    # Folders, files or globs: *.tar of WebDataset; parquet or Arrow files with a column of images; or pictures, each
    # with its caption in a .txt of the same name or all of them in metadata.jsonl, metadata.csv or metadata.parquet.
    source: tuple[Path, ...] = Field(default=(), examples=[["/data/cc12m"]])
    # Field of a sample's JSON or column of a table; null: .txt, then the usual names.
    caption: str | None = Field(default=None, examples=["alt_text"])
    # Likewise; null: the usual names, and no url where there is none.
    url: str | None = Field(default=None, examples=["image_url"])
    # Column of a table of images; null: the first that holds images.
    image: str | None = Field(default=None, examples=["jpg"])
    shard_size: int = Field(default=10_000, ge=1)  # samples of a shard, for tables and pictures; a tar is a shard
    max_samples: int = Field(default=100_000, ge=1)  # of one tar; larger ones are to be repacked
    # Share of a tar's images that may be lost, as needs_copy, because they cannot be used as they are (PNG, turned by
    # EXIF): then the tar is read where it lies. Where there are more, it is copied with all of them; 0: at the first.
    leave_out: float = Field(default=0.01, ge=0, le=1)
    max_unpacked_gb: float = Field(default=20.0, gt=0)  # of what comes out of a .tar.gz, which is always copied
    formats: tuple[Format, ...] = Field(default=FORMATS, min_length=1)  # of gif, bmp, tiff and avif the first frame
    max_pixels: int = Field(default=64_000_000, ge=1, le=178_000_000)  # as the header declares; more is a bomb
    max_bytes: int = Field(default=50_000_000, ge=1)  # of an image
    jpeg_quality: int = Field(default=95, ge=1, le=100)  # of images that cannot be used as they are
    jpeg_chroma: Literal["full", "half"] = "full"  # of the same
    tolerate_lost: float = Field(default=0.9, ge=0, le=1)  # share lost for one reason, then it ends with 3; 1: any

    @property
    def limits(self) -> Limits:
        """Return what an image must be, and how one is stored that cannot be used as it is: at its own size."""
        own = self.model_dump(include={"formats", "max_pixels", "jpeg_quality", "jpeg_chroma"})
        return DownloadConfig(resize="no", max_aspect=ANY_ASPECT, originals="plain", **own).limits

    def made_of(self) -> dict[str, Any]:
        """Return the part that decides what a shard holds, once it is known from which files it is made.

        What was adopted before there were `leave_out` and `formats` stays as it is: it has more images, not fewer.
        """
        own = self.model_dump(mode="json", exclude={"source", "shard_size", "tolerate_lost", "max_unpacked_gb"})
        if self.leave_out == type(self).model_fields["leave_out"].default:
            del own["leave_out"]
        if self.formats == FORMATS:
            del own["formats"]
        return own
