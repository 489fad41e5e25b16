"""What the page asks, and the file that labels go to: a line each, durable before the next pair is shown."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs import UserError
from evaluation.filter_audit.sample import FIT, LABELS, RIGHT, UNSURE, WRONG, Drawn, read_labels, read_sample

from ..local_page import HERE, serve
from ..web import Answer, answer, refusal
from .pairs import Pairs
from .parts import Source

FILES = Path(__file__).with_name("page")
STATIC = {name: FILES / (name or "browse.html") for name in ("", "browse.js", "browse.css")}
STATIC["mark.svg"] = FILES.parents[1] / "corgi.svg"
UNFIT = "unfit"  # of pairs that were not drawn for a rule


class Browse:
    """The pairs of a source, or those of a sample of a run."""

    def __init__(
        self, source: Source, *, sample: Sequence[Drawn] | None, labels: Path, who: str, where: str = ""
    ) -> None:
        self._pairs, self._sample, self._labels, self._who = Pairs(source), sample, labels, who
        self._where = where  # what is asked for first
        self._folder, self._rules = source.folder, [*source.lists, *source.rules]

    def get(self, name: str) -> Answer:
        """Answer a request for something."""
        if name in STATIC:
            return answer(STATIC[name].read_bytes(), kind=STATIC[name].suffix[1:], csp=HERE)
        if name == "about.json":
            return _as_json({"sample": self._sample is not None, "folder": str(self._folder), "where": self._where})
        kind, *numbers = name.split("/")
        try:
            part, row = map(int, numbers)
            if kind == "image":
                return answer(self._pairs.image(part, row), kind="jpg", csp=HERE)
            if kind == "words":
                return _as_json(self._pairs.words(part, row))
        except ValueError:  # UserError is one
            pass
        return refusal(404)

    def ask(self, said: Any) -> Answer:
        """Return the pairs that are asked for; where the expression is none, why."""
        labels = read_labels(self._labels)
        try:
            if self._sample is not None:
                found, further = self._pairs.drawn(self._sample), -1
            else:
                found, further = self._pairs.matching(str(said["where"]), str(said["state"]), int(said["begin"]))
        except UserError as error:
            return _as_json({"error": str(error)})
        for pair in found:
            pair["label"] = labels.get((pair["key"], pair["rule"]), "")
            pair["choices"] = self._choices(pair["rule"])
        return _as_json({"pairs": found, "next": further})

    def _choices(self, rule: str) -> list[str]:
        if rule:
            return [RIGHT, WRONG, UNSURE]
        return [FIT, UNSURE, *self._rules] if self._sample is not None else [FIT, UNFIT, UNSURE]

    def label(self, said: Any) -> Answer:
        """Keep a label. Raises ValueError where it is none of the choices."""
        key, rule, label = str(said["key"]), str(said["rule"]), str(said["label"])
        if label not in self._choices(rule) or len(key) > 100 or (rule and rule not in self._rules):
            raise ValueError(label)
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"key": key, "rule": rule, "label": label, "who": self._who, "time": when})
        self._labels.parent.mkdir(parents=True, exist_ok=True)
        with self._labels.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        return _as_json({"label": label})


def _as_json(value: Any) -> Answer:
    return answer(json.dumps(value).encode(), kind="json", csp=HERE)


def browse(source: Source, *, where: str, is_sample: bool, labels: Path | None, who: str, port: int) -> None:
    """Serve the page until it is told to stop."""
    path = labels or source.folder / LABELS
    sample = read_sample(source.folder) if is_sample else None
    asked = Browse(source, sample=sample, labels=path, who=who, where=where)
    serve(asked.get, {"ask": asked.ask, "label": asked.label}, port=port, told=f"labels go to {path}")
