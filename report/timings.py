"""Where the time went: a pipeline's steps in the order of the registry, trainings, and whatever else left its time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from configs import steps
from storage import ledger

from .training import Stage

LEFT_BY = {"select": "kept", "download": "stored", "plan": "planned"}  # the funnel's levels, the last first


class Spent(NamedTuple):
    """The time of one command or step, all its calls added up."""

    name: str
    seconds: float
    work_seconds: float  # without the start of the command, where that is known
    handled: int  # pairs or images; 0 where it is not known
    unit: str

    @property
    def rate(self) -> float | None:
        """Return how many it handled a second; None where that says nothing."""
        return self.handled / self.work_seconds if self.handled and self.work_seconds >= 0.05 else None


def handled_by(step: str) -> str:
    """Return which level of the funnel a step works on, by what must be done before it."""
    before = {*steps.ancestors(step)}
    return next((level for name, level in LEFT_BY.items() if name in before), "rows")


def spent_on(run: Path, levels: Mapping[str, int], stages: Sequence[Stage]) -> list[Spent]:
    """Return the times in the order in which things happen. levels: of the funnel."""
    work, commands = Counter[str](), Counter[str]()
    for line in ledger.read(run):
        if line.get("event") == "step":
            work[line["step"]] += line["seconds"]
        elif line.get("event") == "command":
            commands[line["command"]] += line["seconds"]
    known = [entry.name for entry in steps.ENTRIES if entry.name in work]
    spent = [Spent(name, work[name], work[name], levels[handled_by(name)], "pairs") for name in known]
    spent += [
        Spent(f"train {stage.name}", stage.seconds, stage.seconds, stage.seen_meanwhile, "images") for stage in stages
    ]
    names = {part.name for part in spent}
    spent += [Spent(name, 0, 0, 0, "") for name in commands if name not in names]
    return [part._replace(seconds=commands.get(part.name, part.seconds)) for part in spent]
