"""Heavy losses are told with the key that would change them, and what such a key lets through is asked for alone."""

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import dump, resolve
from pipeline.adopt.advice import OF_SOURCE
from pipeline.adopt.advice import remedy as adopted_remedy
from pipeline.adopt.config import AdoptConfig
from pipeline.adopt.step import Adopt
from pipeline.config import PipelineConfig
from pipeline.download.advice import ADVICE, remedy
from pipeline.download.config import DownloadConfig
from pipeline.download.loosened import KEYS
from pipeline.download.reasons import REASONS
from pipeline.download.retry import Retry
from pipeline.download.step import Download
from pipeline.losses import heavy_losses
from pipeline.select import Select
from storage import fates, keep_list, pairs
from storage.atomic import commit_json, read_json
from storage.fates import FATES
from storage.pairs import Outcome
from storage.shard import KEEP, PAIRS, STATS, TAR, Shard
from storage.tables import CONTENT, FINGERPRINT, read_metadata, read_whole, write_table
from storage.tar import TarReader
from tests.factory import GOOD, key_of, selected, stored, write_pairs

from .download_server import Page, Web, config_for, drawing, encoded, jpeg, plan_shard, serve

CLOSED = "127.0.0.1:1"  # nobody listens there
BODY = jpeg(1)


@dataclass
class Case:
    """Pages of which none comes `before`, and all do `now`. SERVED stands for the server's address."""

    reason: str
    before: dict[str, Any]
    now: dict[str, Any]
    page: Page = field(default_factory=lambda: Page(BODY))
    further: dict[str, Page] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


def on(status: str, key: str, before: Any, now: Any, **more: Any) -> Any:
    return pytest.param(Case(status, {key: before}, {key: now}, **more), id=f"{key} {status}")


