"""The documents say what is there: the site builds, every command parses, every column of a file is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from corgi import app
from storage import duplicates, index, keep_list, pairs, plan

from .pages import ROOT, commands, python_blocks

FORMATS = (ROOT / "docs" / "file-formats.md").read_text(encoding="utf-8")


def test_the_site_is_built_without_a_warning_and_asks_nothing_of_others(tmp_path: Path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert result.returncode == 0 and result.stderr == ""
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        asked = re.findall(r"<(?:link|script|img|iframe)[^>]+(?:href|src)=\"?(https?:[^\s\">]+)", page.read_text())
        assert asked == [], page.name


@pytest.mark.parametrize("shown", sorted({*commands()}), ids=lambda shown: f"{shown.page}: {shown.line}")
def test_every_command_that_is_shown_parses(shown):
    name, command, context, words = "corgi", typer.main.get_command(app), None, shown.words
    while hasattr(command, "resolve_command"):  # a group, of which the next word names a command
        context = command.make_context(name, list(words), parent=context)
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, list(words), parent=context)  # raises for what is not an option, or is missing


def test_commands_are_found_in_the_pages():
    lines = [shown.line for shown in commands()]
    assert "corgi select runs/quickstart/pipeline.yaml" in lines and "corgi index mine.yaml" in lines
    assert not any("->" in line or "  " in line for line in lines)


@pytest.mark.parametrize(
    "columns",
    [
        pairs.COLUMNS.names,
        duplicates.SCHEMA.names,
        plan.DROPPED_SCHEMA.names,
        keep_list.CARRIED,
        index.NOT_TRAINED_ON,
    ],
)
def test_every_column_of_a_file_is_told(columns):
    assert [name for name in columns if f"{name}`" not in FORMATS and f"{name}," not in FORMATS] == []


def test_examples_are_python():
    blocks = python_blocks(ROOT / "docs" / "file-formats.md")
    assert len(blocks) >= 5
    for block in blocks:
        compile(block, "example", "exec")
