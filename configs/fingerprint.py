"""Fingerprints: what made a file, in 24 hex digits.

A fingerprint covers the part of the config that matters to an output and the digests of its inputs. An output whose
fingerprint is not the one expected today is stale, and the same command makes it anew.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

DIGITS = 24


def fingerprint(*parts: Any) -> str:
    """Return the first 24 hex digits of the sha256 of the parts as canonical JSON.

    Parts: str, numbers, None, lists, dicts, pydantic models. Floats keep all their digits.
    """
    return hashlib.sha256(_written(parts).encode()).hexdigest()[:DIGITS]


def fingerprints(*parts: Any) -> Callable[..., str]:
    """Return what gives `fingerprint(*parts, *further)` for many `further`: the parts are written once."""
    begun = hashlib.sha256(_written(parts)[:-1].encode() + b",")

    def ended_by(*further: Any) -> str:
        whole = begun.copy()
        whole.update(_written(further)[1:].encode())
        return whole.hexdigest()[:DIGITS]

    return ended_by


def hashed(*parts: object) -> int:
    """Return a number of 60 bits that depends on the parts alone: a die that falls the same way every time."""
    return int(hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:15], 16)


def _written(parts: Sequence[Any]) -> str:
    return _ENCODER.encode(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"a fingerprint takes plain values and models, not {type(value).__name__}: {value!r}")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=True)
