"""Which columns of a table are its urls and its captions: by their names, else by what their cells look like."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from configs import UserError
from pipeline.table_files import TableFile
from pipeline.table_readers import open_tables
from pipeline.url_tables import CAPTION_NAMES, LIST_NAMES, URL_NAMES, column_of, texts_of

GUESSED_ROWS = 200  # that are looked at


@dataclass(frozen=True)
class Names:
    """Which columns of a table are which."""

    url: str
    caption: str
    is_guessed: bool


def names_of(
    database: duckdb.DuckDBPyConnection, files: list[TableFile], scratch: Path, url: str | None, caption: str | None
) -> Names:
    """Return the given columns, those of the usual names, or those whose cells look like it. Raises UserError."""
    reader = open_tables(database, files, scratch, name="looked_at", only_head=True)
    others = [name for name in reader.columns if name != reader.urls]
    alone = others[0] if reader.urls and len(others) == 1 else None
    found, name = {}, files[0].name
    wanted = {"url": (url or reader.urls, URL_NAMES), "caption": (caption or alone, CAPTION_NAMES)}
    missing: UserError | None = None
    for what, (given, usual) in wanted.items():
        try:
            found[what] = column_of(reader.columns, given, (*usual, *LIST_NAMES[what]), what, name)
        except UserError as error:
            if given:
                raise
            missing = error
    if missing is None:
        return Names(**found, is_guessed=False)
    texts = ", ".join(f'{text} AS "c{number}"' for number, text in enumerate(texts_of(reader).values()))
    cells = database.sql(f"SELECT {texts} FROM {reader.query} LIMIT {GUESSED_ROWS}").to_arrow_table().columns
    by_name = dict(zip(reader.columns, ([cell.as_py() for cell in column] for column in cells), strict=True))
    if not any(by_name.values()):
        raise UserError(f"--from {name}: the table has no rows")
    guessed = {"url": _best(by_name, _url_like, but=found.get("caption"))}
    guessed["caption"] = _best(by_name, _caption_like, but=found.get("url") or guessed["url"])
    if any(what not in found and guessed[what] is None for what in wanted):
        raise UserError(f"{missing}; name it with --url or --caption")
    return Names(**{what: found.get(what) or str(guessed[what]) for what in wanted}, is_guessed=True)


def _best(by_name: dict[str, list[object]], score: object, *, but: str | None) -> str | None:
    scores = {name: score(cells) for name, cells in by_name.items() if name != but}  # type: ignore[operator]
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] > 0 else None


def _url_like(cells: list[object]) -> float:
    """Return the share of cells that are http urls, 0 where it is less than half."""
    urls = sum(isinstance(cell, str) and cell.lower().startswith(("http://", "https://")) for cell in cells)
    return urls / len(cells) if 2 * urls >= max(len(cells), 1) else 0.0


def _caption_like(cells: list[object]) -> float:
    """Return the mean number of words of letters in cells that are text; 0 where most are no text, or urls."""
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    if 2 * len(texts) < max(len(cells), 1) or _url_like(cells):
        return 0.0
    return sum(sum(any(c.isalpha() for c in word) for word in text.split()) for text in texts) / len(texts)
