"""WebDataset's tars as they are in the world: key.jpg, key.txt, key.json in a row, whoever wrote them.

img2dataset puts a parquet beside each tar, which tells also of the pairs that it failed to download.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError
from pipeline.captions import normalised
from pipeline.download.img2dataset_engine import reason_of
from storage.tar import TarReader
from storage.tar_members import DamagedTarError, Member, members

from .config import AdoptConfig
from .samples import Problem, Sample, caption_of, safe_key, url_of

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic")  # what each is, its bytes tell
TEXTS = ("txt", "text", "caption")
LONGEST_TEXT = 2**20  # bytes of a caption or of a sample's JSON
SUCCESS = ("success", "ok")


class Name(NamedTuple):
    """A member's name as WebDataset splits it: at the first dot of its last part."""

    key: str
    extension: str  # lower case; "seg.png" of "a.seg.png"


class Tar:
    """One tar, opened.

    beside: the table that tells more of it, if it is there. damage: why it may end too early.
    """

    def __init__(self, path: Path, config: AdoptConfig, *, beside: Path, damage: str | None = None) -> None:
        self.path, self._config, self._beside = path, config, beside
        self._damage = damage
        self._reader = TarReader(path)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in the tar, then those of the table beside it that are not in the tar."""
        rows = self._rows_beside()
        for group in self._groups():
            key = group[0][0].key
            yield self._sample(key, group, rows.pop(key, {}))
        if self._damage is not None:
            yield Sample(key="cut_short", problem=Problem("cut_short", self._damage))
        for key, row in rows.items():
            yield self._lost(key, row)

    def read(self, place: Member) -> bytes:
        """Return the bytes of a member."""
        return self._reader.read(place.offset, size=place.size)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _groups(self) -> list[list[tuple[Name, Member]]]:
        """Return the members of each sample, in the order of first members.

        They need not lie side by side: `tar` takes files as a folder has them, or all pictures before all texts. A key
        that comes again with a file that its sample has already is another sample, which is told as a duplicate.
        """
        groups: list[list[tuple[Name, Member]]] = []
        of_key: dict[str, list[tuple[Name, Member]]] = {}
        before: str | None = None
        for name, member in self._members():
            group = of_key.get(name.key)
            if group is None or (before != name.key and any(name.extension == other.extension for other, _ in group)):
                group = of_key[name.key] = []
                groups.append(group)
                self._refuse_many(len(groups))
            group.append((name, member))
            before = name.key
        groups = [part for group in groups for part in _split_by_dots(group)]
        self._refuse_many(len(groups))
        return groups

    def _refuse_many(self, count: int) -> None:
        if count > self._config.max_samples:
            raise UserError(
                f"{self._beside.stem} holds more than adopt.max_samples={self._config.max_samples} samples; repack it "
                "into smaller tars, or raise the limit: a shard's rows are held in memory"
            )

    def _members(self) -> Iterator[tuple[Name, Member]]:
        try:
            for member in members(self.path):
                folder, slash, base = member.name.rpartition("/")
                key, _, extension = base.partition(".")
                if key and extension:
                    yield Name(folder + slash + key, extension.lower()), member
        except DamagedTarError as error:
            self._damage = self._damage or str(error)

    def _sample(self, key: str, group: list[tuple[Name, Member]], row: dict[str, Any]) -> Sample:
        by_extension: dict[str, Member] = {}
        for name, member in group:
            by_extension.setdefault(name.extension, member)
        images = [kind for kind in by_extension if _last(kind) in IMAGES]  # cat.jpg before cat.depth.png
        image = by_extension[min(images, key=lambda kind: kind.count("."))] if images else None
        sample = Sample(key=safe_key(key), place=image)
        try:
            fields = {**row, **self._json(by_extension.get("json"))}
            text = next((by_extension[kind] for kind in TEXTS if kind in by_extension), None)
            sample.fields, sample.url = fields, url_of(fields, self._config.url)
            sample.caption = caption_of(fields, self._config.caption)
            if text is not None and (self._config.caption is None or not sample.caption):
                sample.caption = self._text(text)
        except (ValueError, RecursionError) as error:
            sample.problem = Problem("unreadable", _line(error))
            return sample
        if image is None:
            sample.problem = Problem("no_image")
        elif image.size > self._config.max_bytes:
            sample.problem = Problem("too_many_bytes", f"{image.size} bytes")
        elif not normalised(sample.caption):
            sample.problem = Problem("no_caption")
        return sample

    def _text(self, member: Member) -> str:
        if member.size > LONGEST_TEXT:
            raise ValueError(f"{Path(member.name).name} has {member.size} bytes")
        return self.read(member).decode()

    def _json(self, member: Member | None) -> dict[str, Any]:
        value = {} if member is None else json.loads(self._text(member))
        return value if isinstance(value, dict) else {}

    def _lost(self, key: str, row: dict[str, Any]) -> Sample:
        status, message = str(row.get("status") or ""), row.get("error_message")
        problem = Problem("no_image", "in the table beside the tar only")
        if status and status not in SUCCESS:
            problem = Problem(reason_of(status, message), str(message or ""))
        caption, url = caption_of(row, self._config.caption), url_of(row, self._config.url)
        return Sample(key=safe_key(key), caption=caption, url=url, fields=row, problem=problem)

    def _rows_beside(self) -> dict[str, dict[str, Any]]:
        """Return the rows of img2dataset's parquet by key; none where there is no such table, or it has no keys."""
        path = self._beside
        try:
            table = pq.read_table(path, partitioning=None)
        except FileNotFoundError:
            return {}
        except pa.ArrowInvalid as error:
            raise UserError(f"{path} cannot be read: {_line(error)}; remove it, or mend it", exit_code=1) from None
        if "key" not in table.column_names or len(table) > self._config.max_samples:
            return {}
        return {str(row["key"]): row for row in table.to_pylist()}


def _split_by_dots(group: list[tuple[Name, Member]]) -> list[list[tuple[Name, Member]]]:
    """Return the samples whose names have dots, which a split at the first one has put together.

    So are img.001.jpg, img.001.txt, img.002.jpg and img.002.txt; but an image beside several others has no text.
    """
    parts: dict[str, list[tuple[Name, Member]]] = {}
    for _, member in group:
        key, _, extension = member.name.rpartition(".")
        parts.setdefault(key, []).append((Name(key, extension.lower()), member))
    kinds = [{name.extension for name, _ in part} for part in parts.values()]
    is_plain = any(name.extension in IMAGES for name, _ in group)
    has_pair = any(part & {*IMAGES} and part & {*TEXTS, "json"} for part in kinds)
    return [*parts.values()] if has_pair and not is_plain else [group]


def _last(extension: str) -> str:
    return extension.rpartition(".")[2]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
