"""Paths in configs: absolute where they are kept, and those of a run's own files wherever the run lies today.

What is typed is relative to the folder in which it is typed. A run outlives that folder and may be moved, so its own
config holds absolute paths, and who reads it there says where it was found.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .load import Config

Model = TypeVar("Model", bound=Config)


def absolute(config: Model) -> Model:
    """Return a config with every path absolute, as seen from today's folder. Urls and names stay as they are."""
    return _mapped(config, lambda path: path if "://" in path else str(Path(path).absolute()))


def moved(config: Model, run: Path, *, levels: int = 0) -> Model:
    """Return the config of a run that was found at `run`, with the paths of all that lies in it.

    levels: how many folders above the run have moved with it: 2 for a training within a pipeline's run.
    """
    was, now = _above(Path(str(dict(config)["run"])), levels), _above(run, levels)

    def map_path(path: str) -> str:
        return str(now / Path(path).relative_to(was)) if Path(path).is_relative_to(was) else path

    return _mapped(config, map_path)


def _above(path: Path, levels: int) -> Path:
    for _ in range(levels):
        path = path.parent
    return path


def _mapped(value: Any, map_path: Callable[[str], str], *, is_path: bool = False) -> Any:
    """Return a value with its paths mapped. is_path: a text that is one of `Config.paths`."""
    if isinstance(value, Path):
        return Path(map_path(str(value)))
    if isinstance(value, str):
        return map_path(value) if is_path else value
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(part, map_path, is_path=is_path) for part in value)
    if isinstance(value, dict):
        return {name: _mapped(part, map_path) for name, part in value.items()}
    if isinstance(value, Config):
        given = {name: _mapped(part, map_path, is_path=_names_path(value, name)) for name, part in value}
        return value.model_copy(update={name: part for name, part in given.items() if part != getattr(value, name)})
    return value


def _names_path(config: Config, name: str) -> bool:
    """Tell whether a field of text holds paths. A single one may be a name instead: a path is what is there."""
    value = getattr(config, name)
    return name in config.paths and (not isinstance(value, str) or Path(value).is_absolute() or Path(value).is_dir())
