"""The reference of a config's keys, made from its models: type, default, unit, meaning and example of each.

A key is described where it is declared, once: the comment beside it, or above where the line is full, is its meaning;
limits are those of its field, and its name carries the unit. `ema.NAME.decay` stands for any name, `plan.join[].on`
for each of a list.
"""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "null"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
UNITS = {
    **{"s": "s", "min": "min", "px": "px", "pixels": "pixels", "mib": "MiB", "gb": "GB", "bytes": "bytes"},
    **{name: name for name in ("steps", "shards", "tokens", "hosts", "samples", "images", "pairs")},
}


class Key(NamedTuple):
    """One key."""

    name: str  # dotted
    kind: str  # type in words, with its limits
    default: str  # as YAML writes it, or "required"
    unit: str  # empty where the type says all
    meaning: str
    example: str  # a value as YAML writes it; empty where there is none
    section: type[BaseModel] | None  # the model of the keys below it
    field: FieldInfo  # as the model declares it
    note: str = ""  # where only some configs have it: "kind: adm"

    @property
    def words(self) -> str:
        """Return type and unit."""
        return f"{self.kind}, {self.unit}" if self.unit else self.kind


def keys_of(
    model: type[BaseModel], shipped: Sequence[Mapping[str, Any]] = (), prefix: str = "", note: str = ""
) -> Iterator[Key]:
    """Yield all keys of a model in the order of their declaration, a section before its keys.

    shipped: values of configs that come with the code; what they say of a key is its example.
    """
    for name, field in model.model_fields.items():
        inner, place = _inside(field.annotation)
        below = [values[name] for values in shipped if name in values]
        section = inner[0] if len(inner) == 1 else None
        meaning = meanings(model).get(name) or (_first_sentence(section) if section else "")
        example = "" if inner else _example(field, below)
        yield Key(
            prefix + name, _type(field), _default(field), _unit(name, field), meaning, example, section, field, note
        )
        further = [values for values in below if isinstance(values, Mapping)]
        if place == ".NAME":
            further = [values for named in further for values in named.values() if isinstance(values, Mapping)]
        for kind in inner:
            tag = f"kind: {kind.model_fields['kind'].default}" if len(inner) > 1 else note
            of_kind = [v for v in further if len(inner) == 1 or v.get("kind") == kind.model_fields["kind"].default]
            yield from keys_of(kind, of_kind, f"{prefix}{name}{place}.", tag)


@cache
def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the comments of a model's fields, by name."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            try:
                found |= _comments(textwrap.dedent(inspect.getsource(kind)))
            except OSError:  # it was made by a function, of fields that have sections
                continue
    return found


def _comments(source: str) -> dict[str, str]:
    """Return the comment of every annotated name of a class: that at its end, else those right above it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    notes = {token.start: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    lines = source.splitlines()
    beside = {row: text for (row, column), text in notes.items() if lines[row - 1][:column].strip()}
    above = {row: text for (row, _), text in notes.items() if row not in beside}
    (body,) = [node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            texts, row = (
                [beside[row] for row in dict.fromkeys((node.lineno, node.end_lineno)) if row in beside],
                node.lineno,
            )
            if not texts:
                while (row := row - 1) in above:
                    texts.insert(0, above[row])
            found[node.target.id] = " ".join(texts)
    return found


def _inside(annotation: Any) -> tuple[list[type[BaseModel]], str]:
    """Return the models in an annotation, and how the keys of one are told from those of others."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], ""
    origin = get_origin(annotation)
    parts = [_inside(part) for part in get_args(annotation)] if origin is not Literal else []
    place = {dict: ".NAME", list: "[]", tuple: "[]"}.get(origin, "")  # type: ignore[arg-type]
    return [model for models, _ in parts for model in models], place or "".join(inner for _, inner in parts)


def _type(field: FieldInfo) -> str:
    words, limits = _words(field.annotation), _limits(field.metadata)
    plain = words.removesuffix(" or null")
    return " ".join([plain, *limits]) + words[len(plain) :]


def _words(annotation: Any) -> str:
    """Return a type as people say it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Annotated:
        limits = [limit for part in parts[1:] for limit in _limits([part, *getattr(part, "metadata", [])])]
        return " ".join([_words(parts[0]), *limits])
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) > 1 else str(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, parts)))
    if origin is tuple and Ellipsis not in parts:
        return f"[{', '.join(map(_words, parts))}]"
    if origin in (list, tuple):
        return f"list of {_words(parts[0])}"
    if origin is dict:
        return f"names, each with {_words(parts[1])}"
    return "section" if issubclass(annotation, BaseModel) else annotation.__name__.lower()


def _limits(metadata: Sequence[Any]) -> list[str]:
    signs = [
        f"{sign} {getattr(limit, name)}" for limit in metadata for name, sign in SIGNS.items() if hasattr(limit, name)
    ]
    lengths = [f"of at least {limit.min_length}" for limit in metadata if getattr(limit, "min_length", None)]
    return [" and ".join(signs)] * bool(signs) + lengths


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else written(field.get_default(call_default_factory=True))


def written(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    text = yaml.safe_dump(to_jsonable_python(value), default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _unit(name: str, field: FieldInfo) -> str:
    return UNITS.get(name.rpartition("_")[2], "") if re.search(r"\bnumber\b", _words(field.annotation)) else ""


def _example(field: FieldInfo, shipped: Sequence[Any]) -> str:
    """Return a value that says something: one that is declared, else one that is used, else another choice."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    used = [value for value in shipped if value != default and value not in (None, {}, [])]
    others = [choice for choice in _choices(field.annotation) if choice != default]
    values = [*(field.examples or []), *used, *others, default]
    return next((written(value) for value in values if value not in (None, {}, [], ())), "")


def _choices(annotation: Any) -> tuple[Any, ...]:
    if annotation is bool:
        return (True, False)
    if get_origin(annotation) in (Union, UnionType):
        return tuple(choice for part in get_args(annotation) for choice in _choices(part))
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _first_sentence(model: type[BaseModel]) -> str:
    return re.split(r"(?<=\.)\s", inspect.cleandoc(model.__doc__ or "").replace("\n", " "))[0]
