"""What `corgi status` shows of a run, whatever there is of it, and the JSON that programs read."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from corgi import app
from pipeline.runner import run_step
from project.overview import overview
from project.overview_text import as_json, duration, told
from storage.lease import Key, hold
from storage.ledger import note, read
from tests.factory import config_for, downloaded, through

ROW = {
    *("name", "kind", "state", "done", "total", "stale", "tasks", "rate_per_s", "eta_s", "reasons", "loss", "restarts"),
    *("goodput", "core_hours", "gpu_hours", "jobs"),
}
ROWS = [{"seed": n, "caption": f"picture {n}", **({} if n % 4 else {"reason": "http_404"})} for n in range(16)]


def rows_of(run: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in as_json(overview(run))["rows"]}


def test_the_shape_of_the_json(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    through(config, "score", "dedup")
    done = CliRunner().invoke(app, ["status", "--json", str(config.run)])
    seen = json.loads(done.stdout)
    assert seen.keys() == {
        *("version", "run", "at", "submitted_at", "queue", "goodput", "core_hours", "gpu_hours", "rows")
    }
    assert seen["version"] == 1 and seen["run"] == str(config.run) and seen["queue"] is None
    assert all(row.keys() == ROW for row in seen["rows"])
    assert [row["name"] for row in seen["rows"]] == ["plan", "download", "score", "dedup", "select", "embed", "index"]
    assert {row["kind"] for row in seen["rows"]} == {"step"}
    states = [row["state"] for row in seen["rows"]]
    assert states == ["done", "stale", "done", "done", "to do", "to do", "to do"]  # its shards were made by hand


def test_a_step_at_work_tells_its_pace_its_losses_and_what_is_left(tmp_path: Path):
    config = downloaded(tmp_path, ROWS, shard_size=2, select={"rules": {"odd": "seed % 2 = 1"}})
    through(config, "score", "dedup")
    run_step("select", config, workers=1, rank=0, world_size=2)
    before = rows_of(config.run)["select"]
    assert (before["state"], before["done"], before["total"], before["restarts"]) == ("partly", 4, 8, 0)
    assert before["reasons"].keys() == {"odd"} and before["core_hours"] > 0 and before["eta_s"] is None
    with hold(config.run, Key("select", 1, 2)):
        note(config.run, event="begin", step="select", rank=1, world_size=2, todo=4, cores=2, gpus=0)
        step = through(config, "select")
        assert step
        note(config.run, event="begin", step="select", rank=1, world_size=2, todo=4, cores=2, gpus=0)
        (config.run / "000/00007.keep.parquet").unlink()
        seen = rows_of(config.run)["select"]
        assert (seen["state"], seen["done"], seen["restarts"]) == ("running", 7, 1)
        (config.run / "000/00005.keep.parquet").touch()
        assert rows_of(config.run)["select"]["rate_per_s"] > 0 and rows_of(config.run)["select"]["eta_s"] > 0
        assert re.search(
            r"select +running +7 of 8 shards +.* shards/s +\d+ s +odd \d+%, on ", told(overview(config.run))
        )
    assert rows_of(config.run)["select"]["state"] == "partly"


def test_work_that_came_to_its_end_and_begins_anew_was_not_restarted(tmp_path: Path):
    config = downloaded(tmp_path, ROWS, select={"rules": {"odd": "seed % 2 = 1"}})
    through(config, "score", "dedup")
    run_step("select", config, workers=1)
    again = config.model_copy(update={"select": config.select.model_copy(update={"rules": {"even": "seed % 2 = 0"}})})
    run_step("select", again, workers=1)
    assert [line["event"] for line in read(config.run) if line.get("step") == "select"] == ["begin", "step"] * 2
    assert rows_of(config.run)["select"]["restarts"] == 0


def test_right_after_the_first_submit_there_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = config_for(tmp_path)
    slurm = config.run / "slurm"
    slurm.mkdir(parents=True)
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    chain = {"pipeline": "pipeline.yaml", "run": str(config.run)}
    (slurm / "chain.yaml").write_text(yaml.safe_dump(chain))
    jobs = [{"name": "plan", "id": 7, "after": []}, {"name": "report", "id": 8, "after": ["plan"]}]
    submission = {"chain": "chain.yaml", "submitted_at": "2026-01-01T00:00:00+00:00", "jobs": jobs}
    (slurm / "jobs.json").write_text(json.dumps(submission))
    (slurm / "plan.sbatch").write_text(f"#SBATCH --chdir={tmp_path}      # always\n")
    (tmp_path / "squeue").write_text("#!/bin/sh\necho '7|N/A|RUNNING|0:05|1|1|N/A|node1|None'\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    rows = rows_of(config.run)
    assert [*rows][:2] == ["plan", "download"] and [*rows][-1] == "report"
    assert (rows["plan"]["state"], rows["download"]["state"], rows["report"]["kind"]) == ("running", "to do", "job")
    assert re.search(r"^plan +running +1 running$", told(overview(config.run)), re.MULTILINE)
    (slurm / "chain.yaml").unlink()  # the chain has gone elsewhere: jobs are told all the same
    assert [*rows_of(config.run)] == ["plan", "report"]


def test_before_anything_a_line_says_what_starts_a_run(tmp_path: Path):
    for folder, said in [(tmp_path, "is no run: it holds no config.yaml"), (tmp_path / "none", "is no folder")]:
        done = CliRunner().invoke(app, ["status", str(folder)])
        assert done.exit_code and said in str(done.exception)


def test_durations_have_two_units():
    seconds = [0, 59.6, 61, 3600, 3661, 90_000, 1e6]
    assert [duration(each) for each in seconds] == [
        *("0 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d 1 h", "11 d 13 h"),
    ]
    assert duration(None) == ""


def test_a_look_leaves_nothing_and_holds_nobody_up(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    before = sorted(path for path in config.run.rglob("*"))
    looks = [threading.Thread(target=overview, args=(config.run,)) for _ in range(3)]
    through(config, "score")
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    made = {path.name for path in config.run.rglob("*")} - {path.name for path in before}
    assert all(name.endswith(".scores.parquet") or name == "config.yaml" for name in made)
