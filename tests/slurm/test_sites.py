"""What a site or a person has set beside our scripts: variables of a shell, a filter that talks, holds, a drain."""

import os
from pathlib import Path

import pytest

from configs import UserError
from slurm.job_status import job_statuses

from .cluster import Cluster, wait_for
from .test_scheduler import events, logs, submit, toy  # noqa: F401  # a fixture

pytestmark = pytest.mark.long
RUN = Path("runs/toy")
ONLY_PLAN = ["train=[]"]


def states() -> set[str]:
    return {status.state for status in job_statuses(RUN)}


def test_variables_of_a_shell_change_no_script_and_no_answer(toy: Path, cluster: Cluster, monkeypatch):  # noqa: F811
    there = {
        "SBATCH_OUTPUT": "elsewhere.out",
        "SBATCH_ARRAY_INX": "7",
        "SBATCH_WAIT": "1",
        "SBATCH_OPEN_MODE": "truncate",
    }
    queue = {
        "SQUEUE_STATES": "COMPLETED",
        "SQUEUE_PARTITION": "moon",
        "SQUEUE_FORMAT2": "jobid",
        "SCANCEL_STATE": "PENDING",
    }
    ours = {"SLURM_JOB_NAME": "mine", "SLURM_NNODES": "9", "SBATCH_NO_REQUEUE": "1", "SBATCH_SIGNAL": "KILL@1"}
    for name, value in (there | queue | ours).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml", ONLY_PLAN)
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin")
    with pytest.raises(UserError, match=r"still queued: \d+ plan \(running\), \d+ download \(pending\)"):
        submit("chain.yaml", ONLY_PLAN)
    (toy / "gate").touch()
    cluster.wait_until_empty()
    assert states() == {"done"}, logs(toy)
    assert not Path("elsewhere.out").exists() and {"download-0", "download-1", "download-2"} <= {*events(toy)}


def test_a_persons_default_holds_where_the_chain_names_none(toy: Path, cluster: Cluster, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SBATCH_PARTITION", "moon")
    with pytest.raises(UserError, match="invalid partition"):
        submit("chain.yaml", ONLY_PLAN)
    submit("chain.yaml", [*ONLY_PLAN, "slurm.partition=all"])
    cluster.wait_until_empty()
    assert states() == {"done"}, logs(toy)


def test_a_filter_may_talk_but_an_id_is_needed(toy: Path, cluster: Cluster, monkeypatch):  # noqa: F811
    real = cluster.run("bash", "-c", "command -v sbatch").strip()
    Path("bin").mkdir()
    Path("bin/sbatch").write_text(f'#!/bin/bash\necho "2 credits are left"\n[ -n "$MUTE" ] || exec {real} "$@"\n')
    Path("bin/sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{toy / 'bin'}:{os.environ['PATH']}")
    submit("chain.yaml", ONLY_PLAN)
    cluster.wait_until_empty()
    assert states() == {"done"}, logs(toy)
    monkeypatch.setenv("MUTE", "1")
    with pytest.raises(UserError, match="sbatch gave no job id but '2 credits are left'; see `squeue --me`"):
        submit("chain.yaml", ONLY_PLAN)


def test_a_hold_a_partition_that_is_down_and_a_drained_node_are_told(toy: Path, cluster: Cluster):  # noqa: F811
    cluster.run("scontrol", "update", "PartitionName=all", "State=DOWN")
    try:
        submit("chain.yaml", ONLY_PLAN)
        wait_for(lambda: "partition is down" in job_statuses(RUN)[0].sentence, what="the reason")
        plan, download = (str(status.job.id) for status in job_statuses(RUN)[:2])
        cluster.run("scontrol", "hold", plan)
        wait_for(lambda: "held" in job_statuses(RUN)[0].sentence, what="the hold to be told")
        cluster.run("scontrol", "hold", f"{download}_1")
        cluster.run("scontrol", "release", plan)
    finally:
        cluster.run("scontrol", "update", "PartitionName=all", "State=UP")
    cluster.run("scontrol", "update", "NodeName=node2", "State=DRAIN", "Reason=a test")
    try:
        wait_for(lambda: {"download-0", "download-2"} <= {*events(toy)}, what="those that are not held")
        held = {status.job.name: status for status in job_statuses(RUN)}
        assert held["download"].state in ("waiting", "running") and held["score"].state == "waiting"
        assert "download-1" not in events(toy)
        assert held["download"].tasks[1].why.startswith("held"), held["download"]
        cluster.run("scontrol", "release", f"{download}_1")
        cluster.wait_until_empty()
    finally:
        cluster.run("scontrol", "update", "NodeName=node2", "State=RESUME")
    assert states() == {"done"}, logs(toy)
