"""An overview as a screen for people, and as JSON for programs.

          state     made                    tasks  pace             left
download  running   12,021 of 41,300 shards 8 run  3.1 shards/s     2 h 37 min  http_404 12 %, too_small 8 %
base64    running   1,200 of 50,000 steps   1 run  212 images/s     3 d 4 h     loss 0.0312, 2 restarts
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from configs.steps import STEPS
from slurm.job_status import JobStatus

from .overview import Overview, Row

VERSION = 1  # of the JSON: a key keeps its name and meaning; others may be added
TASKS = {"running": "running", "waiting": "waiting", "failed": "failed"}
HEAD = ("", "state", "made", "tasks", "pace", "left", "")


def as_json(seen: Overview) -> dict[str, Any]:
    """Return the overview as plain values; docs/seeing.md says what each means."""
    jobs = seen.jobs
    return {
        "version": VERSION,
        "run": str(seen.run.absolute()),
        "at": round(seen.at, 3),
        "submitted_at": jobs.submitted_at if jobs else None,
        "queue": None if jobs is None else "asked" if jobs.is_queue_known else "unknown",
        "goodput": _rounded(seen.goodput),
        "core_hours": _rounded(sum(row.hours("cores") for row in seen.rows)),
        "gpu_hours": _rounded(sum(row.hours("gpus") for row in seen.rows)),
        "rows": [_row_json(row) for row in seen.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    step, stage, pace = row.step, row.stage.standing if row.stage else None, row.pace
    made, total = (step.states["done"], step.total) if step else (stage.step, stage.steps) if stage else (None, None)
    return {
        "name": row.name,
        "kind": "step" if step else "stage" if row.stage or row.waits else "job",
        "state": row.state,
        "done": made,
        "total": total,
        "stale": step.states["stale"] if step else None,
        "tasks": {state: row.tasks(state) for state in ("done", "running", "failed", "waiting")},
        "rate_per_s": _rounded(pace.rate_per_s if step else stage.images_per_s if stage else None),
        "eta_s": _rounded(pace.eta_s if step else stage.eta_s if stage and row.state == "running" else None),
        "reasons": {reason: _rounded(share) for reason, share in pace.reasons.items()},
        "loss": stage.loss if stage else None,
        "restarts": _restarts(row),
        "goodput": _rounded(stage.goodput if stage else None),
        "core_hours": _rounded(row.hours("cores")),
        "gpu_hours": _rounded(row.hours("gpus")),
        "jobs": [_job_json(job) for job in row.jobs],
    }


def _job_json(job: JobStatus) -> dict[str, Any]:
    bad = [task for task in job.tasks if task.state in ("failed", "lost")]
    return {
        "id": job.job.id,
        "name": job.job.name,
        "state": job.state,
        "why": job.why,
        "failed": [{"task": task.task, "why": task.why, "log": str(task.log)} for task in bad],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _restarts(row: Row) -> int:
    """Return how often work began again: by the ledger, or by the cluster where no work had begun yet."""
    by_cluster = sum(task.record.restarts for job in row.jobs for task in job.tasks)
    return max(by_cluster, row.stage.standing.restarts if row.stage else row.pace.restarts)


def told(seen: Overview) -> str:
    """Return the screen."""
    table = [HEAD, *(_cells(row) for row in seen.rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(HEAD))]
    lines = [_head(seen)]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in table
    ]
    lines += [f"{row.name}: {job.why}" for row in seen.rows for job in row.jobs if job.why and row.state != "done"]
    return "\n".join([*lines, *_sums(seen)])


def _head(seen: Overview) -> str:
    at = datetime.fromtimestamp(seen.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    parts = [str(seen.run), f"at {at} UTC"]
    if seen.jobs:
        parts.append(f"submitted at {seen.jobs.submitted_at}")
        if not seen.jobs.is_queue_known:
            parts.append("the queue cannot be asked from here")
    return ", ".join(parts)


def _cells(row: Row) -> tuple[str, ...]:
    tasks = ", ".join(f"{count} {word}" for state, word in TASKS.items() if (count := row.tasks(state)))
    now = row.stage.standing if row.stage else None
    rate, eta_s, made = "", None, ""
    if row.step:
        unit = "shards" if STEPS[row.name].kind == "shard" else "tables"
        made = f"{row.step.states['done']:,} of {row.step.total:,} {unit}" if row.step.total else ""
        rate = f"{row.pace.rate_per_s:.3g} shards/s" if row.pace.rate_per_s and row.step.total > 1 else ""
        eta_s = row.pace.eta_s
    elif now:
        made = f"{now.step:,} of {now.steps:,} steps"
        rate = f"{now.images_per_s:.3g} images/s" if now.images_per_s else ""
        eta_s = now.eta_s if row.state == "running" else None
    return row.name, row.state, made, tasks, rate, duration(eta_s), ", ".join(_notes(row))


def _notes(row: Row) -> Iterator[str]:
    if row.waits:
        yield row.waits
    if row.step:
        if stale := row.step.states["stale"]:
            yield f"{stale:,} stale (rules, thresholds, models or inputs changed since)"
        yield from (f"{reason} {share:.0%}" for reason, share in row.pace.reasons.items())
        if row.pace.hosts:
            yield f"on {', '.join(row.pace.hosts[:3])}"
    if row.stage:
        now = row.stage.standing
        yield from [] if now.loss is None else [f"loss {now.loss:.4f}"]
        yield "nothing saved yet" if now.saved_at is None else f"saved at {now.saved_at:,}"
        if row.state != "running":
            ago = f"{duration(now.silent_s)} ago"
            yield f"stopped {ago}; the same command goes on" if now.last_event == "stopped" else f"last line {ago}"
    if restarts := _restarts(row):
        yield f"{restarts} restart{'s' * (restarts > 1)}"
    if row.stage:
        yield from [] if row.stage.standing.goodput is None else [f"goodput {row.stage.standing.goodput:.0%}"]
        yield from row.stage.notes


def _sums(seen: Overview) -> Iterator[str]:
    cores, gpus = (sum(row.hours(what) for row in seen.rows) for what in ("cores", "gpus"))
    if cores or gpus:
        goodput = "" if seen.goodput is None else f"; goodput {seen.goodput:.0%}"
        yield f"so far {cores:,.3g} core-hours, {gpus:,.3g} GPU-hours{goodput}"


def duration(seconds: float | None) -> str:
    """Return '2 h 37 min', the two largest units; empty of None."""
    if seconds is None:
        return ""
    left, parts = round(seconds), list[str]()
    for unit, size in {"d": 86_400, "h": 3600, "min": 60, "s": 1}.items():
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2] if parts[:2][-1][0] != "0" else parts[:1])


def watch(look: Any, *, every_s: float, clear: bool) -> None:
    """Show what `look()` sees again and again, until somebody stops it. clear: the screen before."""
    while True:
        text = told(look())
        print(f"\x1b[H\x1b[2J{text}" if clear else f"{text}\n", flush=True)
        time.sleep(every_s)
