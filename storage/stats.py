"""What a shard's download took, host by host: everything that may differ between two runs, and nothing else does."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Effort:
    """What one url took."""

    attempts: int = 0
    requests: int = 0  # redirects included
    bytes: int = 0  # of bodies
    seconds: float = 0.0  # in requests and in waits between attempts; waits for a turn not included

    def __iadd__(self, other: "Effort") -> "Effort":
        self.attempts += other.attempts
        self.requests += other.requests
        self.bytes += other.bytes
        self.seconds += other.seconds
        return self


@dataclass
class _Tally:
    """Sums over a host's pairs, or over all."""

    reasons: Counter[str] = field(default_factory=Counter)  # "ok" included
    retries: int = 0
    effort: Effort = field(default_factory=Effort)

    def add(self, status: str, effort: Effort) -> None:
        self.reasons[status] += 1
        self.retries += max(0, effort.attempts - 1)
        self.effort += effort

    def as_json(self) -> dict[str, Any]:
        effort = {**asdict(self.effort), "seconds": round(self.effort.seconds, 3)}
        return {"pairs": self.reasons.total(), "reasons": dict(self.reasons), "retries": self.retries, **effort}


class Stats:
    """Of one shard, since it was made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._all = _Tally()
        self._hosts: dict[str, _Tally] = defaultdict(_Tally)

    @property
    def counts(self) -> Counter[str]:
        """Return the number of pairs by what became of them."""
        return self._all.reasons

    def add(self, host: str, *, status: str, effort: Effort) -> None:
        """Count one pair."""
        self._all.add(status, effort)
        self._hosts[host].add(status, effort)

    def as_json(self, *, engine: str) -> dict[str, Any]:
        """Return the content of _stats.json."""
        hosts = {host: tally.as_json() for host, tally in sorted(self._hosts.items())}
        wall_s = round(self._clock() - self._began, 3)
        return {"engine": engine, "wall_seconds": wall_s, **self._all.as_json(), "hosts": hosts}
