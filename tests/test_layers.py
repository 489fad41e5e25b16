"""Imports point one way."""

import ast
from pathlib import Path

HOUSE = ["configs", "filters", "cascade", "pipeline", "training", "evaluation", "quickstart"]  # from the ground up
ROOT = Path(__file__).parent.parent


def imported_folders(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names} & {*HOUSE, "slurm", "corgi"}


def test_a_folder_imports_only_from_folders_below_it():
    below = {folder: set(HOUSE[: number + 1]) for number, folder in enumerate(HOUSE)} | {"slurm": {"configs", "slurm"}}
    for folder, allowed in below.items():
        files = list((ROOT / folder).rglob("*.py"))
        assert files, folder
        for file in files:
            assert imported_folders(file) <= allowed, f"{file} imports {imported_folders(file) - allowed}"
