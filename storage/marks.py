"""Files whose bytes are known: what a manifest or a COMMIT says of them, and the seal of what it says.

{"files": {"params.safetensors": {"sha256": "...", "size": 1234}}}                      a manifest
{"step": 1000, "world_size": 8, "files": {...}, "seal": "..."}                          a COMMIT
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from .atomic import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

SEAL = "seal"  # sha256 of all else in a COMMIT
NAMES = re.compile(r"(rank_\d+/)?[\w-][\w.-]*")  # of files in a checkpoint; nothing outside of it is ever read


class BrokenError(Exception):
    """A checkpoint that cannot be used; says what is wrong in a line."""


def mark_of(path: Path) -> dict[str, Any]:
    """Return the mark of a file that was written."""
    return {"sha256": sha256_file(path), "size": path.stat().st_size}


def fault_of(path: Path, mark: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a file, None where it is as its mark says."""
    if not path.exists():
        return "is missing"
    if path.stat().st_size != mark["size"]:
        return f"has {path.stat().st_size} bytes, not {mark['size']}"
    return None if sha256_file(path) == mark["sha256"] else "has other bytes than were written (sha256 differs)"


def _read(path: Path, mark: Mapping[str, Any] | None) -> bytes:
    """Return the bytes of a file, equal to those that were written where a mark says what they were."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BrokenError(f"{path} cannot be read: {error.strerror}") from None
    if mark is not None and hashlib.sha256(data).hexdigest() != mark["sha256"]:
        raise BrokenError(f"{path} has other bytes than were written (sha256 differs)")
    return data


def read_safetensors(path: Path, mark: Mapping[str, Any]) -> "dict[str, Tensor]":
    """Return the tensors of a file, its bytes checked. Raises BrokenError."""
    from safetensors.torch import load

    try:
        return load(_read(path, mark))
    except SafetensorError as error:
        raise BrokenError(f"{path} is not safetensors: {error}") from None


def read_object(path: Path, mark: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a JSON object, its bytes checked where there is a mark of them."""
    try:
        value = json.loads(_read(path, mark))
    except ValueError as error:
        raise BrokenError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BrokenError(f"{path} holds {type(value).__name__}, not an object")
    return value


def read_sealed(path: Path, *, unsealed: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what a COMMIT says, as it was written. unsealed: tells whether one without a seal may be believed."""
    content = read_object(path)
    seal = content.pop(SEAL, None)
    if seal != _seal_of(content) and not (seal is None and unsealed(content)):
        raise BrokenError(f"{path} says something else than was written (its seal is {'wrong' if seal else 'missing'})")
    return content


def with_seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a COMMIT holds, and the digest of it."""
    return {**content, SEAL: _seal_of(content)}


def _seal_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def files_in(path: Path, content: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return name -> {sha256, size}, the marks in a COMMIT or a manifest."""
    files = content.get("files")
    if not isinstance(files, dict):
        raise BrokenError(f"{path} lists no files")
    for name, mark in files.items():
        if not (NAMES.fullmatch(name) and isinstance(mark, dict) and {"sha256", "size"} <= mark.keys()):
            raise BrokenError(f"{path} has an entry that no checkpoint has: {name!r}")
    return files
