"""What every command line has: a version, short help, completion, and its own name."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner

from corgi import app

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
