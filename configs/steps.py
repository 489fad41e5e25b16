"""The registry of the pipeline's steps, in the order of a pair's way.

Commands, status, SLURM's jobs, the page's timings and the quickstart read it; nothing restates it. A new step is a file
`pipeline/<name>.py` with a class of that name, and an entry here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Way = Literal["table", "shards"]  # how a run begins: with a url table, or with shards that exist already


@dataclass(frozen=True)
class StepEntry:
    """What all the others know of a step."""

    name: str  # of the command and of the module; the class is called the same, with a capital
    kind: Literal["shard", "table"]  # a function of one shard, or of the whole run
    help: str
    writes: str  # shard: suffix of the file whose presence means done; table: the file's name at the top of the run
    after: tuple[str, ...] = ()  # steps that must be done before; of those of the other way none
    reads: tuple[str, ...] = ()  # shard: suffixes of files that must exist
    also: tuple[str, ...] = ()  # suffixes of further files of a shard that it makes
    section: str | None = None  # of the pipeline's config; None: the step needs no config of its own
    module: str | None = None  # None: pipeline.<name>
    way: Way | None = None  # on which runs it is a step; None: on all


ENTRIES = (
    StepEntry(
        "plan",
        "table",
        "Cut the url table into shards. What needs no download to be dropped is dropped here.",
        writes="plan.parquet",
        also=(".urls.parquet",),
        section="plan",
        way="table",
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
        way="table",
    ),
    StepEntry(
        "adopt",
        "shard",
        "Take shards or pictures that exist already. In the place of plan and download; images stay where they can.",
        writes=".parquet",
        also=(".tar", ".urls.parquet"),
        section="adopt",
        module="pipeline.adopt.step",
        way="shards",
    ),
    StepEntry(
        "score",
        "shard",
        "Compute the numbers that rules decide on. Sizes, language, hate, NSFW, perceptual hash.",
        after=("download", "adopt"),
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


def entries_of(way: Way) -> list[StepEntry]:
    """Return the steps of a run that begins in one of the two ways, in order."""
    return [entry for entry in ENTRIES if entry.way in (None, way)]


def ancestors(name: str) -> Iterator[str]:
    """Yield the steps that come before this one, nearest first; a step may come twice."""
    for parent in STEPS[name].after:
        yield parent
        yield from ancestors(parent)


def made_by(suffix: str) -> list[str]:
    """Return the steps that make a shard's file with this suffix, each on another way."""
    return [entry.name for entry in ENTRIES if suffix in (*entry.also, entry.writes)]
