"""A step or a scorer of one's own is one new file and one entry in a registry; every command knows it at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
STEP = '''"""loudness: how loud a caption is."""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from configs import Config, fingerprint
from configs.steps import STEPS
from storage import pairs
from storage.shard import PAIRS, Shard
from storage.tables import content, write_table

from .step import ShardStep


class LoudnessConfig(Config):
    """What counts as loud."""

    mark: str = "!"


@dataclass(frozen=True)
class Loudness(ShardStep):
    """The shard step `loudness`."""

    entry = STEPS["loudness"]
    loudness: LoudnessConfig

    def fingerprint(self, shard: Shard) -> str:
        """Cover the mark, and the shard's pairs."""
        return fingerprint("loudness", self.loudness, content(shard.path(PAIRS)))

    def __call__(self, shard: Shard) -> Counter[str]:
        """Count the marks of every stored pair."""
        rows = pairs.stored(shard, ["key", "caption"])
        marks = [caption.count(self.loudness.mark) for caption in rows["caption"].to_pylist()]
        table = pa.table({"key": rows["key"], "loudness": marks})
        write_table(shard.path(self.writes), table, fingerprint=self.fingerprint(shard))
        return Counter(measured=len(rows))
'''
STEP_ENTRY = """    StepEntry(
        "loudness",
        "shard",
        "Measure how loud captions are.",
        after=("download",),
        reads=(".parquet",),
        writes=".loudness.parquet",
        section="loudness",
    ),
"""
SCORER = '''"""How many vowels a caption has."""

from typing import Any, ClassVar

import pyarrow as pa

from configs import Config, fingerprint

from .base import Batch


class VowelsConfig(Config):
    """Which letters count."""

    letters: str = "aeiou"


class Vowels:
    """vowels: how many of the letters a caption has."""

    name: ClassVar[str] = "vowels"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {"vowels": pa.int32()}

    def __init__(self, config: VowelsConfig) -> None:
        self.config = config
        self.fingerprint = fingerprint(self.name, config)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        return {"vowels": [sum(letter in self.config.letters for letter in text) for text in batch.captions]}
'''
# Every command in one process, for speed: what each wrote stands under a line of its name.
SESSION = """
from pathlib import Path
from typer.testing import CliRunner
from configs import dump
from corgi import app
from storage import pairs, scores
from storage.plan import shards_of
from tests.factory import WITHOUT_MODELS, downloaded

SCORE = {**WITHOUT_MODELS, "pdq": None, "vowels": {"letters": "aio"}}
CHAIN = "pipeline: world/pipeline.yaml\\nrun: world/run\\nslurm: {loudness: {tasks: 3}}\\n"

def corgi(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    print("===", words[0], result.output, sep="\\n")

if __name__ == "__main__":
    select = {"rules": {"vowels": "vowels > 2"}}
    config = downloaded(Path("world"), [{"seed": 1, "caption": "a loud corgi!!!"}], score=SCORE, select=select)
    Path("world/pipeline.yaml").write_text(dump(config))
    Path("world/chain.yaml").write_text(CHAIN)
    corgi("--help")
    for step in ("loudness", "score", "dedup", "select"):
        corgi(step, "world/pipeline.yaml")
    corgi("status", config.run)
    corgi("submit", "world/chain.yaml", "--dry-run")
    (shard,) = shards_of(config.run)
    stored = pairs.stored(shard)
    corgi("why", stored["key"][0].as_py(), "--run", config.run)
    print("===", "scores", scores.read(shard, of=stored)["vowels"].to_pylist(), sep="\\n")
"""


def insert(file: Path, text: str, *, before: str) -> None:
    """Insert an entry into a registry."""
    whole = file.read_text()
    assert whole.count(before) == 1, f"{file} no longer has one line {before!r}"
    file.write_text(whole.replace(before, text + before))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what each command of a tree with one more step and one more scorer wrote."""
    tree = tmp_path_factory.mktemp("house") / "tree"
    leave_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "docs")
    shutil.copytree(ROOT, tree, ignore=leave_out)
    (tree / "pipeline" / "loudness.py").write_text(STEP)
    insert(tree / "configs" / "steps.py", STEP_ENTRY, before='    StepEntry(\n        "score",\n')
    (tree / "filters" / "vowels.py").write_text(SCORER)
    insert(tree / "filters" / "scorers.py", '"vowels", ', before='"language", ')
    (tree / "session.py").write_text(SESSION)
    command = [sys.executable, "session.py"]
    env = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "120"}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(part.split("\n", 1) for part in done.stdout.split("===\n")[1:])


def test_the_step_is_a_command_that_runs(answers: dict[str, str]):
    assert "loudness    Measure how loud captions are." in answers["--help"]
    assert "loudness: 1 made, 0 there already" in answers["loudness"] and "measured 1" in answers["loudness"]


def test_status_submit_and_why_know_the_step(answers: dict[str, str]):
    assert any(line.split()[:5] == ["loudness", "done", "1", "of", "1"] for line in answers["status"].splitlines())
    assert "loudness=$(sbatch --parsable --dependency=afterok:$download " in answers["submit"]
    script = answers["submit"].split("loudness.sbatch\n#!/bin/bash")[1]
    assert (
        script.split("#SBATCH --array=0 ")[1].split("\n")[0].endswith("# slurm.loudness.tasks")
    )  # one shard, one task
    assert "loudness  loudness = 3" in answers["why"].splitlines()


def test_rules_score_and_why_know_the_scorer(answers: dict[str, str]):
    assert answers["scores"].strip() == "[4]"
    assert "score     vowels = 4" in answers["why"] and "passed  vowels: vowels > 2" in answers["why"]
