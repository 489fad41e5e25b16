"""The numbers that rules compare columns with, so that they can be drawn into a histogram.

thresholds("no_hate", "hate < 0.12 and offensive < 0.45")     hate < 0.12, offensive < 0.45
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from configs import UserError

from .expression import parts_of

SIGNS = {"LESSTHAN": "<", "LESSTHANOREQUALTO": "<=", "GREATERTHAN": ">", "GREATERTHANOREQUALTO": ">=", "EQUAL": "="}
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}  # 3 < x is x > 3


class Threshold(NamedTuple):
    """One comparison of a column with a number, somewhere in a rule."""

    rule: str
    column: str  # in small letters
    sign: str  # <, <=, >, >= or =
    value: float

    def __str__(self) -> str:
        return f"{self.column} {self.sign} {self.value:g}"


def thresholds(name: str, rule: str) -> list[Threshold]:
    """Return the comparisons of a column with a number in a rule, in order; none where it cannot be parsed."""
    try:
        return [found for part in parts_of(name, rule) for found in _compared(name, part)]
    except UserError:
        return []


def _compared(name: str, part: Mapping[str, Any]) -> Iterator[Threshold]:
    if part["class"] == "BETWEEN":
        sides = [(part["input"], ">=", part["lower"]), (part["input"], "<=", part["upper"])]
    elif part["class"] == "COMPARISON" and (sign := SIGNS.get(part["type"].removeprefix("COMPARE_"))):
        sides = [(part["left"], sign, part["right"]), (part["right"], TURNED[sign], part["left"])]
    else:
        return
    for column, sign, constant in sides:
        if column["class"] == "COLUMN_REF" and (value := _number(constant)) is not None:
            yield Threshold(name, ".".join(column["column_names"]).lower(), sign, value)


def _number(part: Mapping[str, Any]) -> float | None:
    """Return what a constant is as a number; None where it is something else."""
    if part["class"] != "CONSTANT":
        return None
    literal = part.get("literal") or {}
    text: Any = literal.get("text")
    scale = 0
    if literal.get("kind") not in ("INTEGER", "NUMERIC"):  # as DuckDB before 1.5 writes it
        held = part.get("value") or {}
        text, scale = held.get("value"), ((held.get("type") or {}).get("type_info") or {}).get("scale", 0)
        if isinstance(text, bool | str) or text is None:
            return None
    value = float(text) / 10**scale
    return value if math.isfinite(value) else None
