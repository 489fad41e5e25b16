"""What a person sees of a step's command: one clear line on what is wrong, and the exit code that tells."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs import dump
from pipeline.select import SelectConfig
from storage import keep_list
from storage.plan import shards_of
from storage.shard import SCORES, TAR
from tests.factory import WITHOUT_MODELS, downloaded, through

ROWS: list[dict[str, Any]] = [{"seed": n, "caption": f"picture number {n}"} for n in range(20)]


def corgi(*words: str | Path) -> tuple[int, str]:
    """Exit code, and what was said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "corgi", *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_a_broken_shard_takes_no_other_with_it_and_the_exit_code_tells(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    (tmp_path / "pipeline.yaml").write_text(dump(config))
    broken = shards_of(config.run)[1]
    broken.path(TAR).write_bytes(broken.path(TAR).read_bytes()[:700])
    code, said = corgi("score", tmp_path / "pipeline.yaml")
    assert code == 3
    assert f"shard 00001 failed: ValueError: {broken.path(TAR)} is cut short" in said and "remove it" in said
    assert [shard.path(SCORES).exists() for shard in shards_of(config.run)] == [True, False, True]
    assert corgi("score", tmp_path / "pipeline.yaml", "tolerate=1")[0] == 0
    code, said = corgi("dedup", tmp_path / "pipeline.yaml")
    assert code == 2 and f'{broken.path(SCORES)} is not there; run "corgi score {config.run}" first' in said


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["plan", "none.yaml"], 2, "no such file"),
        (["plan", "pipeline.yaml", "plan.shard_sise=3"], 2, "did you mean 'shard_size'"),
        (["plan", "pipeline.yaml", "plan.caption=TEXTT"], 2, "did you mean 'TEXT'"),
        (["plan", "pipeline.yaml", "table=[none.parquet]"], 2, "no such table"),
        (["plan", "pipeline.yaml", "table=[a"], 2, "put it in quotes"),
        (["select", "pipeline.yaml", "select.rules.words=caption_wrods > 1"], 2, "did you mean"),
        (["score", "pipeline.yaml", "--workers", "0"], 2, "--workers"),
        (["score", "pipeline.yaml", "--rank", "2", "--world-size", "2"], 2, "rank 2 of 2"),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, list) else None,
)
def test_wrong_use_is_one_line(of_a_run: Path, words: list[str], code: int, line: str):
    assert (found := corgi(words[0], of_a_run / words[1], *words[2:]))[0] == code, found
    assert line in found[1]


@pytest.fixture(scope="module")
def of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config of a run that is scored and knows its copies."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "pipeline.yaml").write_text(dump(downloaded(folder, ROWS)))
    for step in ("score", "dedup"):
        assert corgi(step, folder / "pipeline.yaml")[0] == 0
    return folder


def test_a_folder_stands_for_the_yaml_that_a_person_edits_in_it(tmp_path: Path):
    config = downloaded(tmp_path / "run", ROWS, score=WITHOUT_MODELS)
    through(config, "score", "dedup", "select")
    edited = config.model_copy(update={"select": SelectConfig(rules={"one": "caption <> 'picture number 3'"})})
    (config.run / "pipeline.yaml").write_text(dump(edited))
    assert corgi("select", config.run)[0] == 0
    kept = [kept for shard in shards_of(config.run) for kept in keep_list.read(shard)["kept"].to_pylist()]
    assert kept.count(False) == 1 and len(kept) == len(ROWS)
    elsewhere = edited.model_copy(update={"run": tmp_path / "elsewhere"})
    (config.run / "pipeline.yaml").write_text(dump(elsewhere))  # it was copied here, and begins another run
    assert corgi("select", config.run, "select.rules={}")[0] == 0 and not (tmp_path / "elsewhere").exists()
