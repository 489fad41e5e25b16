"""What may change while a training goes on, and from which step on it did.

fixed      what the net is, and the order of its samples: another training, for which `init_from` hands on the weights
settings   all else that decides what is learned, or when it is looked at: may change, and each change is noted
neither    where and how fast it runs

Every checkpoint holds the settings that led to it. A start compares them with today's and notes what differs at the
checkpoint's step, so a kill between the note and the next checkpoint neither loses nor doubles it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from configs import absolute

from .config import TrainConfig
from .data.index import Index
from .data.positions import Range
from .state import TrainState

WHERE = ("run", "processes", "zero", "recompute", "health", "wandb", "log_every_steps", "init_from", "init_track")
WHERE_DATA = ("index", "workers", "ahead", "cache_mib", "bad_images")
FIXED = ("stage.", "text.encoder.", "seed", "data.window_shards")
CONTENT, SAMPLES = "data.content", "data.samples"  # of the index; they stand among the settings of a checkpoint
SHOWN_CHARS = 12  # of a digest


class Change(NamedTuple):
    """One key that differs. None: it was not there, or is not any more."""

    key: str
    was: Any
    now: Any

    @property
    def is_fixed(self) -> bool:
        """Tell whether a training cannot go on with it. How images are drawn is no part of what a net is."""
        return self.key.startswith(FIXED) and not self.key.startswith("stage.sampler.")

    def __str__(self) -> str:
        return f"{self.key} {_short(self.was)} -> {_short(self.now)}"


def settings(config: TrainConfig) -> dict[str, Any]:
    """Return what may be noted of a config, dotted keys to values: all but where and how fast it runs."""
    values = absolute(config).model_dump(mode="json", exclude={*WHERE})
    if config.optim.schedule == "cosine" and config.optim.cosine_steps is None:
        values["optim"]["cosine_steps"] = config.steps  # where it ends
    values["data"] = {key: value for key, value in values["data"].items() if key not in WHERE_DATA}
    return _dotted(values)


def differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return the keys whose values differ, sorted."""
    keys = sorted({*was, *now})
    return [Change(key, was.get(key), now.get(key)) for key in keys if was.get(key) != now.get(key)]


def go_on(saved: TrainState, config: TrainConfig, index: Index) -> tuple[TrainState, list[Change]]:
    """Return the state in which a training goes on from a saved one, and what is another from its step on.

    Where the index has changed, its order begins at the position that is reached: at the start of an epoch, so that
    each of its samples comes once before any comes twice.
    """
    now = settings(config) | {CONTENT: index.content, SAMPLES: index.samples}
    was = saved.settings or now | ({CONTENT: saved.data} if saved.data else {})
    has_new_order = saved.data not in ("", index.content)
    update = {
        "settings": now,
        "data": index.content,
        "order_from": saved.seen if has_new_order else saved.order_from,
    }
    return saved.model_copy(update=update), differing(was, now)


class Stretch(NamedTuple):
    """Steps of one batch size on one index. The last one goes on."""

    step: int  # that were done before it
    seen: int  # samples, the position of its first one
    batch: int
    is_ordered_anew: bool  # the index changed here

    def position_at(self, step: int) -> int:
        """Return how many samples are seen after this many steps."""
        return self.seen + (step - self.step) * self.batch

    def step_of(self, position: int) -> int:
        """Return the step, from 1, that sees a position."""
        return self.step + (position - self.seen) // self.batch + 1


def stretches(lines: Iterable[Mapping[str, Any]], *, batch: int) -> list[Stretch]:
    """Return the stretches of a training. lines: of its ledger, those that hold; batch: today's."""
    lines = [line for line in lines if line["event"] in ("changed", "rewind")]
    sizes = [line["changes"].get("batch") for line in lines if line["event"] == "changed"]
    first = next((size[0] for size in sizes if size), batch)
    found = [Stretch(0, 0, first, is_ordered_anew=False)]
    for line in lines:
        if line["event"] == "rewind":
            begin, end = line["left_out"]
            while len(found) > 1 and found[-1].seen > begin:
                found.pop()  # of an earlier rewind, whose positions are among these
            done, rest = divmod(begin - found[-1].seen, found[-1].batch)
            found.append(found[-1]._replace(step=found[-1].step + done, seen=end - rest, is_ordered_anew=False))
        else:
            size, is_anew = line["changes"].get("batch"), CONTENT in line["changes"]
            found.append(Stretch(line["step"], line["seen"], size[1] if size else found[-1].batch, is_anew))
    return found


def left_out_in(lines: Iterable[Mapping[str, Any]], *, until_step: int | None = None) -> list[Range]:
    """Return the positions that a training has left out, as its ledger tells. until_step: by a rewind to it or before.

    lines: those that hold.
    """
    rewinds = [line for line in lines if line["event"] == "rewind"]
    return [tuple(line["left_out"]) for line in rewinds if until_step is None or line["step"] <= until_step]


def noted(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what has changed in a training, in words, a line for each step at which something did."""
    return [
        f"from step {line['step']:,}: {in_words(Change(key, *pair) for key, pair in line['changes'].items())}"
        for line in lines
        if line["event"] == "changed"
    ]


def in_words(changes: Iterable[Change]) -> str:
    """Return changes as one line."""
    return ", ".join(map(str, changes))


def consequences(state: TrainState, changes: Sequence[Change]) -> list[str]:
    """Return what a person should know of these changes: the line that is noted, and what a new index means."""
    if not changes:
        return []
    lines = [f"from step {state.step:,} on: {in_words(changes)}"]
    if state.settings[SAMPLES] and any(change.key == CONTENT for change in changes):
        lines.append(
            f"from position {state.order_from:,} on samples follow the new index, from the start of an epoch: each of "
            f"its {state.settings[SAMPLES]:,} comes once, then again; what the old epoch had left over is among them"
        )
    return lines


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(value: Any) -> str:
    if value is None:
        return "none"
    return value[:SHOWN_CHARS] if isinstance(value, str) and len(value) == 24 else str(value)
