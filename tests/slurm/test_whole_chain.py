"""The quickstart's pairs through a real SLURM: the bytes of the local run up to embed, and the losses after."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from quickstart.web import serving
from slurm.job_status import job_statuses, show
from slurm.submission import SubmittedJob, read_submission
from storage.plan import shards_of
from storage.shard import SCORES
from tests.quickstart.killed_commands import digests

from .cluster import Cluster

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
        corgi("train", str(local / "base16.yaml"))
        (run / "evaluate.yaml").write_text("{per_group: 2, held_out: 2, compared: 9, gap_pairs: 4}\n")
        arrays = ["slurm.download.tasks=3", "slurm.score.tasks=2", "slurm.select.tasks=7", "slurm.embed.tasks=99"]
        nodes = ["slurm.train.hosts=one", f"train=[{run / 'base16.yaml'}]"]
        words = ["submit", str(run / "chain.yaml"), *arrays, *nodes]
        assert "its job submits the rest" in corgi(*words)
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
    sizes = {job.name: job.tasks for job in jobs_of(run) if job.tasks}
    shards = len(shards_of(run))
    assert sizes == {"download": 3, "score": 2, "select": 7, "embed": min(99, shards)}  # no task without a shard
    assert (run / "figures.json").exists()
    assert corgi(*words) == "nothing is left to do: every step and stage is done\n"
    lost = shards_of(run)[4].path(SCORES)
    lost.unlink()
    assert "\n#SBATCH --array=0 " in corgi(*words, "--dry-run").partition("score.sbatch\n#!/bin/bash")[2]


def corgi(*words: str) -> str:
    """A command, as a person types it; returns what it said."""
    done = subprocess.run([sys.executable, "-m", "corgi", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"corgi {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def jobs_of(run: Path) -> list[SubmittedJob]:
    kept = read_submission(run / "slurm")
    assert kept is not None
    return kept.jobs


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
