"""What finished shards lost for a while is fetched again, and nothing else is asked for, moved or lost."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, dump, resolve
from pipeline.config import PipelineConfig
from pipeline.download.reasons import PASSING, parse_reasons
from pipeline.download.retry import Retry
from pipeline.download.step import Download
from pipeline.runner import run_step
from storage import pairs
from storage.atomic import read_json
from storage.plan import shards_of
from storage.shard import PAIRS, STATS, TAR, Shard
from storage.staging import FILES, staged
from storage.tables import read_mark
from storage.tar import TarReader

from .download_server import Page, Web, config_for, jpeg, plan_shard, serve

COUNT = 12
LOST = {1: Page(status=503), 4: Page(status=404), 5: Page(jpeg(5), cut_at=500), 8: Page(status=429), 9: Page(b"<html>")}
PASSED = {1: "http_503", 5: "cut_off", 8: "http_429"}
ONCE: dict[str, Any] = {"retries": 0}


def where(number: int) -> str:
    return f"h{number % 3}.test/{number}.jpg"


def good() -> dict[str, Page]:
    return {where(number): Page(jpeg(number)) for number in range(COUNT)}


def first_day() -> dict[str, Page]:
    return good() | {where(number): page for number, page in LOST.items()}


def images(shard: Shard) -> dict[str, bytes]:
    """Return key -> the image's bytes, where the table says they lie."""
    with TarReader(shard.path(TAR)) as tar:
        rows = pairs.stored(shard).to_pylist()
        data = {row["key"]: tar.read(row["tar_offset"], size=row["tar_size"]) for row in rows}
    assert all(sha256(data[row["key"]]).hexdigest() == row["stored_sha256"] for row in rows)
    return data


def digests(shard: Shard) -> list[str]:
    return [sha256(shard.path(suffix).read_bytes()).hexdigest() for suffix in (TAR, PAIRS)]


def downloaded(run: Path, web_: Web, **values: Any) -> Shard:
    shard = plan_shard(run, [f"http://{where(number)}" for number in range(COUNT)])
    Download(config_for(web_, **ONCE, **values))(shard)
    return shard


def test_only_what_failed_for_a_while_is_asked_for_and_the_shard_is_what_it_would_have_been(tmp_path: Path):
    with serve(first_day()) as web_:
        shard = downloaded(tmp_path / "1", web_)
        before, mark = images(shard), read_mark(shard.path(PAIRS))
        assert {number: pairs.read(shard)["status"][number].as_py() for number in PASSED} == PASSED
        web_.pages, web_.asked = good(), Counter()
        step = Retry(config_for(web_, **ONCE), parse_reasons("transient"))
        assert step.state(shard) == "stale"
        assert step(shard) == {"ok": 3}
        assert {name: count for name, count in web_.asked.items() if name.endswith("jpg")} == {
            where(number): 1 for number in PASSED
        }
        assert step.state(shard) == "done" and Download(config_for(web_)).state(shard) == "done"
        after = images(shard)
        assert len(after) == len(before) + 3 and all(after[key] == data for key, data in before.items())
        assert (now := read_mark(shard.path(PAIRS))) and mark
        assert now.fingerprint == mark.fingerprint and now.content != mark.content  # scores and the rest see it
        web_.pages = good() | {where(number): LOST[number] for number in (4, 9)}
        assert digests(downloaded(tmp_path / "2", web_)) == digests(shard)


def test_the_statistics_are_those_of_all_attempts(tmp_path: Path):
    with serve(first_day()) as web_:
        shard = downloaded(tmp_path, web_)
        before = read_json(shard.path(STATS))
        web_.pages = good()
        Retry(config_for(web_, **ONCE), parse_reasons("transient"))(shard)
        after = read_json(shard.path(STATS))
    assert (before["pairs"], after["pairs"]) == (COUNT, COUNT) and after["reasons"]["ok"] == COUNT - 2
    assert after["attempts"] == before["attempts"] + 3
    assert sum(host["requests"] for host in after["hosts"].values()) == after["requests"]
    assert after["wall_seconds"] >= before["wall_seconds"]


def test_named_reasons_and_a_shard_that_lost_nothing_for_them(tmp_path: Path):
    with serve(first_day()) as web_:
        shard = downloaded(tmp_path, web_)
        before, web_.pages, web_.asked = shard.path(TAR).stat().st_mtime_ns, good(), Counter()
        assert Retry(config_for(web_, **ONCE), parse_reasons("robots_txt,dns")).state(shard) == "done"
        step = Retry(config_for(web_, **ONCE), parse_reasons("http_4xx, not_a_picture"))
        assert (shard.path(TAR).stat().st_mtime_ns, web_.asked) == (before, {})
        assert step(shard) == {"ok": 3}  # 4 and 8, and 9, which was none
        assert {name for name in web_.asked if name.endswith("jpg")} == {where(number) for number in (4, 8, 9)}


