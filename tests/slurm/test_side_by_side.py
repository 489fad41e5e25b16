"""Two of a kind on one head node and one pair of nodes, at the same time: what ends the one never touches the other."""

import os
import signal
from pathlib import Path

import pytest

from slurm.cancel import cancel
from slurm.job_status import job_statuses

from .cluster import Cluster, wait_for
from .small_job import SmallJob
from .test_scheduler import events, lay_out, submit

pytestmark = pytest.mark.long


def test_two_trainings_share_nodes_and_nothing_else(tmp_path: Path, cluster: Cluster):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = SmallJob(tmp_path / "a", cluster), SmallJob(tmp_path / "b", cluster, seed=1)
    try:
        for job in (one, other):
            job.reach(1, what="the first steps")
        running = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %N").split()
        assert {*running} == {one.id, other.id, "node[1-2]"}
        os.kill(one.ranks()[1], signal.SIGKILL)
        one.reach(2)
        before = other.steps[-1]
        cluster.run("scancel", one.id)
        wait_for(lambda: other.steps[-1] > before + 5, what="steps of the other")
        assert len(other.starts) == 1 and other.marks == ["started 0"], other.log[-3000:]
        assert str(one.folder) not in other.log
        for job in (one, other):
            job.is_whole()
    finally:
        cluster.run("scancel", f"--user={os.getuid()}", check=False)
        cluster.wait_until_empty()


def test_two_chains_of_one_name_share_a_head_node_and_nothing_else(tmp_path: Path, at_cluster, monkeypatch):
    monkeypatch.setenv("GATED", "download")
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        lay_out(folder)
        monkeypatch.chdir(folder)
        submit("chain.yaml")
    for folder in (one, other):
        wait_for((folder / "events/download-0").exists, what=f"{folder.name}'s download to begin")
    (other / "gate").touch()
    assert any(line.endswith("download, which was running") for line in cancel(one / "runs/toy", None))

    def states(folder: Path) -> dict[str, str]:
        return {status.job.name: status.state for status in job_statuses(folder / "runs/toy")}

    wait_for(lambda: {*states(other).values()} <= {"done", "failed", "lost"}, what="the other chain")
    assert {*states(other).values()} == {"done"}
    assert states(one)["plan"] == "done" and states(one)["download"] == "lost"
    assert {*states(one).values()} == {"done", "lost", "never ran"}
    assert "embed-0" in events(other) and {*events(one)} == {"plan-all"}
    assert not [log for log in other.glob("runs/toy/slurm/*.out") if str(one) in log.read_text()]
