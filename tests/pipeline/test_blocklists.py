"""Lists of urls and hosts that are never asked for: decided by `plan`, before a byte is fetched."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, resolve
from pipeline import buckets
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from storage.plan import dropped, shards_of
from storage.shard import URLS

HOST_LIST = """
# hosts of others
Bad.Test       # and its subdomains
*.wild.test
.dot.test.
bücher.test
xn--mnchen-3ya.test
10.0.0.1
[::1]
"""
URL_LIST = """# urls, one a line
http://a.test/Gone.jpg
  HTTPS://A.test/gone?x=1#part
http://a.test/#
"""
ROWS = {
    "http://bad.test/1": "blocked_host",
    "http://BAD.test:8080/1": "blocked_host",
    "http://user:word@bad.test/1": "blocked_host",
    "http://bad.test./1": "blocked_host",
    "http://a.b.bad.test/1": "blocked_host",
    "http:\\\\bad.test/1": "bad_url",
    "http://b%61d.test/1": "blocked_host",
    "http://bad.test": "blocked_host",
    "http://bad.test?x": "blocked_host",
    "http://x.wild.test/1": "blocked_host",
    "http://wild.test/1": "blocked_host",
    "http://dot.test/1": "blocked_host",
    "http://xn--bcher-kva.test/1": "blocked_host",
    "http://b\u00fccher.test/1": "blocked_host",
    "http://B\u00dcCHER.test/1": "blocked_host",
    "http://m\u00fcnchen.test/1": "blocked_host",
    "http://10.0.0.1/1": "blocked_host",
    "http://[::1]:80/1": "blocked_host",
    "http://a.test/Gone.jpg": "blocked_url",
    "HTTP://A.TEST/Gone.jpg#x": "blocked_url",
    "https://a.test/gone?x=1": "blocked_url",
    "http://a.test/": "blocked_url",
    "http://a.test/gone.jpg": None,
    "https://a.test/Gone.jpg": None,
    "http://notbad.test/1": None,
    "http://bad.test.example/1": None,
    "http://a.test/http://bad.test/": None,
    "http://a.test/@bad.test": None,
    "http://a.test#@bad.test": None,
    "http://test/1": None,
    f"http://{'a.' * 3000}bad.test/": None,  # no name that can be asked for
    "http://a%ff\u00fc.test/": None,
    "ftp://bad.test/1": "bad_scheme",
}


def config(folder: Path, **block: Any) -> PipelineConfig:
    pq.write_table(pa.table({"url": list(ROWS), "caption": ["x"] * len(ROWS)}), folder / "t.parquet")
    values = {"run": str(folder / "run"), "table": str(folder / "t.parquet"), "plan": {"block": block}}
    return resolve(PipelineConfig, values)


@pytest.mark.parametrize("bucket_rows", [500_000, 4])
def test_what_a_list_names_is_never_planned(tmp_path: Path, bucket_rows: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(buckets, "BUCKET_ROWS", bucket_rows)
    (tmp_path / "hosts.txt").write_text(HOST_LIST)
    (tmp_path / "urls.gz").write_bytes(gzip.compress(URL_LIST.encode()))
    made = config(tmp_path, hosts=str(tmp_path / "hosts.txt"), urls=[str(tmp_path / "urls.gz")])
    run_step("plan", made)
    reasons = {row["url"]: row["reasons"][0] for row in dropped(made.run)}
    assert reasons == {url: reason for url, reason in ROWS.items() if reason}
    planned = [url for shard in shards_of(made.run) for url in pq.read_table(shard.path(URLS))["url"].to_pylist()]
    assert set(planned) == {url for url, reason in ROWS.items() if reason is None}
    (both,) = [row["reasons"] for row in dropped(made.run) if row["url"].startswith("ftp")]
    assert both == ["bad_scheme", "blocked_host"]


NAMED = ("http://a.test", "https://a.test")


def test_a_changed_list_plans_anew_and_a_list_of_nothing_blocks_nothing(tmp_path: Path):
    path = tmp_path / "hosts.txt"
    path.write_text("# nothing yet\n\n")
    made = config(tmp_path, hosts=[str(path)])
    assert "blocked_host" not in run_step("plan", made).counts
    assert run_step("plan", made).skipped == 1
    path.write_text("a.test\n")
    assert run_step("plan", made).counts["blocked_host"] == sum(url.lower().startswith(NAMED) for url in ROWS)


@pytest.mark.parametrize(
    ("lists", "content", "said"),
    [
        (
            "hosts",
            b"good.test\n0.0.0.0 bad.test\n",
            r"'0\.0\.0\.0 bad\.test' is no host; a block-list has a host a line",
        ),
        ("hosts", b"http://bad.test/\n", "'http://bad.test/' is no host"),
        ("urls", b"bad.test/1.jpg\n", "'bad.test/1.jpg' is no url"),
        ("urls", b"http://a.test/\xff\n", "cannot be read as a list of urls"),
        ("urls", None, r"list\.txt: no such list"),
    ],
)
def test_a_list_that_could_never_be_met_is_told(tmp_path: Path, lists: str, content: bytes | None, said: str):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=said):
        run_step("plan", config(tmp_path, **{lists: str(tmp_path / "list.txt")}))
