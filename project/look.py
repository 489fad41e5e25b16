"""What a table of urls, shards or a folder of pictures hold, from their heads: no url is asked for.

sight = look("/data/pictures")
"""

import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
from PIL import Image

from configs import UserError
from configs.steps import Way
from pipeline.adopt.config import AdoptConfig
from pipeline.adopt.pictures import links_in
from pipeline.adopt.samples import Sample, Source, planned_table
from pipeline.adopt.sources import open_source, sources_of
from pipeline.adopt.tables import Parts
from pipeline.table_files import TEXT_KINDS, files_of
from pipeline.table_readers import size_of
from pipeline.url_tables import errors_of, source
from storage.plan import SourceRow

from .guess import names_of

LOOKED_AT = 2000  # rows, or samples
OPENED = 64  # pictures at most, for their sizes
SIZE_COLUMNS = (("width", "height"), ("table_original_width", "table_original_height"))
OWN_SHARE = 0.5  # of urls to private addresses, from which the table is of a server of one's own


@dataclass(frozen=True)
class Sight:
    """What there is. Lists are of the first rows or samples."""

    way: Way
    source: str  # absolute, or a url
    kind: str  # a url table (csv), pictures, ...
    pairs: int
    is_counted: bool  # False: `pairs` is a guess
    columns: list[str]  # further ones, by their names here
    captions: list[str]
    url: str | None = None  # the table's column; None: as the usual names say
    caption: str | None = None
    taken: str = ""  # for people: which columns are url and caption
    sizes: list[tuple[int, int]] = field(default_factory=list)  # px, where they are known
    lost: Counter[str] = field(default_factory=Counter)  # samples that cannot be adopted
    links: int = 0  # to pictures, which are passed over
    private: Counter[str] = field(default_factory=Counter)  # "127.0.0.1:8080" -> urls that lead there
    hosts: int = 0

    @property
    def is_own_server(self) -> bool:
        """Tell whether most urls lead to private addresses: no stranger's table does."""
        return bool(self.captions) and sum(self.private.values()) >= OWN_SHARE * len(self.captions)


def look(given: str, *, url: str | None = None, caption: str | None = None) -> Sight:
    """Return what `given` holds. url, caption: its columns; None: the usual names, else what their cells look like.

    Raises UserError where it holds nothing to begin a run with.
    """
    if "://" in given:
        return _of_table(given, url, caption)
    path = absolute(Path(given))
    if not path.exists() and not has_magic(str(path)):
        raise UserError(f"--from {given}: not there; give a url table, shards, or a folder of pictures")
    config = AdoptConfig(source=(path,), caption=caption, url=url)
    try:
        rows = sources_of(config)
    except UserError as nothing_to_adopt:
        try:
            files_of([str(path)])
        except UserError as no_table:
            raise UserError(
                f"--from {given}: no url table ({no_table}) and nothing to adopt ({nothing_to_adopt})"
            ) from None
        return _of_table(str(path), url, caption)
    return _of_shards(str(path), config, rows)


def absolute(path: Path) -> Path:
    """Return a path that holds from anywhere, and when the folder that it was typed in is gone; links stay in it."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _of_shards(given: str, config: AdoptConfig, rows: list[SourceRow]) -> Sight:
    with open_source(rows[0], config) as opened:
        samples = list(islice(opened.samples(), LOOKED_AT))
        sound = [sample for sample in samples if sample.problem is None]
        spread = sound[:: -(-len(sound) // OPENED) or 1]  # what lies side by side is alike
        sizes = [size for sample in spread if (size := _size(opened, sample.place))]
    lost = Counter(sample.problem.reason for sample in samples if sample.problem)
    if not samples:
        raise UserError(f"--from {given}: {rows[0].path} is empty")
    if not sound:
        raise UserError(
            f"--from {given}: none of {len(samples):,} samples can be used: {shares(lost, samples)}{_remedy(lost)}"
        )
    pairs, is_counted = _count(rows, samples)
    return Sight(
        way="shards",
        source=given,
        kind={"tar": "tars", "table": "tables of images", "pictures": "pictures"}[rows[0].kind],
        pairs=pairs,
        is_counted=is_counted,
        columns=planned_table(samples, [str(number) for number in range(len(samples))]).column_names[4:],
        captions=[sample.caption for sample in sound],
        caption=config.caption,
        url=config.url,
        sizes=sizes,
        lost=lost,
        links=links_in(Path(rows[0].path)) if rows[0].kind == "pictures" else 0,
    )


def _count(rows: list[SourceRow], samples: Sequence[Sample]) -> tuple[int, bool]:
    """Return how many samples there are, and whether that is counted."""
    kind = rows[0].kind
    if kind == "pictures":
        return sum(row.parts for row in rows), True
    if kind == "table":
        return sum(sum(Parts(Path(path)).rows) for path in {row.path for row in rows}), True
    return len(samples) * len(rows), len(rows) == 1 and len(samples) < LOOKED_AT


def _remedy(lost: Counter[str]) -> str:
    if lost.most_common(1)[0][0] != "no_caption":
        return ""
    return "; put cat.txt beside cat.jpg, or metadata.jsonl with file_name and text, or name the column with --caption"


def _size(opened: Source, place: Any) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(opened.read(place))) as image:  # the header alone
            return image.size
    except Exception:  # adopting says what is wrong with it
        return None


def _of_table(given: str, url: str | None, caption: str | None) -> Sight:
    files = files_of([given])
    with errors_of(files), tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        names = names_of(database, files, Path(folder), url, caption)
        opened = source(database, files, Path(folder), url=names.url, caption=names.caption, only_head=True)
        rows = database.sql(f"SELECT * EXCLUDE (corgi_unreadable) FROM ({opened.rows}) LIMIT {LOOKED_AT}")
        table = rows.to_arrow_table()
    if not len(table):
        encoding = " in UTF-8" if files[0].kind in TEXT_KINDS else ""
        raise UserError(f"--from {given}: the table has no rows{encoding}")
    columns, urls = table.column_names[2:], table["url"].to_pylist()
    sides = next((pair for pair in SIZE_COLUMNS if {*pair} <= {*columns}), None)
    sizes = zip(*(table[side].to_pylist() for side in sides), strict=True) if sides else []
    return Sight(
        way="table",
        source=given,
        kind=f"a url table ({files[0].kind})",
        pairs=max(size_of(files), len(table)),
        is_counted=files[0].kind == "parquet",
        columns=columns,
        captions=table["caption"].to_pylist(),
        url=names.url if names.is_guessed or url else None,
        caption=names.caption if names.is_guessed or caption else None,
        taken=f"{names.url} is the url, {names.caption} the caption{' (by what they hold)' * names.is_guessed}",
        sizes=[(int(w), int(h)) for w, h in sizes if _is_size(w) and _is_size(h)],
        private=Counter(target for url in urls for target in private_target(url)),
        hosts=len({_host(url) for url in urls}),
    )


def _is_size(side: object) -> bool:
    """Tell whether a cell is a number; tables that polars and numpy made have NaN where there is none."""
    return isinstance(side, int | float) and math.isfinite(side)


def private_target(url: str) -> Iterator[str]:
    """Yield "ip:port" where a url names a private address, or localhost; no name server is asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return
    if not address.is_global and not address.is_link_local:  # there a cloud's metadata lie: never let through
        yield f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shares(lost: Counter[str], samples: Sequence[object]) -> str:
    """Return how many of the samples were lost for each reason, for people."""
    return ", ".join(f"{reason} {count:,} of {len(samples):,}" for reason, count in lost.most_common())
