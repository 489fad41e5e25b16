"""A step of a chain that fails, whichever it is: what needs it never runs, and the report does."""

import os
import random
from functools import partial
from pathlib import Path

import pytest

from slurm.job_status import job_statuses
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text

from .cluster import Cluster
from .test_scheduler import STEPS, begun, logs, toy  # noqa: F401

ROUNDS = int(os.environ.get("CORGI_SOAK_ROUNDS", "10"))
CODES = (1, 2, 3, 93)
submit = partial(submit_chain, write=commit_text)


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, marks=pytest.mark.long), pytest.param(ROUNDS, marks=pytest.mark.soak, id="slurm")]
)
def test_a_parent_that_fails_ends_what_waits_for_it(toy: Path, cluster: Cluster, monkeypatch, rounds: int):  # noqa: F811
    seed = int(os.environ.get("CORGI_SOAK_SEED", random.randrange(1 << 30)))
    draw = random.Random(seed)
    for _ in range(rounds):
        step, code = draw.choice(STEPS), draw.choice(CODES)
        task = {"download": "2", "score": "1", "select": "0", "embed": "0"}.get(step, "all")
        print(f"\nseed {seed}: {step}-{task} ends with {code}", flush=True)
        monkeypatch.setenv("FAILS", f"{step}-{task}")
        monkeypatch.setenv("CODE", str(code))
        before = len(begun(toy))
        submit("chain.yaml", ["train=[]"])
        cluster.wait_until_empty()
        states = {status.job.name: status.state for status in job_statuses(Path("runs/toy"))}
        place = STEPS.index(step)
        told = [*["done"] * place, "failed", *["never ran"] * (len(STEPS) - place - 1)]
        assert states == {**dict(zip(STEPS, told, strict=True)), "report": "done"}, (seed, logs(toy))
        ran = {line.partition("-")[0] for line in begun(toy)[before:]}
        assert ran == {*STEPS[: place + 1], "report"}, seed
