"""ledger.jsonl in the folder of a training: what happened, appended and never rewritten. The truth; W&B is a mirror.

    {"event": "step", "step": 120, "seen": 7680, "loss": 0.0312, "grad_norm": 0.41, "lr": 1e-4, ...}

Events: start, restart, step, bad_step, bad_picture, validation, checkpoint, stopped, done. A restart at step 100
makes void what was said of later steps, and `read` leaves that out. Lines are durable from each checkpoint on.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from pipeline.ledger import LEDGER
from pipeline.ledger import read as read_lines


class Ledger:
    """The ledger, open for appending, on the leading rank only."""

    def __init__(self, run: Path) -> None:
        path = run / LEDGER
        self._file = path.open("a+b")
        self.empty = not path.stat().st_size
        if not self.empty:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # a kill tore the last line; ours must not be glued to it
                self._file.write(b"\n")

    def note(self, event: str, *, step: int, **what: Any) -> dict[str, Any]:
        """Appends one line and returns it."""
        line = {"event": event, "step": step, "time": round(time.time(), 3), **what}
        self._file.write((json.dumps(line) + "\n").encode())
        self._file.flush()
        return line

    def sync(self) -> None:
        """Makes all lines durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(run: Path) -> list[dict[str, Any]]:
    """What happened and still holds, in order; empty where nothing did."""
    lines: list[dict[str, Any]] = []
    for line in read_lines(run):
        if line.get("event") == "restart":
            lines = [earlier for earlier in lines if earlier["step"] <= line["step"]]
        lines.append(line)
    return lines
