"""What it takes to look at a run of 413 M pairs: 41,300 shards, of which 1 % are stale, on one process.

    status        `corgi status RUN`, as a person types it, with the cluster's marks of 4,000 tasks
    status_cold   the same where no file's content is in the page cache; folders and inodes still are; not under
                  the bar, as it measures the disk
    submit        `corgi submit CHAIN --dry-run`
    <step>        what a step that is run again decides: which shards it would make
    whole_<...>   the same after nothing is stale any more: then table steps cannot stop at the first stale shard

There is no peer with the same question. The run is one pair that went through the real steps, copied: every file is as
small as its format allows, so what is measured is the number of files. Nothing is kept from one command to the next:
each reads all footers, but each of them once.

Bars: 10 seconds and 1 GiB for each; CPU seconds beside them say what a quiet machine would take.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Figures, Run

SHARDS, QUICK_SHARDS = 41_300, 300
STALE_EVERY = 100
TASKS = 1000  # of an array
SECONDS, GIB = 10.0, 1.0
STEPS = ("plan", "download", "score", "dedup", "select", "embed", "index")
ARRAYS = ("download", "score", "select", "embed")


def make(folder: Path, shards: int) -> Path:
    """Make a run of so many shards, of one pair each, and a chain over it; return the chain's file."""
    import yaml

    from benchmarks import data
    from storage.plan import write_plan
    from storage.shard import Shard
    from storage.tables import read_mark, read_whole

    run = folder / "run"
    config = data.finished_run(run, count=1, shards=1, small=True)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    first = Shard(run, 0)
    names = [file.name.removeprefix("00000") for file in first.path("").parent.glob("00000*")]
    bodies = {name: first.path(name).read_bytes() for name in names}
    stale = _stale(first, names, folder)
    for number in range(1, shards):
        shard = Shard(run, number)
        if number % 1000 == 0:
            shard.path("").parent.mkdir()
        for name, body in {**bodies, **(stale if number % STALE_EVERY == 0 else {})}.items():
            shard.path(name).write_bytes(body)
    mark, row = read_mark(run / "plan.parquet"), read_whole(run / "plan.parquet").to_pylist()[0]
    assert mark is not None
    write_plan(run, [{**row, "shard": number} for number in range(shards)], fingerprint=mark.fingerprint)
    _submitted(run)
    chain = {"pipeline": str(folder / "pipeline.yaml"), "run": str(run)}
    (folder / "chain.yaml").write_text(yaml.safe_dump(chain))
    return folder / "chain.yaml"


def _stale(first: Any, names: Sequence[str], folder: Path) -> dict[str, bytes]:
    """Return the outputs of shard steps as something else would have made them."""
    from storage.scores import OF_PAIRS
    from storage.shard import KEEP, PAIRS, SCORES
    from storage.tables import read_whole, rewrite_table

    bodies = {}
    for name in (PAIRS, SCORES, KEEP, *(name for name in names if name.endswith(".arrow"))):
        copy = folder / f"copy{name}"
        copy.write_bytes(first.path(name).read_bytes())
        others = {OF_PAIRS: "other pairs"} if name == SCORES else {}
        rewrite_table(copy, read_whole(copy), fingerprint="something else", metadata=others)
        bodies[name] = copy.read_bytes()
    return bodies


def mend(run: Path, shards: int) -> None:
    """Put what the other shards have into the place of what is stale."""
    from storage.shard import Shard

    bodies = {each.name.removeprefix("00000"): each.read_bytes() for each in (run / "000").glob("00000*")}
    for number in range(STALE_EVERY, shards, STALE_EVERY):
        for name, body in bodies.items():
            Shard(run, number).path(name).write_bytes(body)


