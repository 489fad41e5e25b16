"""Submission: what is printed, kept and refused. A stand-in of three small programs answers for SLURM here;
test_scheduler.py asks the real one."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs import UserError, dump
from corgi import app
from quickstart.run import STAGES, configure
from slurm.job_status import job_statuses, show
from slurm.submission import read_submission
from slurm.submit import submit as submit_chain
from storage.atomic import commit_text

submit = partial(submit_chain, write=commit_text)
STEPS = ["plan", "download", "score", "dedup", "select", "embed", "index"]
SBATCH = """
[[ "$*" = *"$REFUSED"* && -n "$REFUSED" ]] && { echo "sbatch: error: invalid partition" >&2; exit 1; }
echo "$@" >> $LOG; wc -l < $LOG; wc -l < $LOG >> $QUEUE
"""
SQUEUE = """
[ -s $QUEUE ] || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }
case "$*" in
  *--array*) sed "s,$,|N/A|PENDING|0:00|1|1|N/A||Priority," $QUEUE ;;
  *) sed "s/$/ PENDING/" $QUEUE ;;
esac
"""
SCANCEL = 'echo "$@" > $QUEUE.cancelled; : > $QUEUE'


@pytest.fixture
def place(tmp_path, monkeypatch, chain):
    """A folder with configs, as the current one, and the three programs."""
    monkeypatch.chdir(tmp_path)
    for name in [chain.pipeline, *chain.train]:
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text("processes: 1\n")
    Path("runs/q/chain.yaml").write_text(dump(chain))
    Path("bin").mkdir()
    for name, text in {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL}.items():
        program = Path("bin") / name
        program.write_text(f"#!/bin/bash\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("REFUSED", "")
    return tmp_path


def test_a_dry_run_prints_scripts_and_edges_and_does_nothing(place):
    said = submit("runs/q/chain.yaml", ["slurm.score.tasks=3"], dry_run=True)
    assert said.startswith("# 11 jobs, 4 of them arrays; a dry run submits nothing.")
    assert "\nplan=$(sbatch --parsable runs/q/slurm/plan.sbatch)\n" in said
    assert "\nscore=$(sbatch --parsable --dependency=afterok:$download runs/q/slurm/score.sbatch)\n" in said
    assert "\ntrain_base16=$(sbatch --parsable --dependency=afterok:$index runs/q/slurm/train-base16.sbatch)\n" in said
    ends = ":".join(f"${name}" for name in [*STEPS, "train_base16", "train_sr64", "evaluate"])
    assert f"\nreport=$(sbatch --parsable --dependency=afterany:{ends} runs/q/slurm/report.sbatch)\n" in said
    assert "\n# ----- runs/q/slurm/score.sbatch\n#!/bin/bash\n" in said and "--array=0-2 " in said
    assert not Path("runs/q/slurm").exists() and not Path("log").exists()


def test_jobs_are_submitted_in_order_with_edges_and_kept(place):
    said = submit("runs/q/chain.yaml")
    assert "11 jobs" in said and "train-sr64  after index (7)" in said
    lines = Path("log").read_text().splitlines()
    assert lines[0] == "--parsable runs/q/slurm/plan.sbatch"
    assert lines[1] == "--parsable --dependency=afterok:1 runs/q/slurm/download.sbatch"
    assert lines[8] == "--parsable --dependency=afterok:7 runs/q/slurm/train-sr64.sbatch"
    assert lines[10] == "--parsable --dependency=afterany:1:2:3:4:5:6:7:8:9:10 runs/q/slurm/report.sbatch"
    kept = json.loads(Path("runs/q/slurm/jobs.json").read_text())
    assert kept["chain"] == "runs/q/chain.yaml"
    download = {"name": "download", "id": 2, "after": ["plan"], "step": "download", "tasks": 64, "array": "0-63"}
    assert kept["jobs"][1] == download
    assert (Path("runs/q/slurm") / "download.sbatch").read_text().startswith("#!/bin/bash\n# download")
    assert "at_once: 8" in Path("runs/q/slurm/chain.yaml").read_text()


def test_a_second_submit_is_refused_while_jobs_are_queued(place):
    submit("runs/q/chain.yaml")
    with pytest.raises(UserError, match=r"still queued: 1 plan \(pending\), 2 download .*scancel 1 2 3") as error:
        submit("runs/q/chain.yaml")
    assert error.value.exit_code == 2
    Path("queue").write_text("")
    submit("runs/q/chain.yaml")
    kept = read_submission(Path("runs/q/slurm"))
    assert kept and [job.id for job in kept.jobs][:2] == [12, 13]


def test_a_refused_job_takes_back_those_before_it(place, monkeypatch):
    monkeypatch.setenv("REFUSED", "dedup.sbatch")
    with pytest.raises(UserError, match="invalid partition; the 3 jobs submitted before it are cancelled") as error:
        submit("runs/q/chain.yaml")
    assert error.value.exit_code == 1
    assert Path("queue.cancelled").read_text() == "1 2 3\n"
    monkeypatch.setenv("REFUSED", "")
    submit("runs/q/chain.yaml")  # nothing is in the way


def test_no_slurm_is_one_clear_line(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(UserError, match=r"^no sbatch on this machine: .*--dry-run$") as error:
        submit("runs/q/chain.yaml")
    assert error.value.exit_code == 2
    assert not Path("runs/q/slurm").exists()


@pytest.mark.parametrize("lacking", ["runs/q/pipeline.yaml", "runs/q/sr64.yaml"])
def test_a_missing_config_is_named_before_anything_is_submitted(place, lacking):
    Path(lacking).unlink()
    with pytest.raises(UserError, match=f"{lacking}: no such file"):
        submit("runs/q/chain.yaml")
    assert not Path("log").exists()


def test_standing_needs_no_accounting(place):
    submit("runs/q/chain.yaml")
    run = Path("runs/q")
    assert {status.state for status in job_statuses(run)} == {"waiting"}
    Path("queue").write_text("")
    (run / "slurm" / "exits" / "1").write_text("0\n")
    for task in range(64):
        (run / "slurm" / "exits" / f"2_{task}").write_text("0\n")
    (run / "slurm" / "exits" / "3_0").write_text("3\n")
    states = {status.job.name: status for status in job_statuses(run)}
    assert [states[name].state for name in ["plan", "download", "score"]] == ["done", "done", "failed"]
    assert states["score"].why == "task 0 ended with exit code 3; see runs/q/slurm/q-score-3_0.out"
    assert "dedup                  4  never ran: score failed\n" in show(run)
    assert states["train-sr64"].why == "index never ran"
    (run / "slurm" / "exits" / "3_0").write_text("started\n")
    assert {status.job.name: status.state for status in job_statuses(run)}["score"] == "lost"


def test_standing_of_a_run_that_was_never_submitted_is_empty(tmp_path):
    assert job_statuses(tmp_path) == [] and show(tmp_path) == ""


WRONG = {
    "typo in a stage": ("sr64.yaml", "micro_batch:", "micro_batsch:", "did you mean 'micro_batch'"),
    "typo in the pipeline": ("pipeline.yaml", "workers:", "wokers:", "did you mean 'workers'"),
    "batch of 32 on 3 nodes": ("chain.yaml", "nodes: 2", "nodes: 3", "is not a multiple of micro_batch"),
    "another run": ("chain.yaml", "run: runs/q", "run: runs/p", "run is runs/p, but the pipeline's is runs/q"),
    "missing table": ("pipeline.yaml", "table.parquet", "table.parkett", "table.parkett"),
}


@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["submit", "dry run"])
def test_what_cannot_work_is_told_at_once_and_nothing_is_submitted(place, flags):
    run = Path("runs/q")
    configure(run, dict.fromkeys(STAGES, 7), minutes=1, port=1)
    columns = {"URL": ["http://a.test/1"], "TEXT": ["a"], "NAME": ["a"], "GROUP": ["a"], "FAMILY": ["a"]}
    pq.write_table(pa.table({**columns, "SPLIT": ["train"]}), run / "table.parquet")
    for name, (file, before, after, said) in WRONG.items():
        right = (run / file).read_text()
        assert before in right, name
        (run / file).write_text(right.replace(before, after, 1))
        done = CliRunner().invoke(app, ["submit", "runs/q/chain.yaml", *flags])
        assert isinstance(done.exception, UserError) and said in str(done.exception), (name, done.exception)
        (run / file).write_text(right)
    assert not Path("log").exists() and not (run / "slurm").exists()


@pytest.mark.long
def test_the_command_ends_with_2_where_there_is_no_slurm(place):
    run, root = Path("runs/q"), Path(__file__).parents[2]
    configure(run, dict.fromkeys(STAGES, 7), minutes=1, port=1)
    columns = {"URL": ["http://a.test/1"], "TEXT": ["a"], "NAME": ["a"], "GROUP": ["a"], "FAMILY": ["a"]}
    pq.write_table(pa.table({**columns, "SPLIT": ["train"]}), run / "table.parquet")
    command = [sys.executable, "-m", "corgi", "submit", "runs/q/chain.yaml"]
    env = {"PATH": "/nowhere", "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("corgi: no sbatch on this machine")
    dry = subprocess.run([*command, "--dry-run"], env=env, capture_output=True, text=True, check=True)
    assert "\nindex=$(sbatch --parsable --dependency=afterok:$embed runs/q/slurm/index.sbatch)\n" in dry.stdout
    refused = subprocess.run(
        [*command, "--dry-run", "run=runs/p"], env=env, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "run is runs/p, but the pipeline's is runs/q; make them equal" in refused.stderr
