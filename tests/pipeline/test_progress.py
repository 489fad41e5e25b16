"""What a person sees of long work in a log."""

import asyncio
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from configs import UserError, dump, resolve
from pipeline import progress
from pipeline.config import PipelineConfig
from pipeline.workers import MOST_BYTES, Tally, Wire, _begin, _Here
from tests.factory import downloaded, through

from .download_server import Page, Web, config_for, jpeg, serve


def test_a_log_gets_a_line_now_and_then_and_the_last(capsys: pytest.CaptureFixture[str]):
    with progress.Progress("base16", total=3, unit="steps", done=0) as steps:
        for step in (1, 2, 3):
            steps.reach(step, "loss 0.2500  100.0 images/s")
        steps.reach(3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "base16: 3/3 steps  0 s, eta 0 s  loss 0.2500  100.0 images/s"


def test_what_is_left_is_told_from_what_was_done_since_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    clock = iter([100.0, 124.0, 125.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shards = progress.Progress("score", total=1_010, unit="shards", done=1_000)
    shards.advance(4, "[b]tags[/b] stay  ok 7")
    shards.advance(1)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"score: 1,004/1,010 shards  24 s, eta 36 s  \[b\]tags\[/b\] stay  ok 7", line)


def test_a_log_gets_a_line_while_nothing_moves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(progress.LOG_EVERY_S, "0.01")
    with progress.Progress("dedup", total=3, unit="parts"):
        said = ""
        while said.count("\n") < 2:  # a test that hangs here has failed
            said += capsys.readouterr().err
    assert re.fullmatch(r"dedup: 0/3 parts  \d+ s, eta unknown", said.splitlines()[0])


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_an_interval_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv(progress.LOG_EVERY_S, text)
    with pytest.raises(UserError, match=f"CORGI_LOG_EVERY_S is '{text}'"):
        progress.Progress("plan", total=1, unit="parts")


class Gated(Web):
    """Keeps the last page back until the gate is opened."""

    def __init__(self, pages: dict[str, Page]) -> None:
        super().__init__(pages)
        self.gate = threading.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        while request.path.endswith("last.jpg") and not self.gate.is_set():
            await asyncio.sleep(0.02)
        return await super().handle(request)


@pytest.mark.long
def test_one_long_shard_tells_how_far_it_is_through_a_pipe(tmp_path: Path):
    pages = {f"h{n}.test/{n}.jpg": Page(jpeg(n)) for n in range(6)} | {f"h{n}.test/{n}.jpg": Page() for n in (7, 8)}
    urls = [f"http://{where}" for where in [*pages, "g.test/9.jpg", "h9.test/last.jpg"]]
    pq.write_table(pa.table({"url": urls, "caption": urls}), tmp_path / "table.parquet")
    with serve(pages | {"h9.test/last.jpg": Page(jpeg(9))}, kind=Gated) as web_:
        assert isinstance(web_, Gated)
        download = config_for(web_, first_byte_s=600, total_s=600).model_dump(mode="json")
        values = {"run": str(tmp_path / "run"), "table": [str(tmp_path / "table.parquet")], "download": download}
        (yaml := tmp_path / "pipeline.yaml").write_text(dump(resolve(PipelineConfig, values)))
        subprocess.run([sys.executable, "-m", "corgi", "plan", str(yaml)], check=True, capture_output=True)
        command = [sys.executable, "-m", "corgi", "download", str(yaml)]
        environment = {**progress.os.environ, progress.LOG_EVERY_S: "0.2"}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stderr is not None
            lines = []
            for line in child.stderr:
                lines.append(line)
                if re.search(r"0/1 shards .* [1-9]\d* pairs, ", line):
                    web_.gate.set()
            assert child.wait() == 0, lines
    told = [line for line in lines if "pairs, " in line]
    assert re.fullmatch(r"download: 0/1 shards  \d+ s, eta \d+ s  \d pairs, \d+/s, [\d.]+ % kept.*\n", told[0]), lines
    last = r"download: 1/1 shards  \d+ s, eta 0 s  10 pairs, \d+/s, 70.0 % kept  not_a_picture 2  http_404 1\n"
    assert re.fullmatch(last, told[-1]), lines


def test_a_report_is_whole_or_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.workers.TELL_EVERY_S", 0.0)
    wire = Wire()
    monkeypatch.setattr(_Here, "wire", None)
    _begin(wire._theirs, 1)
    tally = Tally(of=10_000)
    for number in range(10_000):  # far more than a pipe takes while nobody reads
        tally.add(f"http_{number % 600}")
    reports = [*wire.read()]
    assert 10 < len(reports) < 10_000 and reports[0] == (0, 1, 10_000, Counter(http_0=1))
    assert all(report.done <= 10_000 and len(report.counts) <= MOST_BYTES // 8 for report in reports)
    tally.add("ok")
    assert [report.done for report in wire.read()] == [10_001]
    wire.close()
    tally.add("ok")  # nobody reads: that is no error of the shard


def test_table_steps_tell_pairs_and_pace(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [{"seed": n, "caption": f"picture {n}"} for n in range(4)]
    through(downloaded(tmp_path, rows), "score", "dedup")
    said = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"plan: 2/2 parts  \d+ s, eta 0 s  4 pairs, [\d,]+/s, 100.0 % kept", said[0])
    assert re.fullmatch(r"dedup: (\d+)/\1 parts  \d+ s, eta 0 s  4 pairs, [\d,]+/s", said[-1])
