"""Rendered scripts in the hands of a real SLURM: toy commands, true arrays, edges, failures and rendezvous."""

import json
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from configs import UserError
from slurm.job_status import job_statuses
from slurm.render import Work
from slurm.submission import read_submission
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text

from .cluster import MAX_ARRAY_SIZE, Cluster, wait_for

WORK = Work(processes={"tiny stage": 2})
STEPS = ["plan", "download", "score", "dedup", "select", "embed", "index"]
ONLY_TRAINING: dict[str, list[int]] = {name: [] for name in [*STEPS, "evaluate", "report"]}
submit = partial(submit_chain, write=commit_text, work=WORK)
pytestmark = pytest.mark.long

# Says when it was there, waits for a gate, and ends as it is told to.
CORGI = """
if [ "$1" = doctor ]; then
  [ -n "$LOOKS" ] || exit 0
  PYTHONPATH=$LOOKS exec python -m corgi "$@"
fi
name=$1-${SLURM_ARRAY_TASK_ID:-all}
echo "$name ${SLURM_RESTART_COUNT:-0}" >> begun
date +%s%N > events/$name
echo "$@" | tee -a words >> events/$name
trap 'echo $name > saved; exit 75' USR1 TERM
[ "$1" != "$GATED" ] || until [ -e gate ]; do sleep 0.1; done
[ "$name" != "$FAILS" ] || { echo "toy: cannot go on" >&2; exit ${CODE:-3}; }
date +%s%N >> events/$name
"""
RUN = """
import os, sys
os.execv("/bin/bash", ["bash", "toy.sh", *sys.argv[1:]])
"""

WELL = 'case " $* " in *" doctor "*) exit 0 ;; esac'  # what any interpreter of a toy says of its node

NODE = f"""
{WELL}
echo "node $SLURM_PROCID ${{SLURM_RESTART_COUNT:-0}}" >> begun
[ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || exit 0
sleep $((SLURM_PROCID * 3))
echo "$SLURM_PROCID with 75" >> left
exit 75
"""

LAUNCH = """
import argparse, json, os, pathlib, subprocess, sys
import torch
import torch.distributed as dist

parser = argparse.ArgumentParser()
for name in ("nodes", "node", "processes", "local"):
    parser.add_argument(f"--{name}", type=int)
parser.add_argument("--meet")
given, words = parser.parse_known_args()
if given.local is None:
    ranks = [[sys.executable, *sys.argv, f"--local={local}"] for local in range(given.processes)]
    sys.exit(max([rank.wait() for rank in [subprocess.Popen(rank) for rank in ranks]]))
rank, world = given.node * given.processes + given.local, given.nodes * given.processes
dist.init_process_group("gloo", init_method=f"tcp://{given.meet}", rank=rank, world_size=world)
total = torch.tensor([float(2 ** dist.get_rank())])
dist.all_reduce(total)
said = [dist.get_rank(), dist.get_world_size(), total.item(), os.environ["SLURMD_NODENAME"], *words]
pathlib.Path("events", f"train-{dist.get_rank()}").write_text(json.dumps(said))
dist.destroy_process_group()
"""


class Event(NamedTuple):
    """When a toy command began and ended, in ns, and its words."""

    began: int
    words: str
    ended: int


def lay_out(folder: Path) -> None:
    """Make a folder in which `corgi` and `training.launcher` are toys, and a chain of them."""
    for name in ["events", "lib/training", "runs/toy"]:
        (folder / name).mkdir(parents=True)
    (folder / "toy.sh").write_text(CORGI)
    (folder / "lib" / "corgi.py").write_text(RUN)
    (folder / "lib" / "training" / "__init__.py").touch()
    (folder / "lib" / "training" / "launcher.py").write_text(LAUNCH)
    (folder / "runs" / "toy" / "pipeline.yaml").touch()
    (folder / "runs" / "toy" / "tiny stage.yaml").write_text("processes: 2\n")
    chain = {
        "pipeline": "runs/toy/pipeline.yaml",
        "train": ["runs/toy/tiny stage.yaml"],
        "run": "runs/toy",
        "slurm": {
            "arrays": "asked",
            "cpus": 1,
            "env": {"PYTHONPATH": str(folder / "lib")},
            "download": {"tasks": 3},
            "score": {"tasks": 2},
            "train": {"nodes": 2, "hosts": "one", "overrides": ["wandb.project=a \"$b'"]},
        },
    }
    (folder / "chain.yaml").write_text(yaml.safe_dump(chain))


