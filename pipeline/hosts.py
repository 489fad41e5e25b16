"""What hosts asked for and what they served: the ledger of opt-outs, and where images are not those of the table.

Images that were swapped behind their urls are how a public table is poisoned (Carlini and others 2023, "Poisoning
Web-Scale Training Datasets is Practical"); where the table gives digests, `download` refuses them as hash_mismatch.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from storage.atomic import read_json
from storage.pairs import OK, host_of
from storage.shard import STATS, Shard

SHOWN = 20  # hosts with the most images that are not those of the table
WISHES = ("opt_out", "robots_txt")
SWAPPED = "hash_mismatch"


class Hosts:
    """Counts over all shards of a run."""

    def __init__(self) -> None:
        self._asked: dict[str, Counter[str]] = defaultdict(Counter)  # protocol -> host -> pairs
        self._swapped, self._stored = Counter[str](), Counter[str]()

    def lose(self, pair: Mapping[str, Any]) -> None:
        """Count a pair that the download lost, if its host asked for that."""
        if pair["status"] in WISHES:
            self._asked[protocol_of(pair)][host_of(pair["url"])] += 1

    def take(self, shard: Shard) -> None:
        """Count what a shard's download noted of its hosts."""
        for host, noted in ((read_json(shard.path(STATS)) or {}).get("hosts") or {}).items():
            self._swapped[host] += noted["reasons"].get(SWAPPED, 0)
            self._stored[host] += noted["reasons"].get(OK, 0)

    def counted(self) -> dict[str, Any]:
        """Return opt_outs: protocol -> pairs and hosts; swapped: host, pairs, and how many more of it were stored."""
        asked = sorted(self._asked.items(), key=lambda item: (-item[1].total(), item[0]))
        most = sorted(self._swapped.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
        return {
            "opt_outs": {protocol: {"pairs": hosts.total(), "hosts": len(hosts)} for protocol, hosts in asked},
            "swapped": [{"host": host, "pairs": pairs, "stored": self._stored[host]} for host, pairs in most if pairs],
        }


def protocol_of(pair: Mapping[str, Any]) -> str:
    """Return by which protocol a host asked not to be trained on; an opt-out's detail begins with it."""
    if pair["status"] == "robots_txt":
        return "robots.txt"
    return str(pair.get("detail") or "").partition(" ")[0].rstrip(":") or "x-robots-tag"  # img2dataset names none
