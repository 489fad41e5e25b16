"""Parquet and Arrow files with a column of images: Hugging Face's datasets, as downloaded or as saved to a disk.

An image is a struct of `bytes` and `path`, or bytes alone. Parts are row groups of parquet, record batches of Arrow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError, nearest
from pipeline.captions import normalised

from .config import AdoptConfig
from .samples import NoImage, Problem, Sample, caption_of, url_of

SUFFIXES = (".parquet", ".arrow")
IMAGE_NAMES = ("image", "jpg", "jpeg", "png", "webp", "img")


class Parts:
    """The parts of one file: how many rows each has, and what they hold."""

    def __init__(self, path: Path) -> None:
        self._parquet, self._batches = None, list[pa.RecordBatch]()
        try:
            if path.suffix == ".parquet":
                self._parquet = pq.ParquetFile(path)
                self.schema: pa.Schema = self._parquet.schema_arrow
                metadata = self._parquet.metadata
                self.rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            else:
                self._batches = list(_batches(path))
                self.schema = self._batches[0].schema if self._batches else pa.schema([])
                self.rows = [batch.num_rows for batch in self._batches]
        except (pa.ArrowInvalid, OSError) as error:
            line = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read: {line}; mend it, or take it out of adopt.source") from None

    def read(self, part: int, columns: list[str] | None = None) -> pa.Table:
        """Return one part."""
        if self._parquet is not None:
            return self._parquet.read_row_group(part, columns=columns)
        table = pa.Table.from_batches([self._batches[part]])
        return table if columns is None else table.select(columns)


class ImageTable:
    """Some parts of one file, opened."""

    def __init__(self, path: Path, config: AdoptConfig, *, begin: int, count: int) -> None:
        self.path, self._config = path, config
        self._parts, self._numbers = Parts(path), range(begin, begin + count)
        self._image = image_column(path, self._parts.schema, config.image)
        self._held: tuple[int, pa.ChunkedArray] | None = None  # the images of the part that was read last

    def samples(self) -> Iterator[Sample]:
        """Yield a sample a row, keyed by its number in the file."""
        others = [name for name in self._parts.schema.names if name != self._image]
        row_number = sum(self._parts.rows[: self._numbers.start])
        for part in self._numbers:
            for row, fields in enumerate(self._parts.read(part, others).to_pylist()):
                yield self._sample(f"{row_number:08d}", fields, (part, row))
                row_number += 1

    def read(self, place: Any) -> bytes:
        """Return the bytes of an image, b"" where there are none. Raises NoImage where its path stands alone.

        `datasets` writes such parquet of pictures on its own disk. No path that a table names is followed.
        """
        part, row = place
        if self._held is None or self._held[0] != part:
            self._held = part, self._parts.read(part, [self._image])[self._image]
        value = self._held[1][row].as_py()
        if isinstance(value, dict) and not value["bytes"] and value["path"]:
            raise NoImage(f"only its path, {value['path']}; save_to_disk of datasets keeps the bytes")
        return (value["bytes"] if isinstance(value, dict) else value) or b""

    def _sample(self, key: str, fields: dict[str, Any], place: tuple[int, int]) -> Sample:
        caption, url = caption_of(fields, self._config.caption), url_of(fields, self._config.url)
        problem = None if normalised(caption) else Problem("no_caption")
        return Sample(key=key, caption=caption, url=url, fields=fields, place=place, problem=problem)


def image_column(path: Path, schema: pa.Schema, given: str | None = None) -> str:
    """Return the name of the column that holds images. Raises UserError where there is none."""
    holding = [field.name for field in schema if _may_hold_images(field.type)]
    if given is not None:
        if given not in holding:
            raise UserError(f"{path}: adopt.image is {given!r}, which holds no images{nearest(given, holding)}")
        return given
    structs = [name for name in holding if pa.types.is_struct(schema.field(name).type)]
    usual = [name for name in holding if name.lower() in IMAGE_NAMES]
    if not structs and not usual:
        raise UserError(
            f"{path} has no column of images (its columns: {', '.join(schema.names)}); name it in adopt.image, or give "
            "a table of urls to `table` and corgi plan"
        )
    return (structs or usual)[0]


def _may_hold_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {field.name for field in kind}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an Arrow file, of either format, by memory map."""
    source = pa.memory_map(str(path))
    try:
        file = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        yield from pa.ipc.open_stream(source)
    else:
        yield from (file.get_batch(number) for number in range(file.num_record_batches))
