"""What W&B's own files hold: a log of LevelDB's format, of W&B's own protobuf messages.

7 bytes of head, then blocks of 32 KiB of (crc32, length, type) and data; a message may go over several of them.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

BLOCK, HEAD = 32 * 1024, 7


def records(file: Path) -> Iterator[Record]:
    """Yield the messages of a .wandb file, as far as it is whole."""
    data, place, parts = file.read_bytes(), HEAD, b""
    assert data[:4] == b":W&B"
    while place + HEAD <= len(data):
        if BLOCK - place % BLOCK < HEAD:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEAD])
        parts += data[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(parts)
            parts = b""


def mirrored(folder: Path) -> list[Record]:
    """Return all messages of the one offline run of a folder."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    return [*records(file)]


def history(found: list[Record]) -> list[dict[str, Any]]:
    """Return the rows of the curves, in order."""
    rows = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows
