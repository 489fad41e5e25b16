"""`corgi recheck`: who objects by now is found, nobody is asked for an image, and takedown takes the list."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs import UserError, dump, resolve
from corgi import app
from pipeline.config import PipelineConfig
from pipeline.download.config import DownloadConfig
from pipeline.download.step import Download
from pipeline.recheck import ENTRY, OBJECTIONS, Recheck, recheck
from pipeline.runner import run_step
from pipeline.takedown.find import find
from pipeline.takedown.lists import read_list
from storage import pairs
from storage.plan import shards_of

from .download_server import Page, Web, config_for, jpeg, serve

COUNT = 12
NOAI = [("X-Robots-Tag", "noai")]


def where(number: int) -> str:
    return f"h{number % 4}.test/{number}.jpg"


def stored(folder: Path, web_: Web) -> tuple[PipelineConfig, dict[int, str]]:
    """A run in which everybody's image is stored, and the key of each."""
    urls = [f"http://{where(number)}" for number in range(COUNT)]
    pq.write_table(pa.table({"url": urls, "caption": ["what is seen"] * COUNT}), folder / "table.parquet")
    download = config_for(web_, retries=0).model_dump(mode="json")
    values = {"run": str(folder / "run"), "table": [str(folder / "table.parquet")], "download": download}
    config = resolve(PipelineConfig, {**values, "plan": {"shard_size": 6}})
    (folder / "pipeline.yaml").write_text(dump(config))
    run_step("plan", config)
    for shard in shards_of(config.run):
        Download(config.download)(shard)
    rows = [row for shard in shards_of(config.run) for row in pairs.stored(shard).to_pylist()]
    return config, {urls.index(row["url"]): row["key"] for row in rows}


def asked_again(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["recheck", str(folder / "pipeline.yaml"), *words], catch_exceptions=False)


def test_who_objects_by_now_is_listed_for_takedown(tmp_path: Path):
    good = {where(number): Page(jpeg(number, 900, 700)) for number in range(COUNT)}
    with serve(dict(good)) as web_:
        config, keys = stored(tmp_path, web_)
        assert len(keys) == COUNT
        web_.pages |= {
            "h1.test/robots.txt": Page(b"User-agent: *\nDisallow: /5", type="text/plain"),
            "h2.test/robots.txt": Page(status=503),  # nothing may be asked for, but nobody said so
            where(0): Page(good[where(0)].body, headers=NOAI),
            where(3): Page(status=404),
            where(4): Page(status=302, headers=[("Location", f"http://{where(7)}"), *NOAI]),  # what it leads to counts
        }
        web_.asked = Counter()
        result = asked_again(tmp_path)
        assert result.exit_code == 0
        listed = find(config.run, read_list(config.run / OBJECTIONS))
        assert {*listed} == {keys[0], keys[5]}
        assert (
            f"2 of {COUNT} stored pairs with a url are of hosts that object by now: {config.run / OBJECTIONS}"
            in result.output
        )
        assert "1  x-robots-tag noai" in result.output and "1  h1.test disallows it to corgi" in result.output, (
            result.output
        )
        assert f"corgi takedown {config.run / OBJECTIONS} --run {config.run}" in result.output
        tables = [pq.read_table(shard.path(ENTRY.writes)) for shard in shards_of(config.run)]
        answers = pa.concat_tables(tables).group_by("status").aggregate([("key", "count")]).to_pylist()
        assert {row["status"]: row["key_count"] for row in answers} == {
            "ok": 6,
            "opt_out": 1,
            "http_404": 1,
            "robots_txt": 4,
        }
        assert not web_.asked[where(5)] and not web_.asked[where(2)]  # robots.txt is heard here, too


def test_no_image_is_sent_where_the_server_knows_parts(tmp_path: Path):
    sent = Counter[str]()

    class Partial(Web):
        async def _answer(self, request: Any, name: str) -> Any:
            sent[request.headers.get("Range", "none")] += name.endswith(".jpg")
            return await super()._answer(request, name)

    with serve({where(number): Page(jpeg(number)) for number in range(COUNT)}, kind=Partial) as web_:
        config, _ = stored(tmp_path, web_)
        assert sent == {"none": COUNT}
        Recheck(config.download, 30.0)(shards_of(config.run)[0])
    assert sent == {"none": COUNT, "bytes=0-0": COUNT // 2}


def test_an_answer_holds_for_some_days(tmp_path: Path):
    with serve({where(number): Page(jpeg(number)) for number in range(COUNT)}) as web_:
        config, _ = stored(tmp_path, web_)
        shard, step = shards_of(config.run)[0], Recheck(config.download, 9.0)
        assert step.state(shard) == "missing"
        step(shard)
        assert step.state(shard) == "done"
        os.utime(shard.path(ENTRY.writes), times=(time.time() - 10 * 86_400,) * 2)
        assert step.state(shard) == "stale" and Recheck(config.download, 11.0).state(shard) == "done"
        other = config.download.model_copy(update={"opt_out_directives": ("noai",)})
        assert Recheck(other, 11.0).state(shard) == "stale"


def test_where_no_wish_counts_there_is_nothing_to_ask(tmp_path: Path):
    config = DownloadConfig(robots="ignore", opt_out="ignore")
    with pytest.raises(UserError, match="nothing to ask for"):
        recheck(tmp_path, config, days=30)
