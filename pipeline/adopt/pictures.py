"""A folder of pictures: each with its caption in a text file of the same name, or all captions in one file.

    cat.jpg  cat.txt  (or cat.caption)            metadata.jsonl, .csv, .parquet: file_name, text, further columns

The first is what trainers of small models use, and img2dataset unless it is told otherwise: with a cat.json that has
the url and all else. The second is Hugging Face's image folder. Links are not followed.
"""

import csv
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from configs import UserError
from pipeline.captions import normalised

from .config import AdoptConfig
from .samples import LONGEST_KEY, Problem, Sample, caption_of, safe_key, url_of, within
from .tables import Parts
from .tars import IMAGES, LONGEST_TEXT, TEXTS

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # in any folder, of the pictures in it and below
FILE_NAME = "file_name"
ENDINGS = tuple(f".{kind}" for kind in IMAGES)


class Picture(NamedTuple):
    """A file, and what tells whether it and its caption are still the same."""

    key: str  # the path without its ending, made safe
    path: str  # below the folder, with "/"
    bytes: int
    mtime_ns: int
    text: str | None  # path of its caption, where it has a file of its own
    text_mtime_ns: int
    about: str | None = None  # path of its JSON
    about_mtime_ns: int = 0

    @property
    def looks(self) -> list[Any]:
        """Return what tells whether it is still the same."""
        return [*self] if self.about else [*self[:-2]]


class Pictures:
    """Some pictures of a folder, opened."""

    def __init__(self, folder: Path, config: AdoptConfig, *, begin: int, count: int) -> None:
        self._folder, self._config = folder, config
        self._pictures = listed(folder)[begin : begin + count]

    def samples(self) -> Iterator[Sample]:
        """Yield a sample a picture, keyed by its path without the ending."""
        metadata = metadata_of(self._folder)
        for picture in self._pictures:
            named = metadata.get(picture.path, {})
            fields = {**self._about(picture), **named}
            sample = Sample(key=picture.key, fields=fields, place=self._folder / picture.path)
            first = named if self._config.caption is None else fields
            sample.url, sample.caption = url_of(fields, self._config.url), caption_of(first, self._config.caption)
            try:
                if not sample.caption and picture.text:
                    sample.caption = _text(self._folder / picture.text)
                sample.caption = sample.caption or caption_of(fields, self._config.caption)
            except ValueError as error:
                sample.problem = Problem("unreadable", " ".join(str(error).split())[:200])
            if picture.bytes > self._config.max_bytes:
                sample.problem = Problem("too_many_bytes", f"{picture.bytes} bytes")
            elif sample.problem is None and not normalised(sample.caption):
                sample.problem = Problem("no_caption")
            yield sample

    def read(self, place: Path) -> bytes:
        """Return the bytes of a picture."""
        return place.read_bytes()

    def _about(self, picture: Picture) -> dict[str, Any]:
        """Return what the JSON beside a picture says; nothing where it has no url and no caption, as outlines have."""
        try:
            fields = json.loads(_text(self._folder / picture.about)) if picture.about else {}
        except (ValueError, RecursionError):
            return {}
        is_of_ours = isinstance(fields, dict) and (
            url_of(fields, self._config.url) or caption_of(fields, self._config.caption)
        )
        return fields if is_of_ours else {}


@lru_cache(1)
def listed(folder: Path) -> list[Picture]:
    """Return all pictures below a folder, sorted by key; hidden ones are passed over.

    Where cat.jpg and cat.png are both there, the second keeps its ending in its key.
    """
    pictures: dict[str, Picture] = {}
    for picture in sorted(_walk(folder)):
        key = picture.key if picture.key not in pictures else _key(picture.path)
        pictures[key] = picture._replace(key=key)
    return sorted(pictures.values())


@lru_cache(1)
def metadata_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return path of a picture below the folder -> what the metadata files say of it."""
    rows: dict[str, dict[str, Any]] = {}
    for file in metadata_files(folder):
        base = str(file.parent.relative_to(folder)).removeprefix(".")
        for row in _rows(file):
            name = row.get(FILE_NAME)
            if isinstance(name, str):
                path = os.path.normpath(f"{base}/{name}" if base else name)
                rows[path] = {key: value for key, value in row.items() if key != FILE_NAME}
    return rows


def metadata_files(folder: Path) -> list[Path]:
    """Return the metadata files below a folder, in order."""
    return sorted(path for name in METADATA for path in folder.rglob(name))


def links_in(folder: Path) -> int:
    """Return how many pictures below a folder are links, which are passed over."""
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sum(file.suffix.lower() in ENDINGS and file.is_symlink() for file in files)


def _key(path: str) -> str:
    return within(safe_key(path), LONGEST_KEY - len("00-"))  # a source's number may come before it


def _walk(folder: Path) -> Iterator[Picture]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        texts = {(Path(name).stem, Path(name).suffix.lower()): name for name in sorted(names, reverse=True)}
        for name in names:
            path = Path(parent, name)
            if name.startswith(".") or not name.lower().endswith(ENDINGS) or path.is_symlink() or not path.is_file():
                continue
            beside = (texts.get((path.stem, f".{kind}")) for kind in TEXTS)
            text = next((path.with_name(name) for name in beside if name), None)
            about = texts.get((path.stem, ".json"))
            looks, text_looks = path.stat(), text.stat() if text is not None else None
            yield Picture(
                _key(path.relative_to(folder).with_suffix("").as_posix()),
                path.relative_to(folder).as_posix(),
                looks.st_size,
                looks.st_mtime_ns,
                text.relative_to(folder).as_posix() if text is not None else None,
                text_looks.st_mtime_ns if text_looks is not None else 0,
                *(_place(path.with_name(about), folder) if about else ()),
            )


def _place(path: Path, folder: Path) -> tuple[str | None, int]:
    return (path.relative_to(folder).as_posix(), path.stat().st_mtime_ns) if path.is_file() else (None, 0)


def _text(path: Path) -> str:
    if path.stat().st_size > LONGEST_TEXT:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes")
    return path.read_text(encoding="utf-8-sig").strip()


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".parquet":
        table = Parts(file)
        yield from (row for part in range(len(table.rows)) for row in table.read(part).to_pylist())
        return
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            if file.suffix == ".csv":
                yield from csv.DictReader(lines)
            else:
                yield from (row for line in lines if line.strip() and isinstance(row := json.loads(line), dict))
        except (ValueError, csv.Error, RecursionError) as error:
            raise UserError(f"{file} cannot be read: {error}; mend that line", exit_code=1) from None
