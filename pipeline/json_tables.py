"""A table in one .json file, made into the lines that JSON tables are read as."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs import UserError

from .table_files import TableFile, told_of

MAX_JSON_BYTES = 1 << 29  # of a .json file, which can only be read whole


def as_lines(file: TableFile, path: Path) -> Path:
    """Write a JSON file as lines: one list of objects, or one object of lists, a list a column."""
    with told_of(file.name):
        if (file.info.get("size") or 0) > MAX_JSON_BYTES:
            raise UserError(f"{file.name}: a .json file of more than {MAX_JSON_BYTES >> 20} MiB; make it .jsonl")
        text = file.filesystem.cat_file(file.path)
        try:
            rows = _json_rows(json.loads(text))
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise UserError(f"{file.name} is no JSON: {error}") from None
            path.write_bytes(text)  # these are lines already, under another name
            return path
    if rows is None:
        raise UserError(f"{file.name}: a .json table is a list of objects, or an object of lists")
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def _json_rows(value: Any) -> Iterator[Any] | None:
    """Return the rows of a JSON value, None where it is no table."""
    if isinstance(value, list):
        return iter(value)
    columns = {name: cells for name, cells in value.items() if isinstance(cells, list)} if value else {}
    if not columns:
        return None
    return (dict(zip(columns, cells, strict=False)) for cells in zip(*columns.values(), strict=False))
