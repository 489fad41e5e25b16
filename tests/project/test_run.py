"""`corgi run`, as a person types it: the whole way, killed in the middle and taken up again, from another folder."""

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from project.files import Project, project_of
from project.init import init
from project.run import Whole
from storage import ledger
from tests.quickstart.killed_commands import kill_when

from .drawn import caption, draw_pictures, picture


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Pictures behind a web server on loopback; its address."""
    draw_pictures(tmp_path / "served", 60)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def smaller(mine: Path) -> None:
    """Trainings and sets of pictures that take seconds."""
    for file in (mine / "base16.yaml", mine / "sr64.yaml"):
        text = file.read_text().replace("batch: 32 ", "batch: 8 ").replace("batch: 16 ", "batch: 8 ")
        file.write_text(text.replace("samples: 32 ", "samples: 4 "))
    (mine / "evaluate.yaml").write_text("{per_group: 2, held_out: 2, compared: 9, gap_pairs: 4, enlarged: 2}\n")


def corgi(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "corgi", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_pictures_become_a_cascade_by_two_commands_though_one_is_killed(tmp_path: Path):
    draw_pictures(tmp_path / "pictures", 200)
    elsewhere = tmp_path / "elsewhere"
    for folder in ("configs", "training"):
        (elsewhere / folder).mkdir(parents=True)
    mine = tmp_path / "mine"
    written = corgi("init", mine, "--from", tmp_path / "pictures", "--steps", 3, cwd=elsewhere)
    assert written.returncode == 0, written.stderr
    smaller(mine)
    was_killed = kill_when(["run", str(mine)], tmp_path / "log", lambda: (mine / "index.parquet").exists())
    assert was_killed and not (mine / "figures.json").exists()
    whole = corgi("run", mine, cwd=elsewhere)
    assert whole.returncode == 0, whole.stderr
    assert "embed: done already" in whole.stdout and f"$ corgi train {mine / 'base16.yaml'}" in whole.stdout
    assert (mine / "report/index.html").exists() and (mine / "figures.json").exists()
    queued = corgi("submit", mine / "chain.yaml", "slurm.train.overrides=[]", cwd=elsewhere)
    assert queued.stdout == "nothing is left to do: every step and stage is done\n", queued.stderr

    edit(mine / "pipeline.yaml", "min_side >= 64", "min_side >= 100")
    edit(mine / "base16.yaml", "steps: 3 ", "steps: 4 ")
    told = corgi("status", mine / "pipeline.yaml", cwd=elsewhere)
    assert told.returncode == 0 and re.search(r"select .*stale", told.stdout), told.stdout + told.stderr
    again = corgi("run", mine, cwd=elsewhere)
    assert again.returncode == 0, again.stderr
    assert f"$ corgi train {mine / 'base16.yaml'} --accept-new-data" in again.stdout
    assert "train sr64: done already, on the pairs kept before" in again.stdout
    ran = [line["command"] for line in ledger.read(mine) if line["event"] == "command"]
    assert (ran.count("train base16"), ran.count("train sr64"), ran.count("score")) == (2, 1, 1)
    kept = sum(pq.read_table(mine / "index.parquet")["kept"].to_pylist())
    assert kept == sum(min(picture(number).size) >= 100 for number in range(200)) < 200
    drawn = corgi("sample", mine / "train/base16", mine / "train/sr64", "--caption", "a disc", cwd=elsewhere)
    assert drawn.returncode == 0 and Path(drawn.stdout.split()[-1]).exists(), drawn.stderr


@pytest.mark.long
def test_a_table_of_urls_on_ones_own_server_becomes_an_index(tmp_path: Path, web: str):
    urls = [f"{web}/p{number:03d}.png" for number in range(60)]
    pq.write_table(pa.table({"link": urls, "words": [caption(n) for n in range(60)]}), tmp_path / "t.parquet")
    list(init(tmp_path / "mine", str(tmp_path / "t.parquet"), steps=1))
    Whole(Project(pipeline=tmp_path / "mine/pipeline.yaml"), typed="corgi run mine").go()
    assert pq.read_table(tmp_path / "mine/index.parquet")["kept"].to_pylist() == [60]


@pytest.mark.long
def test_one_single_pair_goes_the_whole_way(tmp_path: Path):
    draw_pictures(tmp_path / "pictures", 1)
    list(init(tmp_path / "mine", str(tmp_path / "pictures"), steps=1))
    smaller(tmp_path / "mine")
    Whole(project_of(tmp_path / "mine"), typed="corgi run mine").go()
    assert (tmp_path / "mine/figures.json").exists()


@pytest.mark.long
def test_a_step_that_fails_ends_the_way_with_its_exit_code_and_a_line(tmp_path: Path):
    urls = [f"http://127.0.0.1:9/{number}.png" for number in range(60)]
    pq.write_table(pa.table({"url": urls, "caption": [caption(n) for n in range(60)]}), tmp_path / "t.parquet")
    list(init(tmp_path / "mine", str(tmp_path / "t.parquet"), steps=1))
    with pytest.raises(UserError, match="`corgi run mine` goes on from there") as caught:
        Whole(project_of(tmp_path / "mine"), typed="corgi run mine").go()
    assert caught.value.exit_code and not (tmp_path / "mine/train").exists()
