"""A config as people write it: only what differs from the defaults, and beside every key why it is so."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

NOTE_COLUMN = 48


class Off(NamedTuple):
    """A value that is written as a comment: it can be turned on."""

    value: Any


def yaml_text(values: Mapping[str, Any], why: Mapping[str, str], *, head: str) -> str:
    """Return YAML with the reason of each key beside it. why: by dotted key; KeyError where one is missing."""
    return "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines()) + "".join(_lines(values, why, ""))


def _lines(values: Mapping[str, Any], why: Mapping[str, str], path: str) -> list[str]:
    lines, indent = [], "  " * path.count(".")
    for key, value in values.items():
        note, is_off = why[f"{path}{key}"], isinstance(value, Off)
        value = value.value if isinstance(value, Off) else value
        is_block = isinstance(value, Mapping) and bool(value)
        start = f"{indent}{'# ' * is_off}{key}:" + ("" if is_block else f" {_plain(value)}")
        lines.append(f"{start.ljust(NOTE_COLUMN)}  # {note}\n")
        if is_block:
            lines += _lines(value, why, f"{path}{key}.")
    return lines


def _plain(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()
