"""Models that transformers runs, from a folder or by their name on the hub: out of safetensors alone, no pickle."""

import hashlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs import UserError
from storage.hub import fetch_model

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
FILES = ("*.json", "*.safetensors", "*.model", "*.txt")  # all that is read of a model


def folder_of(model: str, revision: str, *, key: str) -> Path:
    """Return the folder of a model, fetched where it is a name. key: of the config. Raises UserError."""
    if Path(model).is_dir():
        folder = Path(model)
    elif HUB_NAME.fullmatch(model):
        folder = fetch_model(model, revision, FILES, what=key)
    else:
        raise UserError(f"{key} {model!r} is no folder here and no name on the hub")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{key}: {folder} holds no .safetensors; convert the weights first")
    return folder


def identity(folder: Path) -> list[Any]:
    """Return what a model's answers depend on: the digests of its files, and the library that runs it."""
    return [
        [[path.name, _sha256(path)] for pattern in FILES for path in sorted(folder.glob(pattern))],
        version("transformers"),
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
