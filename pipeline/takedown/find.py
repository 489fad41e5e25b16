"""The pairs of a run that a list means, and every file that was made from them. Changes nothing."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage import pairs
from storage.exports import DATA, SPLITS
from storage.ledger import read as read_ledger
from storage.plan import DROPPED, PLAN, shards_of, sources
from storage.samples import SampleSet, sets_of
from storage.shard import PAIRS, SCORES, TAR, URLS, Shard
from storage.takedown import TEXTS, is_alive

from ..config import PipelineConfig
from .lists import Line, Wanted

SHORTEST = 12  # characters of a text that is looked for: shorter captions stand anywhere


@dataclass
class Match:
    """A pair that is meant."""

    key: str
    lines: set[Line] = field(default_factory=set)
    shards: set[int] = field(default_factory=set)  # none of a pair that the plan dropped
    urls: set[str] = field(default_factory=set)
    captions: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)  # sha256 as stored


def find(run: Path, lines: Sequence[Line]) -> dict[str, Match]:
    """Return key -> match of every pair that the lines mean, in all tables in which a row of it stands."""
    wanted, matches = Wanted(lines), dict[str, Match]()
    for path, shard in _tables(run, shards_of(run)):
        table = _columns(path)
        table = table.filter(pa.array(is_alive(table)))
        for row, line in wanted.rows(table):
            match = matches.setdefault(key := table["key"][row].as_py(), Match(key))
            match.lines.add(line)
            if shard is not None:
                match.shards.add(shard.number)
    _describe(run, matches)
    return matches


def _describe(run: Path, matches: Mapping[str, Match]) -> None:
    """Find out urls, captions and images of all matches, whichever table a line met them in."""
    keys = pa.array(sorted(matches), pa.string())
    shards = {number for match in matches.values() for number in match.shards}
    for path, _ in _tables(run, [Shard(run, number) for number in sorted(shards)]):
        table = _columns(path)
        for row in table.filter(pc.is_in(table["key"], value_set=keys)).to_pylist():
            match = matches[row["key"]]
            match.urls |= {row["url"]} if row.get("url") else set()
            match.captions |= {row["caption"]} if row.get("caption") else set()
            match.images |= {row["stored_sha256"]} if row.get("stored_sha256") else set()


def _tables(run: Path, shards: Sequence[Shard]) -> Iterator[tuple[Path, Shard | None]]:
    """Yield the tables that tell urls, digests and hashes."""
    if (run / DROPPED).exists():
        yield run / DROPPED, None
    for shard in shards:
        yield from ((path, shard) for suffix in (URLS, PAIRS, SCORES) if (path := shard.path(suffix)).exists())


def _columns(path: Path) -> pa.Table:
    names = ("key", *TEXTS, "final_url", "stored_sha256", "fetched_sha256", "sha256", "pdq")
    return pq.read_table(
        path, columns=[name for name in pq.read_schema(path).names if name in names], partitioning=None
    )


def tables_with_keys(shard: Shard) -> list[Path]:
    """Return the files of a shard that have a row for some pairs, each with the pair's key."""
    home, start = shard.path(PAIRS).parent, f"{shard}."
    return sorted(path for kind in ("parquet", "arrow") for path in home.glob(f"{start}*{kind}"))


def keys_of(path: Path) -> pa.ChunkedArray:
    """Return the column of keys of a parquet or Arrow file."""
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()["key"]
    return pq.read_table(path, columns=["key"], partitioning=None)["key"]


def has_any(path: Path, keys: pa.Array) -> bool:
    """Tell whether a file has a row of one of these keys."""
    return bool(pc.any(pc.is_in(keys_of(path), value_set=keys)).as_py())


@dataclass
class Touched:
    """What was made from pairs, beside their rows in the plan's tables."""

    files: list[Path]  # of shards
    sets: list[SampleSet]  # of evaluation samples
    exports: list[Path]  # files that hold them
    copies: list[str]  # keys of others that store the same image, and of which the list says nothing
    linked: list[Path]  # tars of others, into which shards only point
    sources: list[Path]  # tables, tars and folders that the run was made from


def touched(config: PipelineConfig, matches: dict[str, Match]) -> Touched:
    """Return what the pairs touch."""
    run, keys = config.run, pa.array(sorted(matches), pa.string())
    shards = [
        Shard(run, number) for number in sorted({number for match in matches.values() for number in match.shards})
    ]
    tables = [path for shard in shards for path in tables_with_keys(shard) if has_any(path, keys)]
    tars = [shard.path(TAR) for shard in shards if shard.path(TAR).exists()]
    rows = [sources(run)[shard.number].path for shard in shards] if config.way == "shards" else config.table
    return Touched(
        files=sorted([*tables, *tars]),
        sets=[each for each in sets_of(run) if has_any(each.table, keys)],
        exports=[path for folder in exports_of(run) for path in files_of_export(folder) if has_any(path, keys)],
        copies=sorted(_copies(run, matches)),
        linked=[tar.resolve() for tar in tars if tar.is_symlink()],
        sources=sorted({Path(path) for path in rows}),
    )


def _copies(run: Path, matches: Mapping[str, Match]) -> set[str]:
    images = pa.array({image for match in matches.values() for image in match.images}, pa.string())
    copies: set[str] = set()
    for shard in shards_of(run) if len(images) else ():
        if shard.path(PAIRS).exists():
            table = pairs.stored(shard, ["key", "stored_sha256"])
            copies |= {*table["key"].filter(pc.is_in(table["stored_sha256"], value_set=images)).to_pylist()}
    return copies - {*matches}


def still_holding(run: Path, texts: Iterable[str], *, skip: str) -> list[Path]:
    """Return files in a run's folder in which a url or caption still stands, as plain bytes.

    Files of shards and exports are not looked through, which are the run's own, nor folders that are called `skip`.
    """
    needles, holding = [text.encode() for text in texts if len(text) >= SHORTEST], []
    exports = {folder.resolve() for folder in exports_of(run)}
    for parent, folders, names in os.walk(run):
        folders[:] = [
            name
            for name in folders
            if not (name.isdecimal() or name == skip or Path(parent, name).resolve() in exports)
        ]
        for path in (Path(parent, name) for name in sorted(names)):
            data = path.read_bytes() if path.is_file() else b""
            if any(needle in data for needle in needles):
                holding.append(path)
    return holding


def exports_of(run: Path) -> list[Path]:
    """Return the folders to which the run was ever exported, as far as they are there."""
    folders = dict.fromkeys(line["folder"] for line in read_ledger(run) if line.get("event") == "export")
    return [folder for name in folders if (folder := Path(name)).is_dir()]


def files_of_export(folder: Path) -> list[Path]:
    """Return the tables of an export that have a row a pair: of tars, the one beside each; else those of the images."""
    splits = [folder / split for split in SPLITS if (folder / split / PLAN).exists()]
    beside = [path for split in splits for shard in shards_of(split) if (path := shard.path(PAIRS)).exists()]
    return [*beside, *sorted((folder / DATA).glob("*.parquet"))]
