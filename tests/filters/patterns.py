"""Every pattern of the scorers and of what reads captions, and what a pattern that backtracks would choke on."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import filters

MODULES = ("pipeline.captions", "pipeline.lists")
ENDS = ("", "\x00", "!")
UNKNOWN = "\u0416"  # what no literal of a pattern is


def patterns() -> dict[str, re.Pattern[str]]:
    """Return all compiled patterns of these modules, by where they stand."""
    names = [f"filters.{each.name}" for each in pkgutil.iter_modules(filters.__path__)] + [*MODULES]
    found = {}
    for name in names:
        for word, value in vars(importlib.import_module(name)).items():
            several = value.values() if isinstance(value, dict) else [value]
            for number, each in enumerate(several):
                if isinstance(each, re.Pattern):
                    found[f"{name}.{word}.{number}"] = each
    return found


def worst_of(pattern: re.Pattern[str], size: int) -> Iterator[str]:
    """Yield texts of `size` characters of what the pattern looks for: repeated, cut short, and spoilt at the end."""
    parts = {part for part in _parts(re._parser.parse(pattern.pattern, pattern.flags)) if part}  # type: ignore[attr-defined]
    longest = sorted(parts, key=len)[-6:]
    for whole in longest:
        for text in {whole, whole[:-1], whole[:1] + whole[-1:], whole[-1:], whole[:1]}:
            if text:
                for end in ENDS:
                    yield whole + (text * size)[: size - len(whole) - len(end)] + end
    whole = longest[-1]
    signs = sorted({*"".join(longest)}, key=lambda sign: (sign.isalnum(), sign))[:6]
    for first, second in product(signs, repeat=2):  # two repeats that fight for the same signs
        yield (whole[:2] + first * (size // 2) + second * size)[:size]


def _parts(tree: Any) -> Iterator[str]:
    """Yield texts that the pattern, and each branch and repeat in it, would match or nearly so."""
    yield "".join(_sample(node) for node in tree)
    for code, value in tree:
        name = str(code)
        if name == "BRANCH":
            for branch in value[1]:
                yield from _parts(branch)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from _parts(value[2])
        elif name == "SUBPATTERN":
            yield from _parts(value[3])


def _sample(node: Any) -> str:
    code, value = node
    name = str(code)
    if name == "LITERAL":
        return chr(value)
    if name == "IN":
        return _of_set(value)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        times = max(int(value[0]), min(2, int(value[1])))
        return "".join(_sample(each) for each in value[2]) * times
    if name == "SUBPATTERN":
        return "".join(_sample(each) for each in value[3])
    if name == "BRANCH":
        return "".join(_sample(each) for each in value[1][0])
    return "a" if name in ("ANY", "NOT_LITERAL") else ""  # places have no width


def _of_set(members: Any) -> str:
    kinds = {"CATEGORY_DIGIT": "7", "CATEGORY_WORD": "w", "CATEGORY_SPACE": " ", "CATEGORY_NOT_SPACE": "n"}
    for code, value in members:
        name = str(code)
        if name == "NEGATE":
            return "n"
        if name == "LITERAL":
            return chr(value)
        if name == "RANGE":
            return chr(value[0])
        if name == "CATEGORY":
            return kinds.get(str(value), UNKNOWN)
    return UNKNOWN
