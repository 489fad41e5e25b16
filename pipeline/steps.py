"""The steps by name, in the order of a pair's way."""

import subprocess
from pathlib import Path
from typing import Any

from configs import UserError, dump, fingerprint

from .config import PipelineConfig
from .files import commit_bytes
from .ledger import note
from .plan import shards_of
from .step import Outcome, run, run_table

ORDER = ("plan", "download", "score", "dedup", "select", "embed", "index")
TABLE_STEPS = ("plan", "dedup", "index")
RESOLVED = "config.yaml"


def build(name: str, config: PipelineConfig) -> Any:
    """The step of this name; a Step, or a TableStep for the names in TABLE_STEPS."""
    from .dedup import Dedup
    from .download.step import Download
    from .embed import Embed
    from .index import Index
    from .plan import Plan
    from .score import Score
    from .select import Select

    steps = {
        "plan": lambda: Plan(config),
        "download": lambda: Download(config.download),
        "score": lambda: Score(config.score),
        "dedup": lambda: Dedup(config),
        "select": lambda: Select(config),
        "embed": lambda: Embed(config.embed.text),
        "index": lambda: Index(config),
    }
    return steps[name]()


def run_step(
    name: str, config: PipelineConfig, *, rank: int = 0, world_size: int = 1, workers: int | None = None
) -> Outcome:
    """Runs one step of a run, after writing down the resolved config, and notes in the ledger what it came to."""
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size}: a rank is at least 0 and below the world size")
    if rank == 0:
        write_resolved(config)
    step = build(name, config)
    if name in TABLE_STEPS:
        outcome = run_table(step)
    else:
        workers = workers or config.workers
        outcome = run(step, shards_of(config.run), rank=rank, world_size=world_size, workers=workers)
    note(
        config.run,
        event="step",
        step=name,
        rank=rank,
        made=outcome.done,
        skipped=outcome.skipped,
        failed=len(outcome.failed),
        seconds=round(outcome.seconds, 3),
        counts=dict(outcome.counts),
    )
    return outcome


def write_resolved(config: PipelineConfig) -> None:
    """The resolved config, its fingerprint and the commit go into the run folder before anything else."""
    head = f"# fingerprint {fingerprint(config)}, commit {commit_of_code()}\n"
    commit_bytes(config.run / RESOLVED, (head + dump(config)).encode())


def commit_of_code() -> str:
    """The git commit of this code, or 'unknown' where it was installed without its history."""
    here = Path(__file__).parent
    try:
        said = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()
