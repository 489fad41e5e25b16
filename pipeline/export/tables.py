"""Exported shards as parquet: plain, with an image's bytes in a column, or as Hugging Face's datasets read it."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.step import State
from storage.atomic import committing
from storage.exports import parts_of, table_path
from storage.shard import Shard
from storage.tables import CONTENT, FINGERPRINT, read_mark

from .shards import Rows
from .tars import ExportTars, as_float32, exported

ROWS = 100  # of a row group: what the hub's viewer reads at a time
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # of Hugging Face's Image
FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}
TEXT_EMBEDS = "text_embeds"  # (tokens, width) float32


@dataclass(frozen=True)
class ExportTables(ExportTars):
    """Rows of a run -> data/train-00000-of-00003.parquet: image, width, height, and all else that is known."""

    folder: Path
    files: int

    def path(self, shard: Shard) -> Path:
        """Return the file of one exported shard."""
        return table_path(self.folder, self.chosen.split, shard.number, self.files)

    def state(self, shard: Shard) -> State:
        """Return where a shard stands, from the footer only."""
        mark = read_mark(self.path(shard))
        if mark is None:
            return "missing"
        return "done" if mark.fingerprint == self.fingerprint(shard) else "stale"

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write one file, a row group at a time."""
        mark, parts = self.fingerprint(shard), [Rows(self.chosen, part, self.types) for part in parts_of(shard)]
        further = pa.concat_tables([rows.further for rows in parts], promote_options="permissive")
        schema, samples = self._schema(further.schema, mark), self._samples(parts)
        with committing(self.path(shard)) as scratch, pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for begin in range(0, len(further), ROWS):
                known = further.slice(begin, ROWS).to_pylist()
                rows = [{**row, **sample} for row, sample in zip(known, islice(samples, ROWS), strict=False)]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        return Counter({self.chosen.split: len(further)})

    def _schema(self, further: pa.Schema, mark: str) -> pa.Schema:
        is_hf = self.options.to == "hf"
        own = {"image": IMAGE if is_hf else pa.binary(), "width": pa.int32(), "height": pa.int32()}
        if self.options.text_embeds == "inside":
            own[TEXT_EMBEDS] = pa.list_(pa.list_(pa.float32()))
        metadata = {FINGERPRINT: mark, CONTENT: mark, **({"huggingface": json.dumps(FEATURES)} if is_hf else {})}
        fields = [*own.items(), *(field for field in further if field.name not in own)]
        return pa.schema(fields, metadata=metadata)

    def _samples(self, parts: list[Rows]) -> Iterator[dict[str, Any]]:
        """Yield image, width, height and text embeds of each row."""
        for rows in parts:
            embeds = rows.text_embeds(self.embed.text.name) if self.options.text_embeds == "inside" else None
            for image in rows.images():
                data, width, height = exported(image, self.options)
                sample = {"image": data, "width": width, "height": height}
                if self.options.to == "hf":
                    sample["image"] = {"bytes": data, "path": None}
                if embeds is not None:
                    sample[TEXT_EMBEDS] = as_float32(next(embeds)).tolist()
                yield sample
