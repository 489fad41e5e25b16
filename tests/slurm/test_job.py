"""How a job begins, ends and is stopped: bash, so run as bash. A stand-in of three small programs answers for SLURM."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from slurm.script import JOB

SCRIPT = """
set -eo pipefail
preemption=${{PREEMPTION:-requeue}} restarts=${{RESTARTS:-100}} marks=exits
{job}
begin 7
[ -z "$1" ] || follow "$1" "$2"
[ -z "$LOOK" ] || well $LOOK
step bash -c '{command}'
finish
"""


class Ended(NamedTuple):
    """What a job came to."""

    code: int
    mark: str
    requeued: bool
    said: str


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the current one, with `scontrol` that notes what it is asked and `squeue` that says $STATE."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"scontrol": 'echo "$@" >> asked', "squeue": "echo ${STATE:-RUNNING}"}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "exits").mkdir()
    return tmp_path


def job(place: Path, command: str, *arguments: str, tell: signal.Signals | None = None, **environment: str) -> Ended:
    """Run a job with one command. tell: what the batch shell is told once the file `ready` is there."""
    env = {"PATH": f"{place}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", **environment}
    text = SCRIPT.format(job=JOB.read_text(), command=command)
    Path("ready").unlink(missing_ok=True)
    process = subprocess.Popen(["bash", "-c", text, "job", *arguments], env=env, stderr=subprocess.PIPE, text=True)
    if tell is not None:
        while not Path("ready").exists():
            time.sleep(0.02)
        os.kill(process.pid, tell)
    said = process.communicate()[1]
    mark = Path("exits/7").read_text().strip()
    asked = Path("asked").read_text() if Path("asked").exists() else ""
    return Ended(process.returncode, mark, asked == "requeue 7\n", said)


SAVES = 'trap "echo saved > saved; exit 75" USR1 TERM; touch ready; while :; do sleep 0.05; done'
DIES = "touch ready; exec sleep 60"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 93, 137])
def test_an_end_is_marked_by_its_code_and_not_taken_up_again(place: Path, code: int):
    assert job(place, f"exit {code}")[:3] == (code, str(code), False)


def test_75_puts_the_job_into_the_queue_again(place: Path):
    assert job(place, "exit 75") == (75, "75", True, "")


@pytest.mark.parametrize("command", [SAVES, DIES])
def test_usr1_reaches_the_command_and_the_job_waits_for_it(place: Path, command: str):
    assert job(place, command, tell=signal.SIGUSR1)[:3] == (75, "75", True)
    assert Path("saved").exists() == (command is SAVES)


def test_a_failure_after_a_signal_is_taken_up_again_but_wrong_use_is_not(place: Path):
    fails = 'trap "exit 1" USR1; touch ready; while :; do sleep 0.05; done'
    assert job(place, fails, tell=signal.SIGUSR1)[:2] == (75, "75")
    assert job(place, fails.replace("exit 1", "exit 2"), tell=signal.SIGUSR1)[:2] == (2, "2")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_command_that_was_told_by_others_is_taken_up_again(place: Path, number: signal.Signals):
    """As scancel --signal does, which tells the step alone."""
    assert job(place, f"kill -{number.value} $$; sleep 60")[:3] == (75, "75", True)


def test_term_leads_to_the_queue_where_the_job_still_runs_and_not_where_the_cluster_ends_it(place: Path):
    assert job(place, SAVES, tell=signal.SIGTERM)[:3] == (75, "75", True)
    Path("asked").unlink()
    assert job(place, SAVES, tell=signal.SIGTERM, STATE="COMPLETING")[:3] == (143, "143", False)


def test_a_controller_that_is_busy_for_a_moment_costs_no_restart(place: Path):
    Path("squeue").write_text("#!/bin/bash\n[ -e busy ] || { touch busy; exit 1; }\necho ${STATE:-RUNNING}\n")
    assert job(place, SAVES, tell=signal.SIGTERM)[:3] == (75, "75", True)
    assert Path("busy").exists()


def test_restarts_come_to_an_end(place: Path):
    assert job(place, "exit 75", RESTARTS="2", SLURM_RESTART_COUNT="1")[:3] == (75, "75", True)
    Path("asked").unlink()
    last = job(place, "exit 75", RESTARTS="2", SLURM_RESTART_COUNT="2")
    assert last[:3] == (93, "93", False) and "slurm.restarts is 2" in last.said


def test_a_copy_goes_on_where_the_one_before_stopped_and_nowhere_else(place: Path):
    singleton: dict[str, Any] = {"PREEMPTION": "singleton", "RESTARTS": "3"}
    for before, code in {"75": 0, "started": 0, "137": 0, "0": 0, "93": 93, "1": 1}.items():
        Path("exits/6").write_text(f"{before}\n")
        Path("ran").unlink(missing_ok=True)
        assert job(place, "echo $SLURM_RESTART_COUNT > ran", "6", "2", **singleton)[:3] == (code, str(code), False)
        assert Path("ran").exists() == (before in ("75", "started", "137")), before
    assert job(place, "exit 75", **singleton)[:3] == (75, "75", False)


def test_a_node_that_left_with_75_outweighs_others_that_were_killed_meanwhile(place: Path):
    assert job(place, "touch $mark.stopped; exit 137")[:3] == (75, "75", True)
    assert not Path("exits/7.stopped").exists()
    assert job(place, "touch $mark.stopped; exit 93")[:2] == (93, "93")


def test_a_node_that_srun_ended_for_anothers_failure_hides_no_failure(place: Path):
    for code in (1, 2, 3, 93):
        assert job(place, f"touch $mark.told; exit {code}")[:3] == (code, str(code), False)
    for code in (0, 137):
        assert job(place, f"touch $mark.told; exit {code}")[:3] == (75, "75", True)
        Path("asked").unlink(missing_ok=True)
    assert not Path("exits/7.told").exists()


def test_each_start_and_end_is_kept_with_its_time_restarts_and_node(place: Path):
    job(place, "exit 75")
    job(place, "exit 0", SLURM_RESTART_COUNT="1")
    lines = [line.split() for line in Path("exits/7.log").read_text().splitlines()]
    assert [line[1:] for line in lines] == [
        ["started", "0", "n1"],
        ["75", "0", "n1"],
        ["started", "1", "n1"],
        ["0", "1", "n1"],
    ]
    assert all(int(line[0]) > 1_700_000_000 for line in lines)


def test_a_setup_that_leaves_early_is_no_success(place: Path):
    text = SCRIPT.format(job=JOB.read_text(), command="true").replace("step bash", "exit 0\nstep bash")
    env = {"PATH": f"{place}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", text], env=env, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and Path("exits/7").read_text() == "1\n"
    assert "before the first command, with exit code 1: see above, `modules` and `setup`" in done.stderr
    assert "before the first" not in job(place, "exit 1").said


HANGS = "timeout --kill-after=1 0.2 sleep 60"


@pytest.mark.parametrize(
    ("look", "code", "begins"), [("true", 0, True), ("false", 0, True), ("./unfit", 94, False), (HANGS, 94, False)]
)
def test_only_a_node_that_is_said_to_be_unfit_or_says_nothing_ends_the_job_before_it_begins(
    place: Path, look, code, begins
):
    (place / "unfit").write_text("#!/bin/sh\nexit 94\n")
    (place / "unfit").chmod(0o755)
    ended = job(place, "touch ready", LOOK=look)
    assert (ended.code, ended.mark, ended.requeued, Path("ready").exists()) == (code, str(code), False, begins)
    assert ("n1 is not fit for this job" in ended.said) is not begins
