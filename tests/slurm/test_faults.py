"""What ends a training's job on a cluster, at random moments: it goes on, and the curve shows each step once.

make soak NAME=slurm      each fault ten times; CORGI_SOAK_ROUNDS, CORGI_SOAK_FAULTS=hang,node and CORGI_SOAK_SEED
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from storage.ledger import read

from .cluster import NODES, Cluster, wait_for
from .small_job import SmallJob

ROUNDS = int(os.environ.get("CORGI_SOAK_ROUNDS", "10"))
HANG_S = 15
DISK_MB = 64  # of the training's own file system, where one may be mounted


@pytest.fixture
def job(tmp_path: Path, cluster: Cluster) -> Iterator[SmallJob]:
    (tmp_path / "train").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(tmp_path / "train")]
    is_mounted = os.getuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    training = SmallJob(tmp_path, cluster, health={"hang_min": HANG_S / 60, "leave_s": HANG_S})
    yield training
    cluster.run("scancel", f"--user={os.getuid()}", check=False)
    cluster.wait_until_empty()
    if is_mounted:
        subprocess.run(["umount", "--lazy", str(tmp_path / "train")], check=True)


def requeue(job: SmallJob, draw: random.Random) -> str:
    job.cluster.run("scontrol", "requeue", job.id)
    return "restart"


def usr1(job: SmallJob, draw: random.Random) -> str:
    """To the step that runs, or to the batch shell, as a site's preemption does."""
    to = draw.choice([[job.id], ["--batch", job.id]])
    job.cluster.run("scancel", "--signal=USR1", *to)
    return "saved"


def term(job: SmallJob, draw: random.Random) -> str:
    to = draw.choice([[job.id], ["--batch", job.id]])
    job.cluster.run("scancel", "--signal=TERM", *to)
    return "saved"


def walltime(job: SmallJob, draw: random.Random) -> str:
    """Less time than SLURM is to warn before the end: it does so at its next look, once in half a minute."""
    ran = job.cluster.run("squeue", "--noheader", f"--jobs={job.id}", "--format=%M").strip()
    minutes = int(ran.split(":")[-2]) + 2
    job.cluster.run("scontrol", "update", f"JobId={job.id}", f"TimeLimit={minutes}")
    return "saved"


def kill_rank(job: SmallJob, draw: random.Random) -> str:
    os.kill(draw.choice(job.ranks()), signal.SIGKILL)
    return "restart"


def hang(job: SmallJob, draw: random.Random) -> str:
    os.kill(draw.choice(job.ranks()), signal.SIGSTOP)
    return "restart"


def full_disk(job: SmallJob, draw: random.Random) -> str:
    """No file of one rank, on one node, may grow any more; then there is room again."""
    rank, before = draw.choice(job.ranks()), job.log.count("could not be saved")
    subprocess.run(["prlimit", f"--pid={rank}", "--fsize=4096:unlimited"], check=True)
    wait_for(lambda: job.log.count("could not be saved") > before, what="a checkpoint to fail")
    subprocess.run(["prlimit", f"--pid={rank}", "--fsize=unlimited"], check=True)
    return "stays"


def no_room(job: SmallJob, draw: random.Random) -> str:
    """Nothing fits into the file system any more, checkpoints, ledger and notes alike; then there is room again."""
    before, filler = job.log.count("could not be saved"), job.run / "filler"

    def is_told() -> bool:
        with filler.open("ab") as file, suppress(OSError):  # whatever room a removed checkpoint has left
            while True:
                os.write(file.fileno(), bytes(4096))
        return job.log.count("could not be saved") > before

    wait_for(is_told, what="a checkpoint to fail")
    time.sleep(draw.random() * 5)
    filler.unlink()
    return "stays"


def ghost(job: SmallJob, draw: random.Random) -> str:
    """The same script once more: it has no business here, says so, and changes nothing."""
    before = len(job.starts)
    second = job.submit()
    marks = job.folder / f"chain/slurm/exits/{second}"
    wait_for(lambda: marks.exists() and marks.read_text() != "started\n", what="the second to end")
    assert marks.read_text() == "1\n" and "is being trained by another process" in job.log
    assert len(job.starts) == before
    return "stays"


def node(job: SmallJob, draw: random.Random) -> str:
    """A node is lost, with ranks on it that do not know; the cluster gives the job to whom it has."""
    name = draw.choice(NODES)
    job.cluster.lose_node(name)
    time.sleep(draw.random() * 5)
    job.cluster.find_node(name)
    return "restart"


def batch(job: SmallJob, draw: random.Random) -> str:
    """Nobody is left to put it into the queue again: `corgi submit` is, here sbatch."""
    os.kill(job.shell(), signal.SIGKILL)
    job.cluster.wait_until_empty()
    assert job.marks[-1].startswith("started") and not job.ranks(), job.log[-3000:]
    job.id = job.submit()
    return "restart"


FAULTS: list[Callable[[SmallJob, random.Random], str]] = [
    *(requeue, usr1, term, walltime, kill_rank, hang, full_disk, no_room, ghost, node, batch)
]


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, marks=pytest.mark.long), pytest.param(ROUNDS, marks=pytest.mark.soak, id="slurm")]
)
def test_whatever_ends_a_training_it_goes_on_and_no_step_is_lost_or_told_twice(job: SmallJob, rounds: int):
    seed = int(os.environ.get("CORGI_SOAK_SEED", random.randrange(1 << 30)))
    draw, only = random.Random(seed), os.environ.get("CORGI_SOAK_FAULTS", "").split(",")
    possible = [fault for fault in FAULTS if fault is not no_room or job.run.is_mount()]
    faults = [fault for fault in possible if fault.__name__ in only or only == [""]] * rounds
    draw.shuffle(faults)
    print(f"\nseed {seed}: {' '.join(fault.__name__ for fault in faults)}", flush=True)
    job.reach(1, what="the first steps")
    for number, fault in enumerate(faults):
        began, starts, stops = time.monotonic(), len(job.starts), len(stopped(job))
        time.sleep(draw.random() * 3)
        at = job.steps[-1]
        ends = fault(job, draw)
        if ends == "stays":
            job.reach(starts, job.steps[-1] - job.starts[-1] + 7)
        else:
            job.reach(starts + 1)
        if ends == "saved":
            assert stopped(job)[stops:] == job.starts[-1:], (seed, fault.__name__, job.log[-3000:])
        job.is_whole()
        job.cluster.run("scontrol", "update", f"JobId={job.id}", "TimeLimit=UNLIMITED")
        lost = 0 if ends == "stays" else max(0, at - job.starts[-1])
        print(f"{number} {fault.__name__}: {ends}, {lost} steps again, {time.monotonic() - began:.0f} s", flush=True)
    assert "Traceback" not in job.log, job.log[-3000:]


def stopped(job: SmallJob) -> list[int]:
    """The steps at which it saved and left as it was asked to."""
    return [line["step"] for line in read(job.run) if line["event"] == "stopped"]
