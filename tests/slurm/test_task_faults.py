"""What ends a task of a shard step in the middle of a shard, at random moments: the bytes are those of a calm run."""

import http.server
import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from slurm.job_status import TaskStatus, job_statuses
from slurm.render import Work
from slurm.submit import submit
from storage.atomic import commit_text
from storage.plan import shards_of
from storage.shard import PAIRS, TAR
from tests.factory import WITHOUT_MODELS
from tests.pipeline.test_download_kills import descendants
from tests.project.drawn import caption, draw_pictures
from tests.project.test_run import Quiet
from tests.quickstart.killed_commands import digests

from .cluster import Cluster, wait_for
from .test_whole_chain import corgi, logs, place  # noqa: F401

ROUNDS = int(os.environ.get("CORGI_SOAK_ROUNDS", "10"))
PICTURES, SHARD = 16, 8
SLOW_S = 0.4  # between two requests, so that a shard takes a while
RUN = Path("run")
OTHERS: dict[str, list[int]] = {
    name: [] for name in ("plan", "score", "dedup", "select", "embed", "index", "evaluate", "report")
}


class Slow(Quiet):
    """Serves a folder without haste, and counts what it was asked for."""

    asked = 0

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        Slow.asked += 1
        time.sleep(SLOW_S)
        return super().send_head()


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that are killed."""

    def handle_error(self, request: object, client_address: object) -> None:
        return


@pytest.fixture
def calm(place: Path, cluster: Cluster) -> Iterator[dict[str, str]]:  # noqa: F811
    """A run with a plan, and the digests of what its download makes when nobody disturbs it."""
    draw_pictures(place / "served", PICTURES)
    server = Server(("127.0.0.1", 0), partial(Slow, directory=str(place / "served")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    urls = [f"http://127.0.0.1:{server.server_port}/p{number:03d}.png" for number in range(PICTURES)]
    captions = [caption(number) for number in range(PICTURES)]
    pq.write_table(pa.table({"URL": urls, "TEXT": captions}), place / "table.parquet")
    pipeline: dict[str, Any] = {
        "run": "run",
        "table": "table.parquet",
        "workers": 1,
        "plan": {"shard_size": SHARD},
        "download": {
            **{"allow_addresses": ["127.0.0.1"], "host_interval_s": 0.0, "min_side_px": 32},
            **{"host_connections": 1, "connections": 1},
        },
        "score": WITHOUT_MODELS,
        "select": {"rules": {"large": "min_side >= 32"}},
    }
    Path("pipeline.yaml").write_text(yaml.safe_dump(pipeline))
    slurm = {"cpus": 1, "arrays": "asked", "download": {"tasks": 2}}
    Path("chain.yaml").write_text(yaml.safe_dump({"pipeline": "pipeline.yaml", "run": "run", "slurm": slurm}))
    corgi("plan", "pipeline.yaml")
    corgi("download", "pipeline.yaml")
    yield digests(RUN, "0*/*.tar", f"0*/*[0-9]{PAIRS}")
    cluster.run("scancel", f"--user={os.getuid()}", check=False)
    cluster.wait_until_empty()
    server.shutdown()
    thread.join()
    server.server_close()


def task(number: int) -> TaskStatus:
    (download,) = (status for status in job_statuses(RUN) if status.job.name == "download")
    return download.tasks[number]


def id_of(number: int) -> str:
    (download,) = (status.job.id for status in job_statuses(RUN) if status.job.name == "download")
    return f"{download}_{number}"


def main_process(number: int) -> int:
    """Return the process of `corgi download` of a task, which its children have as their parent or theirs."""
    words = f"-m corgi download pipeline.yaml --rank {number} "
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text().replace("\0", " ")
            if words in line and line.startswith(sys.executable) and (folder / "cwd").resolve() == Path.cwd():
                found.append(int(folder.name))
        except OSError:
            continue
    return min(found)


def killed(cluster: Cluster, number: int) -> None:
    """Nobody puts it into the queue again: it is told, and the same submit makes what is missing."""
    os.kill(main_process(number), signal.SIGKILL)
    cluster.wait_until_empty()
    told = task(number)
    assert told.state == "failed" and "killed" in told.why, (told, logs(RUN))
    download()


def requeued(cluster: Cluster, number: int) -> None:
    cluster.run("scontrol", "requeue", id_of(number))


def asked_to_leave(cluster: Cluster, number: int) -> None:
    cluster.run("scancel", f"--signal={random.choice(['USR1', 'TERM'])}", id_of(number))


def succeeded(cluster: Cluster, number: int) -> None:
    """A task is suspended, its share is taken over by another process; when it wakes it writes nothing more."""
    main = main_process(number)
    ghosts = [main, *descendants(main)]
    for process in ghosts:
        os.kill(process, signal.SIGSTOP)
    corgi("download", "pipeline.yaml", "--rank", str(number), "--world-size", "2")
    before = digests(RUN, "0*/[0-9]*")
    for process in ghosts:
        os.kill(process, signal.SIGCONT)
    cluster.wait_until_empty()
    assert "another process has taken over" in logs(RUN)
    assert digests(RUN, "0*/[0-9]*") == before


FAULTS: list[Callable[[Cluster, int], None]] = [killed, requeued, asked_to_leave, succeeded]


def download() -> None:
    submit("chain.yaml", [], write=commit_text, work=Work(shards=PICTURES // SHARD, left=OTHERS))


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, marks=pytest.mark.long), pytest.param(ROUNDS, marks=pytest.mark.soak, id="slurm")]
)
def test_a_task_that_ends_in_the_middle_of_a_shard_changes_no_byte(calm: dict[str, str], cluster: Cluster, rounds: int):
    seed = int(os.environ.get("CORGI_SOAK_SEED", random.randrange(1 << 30)))
    draw = random.Random(seed)
    faults = FAULTS * rounds
    draw.shuffle(faults)
    print(f"\nseed {seed}: {' '.join(fault.__name__ for fault in faults)}", flush=True)
    for fault in faults:
        began = time.monotonic()
        for shard in shards_of(RUN):
            shard.path(PAIRS).unlink(missing_ok=True)
            shard.path(TAR).unlink(missing_ok=True)
        number, asked = draw.randrange(2), Slow.asked + draw.randrange(2, PICTURES)
        download()
        wait_for(partial(_is_at, asked), what="requests")
        if not shards_of(RUN)[number].path(PAIRS).exists():
            fault(cluster, number)
        else:
            print("it was done already: ", end="")
        cluster.wait_until_empty()
        assert digests(RUN, "0*/*.tar", f"0*/*[0-9]{PAIRS}") == calm, (seed, fault.__name__, logs(RUN))
        print(f"{fault.__name__}: same bytes, {time.monotonic() - began:.0f} s", flush=True)


def _is_at(asked: int) -> bool:
    return Slow.asked >= asked
