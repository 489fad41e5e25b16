"""How long the jobs of a chain would take: by rates that this run has measured, else by those of the benchmarks.

    download   1,200 shards in 64 tasks of 16 cores: 1.6 h, 97 task-hours (benchmarks: 0.0047 core-s a pair)
    train-sr64 40,000 steps on 4 nodes: 11.1 h, 44 node-hours (this training: 920 images/s)

A rate of the run is that of its last share, with the processes that this had. Figures are for planning. Before there
is a plan, shards are guessed by the rows of local parquet tables.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from configs import load
from configs.steps import entries_of
from filters.scorers import seconds_of
from pipeline.config import PipelineConfig
from pipeline.forecast import rates
from pipeline.table_files import files_of
from slurm.arrays import ranks_of, size_of
from slurm.config import ChainConfig, JobSettings
from slurm.render import Work
from storage.checkpoint import committed, step_of
from storage.ledger import read
from training.config import TrainConfig

BENCHMARKS = {  # core-seconds a pair, from benchmarks/README.md by way of docs/scale.md; score has rates of its own
    "plan": 2 * 46.7 / 10e6,
    "download": 1 / 214,
    "dedup": 197 / 10e6,
    "select": 31 / 10e6,
}


def hours_of(file: Path, overrides: list[str], work: Work) -> list[str]:
    """Return a line for each job whose size is known. Raises UserError where a config cannot be read."""
    chain = load(ChainConfig, file, overrides)
    pipeline = load(PipelineConfig, chain.pipeline)
    return [*_of_steps(chain, pipeline, work), *_of_trainings(chain, work)]


def _of_steps(chain: ChainConfig, pipeline: PipelineConfig, work: Work) -> Iterator[str]:
    measured, benchmarks = rates(pipeline), {**BENCHMARKS, "score": seconds_of(pipeline.score)}
    guessed = _shards_in(pipeline) if work.shards is None else None
    shards, about = work.shards or guessed, "about " if guessed else ""
    for entry in entries_of(pipeline.way):
        left = work.left.get(entry.name)
        if left == [] or shards is None:
            continue
        settings, pairs = JobSettings(chain, entry.name), pipeline.plan.shard_size
        count = len(left) if left is not None else shards
        tasks, at_once, cpus = settings.get("tasks"), settings.get("at_once"), settings.or_else("cpus", 1).value
        is_array = entry.kind == "shard"
        size = len(ranks_of(size_of(tasks.value if tasks else None, shards), left)) if is_array else 1
        where = f"in {size} task{'s' * (size != 1)} of {cpus} core{'s' * (cpus != 1)}"
        what = f"{about}{count:,} shards {where}" if is_array else "one job"
        if entry.name in measured:  # seconds a shard, or of the table
            each, why = measured[entry.name], f"this run: {measured[entry.name]:,.1f} s each"
        elif entry.name in benchmarks:
            rate = benchmarks[entry.name]
            each = rate * pairs / cpus * (1 if is_array else shards)
            why = f"benchmarks: {rate:.2g} core-s a pair"
        else:
            yield f"{entry.name:<10} {what}: not measured yet"
            continue
        at_a_time = min(size, at_once.value if at_once else size)
        total = each * (count if is_array else 1) / 3600
        yield f"{entry.name:<10} {what}: {_h(total / at_a_time)} h, {_h(total)} task-hours ({why})"


def _shards_in(pipeline: PipelineConfig) -> int | None:
    """Return about how many shards a plan will come to, before rows are dropped; None where only reading would tell."""
    files = files_of(pipeline.table)
    if not files or not all(file.is_local and file.kind == "parquet" for file in files):
        return None
    rows = sum(pq.read_metadata(file.path).num_rows for file in files)
    return max(1, -(-rows // pipeline.plan.shard_size))


def _of_trainings(chain: ChainConfig, work: Work) -> Iterator[str]:
    for file in chain.train:
        name = f"train-{file.stem}"
        if work.left.get(name) == []:
            continue
        settings = JobSettings(chain, "train", stage=file.stem)
        nodes = settings.or_else("nodes", 1).value
        config = load(TrainConfig, file, [word for each in settings.all("overrides") for word in each.value])
        steps = config.steps - max((step_of(folder) for folder in committed(config.run)), default=0)
        what = f"{steps:,} step{'s' * (steps != 1)} on {nodes} node{'s' * (nodes != 1)}"
        speeds = [line["images_per_s"] for line in read(config.run) if line.get("images_per_s")]
        if not speeds:
            yield f"{name:<10} {what}: not measured yet"
            continue
        hours, why = steps * config.batch / speeds[-1] / 3600, f"this training: {speeds[-1]:,.0f} images/s"
        yield f"{name:<10} {what}: {_h(hours)} h, {_h(hours * nodes)} node-hours ({why})"


def _h(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
