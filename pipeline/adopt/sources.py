"""Which files there are, cut into shards: a tar is one; tables and pictures are cut into parts of `shard_size`.

Only names, sizes and times are looked at, and the footers of tables, so that every rank can make the same list alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from glob import has_magic
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from configs import UserError, fingerprint
from pipeline.table_files import OF_SPLIT
from storage.atomic import scratch_beside
from storage.exports import SPLITS
from storage.plan import PLAN, SourceRow

from .config import AdoptConfig
from .packed import UNREAD, is_packed, stem, unpack
from .pictures import Pictures, listed, metadata_files, metadata_of
from .samples import LONGEST_NAME, Source, safe_key, within
from .tables import SUFFIXES, ImageTable, Parts, image_column
from .tars import Tar

TAR = ".tar"
SEEN_BYTES = 64 * 2**20  # of a packed tar, to tell which columns there are


def sources_of(config: AdoptConfig) -> list[SourceRow]:
    """Return what each shard is made from, sorted by the first of its keys. Raises UserError where nothing is.

    Keys stay as they are where they are told apart so: tars whose keys begin with their own name (img2dataset's and
    DataComp's), and the paths of one folder of pictures. Else the file's name stands before them, and where two sources
    name their files alike, the source's number before that.
    """
    for remembered in (listed, metadata_of):
        remembered.cache_clear()  # they are looked at once a list
    sources = [list(_of(given, config)) for given in config.source]
    rows = [row for source in sources for row in source]
    if not rows:
        raise UserError(f"adopt.source: no tar, table or picture in {', '.join(map(str, config.source))}")
    if not _are_told_apart(sources):
        rows = [_numbered(row, number) for number, source in enumerate(sources) for row in source]
    elif len({len(row.first_key) for row in rows if row.kind == "tar"}) > 1:
        rows = [row._replace(prefix=row.prefix or f"{row.first_key}-") for row in rows]
    return sorted(rows, key=lambda row: row.first_key)


def splits_of(rows: Iterable[SourceRow]) -> list[str]:
    """Return the splits of Hugging Face datasets among the sources, by the names of files or of folders."""
    paths = [Path(row.path) for row in rows if row.kind == "table"]
    named = {match[1] for path in paths if (match := OF_SPLIT.fullmatch(path.name))}
    saved = {path.parent.name for path in paths if (path.parent.parent / "dataset_dict.json").exists()}
    return sorted(saved or named)


def _are_told_apart(sources: Sequence[Sequence[SourceRow]]) -> bool:
    kinds = Counter(kind for source in sources for kind in {row.kind for row in source})
    names = Counter(row.first_key for source in sources for row in source)
    return len(kinds) == 1 and kinds["pictures"] <= 1 and names.most_common(1)[0][1] == 1


def _numbered(row: SourceRow, source: int) -> SourceRow:
    prefix = row.prefix or (f"{row.first_key}-" if row.kind == "tar" else "")
    return row._replace(prefix=f"{source:02d}-{prefix}", first_key=f"{source:02d}-{row.first_key}")


@contextmanager
def open_source(row: SourceRow, config: AdoptConfig, *, unpacked: Path | None = None) -> Iterator[Source]:
    """Open the source of one shard. Raises UserError where it has changed.

    unpacked: where a packed tar can lie for a while; None: only its beginning is needed.
    """
    path = Path(row.path)
    if not path.exists():
        raise UserError(f"{path} is gone; put it back, or take it out of adopt.source", exit_code=1)
    if digest_of(row) != row.digest:
        raise UserError(f"{path} has changed since it was listed; run the same command again", exit_code=1)
    if row.kind == "tar":
        with (
            _unpacked(path, config, unpacked) as (lies, damage),
            closing(Tar(lies, config, beside=_beside(path), damage=damage)) as tar,
        ):
            yield tar
    else:
        kind = ImageTable if row.kind == "table" else Pictures
        yield kind(path, config, begin=row.begin, count=row.parts)


@contextmanager
def _unpacked(path: Path, config: AdoptConfig, place: Path | None) -> Iterator[tuple[Path, str | None]]:
    """Yield a tar as it can be read, itself or what was packed in it, and what is wrong with the packing."""
    if not is_packed(path):
        yield path, None
    elif place is not None:
        with scratch_beside(place) as scratch:
            yield scratch, unpack(path, scratch, config)
    else:
        with TemporaryDirectory() as folder:
            begin = Path(folder, "begin.tar")
            yield begin, unpack(path, begin, config, first=SEEN_BYTES)


def _beside(path: Path) -> Path:
    """Return the table that img2dataset puts beside a tar."""
    return stem(path).with_name(f"{stem(path).name}.parquet")


def _of(given: Path, config: AdoptConfig) -> Iterator[SourceRow]:
    paths = sorted(Path(given.anchor).glob(str(given.relative_to(given.anchor)))) if has_magic(str(given)) else [given]
    if not paths:
        raise UserError(f"adopt.source: nothing is like {given}")
    for path in paths:
        if not path.exists():
            raise UserError(f"adopt.source: {path} is not there")
    folders = [path.resolve() for path in paths if path.is_dir()]
    files = [path.resolve() for path in paths if path.is_file()]
    yield from _of_files(files, None, config)
    for folder in folders:
        yield from _of_folder(folder, config)


def _of_folder(folder: Path, config: AdoptConfig) -> Iterator[SourceRow]:
    """Take a folder for what it holds: tars, else tables with images, else pictures."""
    files = sorted(path for path in folder.rglob("*") if _is_plain(path, folder))
    tars = [path for path in files if path.suffix == TAR or is_packed(path)]
    if unread := [path for path in files if path.name.endswith(UNREAD)]:
        raise UserError(f"adopt.source: {unread[0]} is packed in a way that is not read; unpack it")
    cuts = {folder / split / PLAN for split in SPLITS}  # of an export of ours: tables, but none of images
    tables = [path for path in files if path.suffix in SUFFIXES and path not in cuts]
    if tars or (tables and not listed(folder)):
        yield from _of_files(tars or tables, folder, config)
    else:
        yield from _of_pictures(folder, config)


def _of_files(files: Sequence[Path], folder: Path | None, config: AdoptConfig) -> Iterator[SourceRow]:
    for path in files:
        place = path.relative_to(folder) if folder else Path(path.name)
        name = within(safe_key(stem(place).as_posix()), LONGEST_NAME)
        if path.suffix == TAR or is_packed(path):
            if is_packed(path) and stem(path).with_name(f"{stem(path).name}{TAR}") in files:
                raise UserError(f"adopt.source: {path} is there unpacked, too; give one of them")
            yield _row("tar", path, first_key=name, prefix="", begin=0, parts=1)
        elif path.suffix in SUFFIXES:
            parts = Parts(path)
            image_column(path, parts.schema, config.image)
            for begin, count in _cut(parts.rows, config.shard_size):
                first_key = f"{name}-{sum(parts.rows[:begin]):08d}"
                yield _row("table", path, first_key=first_key, prefix=f"{name}-", begin=begin, parts=count)
        else:
            raise UserError(f"adopt.source: {path} is neither a tar, nor parquet or Arrow, nor a folder")


def _of_pictures(folder: Path, config: AdoptConfig) -> Iterator[SourceRow]:
    pictures = listed(folder)
    for begin in range(0, len(pictures), config.shard_size):
        count = min(config.shard_size, len(pictures) - begin)
        yield _row("pictures", folder, first_key=pictures[begin].key, prefix="", begin=begin, parts=count)


def _row(kind: str, path: Path, **place: Any) -> SourceRow:
    row = SourceRow(kind=kind, path=str(path), digest="", **place)
    return row._replace(digest=digest_of(row))


def digest_of(row: SourceRow) -> str:
    """Return what tells whether a source is still the same: sizes and times, of its pictures or of the file."""
    path, place = Path(row.path), [row.kind, row.begin, row.parts]
    if row.kind == "pictures":
        pictures = listed(path)[row.begin : row.begin + row.parts]
        return fingerprint(place, [picture.looks for picture in pictures], _looks(metadata_files(path)))
    beside = _beside(path)
    return fingerprint(place, path.name, _looks([path, *([beside] if row.kind == "tar" and beside.exists() else [])]))


def _looks(files: Iterable[Path]) -> list[list[Any]]:
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _cut(rows: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield (first part, how many parts) of shards that have at least `size` rows, but for the last."""
    begin = held = 0
    for number, count in enumerate(rows):
        held += count
        if held >= size:
            yield begin, number + 1 - begin
            begin, held = number + 1, 0
    if held:
        yield begin, len(rows) - begin


def _is_plain(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file()