def test_an_address_that_is_allowed_since_is_a_reason_to_ask_again(tmp_path: Path):
    with serve(good()) as web_:
        shard = downloaded(tmp_path, web_, allow_addresses=())
        assert set(pairs.read(shard)["status"].to_pylist()) == {"private_address"}
        assert Retry(config_for(web_), parse_reasons("private_address"))(shard) == {"ok": COUNT}


def test_a_shard_of_another_config_is_refused_and_nobody_is_asked(tmp_path: Path):
    with serve(first_day()) as web_:
        shard = downloaded(tmp_path, web_)
        web_.asked.clear()
        step = Retry(config_for(web_, size_px=64), parse_reasons("transient"))
        assert step.state(shard) == "stale"
        with pytest.raises(UserError, match="shard 00000 is of another config or plan"):
            step(shard)
        assert not web_.asked


@pytest.mark.parametrize(
    ("text", "says"),
    [("transeint", "did you mean 'transient'"), ("dns,tiemout", "did you mean 'timeout'"), (" ,", "names no reason")],
)
def test_an_unknown_reason_is_refused(text: str, says: str):
    with pytest.raises(UserError, match=says):
        parse_reasons(text)


def test_reasons_are_told_apart():
    assert parse_reasons("transient") == tuple(PASSING)
    assert parse_reasons("dns,transient,http_404")[-1] == "http_404"


@pytest.mark.parametrize("installed", range(4))
def test_a_kill_between_the_files_leaves_the_old_shard_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: int
):
    """Cut off before any file has taken its place, and after the first, the second, the third."""
    with serve(first_day()) as web_:
        shard = downloaded(tmp_path, web_)
        old, step = digests(shard), Retry(config_for(web_, **ONCE), parse_reasons("transient"))
        web_.pages = good()
        monkeypatch.setattr("storage.pairs.install", lambda shard: None)
        step(shard)
        monkeypatch.undo()
        assert all(staged(shard, suffix).exists() for suffix in FILES) and digests(shard) == old
        if installed:
            shard.path(PAIRS).unlink()
        for suffix in FILES[: max(0, installed - 1)]:
            staged(shard, suffix).rename(shard.path(suffix))
        web_.asked.clear()
        step(shard)
        assert bool(web_.asked) == (not installed)  # the new files are whole: nobody is asked a third time
        assert len(images(shard)) == COUNT - 2
        assert not any(staged(shard, suffix).exists() for suffix in FILES)


def corgi(*words: str | Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-m", "corgi", *map(str, words)], stdout=out, stderr=out)


@pytest.mark.long
def test_the_command_killed_in_the_middle_and_again_on_two_ranks(tmp_path: Path):
    urls = [f"http://{where(number)}" for number in range(COUNT)]
    pq.write_table(
        pa.table({"url": urls, "caption": [f"number {n}" for n in range(COUNT)]}), tmp_path / "table.parquet"
    )
    slow = {where(number): Page(jpeg(number), wait_s=2.0) for number in PASSED}
    with serve(first_day()) as web_:
        download = config_for(web_, **ONCE).model_dump(mode="json")
        values = {"run": str(tmp_path / "run"), "table": [str(tmp_path / "table.parquet")], "download": download}
        config = resolve(PipelineConfig, {**values, "plan": {"shard_size": 4}})
        (yaml := tmp_path / "pipeline.yaml").write_text(dump(config))
        run_step("plan", config)
        run_step("download", config, workers=1)
        shards = shards_of(config.run)
        before = {key: data for shard in shards for key, data in images(shard).items()}
        web_.pages, web_.asked = good() | slow, Counter()
        log = tmp_path / "log.txt"
        child = corgi("download", yaml, "--retry", "transient", log=log)
        while not any(name in web_.asked for name in slow):
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert {key: data for shard in shards for key, data in images(shard).items()} == before
        web_.pages = good()
        web_.asked.clear()
        for rank in (0, 1):
            share = ("--rank", str(rank), "--world-size", "2")
            assert corgi("download", yaml, "--retry", "transient", *share, log=log).wait() == 0, log.read_text()
        assert {name for name in web_.asked if name.endswith("jpg")} == {where(number) for number in PASSED}
        after = {key: data for shard in shards for key, data in images(shard).items()}
        assert len(after) == COUNT - 2 and before.items() <= after.items()
        assert not list(config.run.rglob("*.next")) and not list(config.run.rglob("*.scratch"))
        assert corgi("download", yaml, "--retry", "transeint", log=log).wait() == 2
        assert "did you mean 'transient'" in log.read_text()
