"""`corgi takedown LIST --run RUN [--apply]`: pairs that must go, and what was made from them, trainings included.

What a checkpoint learnt from a pair cannot be taken out of it. So the steps that saw the pair, and the checkpoints
since the first of them, are told, and noted in the run's ledger before anything is changed: afterwards nobody could.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from configs import UserError, printable
from pipeline.config import PipelineConfig
from pipeline.status import config_of
from pipeline.takedown.apply import alone, apply
from pipeline.takedown.find import Match, Touched, find, still_holding, touched
from pipeline.takedown.lists import Line, read_list
from storage import checkpoint
from storage.checkpoint import committed, step_of
from storage.run import trainings_of

from .run_folder import read_config
from .why import shortened_steps, steps_of_pairs, untold_until

SHOWN = 40  # lines of a kind


class Trained(NamedTuple):
    """What a training did with the pairs."""

    folder: Path
    steps: list[int]  # that saw one of them
    checkpoints: list[Path]  # of the first of these steps or later
    unknown: str  # why the steps cannot be told, "" where they can


def takedown(run: Path, source: Path, *, is_applied: bool) -> Iterator[str]:
    """Yield what a list means in a run and what it touches, a line each; take it down if `is_applied`.

    Raises UserError for a list that cannot be read, and where something else is at work on the run.
    """
    config, lines = config_of(run), read_list(source)
    with alone(run) if is_applied else nullcontext():
        matches = find(run, lines)
        trained = [_of_training(folder, matches) for folder in trainings_of(run)] if matches else []
        report = _report(config, lines, matches, touched(config, matches), trained)
        yield from map(printable, report)
        if not is_applied:
            yield "nothing was changed; the same command with --apply takes them down"
            return
        about = [{"run": str(each.folder), **_noted(each)} for each in trained]
        changed = apply(config, matches, source=source.name, trainings=about)
        texts = {text for match in matches.values() for text in match.urls | match.captions}
        texts |= {line.value for line in lines if line.kind == "url"}
        left = still_holding(run, texts, skip=checkpoint.FOLDER)
        yield from _some(
            [f"left      {printable(str(path))} still holds a url or caption; it is no file of a step" for path in left]
        )
        yield f"{changed} files were changed or removed; what follows from them is stale: corgi status {run}"


def _of_training(folder: Path, matches: Mapping[str, Match]) -> Trained:
    checkpoints = list(reversed(committed(folder)))
    try:
        config = read_config(folder)
        shards = {key: min(match.shards) for key, match in matches.items() if match.shards}
        steps_by_key = steps_of_pairs(config, shards) if config else {}
        if config and (untold := untold_until(config)):
            return Trained(folder, [], checkpoints, f"it read another index up to step {untold:,}")
    except UserError as error:
        return Trained(folder, [], checkpoints, str(error))
    steps = sorted({step for steps in steps_by_key.values() for step in steps or ()})
    return Trained(folder, steps, [each for each in checkpoints if steps and step_of(each) >= steps[0]], "")


def _noted(trained: Trained) -> dict[str, object]:
    """Return what the ledger keeps of a training."""
    checkpoints = [folder.name for folder in trained.checkpoints]
    return {
        "steps": trained.steps,
        "checkpoints": checkpoints,
        **({"unknown": trained.unknown} if trained.unknown else {}),
    }


def _report(
    config: PipelineConfig,
    lines: Sequence[Line],
    matches: Mapping[str, Match],
    made: Touched,
    trained: Sequence[Trained],
) -> Iterator[str]:
    run, counts = config.run, Counter(line for match in matches.values() for line in match.lines)
    yield f"{len(matches)} pairs of {run} are meant by {len(counts)} of {len(lines)} lines"
    yield from (f"line      {line.number} means no pair" for line in lines if not counts[line])
    yield from _some([_pair(match) for _, match in sorted(matches.items())])
    yield from _some([f"copy      {key} stores one of their images, and no line means it" for key in made.copies])
    yield from _some([f"file      {path}" for path in made.files])
    yield from _some([f"samples   {samples.table} and its images" for samples in made.sets])
    yield from _some([f"export    {path}" for path in made.exports])
    yield from (_training(each) for each in trained)
    yield from _some([f"outside   {path} is linked by the run, holds them still, and is left" for path in made.linked])
    outside = [path for path in made.exports if not path.resolve().is_relative_to(run.resolve())]
    yield from _some([f"outside   {path} was exported, holds them still, and is left" for path in outside])
    if matches:
        yield from _some(
            [f"source    {path} names them still; the run does not take them from there" for path in made.sources]
        )


def _pair(match: Match) -> str:
    places = ", ".join(f"shard {number:05d}" for number in sorted(match.shards)) or "dropped by the plan"
    return f"pair      {match.key}  {places}, by line {', '.join(str(line.number) for line in sorted(match.lines))}"


def _training(trained: Trained) -> str:
    name = f"training  {trained.folder}"
    checkpoints = ", ".join(folder.name for folder in trained.checkpoints) or "none"
    if trained.unknown:
        return f"{name}: the steps that saw them cannot be told: {trained.unknown}; its checkpoints: {checkpoints}"
    if not trained.steps:
        return f"{name}: saw none of them"
    return (
        f"{name}: saw them at step {shortened_steps(trained.steps)}; checkpoints that learnt from them: {checkpoints}"
    )


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"{lines[0].split()[0]:10}... and {len(lines) - SHOWN:,} more"
