"""Imports point one way, between folders and inside them; and every folder introduces itself."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = (  # from the ground up
    *("configs", "storage", "filters", "cascade", "pipeline", "evaluation", "training", "report", "tracking", "demo"),
    *("project", "quickstart"),
)
ALLOWED = {folder: {*HOUSE[: floor + 1]} for floor, folder in enumerate(HOUSE)} | {"slurm": {"configs", "slurm"}}
ALLOWED["project"].add("slurm")  # a chain's config: what it asks for must fit the others
ALLOWED |= {"commands": {*ALLOWED, "commands"}}
PACKAGES = sorted(file.parent for folder in ALLOWED for file in (ROOT / folder).rglob("__init__.py"))


def name_of(file: Path) -> str:
    """Return the name by which a file is imported."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for folder in ALLOWED for file in sorted((ROOT / folder).rglob("*.py"))}
FILES["corgi"] = ROOT / "corgi.py"


def imported_by(name: str) -> Iterator[str]:
    """Yield the modules of ours that a module imports anywhere in it, inside functions too."""
    file = FILES[name]
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield from (
                f"{source}.{alias.name}" if f"{source}.{alias.name}" in FILES else source for alias in node.names
            )


def test_every_folder_of_code_has_its_floor():
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"} == {*ALLOWED}


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_from_folders_below_it(folder: str):
    for name in FILES:
        if name.split(".")[0] == folder:
            ours = {module.split(".")[0] for module in imported_by(name)} & {*ALLOWED, "corgi"}
            assert ours <= ALLOWED[folder], f"{name} imports {ours - ALLOWED[folder]}"


def test_no_job_knows_a_tracker():
    """A tracker that hangs can then hang none, and one that is not there is missed by none."""
    knows = {
        name.split(".")[0] for name in FILES if {"wandb", "tensorboardX"} & {m.split(".")[0] for m in imported_by(name)}
    }
    assert knows == {"tracking"}


def test_no_ring_of_modules():
    ours = {name: {module for module in imported_by(name) if module in FILES} for name in FILES}
    TopologicalSorter(ours).prepare()  # CycleError names the ring


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.relative_to(ROOT)))
def test_every_folder_says_what_lives_in_it(package: Path):
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    inside = {file.stem for file in package.glob("*.py")} - {"__init__"}
    unnamed = sorted(name for name in inside if name not in text)
    assert text and not unnamed, f"{package / '__init__.py'} does not say what is in {', '.join(unnamed)}"
