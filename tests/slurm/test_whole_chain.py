"""The quickstart's pairs through a real SLURM: the bytes of the local run up to embed, and the losses after."""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from configs import load
from pipeline.config import PipelineConfig
from quickstart.web import serving
from slurm.job_status import job_statuses, show
from slurm.render import Work
from slurm.submission import read_submission
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text
from storage.plan import shards_of
from storage.shard import SCORES
from tests.factory import WITHOUT_MODELS
from tests.project.drawn import caption, draw_pictures
from tests.project.test_run import Quiet
from tests.quickstart.killed_commands import digests
from tests.quickstart.whole_truth import check_whole_funnel

from .cluster import Cluster

NO_EVALUATION = Work(left={"evaluate": []})
submit = partial(submit_chain, write=commit_text, work=NO_EVALUATION)
pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
STEPS = 4
FEW = ["pipeline.workers=2"]
TRAINING = [
    f"base16.steps={STEPS}",
    "base16.precision=fp32",
    "base16.stage.model.channels=32",
    "base16.log_every_steps=1",
]
PIPELINE = {
    "run": "run",
    "table": "table.parquet",
    "workers": 1,
    "plan": {"shard_size": 8},
    "download": {"allow_addresses": ["127.0.0.1"], "host_interval_s": 0.0, "min_side_px": 32},
    "score": WITHOUT_MODELS,
    "select": {"rules": {"large": "min_side >= 32"}},
}
CHAIN = {"pipeline": "pipeline.yaml", "run": "run", "slurm": {"cpus": 1, "download": {"tasks": 99}}}
SCORER = """
class Words:
    needs = ("captions",)
    columns = {"words": "int32"}
    def __call__(self, batch):
        return {"words": [len(caption.split()) for caption in batch.captions]}
"""
COMPARED = ("table.parquet", "plan*", "duplicates.parquet", "index.parquet", "0*/*")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Path:
    """A folder, as the current one, where commands find the cluster and this `corgi`, installed or not."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**cluster.env, "PYTHONPATH": str(ROOT), "DS_ACCELERATOR": "cpu"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_a_cluster_makes_the_bytes_of_one_machine(place: Path, cluster: Cluster):
    local, run, port = Path("runs/local"), Path("runs/cluster"), free_port()
    prepare(local, run, port=port)
    with serving(local, port=port):
        for step in ["plan", "download", "score", "dedup", "select", "embed", "index", "report"]:
            corgi(step, str(local / "pipeline.yaml"))
        check_whole_funnel(load(PipelineConfig, local / "pipeline.yaml"))
        corgi("train", str(local / "base16.yaml"))
        arrays = ["slurm.download.tasks=3", "slurm.score.tasks=2", "slurm.select.tasks=7", "slurm.embed.tasks=1"]
        nodes = ["slurm.train.hosts=one", f"train=[{run / 'base16.yaml'}]"]
        submit(run / "chain.yaml", ["slurm.arrays=asked", *arrays, *nodes])
        cluster.wait_until_empty(timeout_s=1200)
    assert {status.state for status in job_statuses(run)} == {"done"}, f"{show(run)}\n{logs(run)}"
    there = digests(run, *COMPARED)
    assert len([name for name in there if name.endswith(".tar")]) >= 16
    assert there == digests(local, *COMPARED)
    assert (run / "report" / "index.html").exists()
    ours, theirs = losses(local / "train" / "base16"), losses(run / "train" / "base16")
    assert len(ours) == STEPS
    assert theirs == pytest.approx(ours, rel=1e-5)
    assert world_size(run / "train" / "base16") == 2


def test_the_plan_sizes_the_arrays_and_a_second_submit_takes_up_what_is_left(place: Path, cluster: Cluster):
    """Few pictures and no training: the command as it is typed, whose plan's job submits the rest.

    A scorer of one's own goes with it, and trackers are told at the end.
    """
    Path("mine.py").write_text(SCORER)
    own = ["--scorers", "mine.py"]
    rows = [(number, caption(number)) for number in range(24)]
    draw_pictures(place / "served", len(rows))
    with served(place / "served") as port:
        table = {"URL": [f"http://127.0.0.1:{port}/p{number:03d}.png" for number, _ in rows]}
        pq.write_table(pa.table({**table, "TEXT": [text for _, text in rows]}), place / "table.parquet")
        Path("pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))
        Path("chain.yaml").write_text(yaml.safe_dump(CHAIN))
        logging = "logging=[wandb_offline, tensorboard]"
        assert "its job submits the rest" in corgi("submit", "chain.yaml", "slurm.score.tasks=2", logging, *own)
        cluster.wait_until_empty(timeout_s=900)
    run = Path("run")
    assert {status.state for status in job_statuses(run)} == {"done"}, f"{show(run)}\n{logs(run)}"
    kept = read_submission(run / "slurm")
    assert kept is not None
    assert {job.name: job.tasks for job in kept.jobs if job.tasks} == {
        **{"download": 3, "score": 2, "select": 1, "embed": 1}  # three shards, and 99 tasks were asked for
    }
    assert [job.name for job in kept.jobs] == [
        *("plan", "download", "score", "dedup", "select", "embed", "index", "report", "sync")
    ]
    assert pq.read_table(shards_of(run)[0].path(SCORES))["words"].to_pylist()
    assert list(run.glob("tensorboard/select/events.*")) and list(run.rglob("*.wandb"))
    assert "ok        disk" in "".join(file.read_text() for file in (run / "slurm").glob("*score*.out"))
    assert (
        corgi("submit", "chain.yaml", *own)
        == corgi("submit", "chain.yaml")
        == "nothing is left to do: every step and stage is done\n"
    )
    shards_of(run)[1].path(SCORES).unlink()
    again = corgi("submit", "chain.yaml", "slurm.score.tasks=3", "--dry-run")
    assert "\nscore=$(sbatch --parsable run/slurm/score.sbatch)\n" in again and "download=" not in again
    assert "\n#SBATCH --array=1 " in again.partition("score.sbatch\n#!/bin/bash")[2]


def test_with_plan_here_the_arrays_are_sized_by_a_plan_that_was_made_before_them(place: Path, cluster: Cluster):
    urls = [f"http://127.0.0.1:9/{number}.png" for number in range(20)]
    pq.write_table(pa.table({"URL": urls, "TEXT": [caption(number) for number in range(20)]}), place / "table.parquet")
    Path("pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))
    Path("chain.yaml").write_text(yaml.safe_dump(CHAIN))
    said = corgi("submit", "chain.yaml", "--plan-here")
    kept = read_submission(Path("run/slurm"))
    assert "plan: " in said and kept is not None and len(shards_of(Path("run"))) == 3
    assert [(job.name, job.tasks) for job in kept.jobs][:3] == [("download", 3), ("score", 1), ("dedup", None)]
    corgi("cancel", "--run", "run")
    cluster.wait_until_empty()


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A folder behind a web server on loopback; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def corgi(*words: str) -> str:
    """A command, as a person types it; returns what it said."""
    done = subprocess.run([sys.executable, "-m", "corgi", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"corgi {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def prepare(run: Path, twin: Path, *, port: int) -> None:
    """Pictures, table and configs of the quickstart, and the same once more under another name."""
    counts = ["--minutes", "0.1", "--port", str(port)]
    corgi("quickstart", "--run", str(run), *counts, "--prepare-only", *FEW, *TRAINING)
    shutil.copytree(run, twin)
    for config in twin.glob("*.yaml"):
        config.write_text(config.read_text().replace(str(run), str(twin)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def events(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    return [float(str(line["loss"])) for line in events(run) if line["event"] == "step"]


def world_size(run: Path) -> object:
    return next(line["world_size"] for line in events(run) if line["event"] == "start")


def logs(run: Path) -> str:
    files = sorted((run / "slurm").glob("*.out"), key=os.path.getmtime)
    return "\n".join(f"--- {file.name}\n{file.read_text()[-2000:]}" for file in files)
