"""Rendered scripts in the hands of a real SLURM: toy commands, true arrays, edges, failures and rendezvous."""

import json
import os
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from configs import UserError
from slurm.job_status import job_statuses
from slurm.submission import read_submission
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text

from .cluster import Cluster, wait_for

submit = partial(submit_chain, write=commit_text)
pytestmark = pytest.mark.long

# Says when it was there, waits for a gate, and fails where it is told to.
CORGI = """
name=$1-${SLURM_ARRAY_TASK_ID:-all}
date +%s%N > events/$name
echo "$@" >> events/$name
[ "$1" != "$GATED" ] || until [ -e gate ]; do sleep 0.1; done
[ "$name" != "$FAILS" ] || { echo "toy: cannot go on" >&2; exit 3; }
date +%s%N >> events/$name
"""

LAUNCH = """
import json, os, pathlib, sys
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(2 ** dist.get_rank())])
dist.all_reduce(total)
said = [dist.get_rank(), dist.get_world_size(), total.item(), os.environ["SLURMD_NODENAME"], *sys.argv[1:]]
pathlib.Path("events", f"train-{dist.get_rank()}").write_text(json.dumps(said))
dist.destroy_process_group()
"""


class Event(NamedTuple):
    """When a toy command began and ended, in ns, and its words."""

    began: int
    words: str
    ended: int


@pytest.fixture
def toy(tmp_path, monkeypatch, cluster):
    """A folder in which `corgi` and `training.launcher` are toys, as the current one; the cluster's environment."""
    for name in ["events", "bin", "lib/training", "runs/toy"]:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin" / "corgi").write_text(f"#!/bin/bash\n{CORGI}")
    (tmp_path / "bin" / "corgi").chmod(0o755)
    (tmp_path / "lib" / "training" / "__init__.py").touch()
    (tmp_path / "lib" / "training" / "launcher.py").write_text(LAUNCH)
    (tmp_path / "runs" / "toy" / "pipeline.yaml").touch()
    (tmp_path / "runs" / "toy" / "tiny stage.yaml").write_text("processes: 2\n")
    chain = {
        "pipeline": "runs/toy/pipeline.yaml",
        "train": ["runs/toy/tiny stage.yaml"],
        "run": "runs/toy",
        "slurm": {
            "cpus": 1,
            "setup": [f"export PATH={tmp_path / 'bin'}:$PATH"],
            "env": {"PYTHONPATH": str(tmp_path / "lib")},
            "download": {"tasks": 3},
            "score": {"tasks": 2},
            "train": {"nodes": 2, "hosts": "one", "overrides": ["wandb.project=a \"$b'"]},
        },
    }
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(chain))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    (tmp_path / "gate").touch()
    cluster.wait_until_empty()


def events(folder: Path) -> dict[str, Event]:
    found = {}
    for file in sorted((folder / "events").iterdir()):
        lines = file.read_text().splitlines()
        if len(lines) == 3:
            found[file.name] = Event(int(lines[0]), lines[1], int(lines[2]))
    return found


def logs(folder: Path) -> str:
    return "\n".join(f"--- {file.name}\n{file.read_text()}" for file in folder.glob("runs/toy/slurm/*.out"))


