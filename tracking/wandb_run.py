"""One run of W&B, told what it does not know yet.

A line's place in its history is its number in the ledger. Online, W&B says at which number it stands, and the rest
follows: a sync that was killed repeats nothing and leaves nothing out. Into files, all is written anew each time, as
several folders of one id are not joined by `wandb sync`.

Only what is named here is sent: no argv, no environment, no code, no console, no host, no path of this machine's but
those that an artifact refers to.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import PipelineConfig
from pipeline.decisions.overlaps import overlaps
from pipeline.status import config_of
from report.scores import histograms
from report.sensitive import SensitivePairs
from storage.atomic import commit_json, read_json
from storage.processes import locked

from .alerts import alerts
from .artifacts import Artifact, lineage
from .examples import examples
from .pictures import drawn
from .sources import Source
from .told import Line, told

FOLDER = "wandb"  # within a run: files that wait to be sent, locks, and up to where was sent
CLIENT = {  # environment that W&B's client reads, where the user has not set it
    **{"WANDB_INIT_TIMEOUT": "60", "WANDB_FINISH_TIMEOUT": "600"},  # seconds
    "WANDB_ERROR_REPORTING": "false",  # what goes wrong here is nobody's business
}
NOT_IN_NAMES, NAME_LENGTH = re.compile(r"[^A-Za-z0-9_.-]"), 128  # of artifacts
EXAMPLES_AT = "select"  # the step whose run has the table of examples


def send(source: Source, *, offline: bool) -> list[str]:
    """Tell W&B the lines it does not have; return lines for a person. Raises UserError where another is at it."""
    home = source.folder / FOLDER
    mark, known = home / f"{source.id}.json", _mark(source)
    if not offline and read_json(mark) == known:
        return [f"{source.name}: nothing new after {len(source.lines):,} lines"]
    with locked(home / f"{source.id}.lock", busy=f"{source.name}: another process is sending it"):
        with _started(source, offline=offline) as run:
            first = 0 if offline else run.starting_step
            sent = _tell(run, source, first=first)
        if not offline:
            commit_json(mark, known)
    where = _folder(source) if offline else run.url
    return [f"{source.name}: {sent:,} of {len(source.lines):,} lines to {where}", *_alerts_said(source, first)]


@contextmanager
def _started(source: Source, *, offline: bool) -> Iterator[Any]:
    """Yield W&B's run, and wait until all that was logged has arrived."""
    import wandb

    home = source.folder / FOLDER
    if offline:
        for stale in [*home.glob(f"offline-run-*-{source.id}"), home / f"data-{source.id}"]:
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="corgi-wandb-") as scratch:
        data = home / f"data-{source.id}" if offline else Path(scratch) / "data"
        data.mkdir(parents=True)
        os.environ |= {"WANDB_DATA_DIR": str(data), "WANDB_CACHE_DIR": f"{scratch}/cache"}
        for name, value in CLIENT.items():
            os.environ.setdefault(name, value)
        try:
            run = wandb.init(
                project=source.wandb.project,
                entity=source.wandb.entity,
                group=source.group,
                job_type=source.name,
                name=source.name,
                id=source.id,
                resume="allow",
                mode="offline" if offline else "online",
                dir=source.folder if offline else scratch,
                config=source.config,
                allow_val_change=True,  # a training may go on with other settings
                settings=_settings(source),
            )
            try:
                yield run
            finally:
                run.finish(exit_code=0)
        finally:  # the client's service writes the end of a file when it leaves, and knows but one server
            wandb.teardown()


def _settings(source: Source) -> Any:
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        host="-",
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        x_update_finish_state=source.is_over,  # else it is still running
        finish_timeout_raises=True,
    )


