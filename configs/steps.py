"""The registry of the pipeline's steps, in the order of a pair's way.

Commands, status, SLURM's jobs, the page's timings and the quickstart read it; nothing restates it. A new step is a file
`pipeline/<name>.py` with a class of that name, and an entry here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class StepEntry:
    """What all the others know of a step."""

    name: str  # of the command and of the module; the class is called the same, with a capital
    kind: Literal["shard", "table"]  # a function of one shard, or of the whole run
    help: str
    writes: str  # shard: suffix of the file whose presence means done; table: the file's name at the top of the run
    after: tuple[str, ...] = ()  # steps that must be done before
    reads: tuple[str, ...] = ()  # shard: suffixes of files that must exist
    also: tuple[str, ...] = ()  # suffixes of further files of a shard that it makes
    section: str | None = None  # of the pipeline's config; None: the step needs no config of its own
    module: str | None = None  # None: pipeline.<name>


ENTRIES = (
    StepEntry(
        "plan",
        "table",
        "Cut the url table into shards. What needs no download to be dropped is dropped here.",
        writes="plan.parquet",
        also=(".urls.parquet",),
        section="plan",
    ),
    StepEntry(
        "download",
        "shard",
        "Fetch the images of each shard into a tar. Every pair keeps what the server answered.",
        after=("plan",),
        reads=(".urls.parquet",),
        writes=".parquet",
        also=(".tar",),
        section="download",
        module="pipeline.download.step",
    ),
    StepEntry(
        "score",
        "shard",
        "Compute the numbers that rules decide on. Sizes, language, hate, NSFW, perceptual hash.",
        after=("download",),
        reads=(".tar", ".parquet"),
        writes=".scores.parquet",
        section="score",
    ),
    StepEntry(
        "dedup",
        "table",
        "Find copies over all shards. Exact, near, and captions seen too often.",
        after=("score",),
        writes="duplicates.parquet",
        section="dedup",
    ),
    StepEntry(
        "select",
        "shard",
        "Apply the rules. A keep-list names every rule that a pair failed.",
        after=("dedup",),
        reads=(".parquet", ".scores.parquet"),
        writes=".keep.parquet",
        section="select",
    ),
    StepEntry(
        "embed",
        "shard",
        "Store the text encoder's embeds of every kept caption. A vector a token.",
        after=("select",),
        reads=(".keep.parquet",),
        writes=".{encoder}.arrow",
        section="embed",
    ),
    StepEntry(
        "index",
        "table",
        "Count what was kept. One row a shard: what training reads first.",
        after=("embed",),
        writes="index.parquet",
        section="embed",
    ),
)
STEPS = {entry.name: entry for entry in ENTRIES}


def ancestors(name: str) -> Iterator[str]:
    """Yield the steps that come before this one, nearest first; a step may come twice."""
    for parent in STEPS[name].after:
        yield parent
        yield from ancestors(parent)


def made_by(suffix: str) -> str:
    """Return the step that makes a shard's file with this suffix."""
    return next(entry.name for entry in ENTRIES if suffix in (*entry.also, entry.writes))
