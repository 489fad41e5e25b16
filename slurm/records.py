"""What the scripts leave of themselves, and what they asked for: enough to know every task without accounting.

exits/ID or exits/ID_TASK          started, or the exit code
exits/ID.log                       a line each time: seconds, mark, restarts, node
download.sbatch                    #SBATCH --cpus-per-task=16
"""

import re
import shlex
import time
from pathlib import Path
from typing import NamedTuple

from .submission import SubmittedJob

STARTED = "started"  # a script's mark until it ends; then its exit code


class Record(NamedTuple):
    """What one task wrote of itself."""

    mark: str | None  # started, the exit code, or None: it never began
    restarts: int = 0
    spans: tuple[tuple[int, int | None], ...] = ()  # when it began and ended, in s, each time; None: it did not say
    node: str = ""

    def seconds(self, *, is_running: bool) -> float:
        """Return how long it has held its nodes, as far as it said; where it was killed, that time is not known."""
        now = time.time()
        last = len(self.spans) - 1
        ends = [
            now if end is None and is_running and place == last else end for place, (_, end) in enumerate(self.spans)
        ]
        return sum(end - begin for (begin, _), end in zip(self.spans, ends, strict=True) if end is not None)


class Size(NamedTuple):
    """What each task of a job asked for, over all its nodes."""

    cores: int
    gpus: int


def name_of(job: SubmittedJob, task: int | None) -> str:
    """Return by what a task is known: 12 or 12_3."""
    return str(job.id) if task is None else f"{job.id}_{task}"


def record_of(run: Path, job: SubmittedJob, task: int | None) -> Record:
    """Return what a job, or one task of an array, wrote of itself."""
    file = run / "slurm" / "exits" / name_of(job, task)
    try:
        mark = file.read_text(encoding="ascii").strip() or STARTED
    except FileNotFoundError:
        return Record(None)
    try:
        lines = [line.split() for line in Path(f"{file}.log").read_text(encoding="ascii").splitlines()]
    except FileNotFoundError:
        return Record(mark)
    whole = [line for line in lines if len(line) == 4 and line[0].isdecimal() and line[2].isdecimal()]
    spans: list[tuple[int, int | None]] = []
    for seconds, said, *_ in whole:
        if said == STARTED:
            spans.append((int(seconds), None))
        elif spans and spans[-1][1] is None:
            spans[-1] = (spans[-1][0], int(seconds))
    restarts = max((int(line[2]) for line in whole), default=0)
    return Record(mark, max(restarts, len(spans) - 1), tuple(spans), whole[-1][3] if whole else "")


def size_of(run: Path, job: SubmittedJob) -> Size:
    """Return what the script of a job asks for; a core where it says nothing."""
    try:
        text = (run / "slurm" / f"{job.name}.sbatch").read_text(encoding="utf-8")
    except FileNotFoundError:
        return Size(1, 0)
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", text, re.MULTILINE))
    nodes, cores = int(options.get("nodes", 1)), int(options.get("cpus-per-task", 1))
    gpus = re.search(r"(\d+)$", options.get("gpus-per-node") or options.get("gres", ""))
    return Size(nodes * cores, nodes * int(gpus[1]) if gpus else 0)


def submitted_from(run: Path, job: SubmittedJob) -> Path:
    """Return the folder in which `corgi submit` ran, where a job's paths begin; today's where its script is gone."""
    try:
        text = (run / "slurm" / f"{job.name}.sbatch").read_text(encoding="utf-8")
    except FileNotFoundError:
        return Path()
    found = re.search(r"^#SBATCH --chdir=(.+?)(?: +#.*)?$", text, re.MULTILINE)
    return Path(*shlex.split(found[1])) if found else Path()


def log_of(run: Path, job: SubmittedJob, task: int | None) -> Path:
    """Return where a task's output goes."""
    return run / "slurm" / f"{run.absolute().name}-{job.name}-{name_of(job, task)}.out"
