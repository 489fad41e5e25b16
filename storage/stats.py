"""What a shard's download took, host by host: everything that may differ between two runs, and nothing else does."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

ASKED_WITH = "asked_with"  # the first of all keys of the file, which are sorted
HEAD_BYTES = 20_000
BEGIN = re.compile(rb'{\s*"%s":\s*' % ASKED_WITH.encode())
DECODER = json.JSONDecoder()


@dataclass
class Effort:
    """What one url took."""

    attempts: int = 0
    requests: int = 0  # redirects included
    bytes: int = 0  # of bodies
    seconds: float = 0.0  # in requests and in waits between attempts; waits for a turn not included


class Stats:
    """Of one shard, since it was made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._hosts: dict[str, list[tuple[str, Effort]]] = defaultdict(list)  # what became of each pair, what it took

    @property
    def counts(self) -> Counter[str]:
        """Return the number of pairs by what became of them."""
        return Counter(status for pairs in self._hosts.values() for status, _ in pairs)

    def add(self, host: str, *, status: str, effort: Effort) -> None:
        """Count one pair."""
        self._hosts[host].append((status, effort))

    def as_json(
        self, *, engine: str, earlier: Mapping[str, Any], asked_with: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the content of _stats.json. earlier: its content before some pairs were asked again, or empty."""
        asked_with = earlier.get(ASKED_WITH) if asked_with is None else asked_with
        before = earlier.get("hosts", {})
        hosts = {host: _added(_summed(pairs), before.get(host, {})) for host, pairs in sorted(self._hosts.items())}
        every = _added(_summed([pair for pairs in self._hosts.values() for pair in pairs]), earlier)
        seconds = self._clock() - self._began + earlier.get("wall_seconds", 0.0)
        stats = {"engine": engine, "wall_seconds": round(seconds, 3), **every, "hosts": hosts}
        return stats if asked_with is None else {ASKED_WITH: asked_with, **stats}


def asked_with(path: Path) -> dict[str, Any] | None:
    """Return the settings with which a shard was asked for, None where its _stats.json is absent or has none.

    They come first in the file and are read alone: after them come thousands of hosts.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_BYTES)
            found = BEGIN.match(head)
            if found is None:
                return None
            try:
                return DECODER.raw_decode(head[found.end() :].decode(errors="ignore"))[0]
            except ValueError:  # longer than that
                return json.loads(head + file.read())[ASKED_WITH]
    except FileNotFoundError:
        return None


def _summed(pairs: Sequence[tuple[str, Effort]]) -> dict[str, Any]:
    efforts = [effort for _, effort in pairs]
    return {
        "pairs": len(pairs),
        "reasons": dict(Counter(status for status, _ in pairs)),  # "ok" included
        "retries": sum(max(0, effort.attempts - 1) for effort in efforts),
        **{field.name: round(sum(getattr(effort, field.name) for effort in efforts), 3) for field in fields(Effort)},
    }


def _added(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pairs took now and before; how many they are, and what became of them, is what it is now."""
    effort = {name: value for name, value in now.items() if name not in ("pairs", "reasons")}
    return now | {name: round(value + before.get(name, 0), 3) for name, value in effort.items()}
