"""What is left of a chain: what is missing or stale, what follows from it, and nothing where all is done."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import dump, resolve
from pipeline.config import PipelineConfig
from project.hours import hours_of
from project.work import work_of
from slurm.render import Work
from storage.ledger import note
from storage.plan import shards_of
from storage.shard import SCORES
from tests.factory import WITHOUT_MODELS, through

from .drawn import draw_pictures, picture

STEPS = ["adopt", "score", "dedup", "select", "embed", "index"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures that went the whole way in three shards, and the chain of it."""
    folder = tmp_path_factory.mktemp("whole")
    values = {
        "run": str(folder / "run"),
        "adopt": {"source": str(draw_pictures(folder / "pictures", 24)), "shard_size": 8},
        "score": WITHOUT_MODELS,
        "select": {"rules": {"large": "min_side >= 64"}},
        "workers": 1,
    }
    config = resolve(PipelineConfig, values)
    (folder / "pipeline.yaml").write_text(dump(config))
    (folder / "chain.yaml").write_text(f"pipeline: {folder / 'pipeline.yaml'}\nrun: {config.run}\n")
    through(config, *STEPS)
    return folder


def work(folder: Path) -> Work:
    return work_of(folder / "chain.yaml", [])


def test_what_follows_from_one_shard_and_from_one_more_picture(whole: Path):
    done = work(whole)
    assert (done.way, done.shards, done.left) == ("shards", 3, {**{key: [] for key in STEPS}, "evaluate": []})
    page = whole / "run" / "report" / "index.html"
    page.parent.mkdir()
    page.touch()
    assert work(whole).left["report"] == []

    scores = shards_of(whole / "run")[1].path(SCORES)
    kept = scores.read_bytes()
    scores.unlink()
    left = work(whole).left
    assert {name: left[name] for name in STEPS} == {
        "adopt": [],
        "score": [1],
        "dedup": [0],
        "select": [0, 1, 2],  # dedup sees all rows
        "embed": [0, 1, 2],
        "index": [0],
    }
    assert "report" not in left
    scores.write_bytes(kept)

    picture(99).save(whole / "pictures" / "p099.png")
    (whole / "pictures" / "p099.txt").write_text("one more")
    new = work(whole)
    assert new.shards is None and "adopt" not in new.left  # how many shards it will be is not known


def test_a_changed_rule_leaves_shards_of_select_and_what_comes_after(whole: Path):
    rules = (whole / "pipeline.yaml").read_text()
    (whole / "pictures" / "p099.png").unlink(missing_ok=True)
    (whole / "pictures" / "p099.txt").unlink(missing_ok=True)
    (whole / "pipeline.yaml").write_text(rules.replace("min_side >= 64", "min_side >= 65"))
    left = work(whole).left
    (whole / "pipeline.yaml").write_text(rules)
    assert [name for name in STEPS if left[name]] == ["select", "embed", "index"]


def test_hours_are_told_by_the_rates_of_the_run_else_of_the_benchmarks(whole: Path):
    chain, run = whole / "chain.yaml", whole / "run"
    asked = ["slurm.score.tasks=2", "slurm.score.cpus=4", "slurm.select.tasks=3", "slurm.select.at_once=1"]
    todo = Work(way="shards", shards=3, left={"adopt": [], "index": []})
    note(run, event="step", step="embed", rank=0, made=2, seconds=7200.0)
    assert hours_of(chain, asked, todo) == [
        "score      3 shards in 2 tasks of 4 cores: 0.0024 h, 0.0048 task-hours (benchmarks: 0.0023 core-s a pair)",
        "dedup      one job: 0.00016 h, 0.00016 task-hours (benchmarks: 2e-05 core-s a pair)",
        "select     3 shards in 3 tasks of 1 core: 2.6e-05 h, 2.6e-05 task-hours (benchmarks: 3.1e-06 core-s a pair)",
        "embed      3 shards in 1 task of 1 core: 3 h, 3 task-hours (this run: 3,600.0 s each)",
    ]
    assert hours_of(chain, [], todo._replace(shards=None)) == []


def test_hours_before_the_plan_are_guessed_by_the_rows_of_the_table(tmp_path: Path):
    pq.write_table(pa.table({"URL": ["u"] * 45, "TEXT": ["t"] * 45}), tmp_path / "table.parquet")
    values = {"run": str(tmp_path / "run"), "table": str(tmp_path / "table.parquet"), "plan": {"shard_size": 10}}
    (tmp_path / "pipeline.yaml").write_text(dump(resolve(PipelineConfig, values)))
    (tmp_path / "chain.yaml").write_text(f"pipeline: {tmp_path / 'pipeline.yaml'}\nrun: {tmp_path / 'run'}\n")
    said = hours_of(tmp_path / "chain.yaml", ["slurm.score.tasks=2"], work_of(tmp_path / "chain.yaml", []))
    assert [line.split(":")[0] for line in said] == [
        *("plan       one job", "download   about 5 shards in 1 task of 1 core"),
        *("score      about 5 shards in 2 tasks of 1 core", "dedup      one job"),
        *("select     about 5 shards in 1 task of 1 core", "embed      about 5 shards in 1 task of 1 core"),
        "index      one job",
    ]
    (tmp_path / "table.parquet").rename(tmp_path / "table.csv")
    (tmp_path / "pipeline.yaml").write_text((tmp_path / "pipeline.yaml").read_text().replace(".parquet", ".csv"))
    assert hours_of(tmp_path / "chain.yaml", [], Work()) == []