MOVED = Page(status=302, headers=[("Location", "/there.jpg")])
CASES = [
    on("private_address", "allow_addresses", ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"]),
    on("connect", "resolve", {"*.test": CLOSED}, {"*.test": "SERVED"}),  # both allowed
    on(
        "robots_txt", "robots", "honour", "ignore", further={"a.test/robots.txt": Page(b"User-agent: *\nDisallow: /no")}
    ),
    on("opt_out", "opt_out", "honour", "ignore", page=Page(BODY, headers=[("X-Robots-Tag", "noai")])),
    on(
        "opt_out", "opt_out_directives", ["noml", "noai"], ["noml"], page=Page(BODY, headers=[("X-Robots-Tag", "noai")])
    ),
    on("bad_format", "formats", ["png", "jpeg"], ["jpeg", "gif", "png"], page=Page(encoded(drawing(1), "GIF"))),
    on("too_small", "min_side_px", 250, 240),
    on("bad_aspect", "max_aspect", 1.3, 1.4),
    on("too_many_pixels", "max_pixels", 1000, 100_000),
    on("too_many_bytes", "max_bytes", 1000, 100_000),
    on("too_many_redirects", "max_redirects", 0, 1, page=MOVED, further={"a.test/there.jpg": Page(BODY)}),
    on("hash_mismatch", "verify_hash", "sha256", "none", columns={"sha256": ["00" * 32] * 3}),
]


def configured(web_: Web, values: dict[str, Any], **more: Any) -> DownloadConfig:
    text = {name: {"*.test": web_.target} if value == {"*.test": "SERVED"} else value for name, value in values.items()}
    return config_for(web_, **{"allow_addresses": ["127.0.0.1"], "retries": 0, "tolerate_lost": 0.5, **text, **more})


def outcome_of(by_url: dict[str, str], pair: Mapping[str, Any]) -> Outcome:
    status = by_url[pair["url"]]
    return stored(BODY) if status == "ok" else Outcome(status=status)


def images(shard: Shard) -> dict[str, bytes]:
    with TarReader(shard.path(TAR)) as tar:
        rows = pairs.stored(shard).to_pylist()
        return {row["key"]: tar.read(row["tar_offset"], size=row["tar_size"]) for row in rows}


@pytest.mark.parametrize("case", CASES)
def test_the_key_that_is_named_lets_them_through(tmp_path: Path, case: Case):
    where = [f"a.test/no/{number}.jpg" for number in range(3)]
    with serve(dict.fromkeys(where, case.page) | case.further) as web_:
        shard = plan_shard(tmp_path, [f"http://{each}" for each in where], **case.columns)
        before, now = (Download(configured(web_, values)) for values in (case.before, case.now))
        assert before(shard) == {case.reason: 3}
        first, second = heavy_losses(before, [shard])
        assert first.startswith(
            f"download: 3 of 3 pairs are lost, 3 of them for {case.reason}; e.g. http://a.test/no/0.jpg"
        )
        if "opt_out_directives" not in case.now:
            assert f"download.{next(iter(case.now))} (" in second
        assert "download.tolerate_lost=1" in second
        assert before.state(shard) == "done" and now.state(shard) == "stale"
        assert now(shard) == {"ok": 3}
        assert now.state(shard) == "done" and not heavy_losses(now, [shard])


def test_only_what_may_come_is_asked_for_and_the_shard_is_what_it_would_have_been(tmp_path: Path):
    pages = {f"a.test/{n}.jpg": Page(jpeg(n, 100 + 50 * n, 300)) for n in range(4)} | {"a.test/4.jpg": Page(status=404)}
    pages["a.test/3.jpg"].headers.append(("X-Robots-Tag", "noai"))
    urls = [f"http://{where}" for where in pages]
    with serve(pages) as web_:
        shard = plan_shard(tmp_path / "1", urls)
        large, all_sizes = Download(config_for(web_, min_side_px=200)), Download(config_for(web_, min_side_px=120))
        assert large(shard) == {"too_small": 2, "ok": 1, "opt_out": 1, "http_404": 1}
        kept = images(shard)
        web_.asked.clear()
        assert all_sizes.state(shard) == "stale"
        assert all_sizes(shard) == {"ok": 1, "too_small": 1}
        assert {where for where in web_.asked if where.endswith("jpg")} == {"a.test/0.jpg", "a.test/1.jpg"}
        assert kept.items() < images(shard).items()
        fresh = plan_shard(tmp_path / "2", urls)
        all_sizes(fresh)
        assert shard.path(TAR).read_bytes() == fresh.path(TAR).read_bytes()
        assert pairs.read(shard).equals(pairs.read(fresh))
        assert large.may_come(shard) is None  # one is too small now, so all of it is made anew
        web_.asked.clear()
        assert large(shard).total() == 5 and len([where for where in web_.asked if where.endswith("jpg")]) == 5


def test_a_change_by_which_nothing_of_a_shard_can_come_asks_nobody(tmp_path: Path):
    with serve({}) as web_:
        shard = plan_shard(tmp_path, ["http://a.test/0.jpg"])
        Download(config_for(web_))(shard)
        web_.asked.clear()
        allowing = Download(config_for(web_, allow_addresses=[web_.target, "10.0.0.0/8"]))
        assert allowing.state(shard) == "done"
        ignoring = Download(config_for(web_, robots="ignore"))
        assert ignoring.state(shard) == "stale"  # its mark is another one
        assert ignoring(shard) == {} and ignoring.state(shard) == "done" and not web_.asked


def test_a_line_less_in_a_block_list_lets_its_image_through(tmp_path: Path):
    with serve({"a.test/0.jpg": Page(BODY)}) as web_:
        shard = plan_shard(tmp_path, ["http://a.test/0.jpg"])
        (blocks := tmp_path / "blocks.txt").write_text(f"{'11' * 32}\n")
        step = Download(config_for(web_, block_hashes=[str(blocks)]))
        blocks.write_text(f"{'11' * 32}\n{sha256(BODY).hexdigest()}\n")
        assert step(shard) == {"blocked_hash": 1} and step.state(shard) == "done"
        blocks.write_text(f"{'11' * 32}\n")
        step = Download(config_for(web_, block_hashes=[str(blocks)]))  # one command has one look at the list
        assert step.state(shard) == "stale" and step(shard) == {"ok": 1}


def test_a_shard_of_before_there_were_such_notes_is_done(tmp_path: Path):
    with serve({}) as web_:
        shard = plan_shard(tmp_path, ["http://a.test/0.jpg"])
        step = Download(config_for(web_))
        step(shard)
        stats = read_json(shard.path(STATS))
        commit_json(shard.path(STATS), {name: value for name, value in stats.items() if name != "asked_with"})
        assert step.state(shard) == "done"
        assert Download(config_for(web_, robots="ignore")).may_come(shard) is None


def test_a_retry_asks_for_what_may_come_too(tmp_path: Path):
    with serve({"a.test/0.jpg": Page(BODY), "a.test/1.jpg": Page(status=503)}) as web_:
        shard = plan_shard(tmp_path, ["http://a.test/0.jpg", "http://a.test/1.jpg"])
        Download(config_for(web_, retries=0, min_side_px=300))(shard)
        assert Retry(config_for(web_, retries=0), ("http_503",))(shard) == {"ok": 1, "http_503": 1}


def test_every_reason_has_advice_whose_keys_there_are():
    assert {*REASONS} <= {*ADVICE}
    for advice in ADVICE.values():
        assert advice.meaning and {*advice.keys} <= DownloadConfig.model_fields.keys()
    for name, key in KEYS.items():
        assert name in DownloadConfig.model_fields and {*key.reasons} <= {*REASONS}
    assert "--retry http_503 asks again" in remedy("http_503", DownloadConfig())
    assert "download.min_side_px (512)" in remedy("too_small", DownloadConfig(min_side_px=512))
    assert "hosts answered so" in remedy("http_418", DownloadConfig())
    for advice in OF_SOURCE.values():
        assert {*advice.keys} <= AdoptConfig.model_fields.keys()
    assert "adopt.max_pixels (64000000)" in adopted_remedy("too_many_pixels", AdoptConfig())
    assert "whoever made the shards" in adopted_remedy("http_404", AdoptConfig())


def test_losses_for_many_reasons_are_no_alarm_unless_nothing_is_left(tmp_path: Path):
    with serve({}) as web_:
        config = config_for(web_)
    told = []
    for statuses in (
        ["http_404"] * 45 + ["dns"] * 45 + ["ok"] * 10,
        ["http_404"] * 90 + ["ok"] * 10,
        ["http_404"] * 91 + ["ok"] * 9,
        ["http_404", "http_404", "dns", "taken_down"],
        ["taken_down"],
    ):
        shard = plan_shard(tmp_path, [f"http://a.test/{number}.jpg" for number in range(len(statuses))])
        by_url = {f"http://a.test/{number}.jpg": status for number, status in enumerate(statuses)}
        write_pairs(shard, pairs.planned(shard), partial(outcome_of, by_url))
        told.append(heavy_losses(Download(config), [shard]))
    assert [bool(lines) for lines in told] == [False, False, True, True, False]
    assert told[3][0] == (
        "download: 3 of 3 pairs are lost, 2 of them for http_404, the others for dns 1; e.g. http://a.test/0.jpg"
    )


def never(*_: Any) -> None:
    pytest.fail("a table was read")


def without_summary(path: Path) -> None:
    """Make a table as those of older runs are."""
    metadata = {name: value for name, value in read_metadata(path).items() if name not in (FATES, FINGERPRINT, CONTENT)}
    write_table(path, read_whole(path), fingerprint="", metadata=metadata)


def test_footers_tell_what_the_rows_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serve({}) as web_:
        step = Download(config_for(web_, tolerate_lost=0.2))
    shards = []
    for number, statuses in enumerate(("ok dns ok http_404 dns", "taken_down http_404 http_404", "http_404 ok")):
        urls = [f"http://a.test/{number}/{row}.jpg" for row, _ in enumerate(statuses.split())]
        shards.append(plan_shard(tmp_path / str(number), urls))
        planned = pairs.planned(shards[-1])
        by_url = dict(zip(planned["url"].to_pylist(), statuses.split(), strict=True))
        write_pairs(shards[-1], planned, partial(outcome_of, by_url))
    with monkeypatch.context() as patch:
        patch.setattr(Download, "fates", never)
        told = heavy_losses(step, shards)
    lost = "6 of 9 pairs are lost, 4 of them for http_404, the others for dns 2"
    row = pairs.planned(shards[0])["url"].to_pylist()[3]
    assert told[0] == f"download: {lost}; e.g. {row}"
    for shard in shards:
        without_summary(shard.path(PAIRS))
    assert heavy_losses(step, shards) == told


def test_a_keep_list_tells_what_its_rows_tell_also_without_some_of_them(tmp_path: Path, monkeypatch):
    hateful = {"scores": GOOD | {"hate": 0.9}}
    config = selected(tmp_path, [{"caption": "one", **hateful}, {"caption": "two"}, {"caption": "three", **hateful}])
    step, shard = Select(config.run, config.select), Shard(config.run, 0)
    told = fates.summed(step.fates(shard))
    assert sorted(fate.pairs for fate in told.values()) == [1, 2] and fates.read(shard.path(KEEP)) == told
    with monkeypatch.context() as patch:
        patch.setattr(Select, "fates", never)
        assert heavy_losses(step, [shard]) == []
    keep_list.remove(shard, np.array([fate.first == 0 for fate in told.values() for _ in range(fate.pairs)]))
    assert fates.read(shard.path(KEEP)) == fates.summed(step.fates(shard)) != told


def test_adopted_samples_without_captions(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(BODY)
    config = resolve(PipelineConfig, {"run": str(tmp_path / "run"), "adopt": {"source": str(tmp_path / "in")}})
    step = Adopt(config.run, config.adopt)
    step.prepare()
    shard = Shard(config.run, 0)
    step(shard)
    lines = heavy_losses(step, [shard])
    assert lines[0] == "adopt: 3 of 3 pairs are lost, 3 of them for no_caption; e.g. 0"
    assert "adopt.caption (None) names the field or column that has it" in lines[1]


def corgi(*words: str | Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "corgi", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()


@pytest.mark.long
def test_a_download_of_private_hosts_ends_with_3_until_they_are_allowed(tmp_path: Path):
    where = [f"a.test/{number}.jpg" for number in range(4)]
    pq.write_table(
        pa.table({"url": [f"http://{each}" for each in where], "caption": where}), tmp_path / "table.parquet"
    )
    with serve({each: Page(jpeg(number)) for number, each in enumerate(where)}) as web_:
        download = config_for(web_, allow_addresses=[]).model_dump(mode="json")
        values = {"run": str(tmp_path / "run"), "table": [str(tmp_path / "table.parquet")], "download": download}
        (yaml := tmp_path / "pipeline.yaml").write_text(dump(resolve(PipelineConfig, values)))
        assert corgi("plan", yaml)[0] == 0
        for _ in range(2):
            code, said = corgi("download", yaml)
            assert code == 3
            assert any("4 of 4 pairs are lost, 4 of them for private_address" in line for line in said)
            assert any("download.allow_addresses ([])" in line for line in said)
        assert corgi("download", yaml, "download.tolerate_lost=1")[0] == 0
        web_.asked = Counter()
        code, said = corgi("download", yaml, f'download.allow_addresses=["{web_.target}"]')
        assert code == 0 and {each for each in web_.asked if each.endswith("jpg")} == {*where}, said


@pytest.mark.long
def test_a_rule_that_drops_all_is_named(tmp_path: Path):
    config = selected(tmp_path, [{"caption": "one", "scores": GOOD | {"hate": 0.9}}, {"caption": "two", "nsfw": "?"}])
    (yaml := tmp_path / "pipeline.yaml").write_text(dump(config))
    pq.write_table(pa.table({"url": ["http://a.test/0.jpg"], "caption": ["one"]}), tmp_path / "table.parquet")
    assert corgi("select", yaml)[0] == 0
    code, said = corgi("select", yaml, "select.rules={'no_hate': 'hate < 0'}")
    assert code == 3
    assert any("select: 2 of 2 pairs are lost, 2 of them for no_hate; e.g. " in line for line in said)
    assert any("pairs stay where 'hate < 0' holds" in line and "select.tolerate_lost=1" in line for line in said)
    assert any(
        key_of({"url": f"http://a.test/{n}.jpg", "caption": text})[:8] in said[-2]
        for n, text in enumerate(["one", "two"])
    )
