"""What every command line has: a version, short help, completion, and its own name."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corgi import app
from training.run_folder import prepare

from .factory import downloaded, through
from .training.small_training import config_of

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def corgi(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command: list[str] = [sys.executable, "-m", "corgi", *words]
    environment: Mapping[str, str] = {**os.environ, **env}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_python_dash_m_corgi_names_itself():
    help_text = corgi("-h")
    assert help_text.returncode == 0 and help_text.stdout.startswith("Usage: python -m corgi ")
    assert "--install-completion" in help_text.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_short_help(command: str):
    told = CliRunner().invoke(app, [command.replace("_", "-"), "-h"], prog_name="corgi")
    assert told.exit_code == 0 and told.stdout.startswith(f"Usage: corgi {command.replace('_', '-')} ")


def test_the_version_is_told():
    told = CliRunner().invoke(app, ["--version"])
    assert told.exit_code == 0 and told.stdout.startswith("corgi ") and told.stdout[6].isdigit()


def test_words_of_a_shell_are_completed():
    env = {"_CORGI_COMPLETE": "complete_bash", "COMP_WORDS": "corgi sta", "COMP_CWORD": "1"}
    program = "import sys; sys.argv[0] = 'corgi'; import corgi; corgi.main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["status"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's run with a training in it, of which nothing is done yet."""
    config = downloaded(tmp_path_factory.mktemp("begun"), [{"caption": "a red disc", "seed": 1}])
    through(config)
    prepare(config_of(config.run / "train/base16", config.run / "index.parquet"), content="none")
    return config.run


@pytest.mark.parametrize(
    "words", [["-h"], ["--version"], ["config", "optim.lr"], ["config", "--all"], ["status"]], ids=" ".join
)
def test_what_only_tells_something_loads_no_torch(words: list[str], begun: Path):
    program = """
import sys, corgi
try:
    corgi.main()
except SystemExit as end:
    heavy = {"torch", "transformers", "onnxruntime", "deepspeed", "accelerate"} & {*sys.modules}
    print("loaded", *sorted(heavy))
    raise
"""
    told = subprocess.run(
        [sys.executable, "-c", program, *words, *([str(begun)] if words == ["status"] else [])],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0 and told.stdout.splitlines()[-1] == "loaded", told.stdout[-300:] + told.stderr
