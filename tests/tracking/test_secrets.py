"""A secret in the environment, in argv, in a config and in urls is nowhere in what a run shows or sends."""

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from configs.redacted import redact, redacted
from tests.factory import WITHOUT_MODELS, make_run, noise_image
from tests.training.small_training import values_of

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


def corgi(*words: object) -> str:
    """Run a command with a secret in its environment; return all it prints."""
    names = ("SECRET_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY")
    environment = {**os.environ, **dict.fromkeys(names, CANARY * 7), "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "corgi", *map(str, words)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.long
def test_no_secret_is_in_what_a_run_shows_or_sends(tmp_path, web):
    run = tmp_path / "run"
    values = {
        "run": str(run),
        "table": f"http://me:{CANARY}@127.0.0.1:{web}/table.parquet?X-Amz-Signature={CANARY}",
        "score": WITHOUT_MODELS,
        "select": {"rules": {"apple": "caption LIKE '%apple%'"}},
        "download": {"allow_addresses": ["127.0.0.1/32"], "robots": "ignore"},
        "workers": 1,
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(values))
    agent = f"download.user_agent=corgi/1 (+https://me:{CANARY}@a.test/?token={CANARY})"
    said = [corgi(step, tmp_path / "pipeline.yaml", agent) for step in ("plan", "download", "score", "dedup", "select")]
    training = values_of(run / "train/base16", make_run(tmp_path / "data"), steps=2, wandb={"mode": "offline"})
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(training))
    said += [corgi("train", tmp_path / "train.yaml", f"wandb.group=https://me:{CANARY}@a.test/")]
    said += [corgi("report", run), corgi("sync", run, "--offline"), corgi("sync", run, "--to", "tensorboard")]
    said += [corgi("status", run)]
    files = {file for pattern in SHOWN for file in run.rglob(pattern) if file.is_file()}
    assert {"ledger.jsonl", "funnel.json", "index.html", "debug.log"} <= {file.name for file in files}
    assert len([file for file in files if file.suffix == ".wandb"]) == 6
    assert len([file for file in files if "tfevents" in file.name]) == 6
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []
    assert not [line for line in said if CANARY in line]
