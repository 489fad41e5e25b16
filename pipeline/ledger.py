"""ledger.jsonl: what a run did and when, appended and never rewritten. Timings live here, not in compared files."""

import json
import os
import time
from pathlib import Path
from typing import Any

LEDGER = "ledger.jsonl"


def note(run: Path, **what: Any) -> None:
    """Appends one line in one write, so that lines of several processes do not mix."""
    line = json.dumps({"time": round(time.time(), 3), **what}, sort_keys=True) + "\n"
    descriptor = os.open(run / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(run: Path) -> list[dict[str, Any]]:
    """All lines; a line torn by a kill is passed over."""
    try:
        lines = (run / LEDGER).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
