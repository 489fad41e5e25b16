"""A downloaded shard: equal answers give equal bytes, whatever the network did, and a kill costs one shard at most."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs import UserError
from pipeline.download.config import DownloadConfig, Limits
from pipeline.download.decoders import Decoders, decoders_of_process
from pipeline.download.step import Download
from pipeline.workers import _Here
from storage.atomic import read_json, remove_left_over
from storage.shard import PAIRS, STATS, TAR, Shard
from storage.tables import read_mark
from storage.tar import TarReader

from .download_server import Page, Web, config_for, jpeg, plan_shard, serve

COUNT = 40


def pages(*, slow_s: float = 0.0) -> dict[str, Page]:
    """Pictures on a few hosts, every fifth one missing, each answered after up to `slow_s`."""
    wait_s = random.Random(slow_s).random
    found = {f"h{n % 5}.test/{n}.jpg": Page(jpeg(n, 300 + n, 200), wait_s=slow_s * wait_s()) for n in range(COUNT)}
    return {where: page if n % 5 else Page(status=404) for n, (where, page) in enumerate(found.items())}


URLS = [f"http://{where}" for where in pages()]


def digests(shard: Shard) -> dict[str, str]:
    """Of the files that must be equal."""
    return {suffix: sha256(shard.path(suffix).read_bytes()).hexdigest() for suffix in (TAR, PAIRS)}


def made(run: Path, web_: Web, **values: object) -> Shard:
    shard = plan_shard(run, URLS, similarity=[0.25] * COUNT)
    counts = Download(config_for(web_, **values))(shard)
    assert counts == {"ok": COUNT - COUNT // 5, "http_404": COUNT // 5}
    return shard


@pytest.mark.long
def test_equal_answers_give_equal_bytes_whatever_the_network_did(tmp_path: Path):
    with serve(pages()) as web_:
        first = digests(made(tmp_path / "1", web_))
        assert digests(made(tmp_path / "2", web_, connections=1)) == first
        assert digests(made(tmp_path / "3", web_, connections=8, host_connections=8)) == first
    for slow_s in (0.05, 0.1):  # another port, another order of arrival
        with serve(pages(slow_s=slow_s)) as web_:
            assert digests(made(tmp_path / f"slow {slow_s}", web_)) == first
            assert digests(made(tmp_path / f"narrow {slow_s}", web_, connections=2)) == first


def test_a_worker_that_does_the_work_of_several_leaves_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counts = []

    def counted(count: int, limits: Limits) -> Decoders:
        counts.append(count)
        return decoders_of_process(count, limits)

    monkeypatch.setattr("pipeline.download.guarded.decoders_of_process", counted)
    with serve(pages()) as web_:
        first = digests(made(tmp_path / "1", web_))
        monkeypatch.setattr(_Here, "spread", 3)
        assert digests(made(tmp_path / "3", web_)) == first
    assert counts == [2, 6]


def test_rows_members_and_statistics_agree(tmp_path: Path):
    with serve(pages()) as web_:
        shard = made(tmp_path, web_)
    rows = pq.read_table(shard.path(PAIRS), partitioning=None).to_pylist()
    assert [row["url"] for row in rows] == URLS and {row["similarity"] for row in rows} == {0.25}
    ok = [row for row in rows if row["status"] == "ok"]
    with tarfile.open(shard.path(TAR)) as tar, TarReader(shard.path(TAR)) as by_offset:
        names = tar.getnames()
        assert names == [f"{row['key']}.{kind}" for row in ok for kind in ("jpg", "txt", "json")]
        for row in ok:
            data = by_offset.read(row["tar_offset"], size=row["tar_size"])
            file = tar.extractfile(f"{row['key']}.jpg")
            assert file is not None and file.read() == data
            assert sha256(data).hexdigest() == row["stored_sha256"]
            text, said = tar.extractfile(f"{row['key']}.txt"), tar.extractfile(f"{row['key']}.json")
            assert text is not None and text.read().decode() == row["caption"]
            assert said is not None
            known = {name: value for name, value in row.items() if value is not None and not name.startswith("tar_")}
            assert json.load(said) == known
    stats = read_json(shard.path(STATS))
    assert stats["pairs"] == COUNT and stats["reasons"]["ok"] == len(ok)
    assert sum(host["pairs"] for host in stats["hosts"].values()) == COUNT and len(stats["hosts"]) == 5


def test_where_names_lead_and_how_patient_we_are_changes_no_fingerprint(tmp_path: Path):
    shard = plan_shard(tmp_path, URLS)

    def mark(**values: object) -> str:
        return Download(DownloadConfig.model_validate(values)).fingerprint(shard)

    usual = mark()
    assert mark(resolve={"*.test": "127.0.0.1:1"}, allow_addresses=["127.0.0.1:1"]) == usual
    assert mark(connections=1, host_interval_s=1, total_s=1, retries=9) == usual
    changes = {"engine": "img2dataset", "size_px": 128, "jpeg_quality": 90, "robots": "ignore", "max_bytes": 1000}
    assert len({mark(**{name: value}) for name, value in changes.items()} | {usual}) == len(changes) + 1
    plan_shard(tmp_path, URLS[1:])
    assert mark() != usual


def test_the_step_travels_to_other_processes(tmp_path: Path):
    step = Download(DownloadConfig())
    assert pickle.loads(pickle.dumps(step)) == step
    assert (step.entry.name, step.writes) == ("download", PAIRS)


def test_a_column_named_like_a_result_is_an_error_before_anything_is_asked(tmp_path: Path):
    with serve(pages()) as web_:
        shard = plan_shard(tmp_path, URLS, status=["?"] * COUNT)
        with pytest.raises(UserError, match="status"):
            Download(config_for(web_))(shard)
        assert not web_.asked


CHILD = """
import sys
from pathlib import Path
from pipeline.download.config import DownloadConfig
from pipeline.download.step import Download
from storage.shard import Shard
if __name__ == "__main__":
    Download(DownloadConfig.model_validate_json(sys.argv[2]))(Shard(Path(sys.argv[1]), 0))
"""


@pytest.mark.long
@pytest.mark.parametrize("after", [5, 30])
def test_a_killed_download_is_redone_with_the_same_bytes(tmp_path: Path, after: int):
    with serve(pages()) as web_:
        expected = digests(made(tmp_path / "whole", web_))
    shard = plan_shard(tmp_path / "killed", URLS, similarity=[0.25] * COUNT)
    with serve(pages(slow_s=0.2)) as web_:
        config = config_for(web_, connections=4).model_dump_json()
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(shard.run), config], cwd=Path(__file__).parents[2])
        while web_.asked.total() < after:
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert read_mark(shard.path(PAIRS)) is None and not shard.path(TAR).exists()
        Download(config_for(web_))(shard)
    assert digests(shard) == expected
    remove_left_over(shard.path(TAR).parent)
    leftovers = {path.name for path in shard.path(TAR).parent.iterdir()}
    assert leftovers == {"00000.urls.parquet", "00000.tar", "00000.parquet", "00000_stats.json"}


def test_a_failure_between_tar_and_table_leaves_the_shard_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with serve(pages()) as web_:
        shard = made(tmp_path, web_)
        before = digests(shard)
        monkeypatch.setattr("storage.pairs.write_table", full)
        with pytest.raises(OSError, match="No space"):
            Download(config_for(web_, size_px=64))(shard)
        assert digests(shard) == before
