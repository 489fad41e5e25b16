"""What an edit would make anew is told before anything runs, with the time that this run's own ledger suggests."""

from pathlib import Path

from typer.testing import CliRunner

from configs import dump, resolve
from corgi import app
from pipeline.config import PipelineConfig
from pipeline.forecast import forecast, told
from storage.ledger import note
from tests.factory import WITHOUT_MODELS, noise_image, through


def selected(folder: Path) -> PipelineConfig:
    """A run of two shards after `select`, every step of it real."""
    (folder / "pictures").mkdir()
    for number in range(9):
        (folder / f"pictures/{number}.jpg").write_bytes(noise_image(number))
        (folder / f"pictures/{number}.txt").write_text(f"picture number {number}")
    adopt = {"source": str(folder / "pictures"), "shard_size": 5}
    values = {"run": str(folder / "run"), "adopt": adopt, "score": WITHOUT_MODELS}
    config = resolve(PipelineConfig, values)
    config.run.mkdir()
    through(config, "adopt", "score", "dedup", "select")
    return config


def edited(config: PipelineConfig, *overrides: str) -> PipelineConfig:
    return resolve(PipelineConfig, config.model_dump(mode="json"), overrides)


def test_a_changed_rule_asks_for_select_and_what_follows(tmp_path: Path):
    config = selected(tmp_path)
    note(config.run, event="step", step="select", rank=0, made=2, seconds=4.0)
    note(config.run, event="step", step="dedup", rank=0, made=1, seconds=3.0)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    by_step = {each.status.step: each for each in forecast(edited(config, "select.rules.long=caption_words > 1"))}
    assert by_step["score"].sentence == "2 of 2 done" and by_step["adopt"].after is None
    assert by_step["select"].status.states == {"stale": 2} and by_step["select"].seconds == 4.0
    assert by_step["dedup"].status.states == {"done": 1} and by_step["dedup"].seconds == 0
    assert "time unknown" in by_step["embed"].sentence and by_step["embed"].after == "select"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_what_follows_a_stale_step_is_told_at_most(tmp_path: Path):
    config = selected(tmp_path)
    note(config.run, event="step", step="select", rank=0, made=2, seconds=4.0)
    by_step = {each.status.step: each for each in forecast(edited(config, "dedup.distance=3"))}
    assert by_step["dedup"].status.states == {"stale": 1} and by_step["dedup"].seconds is None
    assert by_step["select"].sentence == "2 of 2 done, and whatever dedup changes, about 4.0 s at most"


def test_the_command_takes_a_yaml_and_todays_differences(tmp_path: Path):
    config = selected(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(dump(config))
    done = CliRunner().invoke(app, ["status", str(tmp_path / "pipeline.yaml"), "select.held_out=caption_words > 2"])
    assert done.exit_code == 0, done.exception
    assert (
        "select     0 of 2 done, 2 stale" in done.stdout
        and done.stdout == told(forecast(edited(config, "select.held_out=caption_words > 2"))) + "\n"
    )
