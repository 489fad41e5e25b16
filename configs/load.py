"""From a YAML file and today's `key.sub=value` differences to a checked, frozen model.

Defaults stand in the models; a YAML file says what differs from them; the command line says what differs today.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .errors import UserError, nearest, shortened


class Config(BaseModel):
    """Base of all config models: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    paths: ClassVar[tuple[str, ...]] = ()  # fields of text that hold paths; those of type Path are known

    @model_validator(mode="before")
    @classmethod
    def _lists_of_one(cls, values: Any) -> Any:
        """Take a single value as a list of one, wherever a list of any length is meant."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        return {
            name: _listed(value, name) if name in fields and is_list(fields[name].annotation) else value
            for name, value in values.items()
        }


Model = TypeVar("Model", bound=Config)
MAX_VALUES = 100_000  # of a config; nine lines of aliases can stand for a billion
SHOWN_CHARS = 200  # of a wrong value
MERGE = "tag:yaml.org,2002:merge"  # <<


def load(model: type[Model], file: str | Path, overrides: Sequence[str] = ()) -> Model:
    """Load the config in `file` with `overrides` ("optim.lr=1e-4") laid over it.

    Raises UserError with one line a problem: the file, the key, the value and, for an unknown key, the nearest known.
    """
    return resolve(model, read_yaml(Path(file)), overrides, source=str(file))


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file. Raises UserError."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; give the path of a YAML config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from None
    try:
        values = _parse(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file}: expected keys and values at the top, got {type(values).__name__}")
    return values


def resolve(
    model: type[Model], values: dict[str, Any], overrides: Sequence[str] = (), *, source: str = "config"
) -> Model:
    """Do what `load` does for values that are already here."""
    for override in overrides:
        values = _override(values, override)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, dict(item)) for item in error.errors(include_url=False)]
        raise UserError(f"{source}: " + "; ".join(dict.fromkeys(lines))) from None


def dump(config: Config) -> str:
    """Return the whole resolved config as YAML; loading it again gives an equal model."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def is_list(annotation: Any) -> bool:
    """Tell whether list[X] or tuple[X, ...] is meant."""
    return get_origin(annotation) is list or (get_origin(annotation) is tuple and Ellipsis in get_args(annotation))


def _listed(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, str) and re.search(r",\s|\n.", value):
        raise ValueError(
            f"{name}: one value or several? write a list, as {name}: [{', '.join(value.replace(',', ' ').split())}]"
        )
    return [value]


class _UniqueKeys(yaml.SafeLoader):
    """A key that stands twice is a mistake; YAML itself would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    """Return what a YAML text says. Raises YAMLError, and ValueError where a few lines stand for too much."""
    loader = _UniqueKeys(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if (count := _count(node, {})) > MAX_VALUES:
            raise ValueError(f"its aliases (*name) stand for {count:,} values; a config has {MAX_VALUES:,} at most")
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for, aliases written out. known: of nodes that were counted before."""
    if id(node) not in known:
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1  # of one that holds itself
        known[id(node)] += sum(_count(part, known) for part in parts)
    return known[id(node)]


def _override(values: dict[str, Any], override: str) -> dict[str, Any]:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise UserError(f"{override!r}: an override is written key.sub=value")
    head, _, rest = dotted.partition(".")
    inner = values.get(head)
    if not rest:
        return {**values, head: _value(text)}
    if inner is not None and not isinstance(inner, dict):
        raise UserError(f"{override!r}: {head} is a single value and has no {rest!r}")
    return {**values, head: _override(inner or {}, f"{rest}={text}")}


def _value(text: str) -> Any:
    try:
        value = _parse(text)
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{text!r} is no value as YAML writes it: {problem}; put it in quotes") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as a string
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(model: type[BaseModel], item: dict[str, Any]) -> str:
    """Return one sentence for one pydantic error."""
    where = [str(part) for part in item["loc"]]
    if item["type"] != "extra_forbidden":
        got = (
            ""
            if item["type"] == "missing" or isinstance(item["input"], dict)
            else f", got {shortened(repr(item['input']), SHOWN_CHARS)}"
        )
        return f"{'.'.join(where) or 'config'}: {item['msg'].removeprefix('Value error, ')}{got}"
    known = {name for owner in _models_at(model, item["loc"][:-1]) for name in owner.model_fields}
    return f"{'.'.join(where[:-1]) or 'the config'} has no field {where[-1]!r}{nearest(where[-1], known)}"


def _models_at(model: type[BaseModel], path: Sequence[int | str]) -> list[type[BaseModel]]:
    """Return the models that a location of a validation error may lie in."""
    models = [model]
    for part in path:
        fields = [kind.model_fields[str(part)] for kind in models if str(part) in kind.model_fields]
        if fields:
            models = [kind for field in fields for kind in _models_in(field.annotation)]
        else:  # a place in a list, a key of a dict, or the tag of a union
            models = [kind for kind in models if _tag(kind) == part] or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield X of X, list[X], X | None, dict[str, X], Annotated[X, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


def _tag(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None
