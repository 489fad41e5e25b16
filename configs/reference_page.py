"""The reference of all keys as people look at it: one key, a section, or the page in docs."""

import difflib
import re
from collections.abc import Mapping, Sequence

from .errors import UserError, shortened
from .reference import Key

SHOWN_CHARS = 40  # of a default in a list

Reference = Mapping[str, Sequence[Key]]  # kind of config -> its keys


def look_up(reference: Reference, word: str) -> str:
    """Return what is known of a key, of a section and the keys below it, or of all keys whose last part it is.

    word: download.retries, or with its kind: training:optim.lr. Raises UserError with the nearest names.
    """
    kind, _, name = word.rpartition(":")
    if kind and kind not in reference:
        raise UserError(f"{word!r}: there is no config {kind!r}; write one of {', '.join(reference)} before the colon")
    among = [(of, key) for of, keys in reference.items() if kind in ("", of) for key in keys]
    found = [(of, key) for of, key in among if _means(key.name, name)]
    found = found or [(of, key) for of, key in among if key.name.rpartition(".")[2] == name]
    if not found:
        raise UserError(f"no config has the key {word!r}{_nearest(name, among)}")
    return "\n\n".join(_told(of, key, reference[of]) for of, key in found)


def listed(reference: Reference) -> str:
    """Return all keys, a line each."""
    return "\n\n".join("\n".join([f"{kind}:", *_lines(keys)]) for kind, keys in reference.items())


def page(reference: Reference, introductions: Mapping[str, str]) -> str:
    """Return docs/config.md. introductions: a sentence for each kind of config."""
    lines = [
        "# Every key of every config",
        "",
        "Made by `corgi config --all --markdown` from the code; `corgi config KEY` tells of one. A YAML file says only"
        " what differs from the defaults, and `key.sub=value` on the command line what differs today. A single value"
        " is taken as a list of one.",
    ]
    for kind, keys in reference.items():
        lines += ["", f"## {kind}", "", introductions[kind], ""]
        lines += ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(_cells(key)) + " |" for key in _once(keys)]
    return "\n".join(lines) + "\n"


def _means(pattern: str, name: str) -> bool:
    """Tell whether a key that is looked for is this one: `ema.fast.decay` is ema.NAME.decay."""
    places = {"NAME": r"[^.]+", r"\[\]": r"(\[\])?"}
    escaped = re.escape(pattern)
    for place, any_name in places.items():
        escaped = escaped.replace(place, any_name)
    return re.fullmatch(escaped, name) is not None


def _nearest(name: str, among: Sequence[tuple[str, Key]]) -> str:
    full = {key.name: f"{kind}:{key.name}" for kind, key in among}
    last = {key.name.rpartition(".")[2]: f"{kind}:{key.name}" for kind, key in among}
    close = [full[word] for word in difflib.get_close_matches(name, full, n=3)]
    close += [last[word] for word in difflib.get_close_matches(name.rpartition(".")[2], last, n=3)]
    if not close:
        return "; `corgi config --all` lists them all"
    return f"; did you mean {' or '.join(dict.fromkeys(close[:3]))}?"


def _told(kind: str, key: Key, keys: Sequence[Key]) -> str:
    head = f"{kind}:{key.name}" + f"  ({key.note})" * bool(key.note)
    below = [other for other in keys if re.match(rf"{re.escape(key.name)}(\.|\[)", other.name)]
    if below:
        return "\n".join([f"{head}  {key.meaning}", *_lines(below)])
    lines = {"type": key.words, "default": key.default, "meaning": key.meaning, "example": _override(key)}
    return "\n".join([head, *(f"  {name:9}{value}" for name, value in lines.items() if value)])


def _lines(keys: Sequence[Key]) -> list[str]:
    widths = [max(len(column(key)) for key in keys) for column in (_name, _short_default)]
    return [
        f"  {_name(key):{widths[0]}}  {_short_default(key):{widths[1]}}  {_meaning(key)} [{key.words}]"
        for key in _once(keys)
    ]


def _once(keys: Sequence[Key]) -> list[Key]:
    """Return the keys without those of sections that have been told under another name."""
    first: dict[object, str] = {}
    again, told = list[str](), list[Key]()
    for key in keys:
        if any(key.name.startswith(f"{prefix}.") for prefix in again):
            continue
        original = first.setdefault(key.section, key.name) if key.section and key.section.model_fields else key.name
        if original != key.name:
            again.append(key.name)
            key = key._replace(meaning=f"{key.meaning.rstrip('.')}; its keys are those of `{original}`")
        told.append(key)
    return told


def _name(key: Key) -> str:
    return f"{key.name} ({key.note})" if key.note else key.name


def _short_default(key: Key) -> str:
    return "" if key.section else shortened(key.default, SHOWN_CHARS)


def _meaning(key: Key) -> str:
    return key.meaning[:1].upper() + key.meaning[1:] if key.meaning[:1].islower() else key.meaning


def _override(key: Key) -> str:
    """Return the example as the command line takes it."""
    if not key.example:
        return ""
    quoted = f"'{key.name}={key.example}'" if re.search(r"[^\w./=:-]", key.example) else f"{key.name}={key.example}"
    return quoted if "[]" not in key.name else key.example


def _cells(key: Key) -> list[str]:
    code = [f"`{_name(key)}`", key.words, f"`{key.default}`" * (not key.section), _meaning(key)]
    return [cell.replace("|", "\\|") for cell in [*code, f"`{key.example}`" * bool(key.example)]]
