"""Where jobs stand, their logs, and their end, by squeue's own words and what scripts leave behind."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from configs import UserError
from slurm.cancel import cancel
from slurm.job_status import JobStatus, job_statuses, jobs_of
from slurm.logs import follow, show
from slurm.queue import Queued, tasks_of
from slurm.records import Size

RUN = Path("runs/q")
JOBS = [
    {"name": "plan", "id": 1, "after": []},
    {"name": "download", "id": 2, "after": ["plan"], "tasks": 4},
    {"name": "score", "id": 3, "after": ["download"], "tasks": 2},
    {"name": "train-base16", "id": 4, "after": ["score"]},
]
SQUEUE = '[ -e queue ] || { echo "slurm_load_jobs error: Unable to contact" >&2; exit 1; }; cat queue'
CHOSEN: dict[str, Any] = {"rank": None, "is_failed": False, "lines": 2}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A submitted run below the current folder, and a squeue that says what stands in the file `queue`."""
    monkeypatch.chdir(tmp_path)
    (RUN / "slurm" / "exits").mkdir(parents=True)
    submission = {"chain": "chain.yaml", "submitted_at": "2026-01-01T00:00:00+00:00", "jobs": JOBS}
    (RUN / "slurm" / "jobs.json").write_text(json.dumps(submission))
    options = "#SBATCH --nodes=2   # k\n#SBATCH --cpus-per-task=8  # k\n#SBATCH --gres=gpu:a100:4  # k\n"
    (RUN / "slurm" / "train-base16.sbatch").write_text(options)
    for name, text in {"squeue": SQUEUE, "scancel": 'echo "$@" > cancelled', "sbatch": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    queue()
    return tmp_path


def queue(*lines: str) -> None:
    Path("queue").write_text("".join(f"{line}\n" for line in lines))


def again(task: str) -> str:
    return f"{task}|PENDING|0:00|1|1|N/A||BeginTime"


def behind(task: str) -> str:
    return f"{task}|PENDING|0:00|1|1|N/A||Dependency"


def mark(name: str, said: str, log: str = "") -> None:
    (RUN / "slurm" / "exits" / name).write_text(f"{said}\n")
    if log:
        (RUN / "slurm" / "exits" / f"{name}.log").write_text(log)


def log(name: str, text: str) -> Path:
    path = RUN / "slurm" / f"q-{name}.out"
    path.write_text(text)
    return path


def standing() -> dict[str, JobStatus]:
    return {status.job.name: status for status in job_statuses(RUN)}


def test_squeues_words_are_read(place: Path):
    queue(
        "2|0|RUNNING|2-03:04:05|16|2|gres:gpu:a100:4|node[1-2]|None",
        "2|1|PENDING|0:00|1|1|N/A||Priority",
        "4|N/A|COMPLETING|INVALID|8|1|gpu:2|node1|None",
    )
    told = tasks_of([2, 4])
    assert told[2, 0] == Queued("RUNNING", 183_845, 16, 8, "node[1-2]", "")
    assert told[2, 1].is_waiting and told[2, 1].reason == "others come first" and told[2, 1].gpus == 0
    assert told[4, None] == Queued("COMPLETING", 0, 8, 2, "node1", "") and told[4, None].is_active


def test_a_task_that_was_put_into_the_queue_again_waits_whatever_it_wrote(place: Path):
    mark("1", "0")
    mark("2_0", "started")
    mark("2_1", "75")
    queue(again("2|0"), again("2|1"), "2|2|RUNNING|0:05|1|1|N/A|n1|None")
    download = standing()["download"]
    assert download.state == "running" and download.counts == {"waiting": 2, "running": 1, "never ran": 1}
    queue(again("2|0"))
    assert standing()["download"].state == "waiting"


@pytest.mark.parametrize(
    ("said", "state", "why"),
    [
        ("137", None, "task 2 was killed: out of memory, or by hand (SIGKILL)"),
        ("143", None, "task 2 was ended: cancelled, or out of time (SIGTERM)"),
        ("3", None, "task 2 ended with exit code 3"),
        ("started", None, "task 2 was killed with its shell"),
        ("137", "OUT_OF_MEMORY", "task 2 ran out of memory: more of mem_gb"),
        ("started", "TIMEOUT", "task 2 was out of time: more of time_min"),
        ("started", "NODE_FAIL", "task 2 lost its node"),
    ],
)
def test_a_failure_names_the_task_its_cause_and_its_log(place: Path, said, state, why):
    for task in "013":
        mark(f"2_{task}", "0")
    mark("2_2", said)
    queue(*([f"2|2|{state}|0:10|1|1|N/A|node1|None"] if state else []))
    download = standing()["download"]
    assert download.state == ("lost" if (said, state) == ("started", None) else "failed")
    assert download.why.startswith(why) and download.why.endswith("; see runs/q/slurm/q-download-2_2.out")
    assert download.counts == {"done": 3, "failed": 1}
    assert standing()["score"].sentence == f"never ran: download {download.state}"


def test_right_after_the_first_submit_all_wait(place: Path):
    queue(
        "1|N/A|PENDING|0:00|1|1|N/A||Resources", *(f"{job}|N/A|PENDING|0:00|1|1|N/A||Dependency" for job in (2, 3, 4))
    )
    assert [status.sentence for status in job_statuses(RUN)] == [
        "waiting: no nodes are free",
        "waiting: for plan",
        "waiting: for download",
        "waiting: for score",
    ]


def test_without_a_queue_what_is_known_is_told_and_the_rest_unknown(place: Path):
    Path("queue").unlink()
    mark("1", "0")
    found = jobs_of(RUN)
    assert found and not found.is_queue_known
    assert [status.state for status in found.jobs] == ["done", "unknown", "unknown", "unknown"]


def test_paid_time_and_restarts_are_those_that_the_scripts_noted(place: Path):
    now = int(time.time())
    told = f"{now - 900} started 0 n1\n{now - 600} 75 0 n1\n{now - 300} started 1 n2\n"
    mark("4", "started", told + "torn li")
    queue("4|N/A|RUNNING|5:00|16|2|gpu:4|n[1-2]|None")
    (task,) = standing()["train-base16"].tasks
    assert standing()["train-base16"].size == Size(cores=16, gpus=8)
    assert task.record.restarts == 1 and task.record.node == "n2" and 600 <= task.seconds < 660
    queue()
    (task,) = standing()["train-base16"].tasks
    assert task.state == "lost" and task.seconds == 300  # when it was killed nobody noted


def test_logs_of_one_task_are_whole_and_of_several_their_ends(place: Path):
    for task, code in enumerate(["0", "1", "0", "137"]):
        mark(f"2_{task}", code)
        log(f"download-2_{task}", f"first {task}\n10 %\r100 %\n\x1b[31mlast\u202e {task}\n")
    assert [*show(RUN, "download", **{**CHOSEN, "rank": 1})] == ["first 1", "100 %", "\\x1b[31mlast\\u202e 1"]
    said = [*show(RUN, "download", **{**CHOSEN, "is_failed": True})]
    assert said[::3] == [
        "==> runs/q/slurm/q-download-2_1.out (failed, ended with exit code 1) <==",
        "==> runs/q/slurm/q-download-2_3.out (failed, was killed: out of memory, or by hand (SIGKILL)) <==",
    ]
    assert len([*show(RUN, "download", **CHOSEN)]) == 12
    log("train-base16-4", "step 1\n")
    assert [*show(RUN, "base16", **CHOSEN)] == ["step 1"]


@pytest.mark.parametrize(
    ("name", "chosen", "said"),
    [
        ("downlaod", {}, "runs/q has no job 'downlaod'; did you mean 'download'?"),
        ("base16", {"rank": 0}, "base16 is one job, which writes one log for all its ranks"),
        ("score", {"is_failed": True}, "no task of score failed"),
        ("score", {"rank": 1}, "rank 1 of score has no log yet: never ran: download never ran"),
    ],
)
def test_logs_that_are_not_there(place: Path, name, chosen, said):
    with pytest.raises(UserError) as error:
        [*show(RUN, name, **{**CHOSEN, **chosen})]
    assert str(error.value).startswith(said)


def test_a_run_without_a_cluster_has_no_logs(tmp_path: Path):
    with pytest.raises(UserError, match="was never submitted to a cluster"):
        [*show(tmp_path, "download", **CHOSEN)]


def test_following_goes_on_until_the_job_ends(place: Path):
    path = log("plan-1", "one\ntwo\nthree\n")
    queue("1|N/A|RUNNING|0:05|1|1|N/A|node1|None")
    said: list[str] = []
    follower = threading.Thread(target=lambda: said.extend(follow(RUN, "plan", **CHOSEN)))
    follower.start()
    time.sleep(0.2)
    with path.open("a") as file:
        file.write("fo")
        file.flush()
        time.sleep(0.7)
        file.write("ur\n")
    mark("1", "0")
    queue()
    follower.join(timeout=30)
    assert said == ["two", "three", "four"]


def test_cancel_ends_a_step_and_what_waits_for_it(place: Path):
    mark("1", "0")
    queue(
        "2|0|RUNNING|0:05|1|1|N/A|n1|None",
        "3|0|PENDING|0:00|1|1|N/A||Dependency",
        "4|N/A|PENDING|0:00|1|1|N/A||Dependency",
    )
    assert cancel(RUN, "score") == [
        "cancelled 3 score, which was waiting",
        "cancelled 4 train-base16, which was waiting",
    ]
    assert Path("cancelled").read_text() == "3 4\n"
    assert cancel(RUN, None)[0] == "cancelled 2 download, which was running"
    assert Path("cancelled").read_text() == "2 3 4\n"
    assert cancel(RUN, "plan")[0].startswith("cancelled 2 download")
    queue()
    assert cancel(RUN, "plan")[0].startswith("nothing to cancel: plan done")