def test_arrays_split_edges_hold_and_two_nodes_meet(toy: Path, cluster: Cluster):
    submit("chain.yaml")
    cluster.wait_until_empty()
    assert {status.job.name: status.sentence for status in job_statuses(Path("runs/toy"))} == dict.fromkeys(
        ["plan", "download", "score", "dedup", "select", "embed", "index", "report", "train-tiny stage"], "done"
    ), logs(toy)
    seen = events(toy)
    arrays = {"download": 3, "score": 2, "select": 1, "embed": 1}
    for step, size in arrays.items():
        words = [seen[f"{step}-{rank}"].words for rank in range(size)]
        asked = [f"{step} runs/toy/pipeline.yaml --rank {rank} --world-size {size} --workers 1" for rank in range(size)]
        assert words == asked
    assert len(seen) == 4 + sum(arrays.values())
    order = ["plan", "download", "score", "dedup", "select", "embed", "index", "report"]
    for before, after in pairwise(order):
        ended = max(event.ended for name, event in seen.items() if name.startswith(before))
        assert ended <= min(event.began for name, event in seen.items() if name.startswith(after)), (before, after)
    said = [json.loads((toy / "events" / f"train-{rank}").read_text()) for rank in range(4)]
    assert [words[:3] for words in said] == [[rank, 4, 15.0] for rank in range(4)]
    assert {words[3] for words in said} == {"node1", "node2"}
    assert {tuple(words[4:]) for words in said} == {("runs/toy/tiny stage.yaml", "wandb.project=a \"$b'")}


def test_a_failed_task_ends_the_chain_and_is_named(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("FAILS", "score-1")
    submit("chain.yaml")
    cluster.wait_until_empty()
    states = {status.job.name: status for status in job_statuses(Path("runs/toy"))}
    assert [states[name].state for name in ["plan", "download", "score"]] == ["done", "done", "failed"], logs(toy)
    score = states["score"]
    log = f"runs/toy/slurm/toy-score-{score.job.id}_1.out"
    assert score.why == f"task 1 ended with exit code 3; see {log}"
    assert "toy: cannot go on" in Path(log).read_text()
    assert states["dedup"].sentence == "never ran: score failed"
    assert states["train-tiny stage"].sentence == "never ran: index never ran"
    assert set(events(toy)) == {"plan-all", "download-0", "download-1", "download-2", "score-0"}


def test_a_second_submit_is_refused_until_the_first_is_gone(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml")
    wait_for((toy / "events" / "plan-all").exists, timeout_s=60, what="plan to begin")
    kept = read_submission(Path("runs/toy/slurm"))
    assert kept is not None
    first = [job.id for job in kept.jobs]
    with pytest.raises(UserError, match=rf"still queued: {first[0]} plan \(running\), {first[1]} download \(pending\)"):
        submit("chain.yaml")
    assert {status.job.name: status.state for status in job_statuses(Path("runs/toy"))}["score"] == "waiting"
    cluster.run("scancel", *map(str, first))
    cluster.wait_until_empty()
    states = {status.job.name: status.sentence for status in job_statuses(Path("runs/toy"))}
    assert states["plan"].startswith("lost: cancelled") and states["download"] == "never ran: plan lost"
    (toy / "gate").touch()
    submit("chain.yaml", ["train=[]"])


def test_what_slurm_refuses_is_shown_and_taken_back(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("GATED", "plan")
    with pytest.raises(UserError, match=r"invalid partition .*; the 3 jobs submitted before it are cancelled"):
        submit("chain.yaml", ["slurm.dedup.partition=moon"])
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} <= {"lost", "never ran"}


def test_nodes_whose_names_lead_nowhere_are_refused_by_the_training_job(toy: Path, cluster: Cluster):
    submit("chain.yaml", ["slurm.train.hosts=many"])
    cluster.wait_until_empty()
    train = {status.job.name: status for status in job_statuses(Path("runs/toy"))}["train-tiny stage"]
    assert train.state == "failed"
    assert "the first node, node1, has no address by that name" in logs(toy)


def test_a_requeued_job_meets_anew_and_its_log_goes_on(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml", ["train=[]"])
    wait_for((toy / "events" / "plan-all").exists, timeout_s=60, what="plan to begin")
    kept = read_submission(Path("runs/toy/slurm"))
    assert kept is not None
    (toy / "events" / "plan-all").unlink()
    cluster.run("scontrol", "requeue", str(kept.jobs[0].id))
    wait_for((toy / "events" / "plan-all").exists, timeout_s=60, what="plan to begin again")
    (toy / "gate").touch()
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}, logs(toy)
