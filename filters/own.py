"""Scorers of one's own: a class in a Python file, or the entry point `corgi.scorers` of an installed package.

    corgi score CONFIG --scorers my_scorers.py --scorers NAME

A class has `needs`, `columns` (name -> Arrow type, or what it is called) and is called with a Batch, see `base`. What
it made goes stale when its source changes. No YAML names code, and what is installed does not run unless asked for.
"""

import inspect
import json
import os
import re
import sys
from collections.abc import Collection
from functools import cache
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from configs import UserError, fingerprint, nearest

from .base import Batch, Scorer
from .expression import first_line

VARIABLE = "CORGI_SCORERS"  # environment: what --scorers named, as JSON, for the processes of the steps
GROUP = "corgi.scorers"
NAME = re.compile(r"[a-z][a-z0-9_]*")
PARTS = ("images", "captions")  # of a batch, beside columns


class Own:
    """A scorer that somebody else wrote: its answers are checked before they are kept."""

    def __init__(self, kind: type, source: str, *, where: str) -> None:
        self._where = f"{where}: scorer {kind.__name__}"
        self.name: str = getattr(kind, "name", kind.__name__.lower())
        needs = getattr(kind, "needs", ())
        self.needs: tuple[str, ...] = (needs,) if isinstance(needs, str) else tuple(needs)
        self.columns: dict[str, pa.DataType] = {
            name: self._type(name, given) for name, given in getattr(kind, "columns", {}).items()
        }
        for name in (self.name, *self.columns):
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise UserError(f"{self._where}: {name!r} is no name; take small letters, digits and underscores")
        if not self.needs or not self.columns:
            raise UserError(f'{self._where} says no `needs` ("images", "captions" or columns) or no `columns`')
        self.image_px: int = getattr(kind, "image_px", 0)
        self.fingerprint = fingerprint("own", self.name, source)
        self._scorer: Scorer | None = None
        self._kind = kind

    def _type(self, name: str, given: Any) -> pa.DataType:
        try:
            return given if isinstance(given, pa.DataType) else pa.type_for_alias(given)
        except (ValueError, TypeError):
            raise UserError(
                f"{self._where}: column {name!r} has the type {given!r}; e.g. float32, int32, bool"
            ) from None

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Return what it says. Raises UserError where that is not one value a pair of every column."""
        if self._scorer is None:
            self._scorer = self._kind()
        said = {name: list(values) for name, values in self._scorer(batch).items()}
        if said.keys() != self.columns.keys():
            raise UserError(f"{self._where} returned {', '.join(said)}, and not the columns {', '.join(self.columns)}")
        for name, values in said.items():
            if len(values) != len(batch.captions):
                raise UserError(f"{self._where}: {name} has {len(values)} values for {len(batch.captions)} pairs")
            try:
                made = pa.array(values, self.columns[name])
                if pa.types.is_integer(made.type):
                    pa.array(values).cast(made.type)  # which sees that 0.9 would become 0
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise UserError(f"{self._where}: {name} is no {self.columns[name]}: {first_line(error)}") from None
        return said

    def check(self, columns: Collection[str], further: Collection[str]) -> None:
        """Raise UserError where it needs what is not there, or makes what a pair has already.

        columns: of a pair, before this scorer; further: those that later steps make.
        """
        for name in self.needs:
            if name not in (*PARTS, *columns):
                raise UserError(f"{self._where} needs {name!r}, which no pair has{nearest(name, [*PARTS, *columns])}")
        for name in self.columns:
            if name in (*columns, *further):
                raise UserError(f"{self._where} makes {name!r}, which pairs have already; call it otherwise")


def ask_for(words: list[str]) -> None:
    """Have these scorers run, in this process and all that it starts. words: files, or names of entry points."""
    own = [str(Path(word).absolute()) if is_file(word) else word for word in words]
    os.environ[VARIABLE] = json.dumps(own)
    own_scorers()


def is_file(word: str) -> bool:
    """Tell whether it means a file."""
    return word.endswith(".py") or "/" in word


def own_scorers() -> list[Own]:
    """Return the scorers that were asked for. Raises UserError where one cannot be had."""
    return [scorer for word in json.loads(os.environ.get(VARIABLE) or "[]") for scorer in _scorers_of(word)]


@cache
def _scorers_of(word: str) -> list[Own]:
    return _of_file(Path(word)) if is_file(word) else [_of_entry_point(word)]


def _of_file(path: Path) -> list[Own]:
    if not path.is_file():
        raise UserError(f"--scorers {path}: there is no such file")
    try:
        source = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"--scorers {path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    spec = spec_from_file_location(f"corgi_own_{fingerprint(source)}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--scorers {path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the module of a class
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--scorers {path} cannot be imported: {type(error).__name__}: {error}") from error
    kinds = [each for each in vars(module).values() if _is_scorer(each, module)]
    if not kinds:
        raise UserError(f"--scorers {path} has no class with `needs` and `columns`")
    return [Own(kind, source, where=path.name) for kind in kinds]


def _is_scorer(value: object, module: ModuleType) -> bool:
    is_here = isinstance(value, type) and value.__module__ == module.__name__
    return is_here and hasattr(value, "needs") and hasattr(value, "columns")


def _of_entry_point(name: str) -> Own:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise UserError(f"--scorers {name!r}: no installed package has such a scorer{nearest(name, known)}")
    kind = known[name].load()
    package = known[name].dist
    source = Path(inspect.getfile(kind)).read_text(encoding="utf-8")
    return Own(kind, f"{package.version if package else ''}\n{source}", where=f"entry point {name}")
