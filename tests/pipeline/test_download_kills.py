"""kill -9 in the middle of a download, and a stream of requests that leaves nothing behind.

`make soak NAME=download` kills 20 of each kind of process and asks 200,000 times, or CORGI_SOAK_REQUESTS.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from storage.atomic import remove_left_over
from storage.shard import PAIRS, TAR, Shard

from .download_server import Page, Web, config_for, drawing, encoded, jpeg, plan_shard, serve

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
HOUSE = Path(__file__).parents[2]
SHARDS, PAIRS_OF_ONE = 3, 30
COMMAND = """
import sys
from pathlib import Path
from pipeline.download.config import DownloadConfig
from pipeline.download.step import Download
from pipeline.runner import run_shards
from storage.shard import Shard
if __name__ == "__main__":
    shards = [Shard(Path(sys.argv[1]), number) for number in range(int(sys.argv[3]))]
    outcome = run_shards(Download(DownloadConfig.model_validate_json(sys.argv[2])), shards, workers=2)
    sys.exit(3 if outcome.failed else 0)
"""
WORDS = {"worker": "spawn_main", "decoder": "pipeline.download.decoders"}  # in their command lines


def pages() -> dict[str, Page]:
    """Pictures that take a moment to come and to decode, some missing, on a few hosts."""
    wait_s = random.Random(0).random
    large = [jpeg(number, 1200, 900) for number in range(5)]
    made = {}
    for number in range(SHARDS * PAIRS_OF_ONE):
        page = Page(large[number % 5], wait_s=0.3 * wait_s()) if number % 7 else Page(status=404)
        made[f"h{number % 6}.test/{number}.jpg"] = page
    return made


def planned(run: Path, web_: Web) -> list[Shard]:
    urls = [f"http://{where}" for where in pages()]
    parts = [urls[number * PAIRS_OF_ONE :][:PAIRS_OF_ONE] for number in range(SHARDS)]
    return [plan_shard(run, part, number=number) for number, part in enumerate(parts)]


@contextmanager
def command(run: Path, web_: Web) -> Iterator[subprocess.Popen[bytes]]:
    config = config_for(web_, connections=4).model_dump_json()
    with subprocess.Popen([sys.executable, "-c", COMMAND, str(run), config, str(SHARDS)], cwd=HOUSE) as process:
        yield process


def descendants(of: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(entry.name)] = int(parent)
    below = {of}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: line for pid in below - {of} if (line := command_line(pid))}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def digests(shards: list[Shard]) -> list[str]:
    return [sha256(shard.path(suffix).read_bytes()).hexdigest() for shard in shards for suffix in (TAR, PAIRS)]


@pytest.mark.parametrize("kills", [pytest.param(1, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize("target", ["main", "worker", "decoder"])
def test_a_kill_in_the_middle_changes_no_byte(tmp_path: Path, target: str, kills: int):
    draw = random.Random(target)
    with serve(pages()) as web_:
        whole = planned(tmp_path / "whole", web_)
        with command(tmp_path / "whole", web_) as process:
            assert process.wait() == 0
        expected = digests(whole)
        shards = planned(tmp_path / "killed", web_)
        for _ in range(kills):
            for shard in shards:
                shard.path(PAIRS).unlink(missing_ok=True)
            kill_one(tmp_path / "killed", web_, target, after=draw.randint(5, SHARDS * PAIRS_OF_ONE // 2))
            with command(tmp_path / "killed", web_) as process:
                assert process.wait() == 0
            assert digests(shards) == expected
    remove_left_over(shards[0].path(TAR).parent)
    left = {path.name[len("00000") :] for path in shards[0].path(TAR).parent.iterdir()}
    assert left == {".urls.parquet", ".tar", ".parquet", "_stats.json"}


def kill_one(run: Path, web_: Web, target: str, *, after: int) -> None:
    """Kill a process of a download once so many requests have been made. Only the main process ends the command."""
    before = web_.asked.total()
    with command(run, web_) as process:
        victims: list[int] = []
        while not victims or web_.asked.total() < before + after:
            assert process.poll() is None
            below = descendants(process.pid)
            named = [pid for pid, line in below.items() if WORDS.get(target, "?") in line]
            victims = named or [process.pid] * (target == "main")
            time.sleep(0.01)
        os.kill(victims[-1], signal.SIGKILL)
        assert process.wait() == (-signal.SIGKILL if target == "main" else 0)
        while any(command_line(pid) == line for pid, line in below.items()):  # none outlives it; a hang here is a fault
            time.sleep(0.05)


STREAM = """
import os, sys, zlib
from pathlib import Path
from pipeline.download.config import DownloadConfig
from pipeline.download.guarded import fetch_shard
def rss(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1000
def descriptors(): return len(os.listdir("/proc/self/fd"))
if __name__ == "__main__":
    config, rounds = DownloadConfig.model_validate_json(sys.argv[1]), int(sys.argv[2])
    urls = Path(sys.argv[3]).read_text().split()
    planned = [{"key": f"{number:024x}", "url": url, "caption": ""} for number, url in enumerate(urls)]
    for _ in range(rounds):
        statuses, most = [], 0
        def add(outcome):
            global most
            statuses.append(f"{outcome.status}:{zlib.crc32(outcome.stored or b'')}")
            most = max(most, descriptors())
        fetch_shard(config, planned, add)
        print(descriptors(), most, rss(), " ".join(statuses), flush=True)
"""
OF_A_ROUND = 2000
EARLY = 3  # rounds in which caches fill
EXPECTED = [*["ok"] * 5, "http_404", "ok", "not_a_picture", "cut_off", "cut_off"]
LATE = {"connect", "timeout"}  # what a busy machine may make of an answer; every other fate is the server's doing


@pytest.mark.soak
def test_a_stream_of_requests_leaves_nothing_behind(tmp_path: Path):
    rounds = int(os.environ.get("CORGI_SOAK_REQUESTS", "200000")) // OF_A_ROUND
    assert rounds > 2 * EARLY
    kinds = [
        *[Page(jpeg(number, 120 + number, 90)) for number in range(4)],
        Page(encoded(drawing(5, 100, 80), "PNG"), chunked=True),
        Page(status=404),
        Page(status=302, headers=[("Location", "/0.jpg")]),
        Page(b"<html>gone"),
        Page(jpeg(6), cut_at=1000),
        Page(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
    ]
    where = [f"h{number % 100}.test/{number}.jpg" for number in range(OF_A_ROUND)]
    with serve({name: kinds[number % len(kinds)] for number, name in enumerate(where)}) as web_:
        web_.pages |= {"*/0.jpg": kinds[0]}
        (tmp_path / "urls").write_text("\n".join(f"http://{name}" for name in where))
        patient = {"connect_s": 600, "first_byte_s": 600, "total_s": 3600}  # however busy the machine is
        config = config_for(web_, host_connections=8, retries=0, **patient).model_dump_json()
        words = [sys.executable, "-c", STREAM, config, str(rounds), str(tmp_path / "urls")]
        with (tmp_path / "rounds").open("w") as told:  # a line a round, for whoever waits
            subprocess.run(words, cwd=HOUSE, check=True, stdout=told)
        asked = web_.asked.total()
    lines = [line.split(" ") for line in (tmp_path / "rounds").read_text().splitlines()]
    descriptors, most, megabytes = ([int(line[place]) for line in lines] for place in range(3))
    fates = [line[3:] for line in lines]
    assert len(fates) == rounds and {*map(len, fates)} == {OF_A_ROUND}
    usual = [Counter(of_one).most_common(1)[0][0] for of_one in zip(*fates, strict=True)]
    assert [fate.partition(":")[0] for fate in usual] == EXPECTED * (OF_A_ROUND // len(EXPECTED))
    others = Counter(fate for round_ in fates for fate, as_usual in zip(round_, usual, strict=True) if fate != as_usual)
    assert {fate.partition(":")[0] for fate in others} <= LATE and others.total() < 0.01 * rounds * OF_A_ROUND, others
    print(f"\n{asked} requests; came too late, of {rounds * OF_A_ROUND} pairs: {others.total()}")
    print(f"descriptors after a round {descriptors[0]} to {descriptors[-1]}, at most {max(most)}")
    print(f"RSS in MB: {megabytes[0]} first, {megabytes[EARLY]} after {EARLY} rounds, {megabytes[-1]} last")
    assert max(descriptors) == descriptors[0]
    assert max(most[EARLY:]) < max(most[:EARLY]) + 20
    assert max(megabytes[EARLY:]) < 1.1 * megabytes[EARLY] + 10
