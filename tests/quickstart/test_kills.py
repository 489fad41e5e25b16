"""kill -9 of the whole tree, at least twice in every step, in every stage's training and in a save.

Each time the same command is run again; in the end every compared file has the digest of a run nobody disturbed.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.dedup import DUPLICATES
from pipeline.index import INDEX
from pipeline.plan import PLAN
from pipeline.steps import ORDER, TABLE_STEPS
from quickstart.web import serving

from .killing import digests, finish, kill_after, kill_when
from .small import PAIRS

pytestmark = pytest.mark.long

STAGES = ("base16", "sr64", "sr256")
STEPS = 24
SHARD_SIZE = 8  # many small shards: a step that takes milliseconds for each can still be cut off between two
TABLES = {"plan": PLAN, "dedup": DUPLICATES, "index": INDEX}
FILES = ("table.parquet", "truth.parquet", "plan*", "duplicates.parquet", "index.parquet", "0*/*")
TENSORS = ("train/*/checkpoints/step_*/*/*.safetensors",)


SMALL = ("checkpoint.every_steps=8", "validation.every_steps=0", "log_every_steps=1", "batch=8", "micro_batch=8")


def prepare(run: Path, port: int, log: Path) -> None:
    small = [f"{stage}.{setting}" for stage in STAGES for setting in (*SMALL, f"steps={STEPS}")]
    sizes = ["--pairs", str(PAIRS), "--minutes", "0.1", "--port", str(port)]
    finish(
        ["quickstart", "--run", str(run), *sizes, "--prepare-only", f"pipeline.plan.shard_size={SHARD_SIZE}", *small],
        log,
    )


def commands(run: Path) -> list[list[str]]:
    steps = [[name, str(run / "pipeline.yaml")] for name in ORDER]
    return steps + [["train", str(run / f"{stage}.yaml")] for stage in STAGES]


def progress(run: Path, command: list[str]) -> int:
    """How far a command is: files of shards finished, or steps of a training noted."""
    if command[0] != "train":
        return len(list(run.glob("0*/[0-9]*")))
    ledger = run / "train" / Path(command[1]).stem / "ledger.jsonl"
    return ledger.read_text().count('"event": "step"') if ledger.exists() else 0


def test_a_run_killed_everywhere_ends_as_an_unbroken_one(tmp_path: Path):
    log, whole, broken = tmp_path / "log", tmp_path / "whole", tmp_path / "broken"
    with serving(whole, port=0) as port:
        prepare(whole, port, log)
        seconds = {command[0] + command[1][-9:]: finish(command, log) for command in commands(whole)}
    killed: dict[str, int] = {}
    with serving(broken, port=0) as port:
        prepare(broken, port, log)
        for command in commands(broken):
            name = command[0] + command[1][-9:]
            killed[name] = kill_often(broken, command, log, seconds=seconds[name])
            finish(command, log)
    assert min(killed.values()) >= 2, killed
    assert digests(broken, *FILES) == digests(whole, *FILES)
    ours, theirs = digests(broken, *TENSORS), digests(whole, *TENSORS)
    assert ours == theirs and len(ours) >= 3 * 4


def kill_often(run: Path, command: list[str], log: Path, *, seconds: float) -> int:
    """Kills the command at least twice; says how often it was cut off.

    A table step has nothing to show before its end, so it is cut off at random moments of the time it takes; the others
    a random moment after each of the first things they finish. One that was through before that moment came loses all
    it ever did, so that it has the whole way to go, and is cut off sooner.
    """
    dice = random.Random(" ".join(command))
    if command[0] in TABLE_STEPS:
        return kill_table_step(run / TABLES[command[0]], command, log, seconds=seconds, dice=dice)
    before, killed, longest = set(run.glob("0*/[0-9]*")), 0, 0.3
    while killed < 2 and longest > 1e-4:
        if kill_when(command, log, later(run, command, wait_s=dice.uniform(0, longest))):
            killed += 1
        else:
            longest /= 2
            for file in set(run.glob("0*/[0-9]*")) - before:
                file.unlink()
    return killed


def kill_table_step(made: Path, command: list[str], log: Path, *, seconds: float, dice: random.Random) -> int:
    killed = 0
    while killed < 2 and seconds > 1e-2:
        if kill_after(command, log, seconds=seconds * dice.uniform(0.3, 0.8)):
            killed += 1
        else:
            seconds /= 1.3
            made.unlink()
    return killed


def later(run: Path, command: list[str], *, wait_s: float) -> Callable[[], bool]:
    """True from `wait_s` after the first progress on."""
    before, since = progress(run, command), [0.0]

    def seen() -> bool:
        if not since[0] and progress(run, command) > before:
            since[0] = time.monotonic()
        return bool(since[0]) and time.monotonic() - since[0] >= wait_s

    return seen


@pytest.mark.parametrize("moment", ["files", "commit"])
def test_a_kill_in_a_save_goes_on_from_the_save_before(tmp_path: Path, moment: str):
    """`files`: a rank's tensors are being written; `commit`: all are there, but not the commit."""
    log, runs = tmp_path / "log", {name: tmp_path / name for name in ("whole", "broken")}
    for run in runs.values():
        with serving(run, port=0) as port:
            prepare(run, port, log)
            for command in commands(run)[: len(ORDER)]:
                finish(command, log)
    train = {name: ["train", str(run / "base16.yaml")] for name, run in runs.items()}
    finish(train["whole"], log)
    checkpoints = runs["broken"] / "train" / "base16" / "checkpoints"

    def saving() -> bool:
        under_way = [folder for folder in checkpoints.glob("*16*") if not (folder / "COMMIT.json").exists()]
        wanted = "*/*.safetensors*" if moment == "files" else "*/manifest.json"
        return any(any(folder.glob(wanted)) for folder in under_way)

    assert kill_when(train["broken"], log, saving)
    began = time.time()
    finish(train["broken"], log)
    lines = (runs["broken"] / "train" / "base16" / "ledger.jsonl").read_text().splitlines()
    restarts = [line for line in map(json.loads, lines) if line["event"] == "restart" and line["time"] >= began]
    assert [line["step"] for line in restarts] in ([8], [16])
    assert digests(runs["broken"], "train/base16/*/*/*/*.safetensors") == digests(
        runs["whole"], "train/base16/*/*/*/*.safetensors"
    )
