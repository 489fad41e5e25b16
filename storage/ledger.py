"""ledger.jsonl: what happened and when, appended, and rewritten by a takedown alone. Timings live here, not in files
that are compared.

    {"event": "step", "step": "download", "seconds": 28.6, ...}                     of a pipeline's run
    {"event": "step", "step": 120, "seen": 7680, "loss": 0.0312, "lr": 1e-4, ...}   of a training

Events of a training: start, restart, init, changed, step, bad_step, bad_image, validation, grid, checkpoint, stopped,
done. A restart at step 100 makes void what was said of later steps, and what an earlier start said of its own terms at
that step, as it says its own; `read_training` leaves that out.

    {"event": "changed", "step": 100, "seen": 6400, "changes": {"optim.lr": [0.001, 0.0005]}}     was, and is
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .atomic import commit_bytes

LEDGER = "ledger.jsonl"
TERMS = ("init", "changed")  # said by each start of its own


def note(run: Path, **what: Any) -> None:
    """Append one line in one write, so that lines of several processes do not mix."""
    descriptor = os.open(run / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, _line({"time": round(time.time(), 3), **what}))
    finally:
        os.close(descriptor)


class Ledger:
    """The ledger of a training, open for appending on the main rank. Lines are durable from each `sync` on."""

    def __init__(self, run: Path) -> None:
        path = run / LEDGER
        self._file = path.open("a+b")
        self.is_empty = not path.stat().st_size
        if not self.is_empty:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # a kill tore the last line; ours must not be glued to it
                self._file.write(b"\n")

    def note(self, event: str, *, step: int, **what: Any) -> dict[str, Any]:
        """Append one line and return it."""
        line = {"event": event, "step": step, "time": round(time.time(), 3), **what}
        self._file.write(_line(line))
        self._file.flush()
        return line

    def sync(self) -> None:
        """Make all lines durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(run: Path) -> list[dict[str, Any]]:
    """Return all lines; a line torn by a kill is passed over."""
    try:
        lines = (run / LEDGER).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return whole


def rewrite(run: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Commit the ledger with every line as `change` gives it back. Only where nobody else can append."""
    commit_bytes(run / LEDGER, b"".join(_line(change(line)) for line in read(run)))


def read_training(run: Path) -> list[dict[str, Any]]:
    """Return what happened in a training and still holds, in order."""
    lines: list[dict[str, Any]] = []
    for line in read(run):
        if line.get("event") == "restart":
            lines = [earlier for earlier in lines if _holds(earlier, line["step"])]
        lines.append(line)
    return lines


def _holds(line: dict[str, Any], restart: int) -> bool:
    """Tell whether a line still holds after a restart at this step."""
    return line["step"] < restart or (line["step"] == restart and line["event"] not in TERMS)


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values) + "\n").encode()
