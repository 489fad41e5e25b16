"""The whole of an export: cut what was kept, write it shard by shard, then the index and the words for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs import UserError, fingerprint
from pipeline.config import PipelineConfig
from pipeline.runner import Outcome, build, run_shards
from pipeline.status import config_of
from storage import index, keep_list, pairs
from storage.atomic import commit_text
from storage.exports import AUDIT, DATA, README, SPLITS, write_cut
from storage.lease import Key, hold
from storage.ledger import note
from storage.plan import remove_shards_from, shards_of
from storage.shard import KEEP, PAIRS, Shard
from storage.tables import check_rows, column_names
from storage.text_embeds import TextEmbedsFile
from storage.typed import typed

from .options import Options
from .readme import LICENSES, readme
from .shards import Chosen, cut, keep_of, shared_types
from .tables import ExportTables
from .tars import ExportTars


def export(run: Path, options: Options, *, folder: Path | None = None, workers: int | None = None) -> Outcome:
    """Export what a run keeps into `folder`, or beside the run's shards; the same call goes on where it stopped.

    Raises UserError where select or embed is not done, nothing is kept, or the folder holds something else.
    """
    config, folder = config_of(run), folder or options.folder(run)
    _check_folder(folder, run)
    counts, licenses = _look_through(config, options)
    types = shared_types(shards_of(config.run)) if config.way == "shards" else {}  # a table's are alike
    with hold(folder, Key("export", 0, 1)):
        steps = {split: _step(config, options, folder, split, counts[split], types) for split in SPLITS}
        outcomes = [_run(step, folder / split, workers or config.workers) for split, step in steps.items()]
        outcome = _summed(outcomes)
        if not outcome.failed:
            _finish(config, options, folder, {split: sum(counts[split]) for split in SPLITS}, licenses)
    note(run, event="export", folder=str(folder.resolve()), to=options.to, pairs=outcome.counts.total())
    return outcome


def _check_folder(folder: Path, run: Path) -> None:
    """Refuse a folder in which something lies that no export made."""
    if folder.resolve() == run.resolve() or (folder / "config.yaml").exists():
        raise UserError(f"{folder} is a run; give the export a folder of its own with --out")
    others = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    known = {*SPLITS, DATA, README, AUDIT, index.INDEX, "leases"}
    if foreign := sorted(name for name in others if name not in known and not name.startswith(".")):
        raise UserError(f"{folder} holds {foreign[0]}, which no export made; give another folder with --out")


def _look_through(config: PipelineConfig, options: Options) -> tuple[dict[str, list[int]], Counter[str]]:
    """Return how many pairs of each shard go into each split, and how many there are of each licence.

    Every keep-list is read once. Raises UserError where the run is not up to date.
    """
    shards = shards_of(config.run)
    for name in ("select", *(["embed"] if options.text_embeds != "none" else [])):
        step = build(name, config)
        stale = sum(step.state(shard) != "done" for shard in shards)
        if stale:
            or_none = "" if name == "select" else ', or export with "--text-embeds none"'
            raise UserError(
                f'{stale} of {len(shards)} shards are not up to date; run "{typed(config.run, name)}" first{or_none}'
            )
    chosen = [Chosen(config.run, split, options.column) for split in SPLITS]
    counts: dict[str, list[int]] = {split: [] for split in SPLITS}
    licenses = Counter[str]()
    for shard in shards:
        keep = keep_of(shard, options.column)
        masks = {each.split: each.mask(keep) for each in chosen}
        for split, mask in masks.items():
            counts[split].append(int(mask.sum()))
        licenses += _licenses(shard, keep, np.logical_or.reduce([*masks.values()]))
    if not sum(counts["train"]):
        raise UserError(f"no pair of {config.run} is trained on, so there is nothing to export; look at the funnel")
    return counts, licenses


def _step(
    config: PipelineConfig,
    options: Options,
    folder: Path,
    split: str,
    counts: Sequence[int],
    types: Mapping[str, pa.DataType],
) -> ExportTars:
    parts = cut(counts, options.pairs_each)
    write_cut(folder / split, parts)
    common: dict[str, Any] = {
        "chosen": Chosen(config.run, split, options.column),
        "options": options,
        "embed": config.embed,
        "types": types,
    }
    if options.to == "webdataset":
        return ExportTars(**common)
    return ExportTables(**common, folder=folder, files=len(parts))


def _run(step: ExportTars, folder: Path, workers: int) -> Outcome:
    shards = shards_of(folder)
    if isinstance(step, ExportTables):
        wanted = {step.path(shard) for shard in shards}
        for path in (step.folder / DATA).glob(f"{step.chosen.split}-*.parquet"):
            if path not in wanted:
                path.unlink()
    else:
        remove_shards_from(folder, len(shards))
    return run_shards(step, shards, workers=workers)


def _summed(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        done=sum(outcome.done for outcome in outcomes),
        skipped=sum(outcome.skipped for outcome in outcomes),
        failed={number: cause for outcome in outcomes for number, cause in outcome.failed.items()},
        counts=sum((outcome.counts for outcome in outcomes), Counter[str]()),
        seconds=sum(outcome.seconds for outcome in outcomes),
    )


def _finish(
    config: PipelineConfig, options: Options, folder: Path, counts: dict[str, int], licenses: Counter[str]
) -> None:
    if options.text_embeds == "beside":
        _write_index(config, folder)
    text = readme(config.run, folder, options, counts, licenses)
    commit_text(folder / README, text)


def _write_index(config: PipelineConfig, folder: Path) -> None:
    """Write the index of all exported shards, as a training reads it."""
    text, shards = config.embed.text, [shard for split in SPLITS for shard in shards_of(folder / split)]
    rows = [index.row_of(shard, folder, encoder=text.name) for shard in shards]
    index.write(
        folder,
        rows,
        fingerprint=fingerprint("export", rows),
        encoder=text.name,
        width=TextEmbedsFile(shards[0], text.name).width,
        text=text.made_with(),
        stages=keep_list.stages_of(shards[0]),
        captions=config.embed.captions,
    )


def _licenses(shard: Shard, keep: pa.Table, chosen: np.ndarray) -> Counter[str]:
    """Return how many chosen pairs each licence has; empty where the url table has no such column."""
    column = next((name for name in LICENSES if name in column_names(shard.path(PAIRS))), None)
    if column is None:
        return Counter()
    stored = pairs.stored(shard, ["key", column])
    check_rows(keep, stored, path=shard.path(KEEP), made_by="select")
    named = stored[column].filter(pa.array(chosen))
    return Counter(str(value) if value is not None else "not named" for value in named.to_pylist())
