"""Models that transformers runs, from a folder or by their name on the hub: out of safetensors alone, no pickle."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs import UserError
from storage import hub
from storage.atomic import sha256_cached


def folder_of(model: str, revision: str, *, key: str) -> Path:
    """Return the folder of a model, fetched where it is a name. key: of the config. Raises UserError."""
    if Path(model).is_dir():
        folder = Path(model)
    elif hub.is_name(model):
        folder = hub.fetch_model(model, revision, what=key)
    else:
        raise UserError(f"{key} {model!r} is no folder here and no name on the hub")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{key}: {folder} holds no .safetensors; convert the weights first")
    return folder


def identity(folder: Path) -> list[Any]:
    """Return what a model's answers depend on: the digests of its files, and the library that runs it."""
    return [
        [[path.name, sha256_cached(path)] for pattern in hub.FILES for path in sorted(folder.glob(pattern))],
        version("transformers"),
    ]
