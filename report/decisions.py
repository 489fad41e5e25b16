"""What `pipeline.decisions` found, as tables for a terminal and as JSON. Of sensitive pairs only the key is told.

Captions and urls were written by strangers: nothing in them moves a cursor or ends a line.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs import printable, shortened
from pipeline.decisions.diff import KEPT, Diff
from pipeline.decisions.overlaps import Overlaps
from pipeline.decisions.sweep import Sweep
from pipeline.decisions.what_if import WhatIf

from .sensitive import SensitivePairs

CAPTION_CHARS, URL_CHARS = 70, 60
HIDDEN = "sensitive: hidden"
MOST_OVERLAPS = 12
MOST_FATES = 30


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return lines of columns: numbers to the right, words to the left."""
    rows = list(rows)
    cells = [[*head], *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
    numbers = [isinstance(cell, int) or str(cell).endswith("%") for cell in next(iter(rows), ())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers += [False] * (len(widths) - len(numbers))
    return [
        "  ".join(
            f"{cell:>{width}}" if is_number else f"{cell:{width}}"
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in cells
    ]


def veiled(
    pairs: Iterable[Mapping[str, Any]], rules: Mapping[str, str], *, is_kept: bool = False
) -> list[dict[str, Any]]:
    """Return examples without the caption and url of those that are sensitive, by the rules of the run.

    is_kept: these rules keep the pairs; what they fail are others, which say nothing of who may see them.
    """
    pairs, sensitive = list(pairs), SensitivePairs(rules)
    hateful = sensitive.hateful(pair["caption"] for pair in pairs)
    return [
        {**{name: value for name, value in pair.items() if name not in ("caption", "url")}, "hidden": True}
        if sensitive.covers({**pair, "failed": []} if is_kept else pair, hateful)
        else {**pair, "hidden": False}
        for pair in pairs
    ]


def _lines(pairs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each example that `veiled` returned."""
    for pair in pairs:
        values = ", ".join(f"{name} = {_short(value)}" for name, value in pair["values"].items())
        failed = f"[{', '.join(pair['failed'])}]" if pair["failed"] else ""
        words = (
            [HIDDEN]
            if pair["hidden"]
            else [
                f'"{shortened(printable(pair["caption"]), CAPTION_CHARS)}"',
                shortened(printable(pair["url"]), URL_CHARS),
            ]
        )
        yield "    " + "  ".join(filter(None, [pair["key"], *words, values, failed]))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(shortened(value.hex() if isinstance(value, bytes) else str(value), 40))


def what_if_json(found: WhatIf) -> dict[str, Any]:
    """Return all that was found."""
    examples = {
        name: _plain(veiled(pairs, found.now, is_kept=name == "lost")) for name, pairs in (found.examples or {}).items()
    }
    return {**vars(found), "lost": dict(found.lost or {}), "gained": dict(found.gained or {}), "examples": examples}


def _plain(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return pairs whose values JSON can say."""
    for pair in pairs:
        pair["values"] = {
            name: value.hex() if isinstance(value, bytes) else value for name, value in pair["values"].items()
        }
    return pairs


def what_if_told(found: WhatIf) -> str:
    """Return what would change, with examples."""
    lines = [*_changes(found.now, found.then)]
    if found.judged_anew:
        lines.append(f"           {found.judged_anew:,} pairs have no keep-list of today's rules and were judged anew")
    lines.append(f"pairs      {found.rows:,} with an image")
    kept = [f"{count:,} ({share(count, found.rows)})" for count in (found.kept_now, found.kept_then)]
    lines.append(f"kept       today {kept[0]}, then {kept[1]}")
    examples = found.examples or {}
    for name, counts, what in (
        ("lost", found.lost, "kept today and not then, by the first rule that each would fail"),
        ("gained", found.gained, "kept then and not today, by the first rule that each fails today"),
    ):
        assert counts is not None
        lines.append(f"{name:10} {counts.total():,} {what}" if counts else f"{name:10} 0")
        lines += [f"    {rule:20} {count:>12,}" for rule, count in counts.most_common()]
        lines += _lines(veiled(examples.get(name, []), found.now, is_kept=name == "lost"))
    return "\n".join(lines)


def _changes(now: Mapping[str, str], then: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each rule that differs."""
    for name in {**now, **then}:
        if now.get(name) != then.get(name):
            new = then.get(name, "no rule")
            old = f"in the place of {now[name]}" if name in now else "one more"
            yield f"what if    {printable(f'{name}: {new}, {old}')}"


def funnel_told(counted: Overlaps) -> str:
    """Return the losses in the order of a pair's way, then the rules, then which of them take the same pairs."""
    lines = []
    for step, losses in (("plan", counted.planned_away), ("download", counted.not_stored)):
        lines += [f"{step:10} {count:>14,}  {printable(reason)}" for reason, count in losses.items()]
    if counted.waiting:
        lines.append(f"waiting    {counted.waiting:>14,}  not fetched, or not judged yet")
    lines += [f"judged     {counted.stored:>14,}", ""]
    rows = [
        (name, c.in_order, share(c.in_order, counted.stored), c.alone, c.uniquely, c.left)
        for name, c in counted.rules.items()
    ]
    lines += table(("rule", "in order", "of judged", "alone", "uniquely", "left"), rows)
    lines.append(f"kept {counted.kept:,} ({share(counted.kept, counted.stored)})")
    if counted.together:
        both = [
            (a, b, count, share(count, counted.rules[a].alone), share(count, counted.rules[b].alone))
            for (a, b), count in [*counted.together.items()][:MOST_OVERLAPS]
        ]
        lines += ["", *table(("both fail", "", "pairs", "of the first", "of the second"), both)]
    return "\n".join(lines)


def sweep_told(swept: Sweep, rules: Mapping[str, str], run: Path) -> str:
    """Return a line a threshold, then the pairs near them, and how to look at their pictures."""
    lines = [f"{swept.column}: {swept.pairs:,} pairs, {swept.null:,} of them NULL, which never stays"]
    lines += [f"today      {printable(line)}" for line in swept.today]
    beside = f"beside {', '.join(swept.others)}" if swept.others else "beside no other rule"
    lines.append(f"{beside}, which keep {swept.kept_without:,} ({share(swept.kept_without, swept.pairs)})")
    rows = [
        (f"{swept.sign} {level:g}", alone, share(alone, swept.pairs), kept, share(kept, swept.pairs))
        for level, alone, kept in zip(swept.thresholds, swept.alone, swept.beside, strict=True)
    ]
    lines += ["", *table(("stays", "alone", "of all", "kept", "of all"), rows)]
    for level, pairs in zip(swept.thresholds, sweep_examples(swept, rules), strict=True):
        if pairs:
            values = [float(pair["values"][swept.column]) for pair in pairs]
            low, high = (_outwards(edge, by) for edge, by in ((min(values), -1), (max(values), 1)))
            look = printable(f'corgi browse {run} --where "{swept.column} between {low} and {high}"')
            lines += ["", f"near {level:g}    {look}", *_lines(pairs)]
    return "\n".join(lines)


def _outwards(value: float, by: int) -> str:
    """Return a number of few digits that lies a little below (by -1) or above (by 1) another."""
    return f"{value + by * max(1e-3 * abs(value), 1e-6):.4g}"


def sweep_examples(swept: Sweep, rules: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """Return the pairs near each threshold, veiled; all are judged at once."""
    every = iter(_plain(veiled([pair for pairs in swept.near for pair in pairs], rules)))
    return [[next(every) for _ in pairs] for pairs in swept.near]


def sweep_json(swept: Sweep, rules: Mapping[str, str]) -> dict[str, Any]:
    """Return all that was found."""
    return {**swept._asdict(), "near": sweep_examples(swept, rules)}


def diff_told(found: Diff, rules: Mapping[str, str]) -> str:
    """Return what became of pairs in both runs, and examples of those that one alone keeps."""
    both = found.fates.get((KEPT, KEPT), 0)
    lines = [
        f"kept by both {both:,}; only by A {found.only_a:,}; only by B {found.only_b:,}; "
        f"by neither {found.of_neither:,}",
        "",
    ]
    rows = [(a, b, count) for (a, b), count in [*found.fates.items()][:MOST_FATES]]
    lines += table(("in A", "in B", "pairs"), rows)
    for (a, b), pairs in found.examples.items():
        lines += ["", f"in A {a}, in B {b}", *_lines(veiled(pairs, rules))]
    return "\n".join(lines)


def diff_json(found: Diff, rules: Mapping[str, str]) -> dict[str, Any]:
    """Return all that was found."""
    return {
        "only_a": found.only_a,
        "only_b": found.only_b,
        "fates": [{"a": a, "b": b, "pairs": count} for (a, b), count in found.fates.items()],
        "examples": [
            {"a": a, "b": b, "pairs": _plain(veiled(pairs, rules))} for (a, b), pairs in found.examples.items()
        ],
    }
