"""A run that was made with paths of one folder tells the same from another one, and where it was moved to."""

import re
from pathlib import Path

from configs import absolute, dump, load, moved
from pipeline.config import PipelineConfig
from pipeline.status import config_of, load_config
from project.overview import overview
from project.overview_text import told as shown
from report.page import write_report
from storage.run import CONFIG
from tests.factory import downloaded, make_run, through
from training.config import TrainConfig
from training.run_folder import read_config
from training.why import line_of, tell

from .small_training import values_of, write_config

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(9)]


def said(run: Path) -> str:
    """What status and why say of a run, its own folder and the time aside."""
    return (shown(overview(run)).partition("\n")[2] + tell(run, "/3.jpg")).replace(str(run), "RUN")


def test_a_pipelines_run(tmp_path: Path, monkeypatch):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    monkeypatch.chdir(home)
    config = downloaded(Path("data"), ROWS)
    assert not config.run.is_absolute()
    through(config, "score", "dedup", "select")
    told = said(config.run)
    assert re.search(r"plan +done +1 of 1 tables", told) and re.search(r"select +done +2 of 2 shards", told)
    monkeypatch.chdir(away)
    assert said(home / "data/run") == told
    assert write_report(load_config(home / "data/run")) == home / "data/run/report/index.html"
    assert not list(away.iterdir())
    (home / "data").rename(tmp_path / "elsewhere")
    run = tmp_path / "elsewhere/run"
    plan = r"plan +\S.*"  # its table was named by a path that is no more
    assert re.sub(plan, "plan", said(run)) == re.sub(plan, "plan", told)
    assert config_of(run).run == run and write_report(config_of(run)).is_relative_to(run)


def test_a_training_within_a_pipelines_run(tmp_path: Path, monkeypatch, train):
    monkeypatch.chdir(tmp_path)
    index = make_run(Path("runs/x"))
    values = values_of(Path("runs/x/train/base16"), index)
    assert train(write_config(Path("configs"), values)) == 0
    key = "0" * 24
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    config = read_config(tmp_path / "runs/x/train/base16")
    assert config is not None and config.data.index == tmp_path / "runs/x/index.parquet"
    (tmp_path / "runs").rename(tmp_path / "moved")
    folder = tmp_path / "moved/x/train/base16"
    config = read_config(folder)
    assert config is not None and config.data.index == tmp_path / "moved/x/index.parquet"
    assert "not trained on" in line_of(config, key, shard=0)
    assert train(folder / CONFIG, [f"run={folder}", f"data.index={config.data.index}", "steps=8"]) == 0


def test_paths_of_every_kind(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t5").mkdir()
    values = {"run": "r", "table": ["a*.parquet", "s3://b/c.parquet"], "plan": {"block": {"hosts": "h.txt"}}}
    config = PipelineConfig.model_validate({**values, "embed": {"text": {"encoder": "t5"}}})
    kept = absolute(config)
    assert kept.run == tmp_path / "r" and kept.table == [str(tmp_path / "a*.parquet"), "s3://b/c.parquet"]
    assert kept.plan.block.hosts == [str(tmp_path / "h.txt")] and kept.embed.text.encoder == str(tmp_path / "t5")
    assert absolute(PipelineConfig.model_validate(values)).embed.text.encoder == "minilm"
    (tmp_path / "c.yaml").write_text(dump(kept))
    assert load(PipelineConfig, "c.yaml") == kept == absolute(kept)
    inside = PipelineConfig.model_validate({"run": "r", "table": ["r/t.parquet", "rr/t.parquet"]})
    assert moved(inside, Path("/new")).table == ["/new/t.parquet", "rr/t.parquet"]


def test_an_encoder_in_a_folder_is_the_same_by_either_path(tmp_path: Path, monkeypatch):
    from training.changes import settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "t5").mkdir()
    values = values_of(Path("a"), Path("index.parquet"))
    one, other = (
        TrainConfig.model_validate({**values, "text": {"encoder": {"encoder": name}}})
        for name in ("t5", str(tmp_path / "t5"))
    )
    assert settings(one) == settings(other)