@pytest.fixture
def toy(tmp_path, monkeypatch, at_cluster):
    """A folder of toys as the current one; the cluster's environment."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    (tmp_path / "gate").touch()


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
        [*STEPS, "train-tiny stage", "evaluate", "report"],
        "done",
    ), logs(toy)
    seen = events(toy)
    arrays = {"download": 3, "score": 2, "select": 1, "embed": 1}
    for step, size in arrays.items():
        words = [seen[f"{step}-{rank}"].words for rank in range(size)]
        asked = [f"{step} runs/toy/pipeline.yaml --rank {rank} --world-size {size} --workers 1" for rank in range(size)]
        assert words == asked
    assert len(seen) == 5 + sum(arrays.values())
    order = [*STEPS, "evaluate", "report"]
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
    assert set(events(toy)) == {"plan-all", "download-0", "download-1", "download-2", "score-0", "report-all"}


def test_a_second_submit_is_refused_until_the_first_is_gone(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml")
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin")
    kept = read_submission(Path("runs/toy/slurm"))
    assert kept is not None
    first = [job.id for job in kept.jobs]
    with pytest.raises(UserError, match=rf"still queued: {first[0]} plan \(running\), {first[1]} download \(pending\)"):
        submit("chain.yaml")
    assert {status.job.name: status.state for status in job_statuses(Path("runs/toy"))}["score"] == "waiting"
    cluster.run("scancel", *map(str, first))
    cluster.wait_until_empty()
    states = {status.job.name: status.sentence for status in job_statuses(Path("runs/toy"))}
    assert states["plan"].startswith("lost: was cancelled") and states["download"] == "never ran: plan lost"
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
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin")
    kept = read_submission(Path("runs/toy/slurm"))
    assert kept is not None
    (toy / "events" / "plan-all").unlink()
    cluster.run("scontrol", "requeue", str(kept.jobs[0].id))
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin again")
    (toy / "gate").touch()
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}, logs(toy)


def test_a_step_that_is_told_to_leave_saves_and_is_taken_up_again(toy: Path, cluster: Cluster, monkeypatch):
    """`scancel --signal=TERM` tells the step alone, which only srun has; the whole chain waits for the second time."""
    monkeypatch.setenv("GATED", "download")
    submit("chain.yaml", ["train=[]"])
    wait_for((toy / "events" / "download-1").exists, what="download to begin")
    cluster.run("scancel", "--signal=TERM", f"{ids()['download']}_1")
    wait_for((toy / "saved").exists, what="the task to leave")
    wait_for(lambda: "download-1 1" in begun(toy), what="the task to begin again")
    (toy / "gate").touch()
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}, logs(toy)
    assert (toy / "saved").read_text() == "download-1\n"
    assert sorted(line for line in begun(toy) if line.startswith("download")) == [
        *("download-0 0", "download-1 0", "download-1 1", "download-2 0")
    ]
    assert marks(toy, "download", task=1)[1:] == ["75 0", "started 1", "0 1"]


def test_a_cancelled_job_is_not_taken_up_again(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml", ["train=[]"])
    wait_for((toy / "events" / "plan-all").exists, what="plan to begin")
    cluster.run("scancel", str(ids()["plan"]))
    cluster.wait_until_empty()
    assert begun(toy) == ["plan-all 0", "report-all 0"]
    assert {status.job.name: status.state for status in job_statuses(Path("runs/toy"))}["plan"] == "lost"


def test_a_time_limit_in_the_middle_costs_no_chain(toy: Path, cluster: Cluster, monkeypatch):
    """The limit is a minute, and SLURM asks half a minute and up to another minute before."""
    monkeypatch.setenv("GATED", "plan")
    submit("chain.yaml", ["train=[]", "slurm.plan.time_min=1"])
    wait_for(lambda: "plan-all 1" in begun(toy), what="the plan to begin again")
    (toy / "gate").touch()
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}, logs(toy)


def test_a_node_that_is_not_fit_ends_the_job_before_it_begins(toy: Path, cluster: Cluster, monkeypatch):
    (toy / "bin").mkdir()
    (toy / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H100, 81559, 4, 3'\n")
    (toy / "bin" / "nvidia-smi").chmod(0o755)
    env = f"{{PYTHONPATH: {toy / 'lib'}, LOOKS: {Path(__file__).parents[2]}, PATH: '{toy / 'bin'}:/usr/bin:/bin'}}"
    submit("chain.yaml", [f"slurm.download.env={env}", "slurm.download.tasks=2"])
    cluster.wait_until_empty()
    status = {status.job.name: status for status in job_statuses(Path("runs/toy"))}
    assert status["plan"].state == "done" and status["score"].state == "never ran"
    assert [task.record.mark for task in status["download"].tasks] == ["94", "94"], logs(toy)
    assert "found its node not fit (94)" in status["download"].why and "; on node" in status["download"].why
    said = logs(toy)
    assert "broken    gpus          GPU 0: memory errors" in said and "mend: leave the node out" in said
    assert [task.record.restarts for task in status["download"].tasks] == [0, 0]
    assert not list((toy / "events").glob("download*"))


def test_a_larger_array_than_the_cluster_takes_is_split(toy: Path, cluster: Cluster):
    submit("chain.yaml", ["train=[]", f"slurm.download.tasks={MAX_ARRAY_SIZE + 2}"])
    cluster.wait_until_empty()
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}, logs(toy)
    words = (toy / "words").read_text().splitlines()
    shares = {int(line.split()[3]) for line in words if line.startswith("download")}
    assert shares == set(range(MAX_ARRAY_SIZE + 2))
    assert {line.split()[5] for line in words if line.startswith("download")} == {str(MAX_ARRAY_SIZE + 2)}


def test_one_task_submitted_by_hand_has_its_own_share(toy: Path, cluster: Cluster):
    submit("chain.yaml", ["train=[]"])
    cluster.wait_until_empty()
    (toy / "words").unlink()
    cluster.run("sbatch", "--array=1", "runs/toy/slurm/download.sbatch")
    cluster.wait_until_empty()
    assert (toy / "words").read_text() == "download runs/toy/pipeline.yaml --rank 1 --world-size 3 --workers 1\n"


def test_without_requeue_copies_go_on_and_93_stops_them(toy: Path, cluster: Cluster, monkeypatch):
    monkeypatch.setenv("FAILS", "plan-all")
    monkeypatch.setenv("CODE", "75")
    submit("chain.yaml", ["train=[]", "slurm.preemption=singleton", "slurm.restarts=1"])
    cluster.wait_until_empty()
    assert begun(toy) == ["plan-all 0", "plan-all 1", "report-all 0"]
    states = {status.job.name: status for status in job_statuses(Path("runs/toy"))}
    assert states["plan.1"].why.startswith("stopped the chain (93)"), logs(toy)
    assert states["download"].state == states["index"].state == "never ran"


def test_a_failed_task_that_is_tolerated_ends_no_chain(toy: Path, cluster: Cluster, monkeypatch):
    """What is tolerated is for the verdict to say, which the toy gives with 0."""
    monkeypatch.setenv("FAILS", "download-1")
    submit("chain.yaml", ["train=[]"], work=WORK._replace(tolerate=1))
    cluster.wait_until_empty()
    states = {status.job.name: status.state for status in job_statuses(Path("runs/toy"))}
    assert (states.pop("download"), {*states.values()}) == ("failed", {"done"}), logs(toy)
    assert "download runs/toy/pipeline.yaml --verdict" in (toy / "words").read_text().splitlines()


def test_the_plans_job_submits_the_rest(toy: Path, cluster: Cluster):
    submit("chain.yaml", ["train=[]", "slurm.arrays=planned", "slurm.score.tasks=2"])
    cluster.wait_until_empty()
    assert (toy / "words").read_text().splitlines() == [
        "plan runs/toy/pipeline.yaml",
        "submit chain.yaml train=[] slurm.arrays=planned slurm.score.tasks=2",
    ]


def test_nodes_of_a_training_leave_with_75_one_after_the_other(toy: Path, cluster: Cluster):
    """An interpreter that is a toy stands for all of a node; srun must not kill the slower one while it leaves."""
    (toy / "python").write_text(f"#!/bin/bash\n{NODE}")
    (toy / "python").chmod(0o755)
    submit("chain.yaml", [f"slurm.train.python={toy / 'python'}"], work=WORK._replace(left=ONLY_TRAINING))
    cluster.wait_until_empty()
    assert {status.job.name: status.state for status in job_statuses(Path("runs/toy"))} == {"train-tiny stage": "done"}
    assert sorted((toy / "left").read_text().splitlines()) == ["0 with 75", "1 with 75"], logs(toy)
    assert sorted(begun(toy)) == ["node 0 0", "node 0 1", "node 1 0", "node 1 1"]


def test_term_to_the_batch_shell_leaves_more_time_to_save_than_srun_would(toy: Path, cluster: Cluster):
    """For a TERM of its own srun kills the step after KillWait, which is 5 s here."""
    slow = 'trap "sleep 8; echo $SLURM_PROCID >> left; exit 75" USR1 TERM; touch ready-$SLURM_PROCID'
    lines = ["#!/bin/bash", WELL, '[ "$SLURM_RESTART_COUNT" = 1 ] && exit 0', slow, "while :; do sleep 0.1; done"]
    (toy / "python").write_text("\n".join(lines) + "\n")
    (toy / "python").chmod(0o755)
    submit("chain.yaml", [f"slurm.train.python={toy / 'python'}"], work=WORK._replace(left=ONLY_TRAINING))
    wait_for(lambda: len([*toy.glob("ready-*")]) == 2, what="both nodes to begin")
    cluster.run("scancel", "--signal=TERM", "--batch", str(ids()["train-tiny stage"]))
    cluster.wait_until_empty()
    assert sorted((toy / "left").read_text().split()) == ["0", "1"], logs(toy)
    assert {status.state for status in job_statuses(Path("runs/toy"))} == {"done"}


def test_a_node_that_fails_ends_the_training_however_srun_ends_the_others(toy: Path, cluster: Cluster):
    node = 'echo "node $SLURM_PROCID ${SLURM_RESTART_COUNT:-0}" >> begun; [ "$SLURM_PROCID" = 0 ] || exit 1; sleep 60'
    (toy / "python").write_text(f"#!/bin/bash\n{WELL}\n{node}")
    (toy / "python").chmod(0o755)
    submit("chain.yaml", [f"slurm.train.python={toy / 'python'}"], work=WORK._replace(left=ONLY_TRAINING))
    cluster.wait_until_empty()
    (training,) = job_statuses(Path("runs/toy"))
    assert training.state == "failed" and "ended with exit code 1" in training.why, logs(toy)
    assert sorted(begun(toy)) == ["node 0 0", "node 1 0"]


def ids() -> dict[str, int]:
    kept = read_submission(Path("runs/toy/slurm"))
    assert kept is not None
    return {job.name: job.id for job in kept.jobs}


def begun(folder: Path) -> list[str]:
    """Return 'download-1 0' for each start, with the restarts before it."""
    return (folder / "begun").read_text().splitlines() if (folder / "begun").exists() else []


def marks(folder: Path, name: str, *, task: int) -> list[str]:
    """Return what a task's log of marks says, without the times and the nodes."""
    lines = (folder / f"runs/toy/slurm/exits/{ids()[name]}_{task}.log").read_text().splitlines()
    return [" ".join(line.split()[1:3]) for line in lines]
