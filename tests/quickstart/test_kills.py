"""kill -9 of the whole tree, in every step, in every stage's training and in a save.

Each time the same command is run again; in the end every compared file has the digest of a run nobody disturbed.
"""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.steps import STEPS, entries_of
from pipeline.config import PipelineConfig
from quickstart.run import STAGES, YAML
from quickstart.web import serving
from storage import checkpoint, ledger

from .killed_commands import digests, finish, kill_after, kill_when
from .small_quickstart import begun, configured, precision

TRAIN_STEPS = 24
TRIES = 5  # to meet a moment
TRAINING = (
    *(f"steps={TRAIN_STEPS}", "checkpoint.every_steps=8", "validation.every_steps=0", "log_every_steps=1"),
    *("batch=8", "micro_batch=8", "health.restarts=1000"),
)
# Many small shards: a step that takes milliseconds for each can still be cut off between two.
SMALL = ("pipeline.plan.shard_size=8", *(f"{stage}.{setting}" for stage in STAGES for setting in TRAINING))
FILES = ("table.parquet", "truth.parquet", "plan*", "duplicates.parquet", "index.parquet", "0*/*")
TENSORS = ("train/*/checkpoints/step_*/*/*.safetensors",)


def commands(run: Path) -> list[list[str]]:
    steps = [[entry.name, str(run / "pipeline.yaml")] for entry in entries_of("table")]
    return steps + [["train", str(run / f"{stage}.yaml")] for stage in STAGES]


def name_of(command: list[str]) -> str:
    return f"{command[0]} {Path(command[1]).stem}"


def progress(run: Path, command: list[str]) -> int:
    """How far a command is: files of shards finished, or steps of a training noted."""
    if command[0] != "train":
        return len(list(run.glob("0*/[0-9]*")))
    return sum(line["event"] == "step" for line in ledger.read(run / "train" / Path(command[1]).stem))


@pytest.mark.parametrize("kills", [pytest.param(1, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.soak)])
def test_a_run_killed_everywhere_ends_as_an_unbroken_one(small: PipelineConfig, tmp_path: Path, kills: int):
    """kills: of each command."""
    log, whole, broken = tmp_path / "log", tmp_path / "whole", tmp_path / "broken"
    for run in (whole, broken):
        begun(small, run)
    with serving(whole, port=0) as port:
        configured(whole, port=port, overrides=SMALL)
        seconds = {name_of(command): finish(command, log) for command in commands(whole)}
    killed: dict[str, int] = {}
    with serving(broken, port=0) as port:
        configured(broken, port=port, overrides=SMALL)
        for command in commands(broken):
            name = name_of(command)
            killed[name] = kill_often(broken, command, log, kills=kills, seconds=seconds[name])
            finish(command, log)
    assert min(killed.values()) >= kills, killed
    assert digests(broken, *FILES) == digests(whole, *FILES)
    ours, theirs = digests(broken, *TENSORS), digests(whole, *TENSORS)
    assert ours == theirs and len(ours) >= 3 * 4


def kill_often(run: Path, command: list[str], log: Path, *, kills: int, seconds: float) -> int:
    """Kills the command `kills` times; says how often it was cut off.

    A table step has nothing to show before its end, so it is cut off at random moments of the time it takes; the others
    a random moment after each of the first things they finish. One that was through before that moment came loses all
    it ever did, so that it has the whole way to go, and is cut off sooner.
    """
    dice = random.Random(" ".join(command))
    entry = STEPS.get(command[0])
    if entry is not None and entry.kind == "table":
        return kill_table_step(run / entry.writes, command, log, kills=kills, seconds=seconds, dice=dice)
    before, killed, longest = set(run.glob("0*/[0-9]*")), 0, 0.3
    while killed < kills and longest > 1e-4:
        if kill_when(command, log, later(run, command, wait_s=dice.uniform(0, longest))):
            killed += 1
        else:
            longest /= 2
            for file in set(run.glob("0*/[0-9]*")) - before:
                file.unlink()
            shutil.rmtree(run / "train" / Path(command[1]).stem, ignore_errors=True)
    return killed


def kill_table_step(
    table: Path, command: list[str], log: Path, *, kills: int, seconds: float, dice: random.Random
) -> int:
    killed = 0
    while killed < kills and seconds > 1e-2:
        if kill_after(command, log, seconds=seconds * dice.uniform(0.3, 0.8)):
            killed += 1
        else:
            seconds /= 1.3
            table.unlink()
    return killed


def later(run: Path, command: list[str], *, wait_s: float) -> Callable[[], bool]:
    """True from `wait_s` after the first progress on."""
    before, since = progress(run, command), [0.0]

    def seen() -> bool:
        if not since[0] and progress(run, command) > before:
            since[0] = time.monotonic()
        return bool(since[0]) and time.monotonic() - since[0] >= wait_s

    return seen


def training(small: PipelineConfig, run: Path) -> list[str]:
    """The command that trains the base on the small quickstart's pairs."""
    where = [f"run={run}", f"data.index={small.run / 'index.parquet'}", f"precision={precision()}"]
    return ["train", str(YAML / "base16.yaml"), *where, *TRAINING]


@pytest.fixture(scope="module")
def undisturbed(small: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "base16"
    finish(training(small, run), run.with_suffix(".log"))
    return run


@pytest.mark.long
@pytest.mark.parametrize("moment", ["files", "commit"])
def test_a_kill_in_a_save_goes_on_from_the_save_before(
    small: PipelineConfig, undisturbed: Path, tmp_path: Path, moment: str
):
    """`files`: a rank's tensors are being written; `commit`: all are there, but not the commit."""
    run, log = tmp_path / "base16", tmp_path / "log"

    def saving() -> bool:
        folders = [
            folder for folder in (run / checkpoint.FOLDER).glob("*16*") if not (folder / checkpoint.COMMIT).exists()
        ]
        wanted = "*/*.safetensors*" if moment == "files" else f"*/{checkpoint.MANIFEST}"
        return any(any(folder.glob(wanted)) for folder in folders)

    for _ in range(TRIES):
        if kill_when(training(small, run), log, saving):
            break
        shutil.rmtree(run)  # the moment is some milliseconds long, and was missed
    else:
        pytest.fail(f"{TRIES} trainings ended before they could be killed")
    began = time.time()
    finish(training(small, run), log)
    restarts = [line for line in ledger.read(run) if line["event"] == "restart" and line["time"] >= began]
    assert [line["step"] for line in restarts] in ([8], [16])
    assert digests(run, "checkpoints/*/*/*.safetensors") == digests(undisturbed, "checkpoints/*/*/*.safetensors")
