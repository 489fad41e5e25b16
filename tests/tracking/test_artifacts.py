"""What was made of what: each artifact that a step makes is the one that the next uses, by its content."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from configs import resolve
from pipeline.config import PipelineConfig
from storage import ledger, text_embeds
from storage.checkpoint import COMMIT, FOLDER
from storage.run import write_config
from storage.samples import SampleSet
from storage.shard import Shard
from tests.factory import MARK, WIDTH, downloaded, embed, through
from tests.training.small_training import values_of
from tests.training.small_training import write_config as write_yaml
from tracking.artifacts import lineage
from tracking.sources import sources_of

CHAIN = ("plan", "download", "select", "embed", "base16", "evaluate")
KINDS = ("url-table", "shards", "keep-list", "embeddings", "checkpoint", "samples")


def made_run(folder, *, shortest: int = 0) -> PipelineConfig:
    """A run whose steps were all called; its embeds and its training's checkpoint are made up."""
    rows: list[dict[str, Any]] = [{"caption": f"a shape {number}", "seed": number} for number in range(4)]
    config = downloaded(folder, rows, select={"rules": {"long": f"length(caption) > {shortest}"}})
    through(config, "score", "dedup", "select")
    shard = Shard(config.run, 0)
    captions = [row["caption"] for row in rows]
    keys, vectors = pa.chunked_array([captions], pa.string()), {caption: embed(caption) for caption in captions}
    path = shard.path(text_embeds.suffix(config.embed.text.name))
    text_embeds.write(path, keys, captions, vectors, encoder="made", width=WIDTH, **MARK)
    training = config.run / "train/base16"
    write_yaml(training, values_of(training, config.run / "index.parquet"))
    (training / "run.json").write_text("{}")
    (training / FOLDER / "step_00000006").mkdir(parents=True)
    (training / FOLDER / "step_00000006" / COMMIT).write_text("{}")
    ledger.note(training, event="step", step=6, seen=48)
    samples = SampleSet(config.run, "held_out")
    samples.write_rows(pa.table({"key": ["1"], "caption": ["a shape"]}), **MARK)
    samples.write("base16", np.zeros((1, 4, 4, 3), np.uint8), **MARK)
    for name in ("plan", "download", "select", "embed"):
        ledger.note(config.run, event="step", step=name, counts={"ok": 1})
    ledger.note(config.run, event="sampled", set="held_out", stage="base16", pictures=1, seconds=1.0)
    return config


def lineages(config):
    found = {source.name: lineage(source) for source in sources_of(config.run)}
    return [found[name] for name in CHAIN]


def test_from_the_table_to_samples(tmp_path):
    chain = lineages(made_run(tmp_path))
    assert [its.made[0].kind for its in chain] == [*KINDS]
    for before, after in pairwise(chain):
        assert before.made == after.used
    assert all(artifact.digest and artifact.places for its in chain for artifact in its.made)


def test_a_digest_is_of_the_content(tmp_path):
    first, same, other = (
        lineages(made_run(tmp_path / name, shortest=shortest)) for name, shortest in (("a", 0), ("b", 0), ("c", 9))
    )
    digests = [[its.made[0].digest for its in chain] for chain in (first, same, other)]
    assert digests[0][1:] == digests[1][1:]  # a plan names its table by path, too
    assert [one == two for one, two in zip(digests[0], digests[2], strict=True)][1:] == [True, False, True, True, True]


def test_a_url_is_named_without_its_secrets_and_half_a_step_not_at_all(tmp_path):
    config = made_run(tmp_path)
    hidden = resolve(PipelineConfig, config.model_dump(mode="json") | {"table": ["https://me:pw@a.test/t.csv?sig=x"]})
    write_config(config.run, hidden, fingerprint="made")
    assert lineages(hidden)[0].made[0].places == ("https://***@a.test/t.csv?sig=***",)
    Shard(config.run, 0).path(".keep.parquet").unlink()
    assert lineages(hidden)[2].made == [] and lineages(hidden)[1].made != []
