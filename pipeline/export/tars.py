"""Exported shards as WebDataset tars, with the table, keep-list and text embeds beside each that training reads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg

from configs import fingerprint
from configs.steps import StepEntry
from pipeline.captions import with_own
from pipeline.download.image import store
from pipeline.embed import Embed, EmbedConfig
from pipeline.step import ShardStep, State
from storage import keep_list, pairs, text_embeds
from storage.exports import parts_of
from storage.pairs import Add, Outcome
from storage.shard import KEEP, PAIRS, TAR, Shard
from storage.tables import content

from .options import Options
from .shards import Chosen, Rows, content_of

VERSION = 2  # since 2 hashes are left out
INSIDE = "text_embeds.npy"  # (tokens, width) float32
FOUND_OUT = {"stored_width", "stored_height", "stored_sha256", "tar_offset", "tar_size"}  # anew, of what is exported
CARRIED = tuple(name for name in pairs.COLUMNS.names if name not in FOUND_OUT)


@dataclass(frozen=True)
class ExportTars(ShardStep):
    """Rows of a run -> 00000.tar, 00000.parquet, 00000.<encoder>.arrow if asked for, and last 00000.keep.parquet."""

    entry = StepEntry("export", "shard", "", writes=KEEP, also=(TAR, PAIRS))
    chosen: Chosen
    options: Options
    embed: EmbedConfig
    types: Mapping[str, pa.DataType]  # as `shared_types` has them

    def state(self, shard: Shard) -> State:
        """Return where a shard stands, from footers only."""
        has_embeds = self.options.text_embeds != "beside" or shard.path(self._embeds_suffix).exists()
        return super().state(shard) if has_embeds else "missing"

    def fingerprint(self, shard: Shard) -> str:
        """Cover the rows, what is known of them, and how they are exported."""
        types = [[[name, str(kind)] for name, kind in self.types.items()]] if self.types else []
        return fingerprint("export", VERSION, self.options.made_of(), self.chosen.split, self._inputs(shard), *types)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write one exported shard."""
        mark, parts = self.fingerprint(shard), [Rows(self.chosen, part, self.types) for part in parts_of(shard)]
        table = pa.concat_tables([rows.further for rows in parts], promote_options="permissive")

        def fill(_: Sequence[dict[str, Any]], add: Add) -> None:
            for outcome in self._outcomes(parts):
                add(outcome)

        pairs.write_shard(shard, table, fill, fingerprint=mark, engine="export")
        if self.options.text_embeds == "beside":
            self._write_text_embeds(shard, parts, mark)
        keep = pa.concat_tables([rows.keep for rows in parts], promote_options="permissive")
        self._write_keep_list(shard, keep, mark)
        return Counter({self.chosen.split: len(table)})

    def _inputs(self, shard: Shard) -> list[object]:
        suffixes = [KEEP, *([] if self.options.text_embeds == "none" else [self._embeds_suffix])]
        return [content_of(part, self.chosen.run, suffixes) for part in parts_of(shard)]

    @cached_property
    def _embeds_suffix(self) -> str:
        return Embed(self.embed).writes

    def _outcomes(self, parts: Sequence[Rows]) -> Iterator[Outcome]:
        for rows in parts:
            known, further = rows.pairs.select(CARRIED).to_pylist(), self._inside(rows)
            for row, image, members in zip(known, rows.images(), further, strict=True):
                data, width, height = exported(image, self.options)
                yield Outcome(**row, stored=data, stored_width=width, stored_height=height, further=members)

    def _inside(self, rows: Rows) -> Iterator[dict[str, bytes]]:
        if self.options.text_embeds != "inside":
            yield from ({} for _ in range(len(rows.pairs)))
        else:
            yield from ({INSIDE: _npy(as_float32(bits))} for bits in rows.text_embeds(self.embed.text.name))

    def _write_keep_list(self, shard: Shard, keep: pa.Table, mark: str) -> None:
        stages = [name for name in keep.column_names if name in keep_list.stages_of(Shard(self.chosen.run, 0))]
        keep_list.write(
            shard,
            pairs.stored(shard),
            failed=pa.array([[]] * len(keep), pa.list_(pa.string())),
            held_out=keep["held_out"],
            stages={name: keep[name] for name in stages},
            fingerprint=mark,
        )

    def _write_text_embeds(self, shard: Shard, parts: Sequence[Rows], mark: str) -> None:
        """Write the file of the pairs' own captions after those of further ones, whose content it names."""
        columns, encoder = self.embed.captions, self.embed.text.name
        stored = pairs.stored(shard, ["key", "caption", *columns])
        own, beside = stored["caption"].to_pylist(), dict[str, str | None]()
        for column in (*columns, None):
            texts = own if column is None else with_own(stored[column].to_pylist(), own)
            arrays = (bits for rows in parts for bits in rows.text_embeds(encoder, column))
            embeds = dict(zip(texts, arrays, strict=True))
            path = shard.path(text_embeds.suffix(encoder, column))
            text_embeds.write(
                path,
                stored["key"],
                texts,
                embeds,
                fingerprint=mark,
                encoder=self.embed.text.fingerprint,
                width=next(iter(embeds.values())).shape[1],
                beside=beside if column is None else None,
            )
            beside |= {column: content(path)} if column is not None else {}


def as_float32(bits: np.ndarray) -> np.ndarray:
    """Return (tokens, width) float32 of the bits of bfloat16: the same numbers."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def exported(image: bytes, options: Options) -> tuple[bytes, int, int]:
    """Return an image as it is exported, a JPEG, with its width and height in px."""
    if options.limits is not None:
        data, width, height, _ = store(image, options.limits)
        return data, width, height
    height, width, *_ = simplejpeg.decode_jpeg_header(image)
    return image, width, height


def _npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