def forget(run: Path) -> None:
    """Take all that is in the files of a run out of the page cache."""
    os.sync()
    for folder, _, names in os.walk(run):
        for name in names:
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _submitted(run: Path) -> None:
    """Write what a cluster and its ranks leave behind."""
    (run / "slurm" / "exits").mkdir(parents=True)
    jobs = [{"name": name, "id": number, "after": [], "tasks": TASKS} for number, name in enumerate(ARRAYS, start=1)]
    submission = {"chain": "chain.yaml", "submitted_at": "2026-01-01T00:00:00+00:00", "jobs": jobs}
    (run / "slurm" / "jobs.json").write_text(json.dumps(submission))
    with (run / "ledger.jsonl").open("a") as ledger:
        for job in jobs:
            for task in range(TASKS):
                mark = run / "slurm" / "exits" / f"{job['id']}_{task}"
                mark.write_text("0\n")
                Path(f"{mark}.log").write_text("1767225600 started 0 node1\n1767226600 0 0 node1\n")
                line = {"event": "step", "step": job["name"], "rank": task, "made": 41, "failed": 0, "seconds": 900.0}
                ledger.write(json.dumps({"time": 1767226600.0, "skipped": 0, "counts": {}, **line}) + "\n")


def decide(file: str, step: str) -> None:
    """Decide what a step would make."""
    from configs import load
    from pipeline.config import PipelineConfig
    from pipeline.runner import build, states_of
    from pipeline.step import TableStep
    from storage.footers import remembered
    from storage.plan import shards_of

    config = load(PipelineConfig, file)
    built = build(step, config)
    if isinstance(built, TableStep):
        with remembered():
            print(built.state())
        return
    states = list(states_of(built, shards_of(config.run)).values())
    print({state: states.count(state) for state in dict.fromkeys(states)})


def command(words: list[str]) -> Run:
    """Return a run of a command, in a process of its own: seconds, CPU seconds and GiB at most."""

    def run() -> Figures:
        began = time.monotonic()
        with tempfile.TemporaryFile() as out:
            actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)]
            child = os.posix_spawn(words[0], words, common.environment(), file_actions=actions)
            _, status, used = os.wait4(child, 0)
            out.seek(0)
            said = out.read().decode()
        if status:
            raise RuntimeError(f"{' '.join(words)} failed: {said[-2000:]}")
        print(" ".join(words[2:]), said.splitlines()[-1][:100])
        return {
            "seconds": time.monotonic() - began,
            "cpu_s": used.ru_utime + used.ru_stime,
            "gib": used.ru_maxrss / 2**20,
        }

    return run


def main() -> int:
    """Run the benchmark, or one decision."""
    if sys.argv[1:2] == ["--decide"]:
        decide(*sys.argv[2:])
        return 0
    given = common.options(__doc__, rounds=1)
    shards = QUICK_SHARDS if given.quick else SHARDS
    with tempfile.TemporaryDirectory() as name:
        chain = make(Path(name), shards)
        run = chain.parent / "run"
        corgi, ours = [sys.executable, "-m", "corgi"], [sys.executable, "-m", "benchmarks.ops", "--decide"]
        status = command([*corgi, "status", str(run)])
        sides = {
            "status": status,
            "submit": command([*corgi, "submit", str(chain), "--dry-run"]),
            **{step: command([*ours, str(chain.parent / "pipeline.yaml"), step]) for step in STEPS},
        }
        runs = common.alternate(sides, rounds=given.rounds)
        mend(run, shards)
        whole = {f"whole_{side}": sides[side] for side in ("status", "submit", "dedup", "index")}
        runs |= common.alternate(whole, rounds=given.rounds)

        def cold() -> Figures:
            forget(run)
            return status()

        at_first = common.alternate({"status_cold": cold}, rounds=given.rounds)
    most = {
        "seconds_of_10_over": [SECONDS / max(each["seconds"] for side in runs.values() for each in side)],
        "gib_of_1_over": [GIB / max(each["gib"] for side in runs.values() for each in side)],
    }
    runs |= at_first
    return common.report("ops", runs, most, bars=dict.fromkeys(most, 1.0))


if __name__ == "__main__":
    sys.exit(main())
