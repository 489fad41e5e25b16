"""Who runs the gauntlet: a downloader takes the rows of a table and says what it stored of each.

Another one is a function of this form. The hosts of all cases end in .test or .example and are found at the web's outer
port: it leads them there by a map of names, a resolver or a proxy.
"""

import asyncio
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .server import HostileWeb

Names: TypeAlias = Mapping[str, Sequence[Sequence[str]]]
# For machines that are busy, too: what is healthy must arrive in this time, what is endless takes this long.
FIRST_BYTE_S, TOTAL_S, MAX_BYTES = 4.0, 8.0, 2_000_000
WATCHDOG_S = 90.0  # for a library that does not come back


class Kept(NamedTuple):
    """What a downloader made of one row."""

    data: bytes | None  # as it is stored; None where nothing is
    reason: str | None = None  # its own word for that, if it has one


# rows, the web, what the name server says, and the formats that are asked for
Downloader: TypeAlias = Callable[[Sequence[dict[str, Any]], HostileWeb, Names, Sequence[str]], list[Kept]]


def config_for(web: HostileWeb, **values: Any) -> Any:
    """Return a config of Corgi's that leads all names to the web, and is not patient."""
    from pipeline.download.config import DownloadConfig

    target = f"127.0.0.1:{web.outer}"
    usual = {
        "resolve": {"*.test": target},
        "allow_addresses": [target],
        "host_interval_s": 0.0,
        "backoff_s": 0.01,
        "retries": 1,
        "connect_s": 2.0,
        "first_byte_s": FIRST_BYTE_S,
        "total_s": TOTAL_S,
        "max_bytes": MAX_BYTES,
        "watchdog_s": WATCHDOG_S,
    }
    return DownloadConfig.model_validate({**usual, **values})


def guarded(rows: Sequence[dict[str, Any]], web: HostileWeb, names: Names, formats: Sequence[str]) -> list[Kept]:
    """Download with Corgi's own engine, as one shard."""
    from pipeline.download.guarded import fetch_shard

    questions: Counter[str] = Counter()

    async def lookup(host: str, port: int) -> list[tuple[int, int, int, str, tuple]]:
        await asyncio.sleep(0)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        answers = names[host]
        answer = answers[min(questions[host], len(answers) - 1)]
        questions[host] += 1
        return [(0, 0, 0, "", (address, port)) for address in answer]

    kept: list[Kept] = []

    def add(outcome: Any) -> None:
        kept.append(Kept(outcome.stored, outcome.status))

    fetch_shard(config_for(web, formats=formats), rows, add, lookup=lookup)
    return kept


def img2dataset(rows: Sequence[dict[str, Any]], web: HostileWeb, names: Names, formats: Sequence[str]) -> list[Kept]:
    """Download with the library, asked for all that it can do; the web is its proxy, so it asks no name server.

    It has no choice of formats, but takes what OpenCV decodes.
    Digests are compared where its output is adopted; it has an option for that, which is off by default.
    """
    from pipeline.download.img2dataset_engine import adopt_shard

    kept: list[Kept] = []
    config = config_for(web, engine="img2dataset", resolve={"*": f"127.0.0.1:{web.outer}"})
    with tempfile.TemporaryDirectory() as folder:
        try:
            adopt_shard(config, rows, lambda outcome: kept.append(Kept(outcome.stored)), scratch=Path(folder) / "out")
        except RuntimeError:  # it did not come back, and nothing of this shard is of use
            return [Kept(None)] * len(rows)
    return kept
