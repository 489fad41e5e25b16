"""The whole run without the pairs of a list: the one command that changes finished files, so it has the run alone.

What must go is written down first, as digests. From there on everything follows from those: a kill at any moment, and
the same command, even with an empty hand, end alike.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs import UserError
from storage import duplicates, frequent, takedown
from storage.grids import remove_pairs
from storage.index import INDEX
from storage.lease import Key, hold
from storage.ledger import note
from storage.plan import blank_dropped, shards_of
from storage.processes import locked
from storage.run import LOCK, trainings_of
from storage.samples import remove_set, sets_of
from storage.shard import PAIRS
from storage.takedown import Tombstone, Tombstones, digest

from ..config import PipelineConfig
from ..download.step import Download
from ..progress import Progress
from ..runner import build
from ..score import Score
from .find import Match, exports_of, files_of_export, keys_of
from .shards import Expected, purge

MADE_ANEW = ("report/index.html", "report/funnel.json")  # show pairs; `corgi report` makes them again
SCRATCH = ("**/.*.scratch", "*.scratch", "[0-9]*/*.img2dataset")  # what killed steps left, with the run alone


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Keep every step, export and training of a run out. Raises UserError where one is at work."""
    with ExitStack() as held:
        held.enter_context(hold(run, Key("takedown")))
        for folder in _exports_inside(run):
            held.enter_context(hold(folder, Key("takedown")))
        for folder in trainings_of(run):
            held.enter_context(locked(folder / LOCK, busy=f"{folder} is being trained; stop it before the takedown"))
        yield


def apply(config: PipelineConfig, matches: Mapping[str, Match], *, source: str, **about: Any) -> int:
    """Take pairs down in all files of a run, which must be held; return how many files were changed or removed.

    source: name of the list. about: what else the ledger should keep, such as the trainings that saw them.
    """
    run = config.run
    _remove_scratch(config)
    if matches:
        note(run, event="takedown", source=source, pairs=len(matches), **about)
        takedown.add(run, _tombstones(matches.values(), source))
    gone = Tombstones(run)
    if not gone:
        return 0
    changed, shards = 0, shards_of(run)
    download, score = _expectations(config)
    with Progress("takedown", total=len(shards), unit="shards") as progress:
        for shard in shards:
            try:
                changed += purge(shard, gone, download=download, score=score)
            except ValueError as error:  # of a file that a full disk or a person has cut short
                raise UserError(f"shard {shard}: {error}", exit_code=1) from None
            progress.advance(1)
    changed += bool(blank_dropped(run, gone.mask)) + bool(duplicates.remove(run, gone.mask))
    changed += bool(frequent.forget(run, gone.mask))
    return changed + _remove_shown(run, gone) + _purge_exports(run, gone)


def _tombstones(matches: Iterable[Match], source: str) -> Iterator[Tombstone]:
    """Yield the digests of keys and, unless a pair is meant by its key alone, of its urls."""
    today = datetime.now(UTC).date().isoformat()
    for match in matches:
        line = min(match.lines)
        reason = f"{source}, line {line.number}: {line.kind}"
        yield Tombstone("key", digest(match.key), today, reason)
        if any(line.kind != "key" for line in match.lines):
            yield from (Tombstone("url", digest(url), today, reason) for url in match.urls)


def _expectations(config: PipelineConfig) -> tuple[Expected | None, Expected | None]:
    """Return the fingerprints of fresh downloads and scores; None where there can be none, as for want of a model."""
    download: Download = build("download", config)
    score: Score = build("score", config)
    try:
        score.made_from(None)
        is_known = True
    except UserError:
        is_known = False
    return download.made_from if config.way == "table" else None, score.made_from if is_known else None


def _remove_scratch(config: PipelineConfig) -> None:
    for pattern in SCRATCH:
        for path in config.run.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(config.dedup.folder(config.run), ignore_errors=True)  # it may lie on another disk


def _remove_shown(run: Path, gone: Tombstones) -> int:
    """Remove what shows pairs: the report, sets of samples that one is among, and grids drawn from one."""
    removed = [samples for samples in sets_of(run) if gone.mask(keys_of(samples.table)).any()]
    for samples in removed:
        remove_set(samples)
    shown = [path for name in MADE_ANEW if (path := run / name).exists()]
    for path in shown:
        path.unlink()
    return len(removed) + len(shown) + sum(remove_pairs(folder, gone) for folder in trainings_of(run))


def _exports_inside(run: Path) -> list[Path]:
    return [folder for folder in exports_of(run) if folder.resolve().is_relative_to(run.resolve())]


def _purge_exports(run: Path, gone: Tombstones) -> int:
    """Remove exported files inside the run that hold one of the pairs: the same `corgi export` makes them anew.

    Of a shard all files go, the table by which it is found last.
    """
    removed = 0
    for folder in _exports_inside(run):
        for path in [*folder.rglob("*.next"), *folder.rglob("*.tar")]:
            if not path.with_suffix(PAIRS).exists():  # of an export that was cut off
                path.unlink()
        holding = [path for path in files_of_export(folder) if gone.mask(keys_of(path)).any()]
        if holding:
            (folder / INDEX).unlink(missing_ok=True)  # no training shall miss them only when it comes to them
        for path in holding:
            beside = path.parent.glob(f"{path.name.removesuffix(PAIRS)}[._]*")
            for other in [*(other for other in beside if other != path), path]:
                other.unlink()
        removed += len(holding)
    return removed
