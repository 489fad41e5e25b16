"""`corgi status` beside a real squeue taken just before and just after, while jobs begin, end, fail and go back."""

import random
import re
import time
from functools import partial
from pathlib import Path

import pytest

from slurm.cancel import cancel
from slurm.job_status import job_statuses
from slurm.logs import show
from slurm.queue import ACTIVE, WAITING
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text

from .cluster import Cluster, wait_for
from .test_scheduler import toy  # noqa: F401

submit = partial(submit_chain, write=commit_text)
pytestmark = pytest.mark.long
LOOKS = 50
RUN = Path("runs/toy")


def squeue(cluster: Cluster) -> dict[tuple[str, str], str]:
    """Job and task -> the state that squeue has."""
    lines = cluster.run("squeue", "--noheader", "--array", "--format=%F %K %T").splitlines()
    return {(job, task): state for job, task, state in (line.split() for line in lines)}


def told() -> dict[tuple[str, str], str]:
    tasks = [(status.job.id, task) for status in job_statuses(RUN) for task in status.tasks]
    return {(str(job), "N/A" if task.task is None else str(task.task)): task.state for job, task in tasks}


def agrees(state: str, words: list[str | None]) -> bool:
    """Tell whether a state is that of a queue: one of those just before and just after."""
    fits = {"running": ACTIVE, "waiting": WAITING}.get(state)
    return any(word in fits for word in words) if fits else None in words or "COMPLETING" in words


def test_status_agrees_with_squeue_at_random_moments(toy: Path, cluster: Cluster, monkeypatch):  # noqa: F811
    monkeypatch.setenv("FAILS", "select-0")
    submit("chain.yaml", ["train=[]"])
    seed = random.randrange(1 << 30)
    rng, looks = random.Random(seed), 0
    while looks < LOOKS:
        if not squeue(cluster):
            submit("chain.yaml", ["train=[]"])  # the same chain again, as it has failed
        before, states, after = squeue(cluster), told(), squeue(cluster)
        for task, state in states.items():
            assert agrees(state, [before.get(task), after.get(task)]), (seed, task, state, before, after)
        looks += 1
        time.sleep(rng.random() * 0.3)
    cluster.wait_until_empty()
    select = {status.job.name: status for status in job_statuses(RUN)}["select"]
    assert re.fullmatch(r"task 0 ended with exit code 3; see runs/toy/slurm/toy-select-\d+_0\.out", select.why)
    assert "toy: cannot go on" in [*show(RUN, "select", rank=None, is_failed=True, lines=20)]


def test_a_requeued_job_waits_and_a_cancelled_chain_is_gone(toy: Path, cluster: Cluster, monkeypatch):  # noqa: F811
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml", ["train=[]"])
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin")
    plan = job_statuses(RUN)[0]
    assert plan.state == "running" and plan.tasks[0].queued and plan.tasks[0].queued.nodes.startswith("node")
    cluster.run("scontrol", "requeuehold", str(plan.job.id))
    wait_for(lambda: job_statuses(RUN)[0].state == "waiting", what="plan to wait again")
    assert (RUN / "slurm" / "exits" / str(plan.job.id)).exists()
    said = cancel(RUN, None)
    assert said[0] == f"cancelled {plan.job.id} plan, which was waiting"
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(RUN)} <= {"lost", "never ran", "failed"}