def _tell(run: Any, source: Source, *, first: int) -> int:
    """Log the lines from number `first` on, with what belongs to them; return how many."""
    import wandb

    if source.is_training:
        run.define_metric("*", step_metric="seen")
    new = [(number, line) for number, line in told(source.lines) if number >= first]
    sensitive = SensitivePairs({})
    for number, line in new:
        run.log({**source.figures(line), **_media(source, line, sensitive, is_last=number == new[-1][0])}, step=number)
    for number, alert in alerts(source.name, source.lines):
        if number >= first:
            run.alert(alert.title, alert.text, level=alert.level, wait_duration=1)
    if new:
        used, made = lineage(source)
        for artifact in used:  # as `use_artifact` does, which refuses to where there is no network
            run._log_artifact(_artifact(wandb, artifact), is_user_created=True, use_after_commit=True)
        for artifact in made:
            run.log_artifact(_artifact(wandb, artifact))
    return len(new)


def _media(source: Source, line: Line, sensitive: SensitivePairs, *, is_last: bool) -> dict[str, Any]:
    """Return the pictures of a line: of a grid, or, with the last line of `select`, the table of examples."""
    import wandb
    from PIL import Image

    if source.is_training and line["event"] == "grid":
        images = drawn(source, line, sensitive)
        return {"grid": [wandb.Image(Image.fromarray(image), caption=caption) for caption, image in images]}
    if source.name == EXAMPLES_AT and not source.is_training and is_last:
        table = wandb.Table(columns=["verdict", "reason", "key", "caption", "url", "image"])
        config = config_of(source.folder)
        for example in examples(config):
            image = None if example.image is None else wandb.Image(Image.fromarray(example.image))
            table.add_data(*example[:-1], image)
        return {"examples": table, "funnel": _funnel(config), **_histograms(config)}
    return {}


def _funnel(config: PipelineConfig) -> Any:
    """Return the table of what each rule takes: first, whatever else fails, and uniquely."""
    import wandb

    counted = overlaps(config)
    nothing = [None, None, None]
    rows: list[list[Any]] = [["plan", reason, count, *nothing] for reason, count in counted.planned_away.items()]
    rows += [["download", reason, count, *nothing] for reason, count in counted.not_stored.items()]
    rows += [["select", rule, c.in_order, c.alone, c.uniquely, c.left] for rule, c in counted.rules.items()]
    return wandb.Table(columns=["step", "reason", "in_order", "alone", "uniquely", "left"], data=rows)


def _histograms(config: PipelineConfig) -> dict[str, Any]:
    """Return what the scorers found, by column."""
    import wandb

    found = {}
    for histogram in histograms(config):
        starts, ends, counts = zip(*histogram.bars, strict=True)
        found[f"scores/{histogram.name}"] = wandb.Histogram(
            np_histogram=(np.array(counts), np.array([*starts, ends[-1]]))
        )
    return found


def _artifact(wandb: Any, artifact: Artifact) -> Any:
    """Return an artifact that holds a reference with our digest: W&B's own way would read every byte."""
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
    from wandb.sdk.lib.paths import LogicalPath

    name = NOT_IN_NAMES.sub("-", artifact.name)[-NAME_LENGTH:]
    made = wandb.Artifact(name, type=artifact.kind, metadata={"digest": artifact.digest})
    for number, place in enumerate(artifact.places):
        entry = ArtifactManifestEntry(path=LogicalPath(f"{number:04d}"), digest=artifact.digest, ref=place, size=0)
        made.manifest.add_entry(entry)
    return made


def _mark(source: Source) -> dict[str, Any]:
    """Return what is remembered of a sync that arrived: with the same, there is nothing to be sent."""
    about = {"project": source.wandb.project, "entity": source.wandb.entity, "server": os.environ.get("WANDB_BASE_URL")}
    return {**about, "lines": len(source.lines)}


def _folder(source: Source) -> Path:
    return next((source.folder / FOLDER).glob(f"offline-run-*-{source.id}"))


def _alerts_said(source: Source, first: int) -> list[str]:
    return [f"{alert.level}: {alert.text}" for number, alert in alerts(source.name, source.lines) if number >= first]
