"""Every benchmark starts, says what it is, and ends with the line that others read. No timing is judged here."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BENCHMARKS = (
    "dedup",
    "demo",
    "download",
    "embed",
    "filters",
    "gauntlet",
    "loader",
    "ops",
    "plan",
    "select",
    "train_step",
    "what_if",
)
WITHOUT_PEERS = (
    "dedup",
    "demo",
    "filters",
    "gauntlet",
    "ops",
    "plan",
    "select",
    "what_if",
)  # where there are none, the figures of Corgi stand alone


def run_benchmark(name: str, *arguments: str, peers: Path) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as `make bench` does. peers: the folder of the peers' environment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CORGI_BENCH_VENV": str(peers)}
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_these_are_all_benchmarks():
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {
        "__init__",
        "common",
        "data",
        "scale",
        "ten_filters",
    }
    assert files == set(BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_says_what_is_measured(name, tmp_path):
    result = run_benchmark(name, "--help", peers=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "--quick" in result.stdout and len(result.stdout.splitlines()) > 8


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in WITHOUT_PEERS])
def test_without_peers_a_line_says_what_to_do(name, tmp_path):
    result = run_benchmark(name, "--quick", peers=tmp_path)
    assert result.returncode == 2
    assert "make bench-setup" in result.stderr and len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.long
def test_the_last_line_is_the_figures(tmp_path):
    result = run_benchmark("filters", "--quick", peers=tmp_path)
    assert result.returncode == 0, result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert last.keys() == {"bench", "figures", "bars", "holds"}
    assert last["bench"] == "filters"
    assert last["bars"] == {} and last["holds"] is True  # bars are over peers, and there are none
    costs = {name: figure["median"] for name, figure in last["figures"].items()}
    assert {
        f"scorers_alone.{scorer}.us_per_pair" for scorer in ("decode", "size", "caption", "hate", "nsfw", "pdq")
    } < costs.keys()
    assert all(figure["min"] <= figure["median"] <= figure["max"] for figure in last["figures"].values())


@pytest.mark.long
@pytest.mark.parametrize(("name", "certain"), [("dedup", "planted_copies_found"), ("select", None), ("what_if", None)])
def test_a_run_that_is_made_up_passes_the_step(name, certain, tmp_path):
    result = run_benchmark(name, "--quick", peers=tmp_path)
    assert result.returncode == 0, result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["bench"] == name and last["figures"]["corgi.rows_per_s"]["median"] > 0
    assert certain is None or last["bars"][certain] == [1.0, 1.0, True]


def test_bars_judge_medians(capsys):
    from benchmarks import common

    runs = {"ours": [{"speed": 2.0}, {"speed": 9.0}, {"speed": 4.0}], "theirs": [{"speed": 2.0}] * 3}
    ratios = {"over_theirs": common.ratios(runs, "ours", "theirs", "speed")}
    assert common.report("pace", runs, ratios, bars={"over_theirs": 2.5}) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["figures"]["ours.speed"] == {"median": 4.0, "min": 2.0, "max": 9.0}
    assert last["bars"] == {"over_theirs": [2.0, 2.5, False]} and last["holds"] is False


def test_contenders_take_turns():
    from benchmarks import common

    turns: list[str] = []

    def take_turn(name: str) -> dict[str, float]:
        turns.append(name)
        return {"turn": float(len(turns))}

    runs = common.alternate({name: partial(take_turn, name) for name in "ab"}, rounds=3)
    assert turns == ["a", "b"] * 3
    assert [run["turn"] for run in runs["b"]] == [2.0, 4.0, 6.0]
