"""All figures of an audit at once: for a terminal, and as RUN/audit/filters.json."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from configs import printable, shortened
from pipeline.config import PipelineConfig
from pipeline.decisions.overlaps import overlaps
from storage.atomic import commit_json

from .drift import Drift, drift
from .hate import Rate, rates
from .removal import FEWEST, KINDS, Removal, removals
from .sample import FOLDER, LABELS, SAMPLE, RuleFigures, changed_since, figures, lines_of, read_labels, read_sample

FILE = FOLDER / "filters.json"
MOST_DRIFTS = 15


class Audit(NamedTuple):
    """What was found."""

    rules: list[RuleFigures]  # of labels; none where nobody labelled
    changed: list[str]  # rules whose sample was drawn when they asked for something else; "": that of kept pairs
    removal: list[Removal]
    hate: list[Rate]
    drift: Drift | None  # where another run was given


def audit(config: PipelineConfig, *, labels: Path | None = None, against: PipelineConfig | None = None) -> Audit:
    """Audit a run after `select`, and write the figures. labels: another file than the run's own."""
    said = read_labels(labels or config.run / LABELS)
    drawn = read_sample(config.run) if said or (config.run / SAMPLE).exists() else []
    found = Audit(
        figures(overlaps(config), drawn, said) if said else [],
        changed_since(config, drawn) if said else [],
        removals(config),
        rates(config),
        drift(config, against) if against else None,
    )
    commit_json(config.run / FILE, plain(found))
    return found


def plain(value: Any) -> Any:
    """Return named tuples as dicts."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def told(found: Audit) -> str:
    """Return the figures, the groups of which an interval says that they are removed more often or less."""
    lines = ["Labels: is it right to drop what a rule drops, and what did it miss?"]
    lines += _table(("rule", "precision", "missed of the kept", "recall"), lines_of(found.rules)) if found.rules else []
    if not found.rules:
        lines.append("    none yet: draw a sample with --sample 25, and label it with `corgi browse RUN --sample`")
    if found.changed:
        names = ", ".join(name or "the kept pairs" for name in found.changed)
        lines.append(f"    {names}: rules changed since the sample was drawn; draw anew with --sample, labels stay")
    for kind in KINDS:
        rows = [each for each in found.removal if each.kind == kind and each.difference.is_certain]
        some = len([each for each in found.removal if each.kind == kind])
        said = f"{len(rows)} of the {some} groups with most removed differ from the others"
        lines += ["", f"Removed by {kind}: {said if some else f'no group of {FEWEST} pairs or more'}"]
        cells = [(r.group, r.removed.of, str(r.removed), str(r.others), str(r.difference), r.rule) for r in rows]
        lines += _table(("group", "pairs", "removed", "others", "difference in points", "mostly by"), cells)
    lines += ["", "Hate content rate, of all stored captions and of those that are kept"]
    lines += _table(
        ("column", "P above", "before", "after"),
        [(r.column, r.threshold, str(r.before), str(r.after)) for r in found.hate],
    )
    if found.drift:
        lines += ["", "Drift: what rules take here and there"]
        rules = [(r.rule, str(r.here), str(r.there), str(r.difference)) for r in found.drift.rules[:MOST_DRIFTS]]
        lines += _table(("rule", "here", "there", "difference in points"), rules)
        lines += ["", "Drift: how scores lie (Kolmogorov-Smirnov)"]
        lines += _table(("column", "median here", "there", "distance", "by chance up to"), _scores(found.drift))
    return "\n".join(lines)


def _scores(found: Drift) -> list[tuple[object, ...]]:
    return [
        (s.column, f"{s.median_here:.4g}", f"{s.median_there:.4g}", f"{s.distance:.3f}", f"{s.limit:.3f}")
        for s in found.scores[:MOST_DRIFTS]
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield lines of columns."""
    cells = [[*head], *([printable(shortened(str(cell), 60)) for cell in row] for row in rows)]
    if len(cells) > 1:
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        yield from ("    " + "  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)
