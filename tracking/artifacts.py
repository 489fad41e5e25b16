"""What each step made of what: url table -> shards -> keep-list -> embeddings -> checkpoint -> samples.

An artifact names a place and the digest of what lies there; no byte of it is sent. The digest of shards' files is one
over those that each file carries of itself, so nothing is read but their ends.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from configs import fingerprint
from configs.redacted import redacted
from pipeline.status import config_of
from storage.atomic import sha256_file
from storage.checkpoint import COMMIT, committed
from storage.plan import PLAN, shards_of
from storage.run import CONFIG, run_of, trainings_of
from storage.samples import sets_of
from storage.shard import KEEP, PAIRS
from storage.tables import content
from storage.text_embeds import suffix
from training.run_folder import read_config

from .sources import EVALUATE, Source

TABLE, SHARDS, KEEP_LIST, EMBEDDINGS, CHECKPOINT, SAMPLES = (
    *("url-table", "shards", "keep-list", "embeddings", "checkpoint", "samples"),
)


class Artifact(NamedTuple):
    """A thing by reference."""

    kind: str
    name: str
    digest: str
    places: tuple[str, ...]  # uris


class Lineage(NamedTuple):
    """What one run there used and made."""

    used: list[Artifact]
    made: list[Artifact]


def lineage(source: Source) -> Lineage:
    """Return what a step or training used and made; what is not whole yet is not named."""
    if source.is_training:
        config = read_config(source.folder)
        used = [*_of_shards(config.data.index.parent, EMBEDDINGS)] if config else []
        return Lineage(used, [*_checkpoint(source.folder, source.name)])
    run = source.folder
    chain = {
        **dict.fromkeys(("download", "adopt"), (TABLE, SHARDS)),
        "select": (SHARDS, KEEP_LIST),
        "embed": (KEEP_LIST, EMBEDDINGS),
    }
    if source.name == EVALUATE:
        trained = [artifact for folder in trainings_of(run) for artifact in _checkpoint(folder, _stage(folder))]
        return Lineage(trained, [*_samples(run)])
    if source.name == "plan":
        return Lineage([], [*_of_shards(run, TABLE)])
    before, after = chain.get(source.name, (None, None))
    return Lineage([*_of_shards(run, before)], [*_of_shards(run, after)])


def _of_shards(run: Path, kind: str | None) -> Iterator[Artifact]:
    """Yield the artifact of a kind in a pipeline's run, once it is whole."""
    if kind is None or not (run / CONFIG).exists():
        return
    config = config_of(run)
    name = f"{run.name}-{kind}"
    if kind == TABLE:
        places = tuple(_uri(place) for place in config.table) or (_uri(str(config.adopt.source)),)
        digest = content(run / PLAN)
        if digest:
            yield Artifact(kind, name, digest, places)
        return
    ends = {SHARDS: PAIRS, KEEP_LIST: KEEP, EMBEDDINGS: suffix(config.embed.text.name)}
    contents = [content(shard.path(ends[kind])) for shard in shards_of(run)] if (run / PLAN).exists() else []
    if contents and None not in contents:
        yield Artifact(kind, name, fingerprint(kind, contents), (_uri(str(run)),))


def _checkpoint(folder: Path, stage: str) -> Iterator[Artifact]:
    for newest in committed(folder)[:1]:
        yield Artifact(CHECKPOINT, f"{run_of(folder).name}-{stage}", sha256_file(newest / COMMIT), (_uri(str(newest)),))


def _samples(run: Path) -> Iterator[Artifact]:
    for samples in sets_of(run):
        files = sorted(samples.table.parent.glob(f"{samples.name}.*.npz"))
        if digest := content(samples.table):
            marks = [digest, *map(sha256_file, files)]
            yield Artifact(
                SAMPLES,
                f"{run.name}-{samples.name}",
                fingerprint(SAMPLES, marks),
                tuple(_uri(str(file)) for file in files),
            )


def _stage(folder: Path) -> str:
    config = read_config(folder)
    return config.stage.name if config else folder.name


def _uri(place: str) -> str:
    return redacted(place) if "://" in place else Path(place).absolute().as_uri()
