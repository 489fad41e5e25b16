"""A secret in the environment, in argv, in a config and in urls is nowhere in what a run shows or sends."""

import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import resolve
from configs.redacted import redact, redacted
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from report.page import report
from storage import ledger
from tests.factory import WITHOUT_MODELS, make_run, noise_image, through
from tests.training.conftest import train  # noqa: F401  # a fixture
from tests.training.small_training import values_of
from tests.training.small_training import write_config as write_yaml
from tracking.sync import sync

CANARY = "c4n4ry"
SHOWN = ("*.jsonl", "*.log", "wandb/**/*", "tensorboard/**/*", "report/**/*", "wandb.json")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@a.test/x.jpg", "https://***@a.test/x.jpg"),
        ("https://token@a.test/x?y=1", "https://***@a.test/x?y=1"),
        ("s3://a:b@c@bucket/x and http://d:e@f/", "s3://***@bucket/x and http://***@f/"),
        ("http://a.test/?w=3&X-Amz-Signature=ab%3D&h=4#x", "http://a.test/?w=3&X-Amz-Signature=***&h=4#x"),
        ("http://a.test/?sig=a&X-Goog-Credential=b;token=c", "http://a.test/?sig=***&X-Goog-Credential=***;token=***"),
        ("corgi sync --token=abc --api-key=d", "corgi sync --token=*** --api-key=***"),
        ("AWS_SECRET_ACCESS_KEY=abc, x", "AWS_SECRET_ACCESS_KEY=***, x"),
        ("http://a.test/monkey.jpg?design=4&width=3", "http://a.test/monkey.jpg?design=4&width=3"),
        ("me@a.test has mail", "me@a.test has mail"),
    ],
)
def test_what_is_redacted(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_values_of_a_config():
    values = {"api_key": "x", "lr": 0.1, "tables": [("http://a:b@c/",)], "max_tokens": 3, "on": {"password": "x"}}
    hidden = {"api_key": "***", "lr": 0.1, "tables": [["http://***@c/"]], "max_tokens": 3, "on": {"password": "***"}}
    assert redact(values) == hidden


@pytest.mark.parametrize(
    "worst", ["://" * 40_000, "a=" * 60_000, "?" + "a" * 100_000, "&token" * 20_000, "://" + "a@" * 50_000]
)
def test_long_text_is_redacted_in_linear_time(worst):
    """A quadratic pattern would run for minutes here, and the test's own limit of steps is what a person waits."""
    assert len(redacted(worst)) <= len(worst) + 3


class Web(SimpleHTTPRequestHandler):
    """A folder on loopback."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path):
    """Serve a table and three pictures; yield the port."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Web, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(noise_image(number))
    urls = [f"http://127.0.0.1:{port}/{number}.jpg?token={CANARY}" for number in range(4)]
    captions = ["a red apple on a table", "ein roter Apfel", "you are all stupid idiots", "it is gone"]
    pq.write_table(pa.table({"url": urls, "caption": captions}), folder / "table.parquet")
    yield port
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_no_secret_is_in_what_a_run_shows_or_sends(tmp_path, web, train, monkeypatch, capfd):  # noqa: F811
    run = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["corgi", "sync", f"--token={CANARY}", f"https://me:{CANARY}@a.test/"])
    for name in ("SECRET_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY * 7)
    values = {
        "run": str(run),
        "table": f"http://me:{CANARY}@127.0.0.1:{web}/table.parquet?X-Amz-Signature={CANARY}",
        "score": WITHOUT_MODELS,
        "select": {"rules": {"apple": "caption LIKE '%apple%'"}},
        "download": {
            **{"allow_addresses": ["127.0.0.1/32"], "robots": "ignore"},
            "user_agent": f"corgi/1 (+https://me:{CANARY}@a.test/?token={CANARY})",
        },
        "workers": 1,
    }
    config = resolve(PipelineConfig, values)
    for step in ("plan", "download"):
        assert not run_step(step, config).failed
    through(config, "score", "dedup", "select")
    ledger.note(run, event="step", step="select", seconds=1.0, counts={"kept": 1, "apple": 2})
    wandb = {"mode": "offline", "group": f"https://me:{CANARY}@a.test/"}
    training = values_of(run / "train/base16", make_run(tmp_path / "data"), steps=2, wandb=wandb)
    assert train(write_yaml(tmp_path / "configs", training)) == 0
    report(run)
    for tracker in ("wandb", "tensorboard"):
        assert all(told.is_complete for told in sync(run, to=tracker, offline=True))
    files = {file for pattern in SHOWN for file in run.rglob(pattern) if file.is_file()}
    assert {"ledger.jsonl", "funnel.json", "index.html", "debug.log"} <= {file.name for file in files}
    assert len([file for file in files if file.suffix == ".wandb"]) == 4
    assert len([file for file in files if "tfevents" in file.name]) == 4
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []
    assert CANARY not in "".join(capfd.readouterr())
