"""What is left to do of a chain, told by the files of its run: so that a second submit takes up only that.

A shard step has to make the shards that are missing or stale, those that the step before makes anew, and all where a
table step before it does. What is not known before the plan is made is all of it.

What knows of nets is imported where a chain has come so far: torch alone takes longer than the rest of the look.
"""

from collections.abc import Iterator
from pathlib import Path

from configs import UserError, load
from configs.steps import entries_of
from demo.vocabulary import Vocabulary
from pipeline.adopt.sources import sources_of
from pipeline.config import PipelineConfig
from pipeline.runner import build
from pipeline.status import states_of, status_of
from pipeline.step import TableStep
from slurm.config import ChainConfig, JobSettings
from slurm.render import Work
from storage.footers import remembered
from storage.plan import shards_of, sources
from storage.run import TRAIN, index_of
from storage.samples import read_figures
from training.config import TrainConfig
from training.data.index import read_index
from training.run_folder import identity, read_config


def work_of(file: Path, overrides: list[str]) -> Work:
    """Return what a chain's jobs have left to make. Raises UserError where a config cannot be read."""
    chain = load(ChainConfig, file, overrides)
    pipeline = load(PipelineConfig, chain.pipeline)
    stages = {each.stem: load(TrainConfig, each, _overrides(chain, each)) for each in chain.train}
    with remembered():
        left = dict(_steps(pipeline))
    is_indexed = left.get("index") == []
    for name, stage in stages.items():
        if is_indexed and is_trained(stage):
            left[f"train-{name}"] = []
    is_whole = is_indexed and all(left.get(f"train-{name}") == [] for name in stages)
    if not any(_is_within(stage.run, chain.run) for stage in stages.values()) or (
        is_whole and _is_evaluated(chain.run)
    ):
        left["evaluate"] = []
    if is_whole and chain.demo and _is_drawn(chain.run / "demo", load(Vocabulary, chain.demo)):
        left["demo"] = []
    names = [*(entry.name for entry in entries_of(pipeline.way)), *(f"train-{name}" for name in stages)]
    names += [*(["evaluate"] if stages else []), *(["demo"] if stages and chain.demo else [])]
    if all(left.get(name) == [] for name in names) and (chain.run / "report" / "index.html").exists():
        left["report"] = []
    return Work(
        way=pipeline.way,
        shards=len(shards_of(pipeline.run)) if "index" in left else None,
        left=left,
        tolerate=pipeline.tolerate,
        processes={name: stage.processes for name, stage in stages.items()},
        trainings=[stage.run for stage in sorted(stages.values(), key=lambda stage: stage.stage.image_px)],
    )


def is_trained(config: TrainConfig) -> bool:
    """Tell whether a stage was trained to its last step by this config on the pairs that its index has today."""
    from training.launcher import finished

    begun = read_config(config.run)
    return (
        begun is not None
        and identity(begun) == identity(config)
        and index_of(config.run) == read_index(config.data).content
        and finished(config)
    )


def _steps(config: PipelineConfig) -> Iterator[tuple[str, list[int]]]:
    """Yield each step with the numbers of the shards that it has to make, [0] of a table; nothing without a plan."""
    entries = entries_of(config.way)
    if not _is_planned(config):
        return
    everything = list(range(len(shards_of(config.run))))
    left: dict[str, list[int]] = {}
    for entry in entries:
        step, before = build(entry.name, config), [name for name in entry.after if name in left]
        if isinstance(step, TableStep):
            is_left = any(left[name] for name in before) or step.state() != "done"
            left[entry.name] = [0] if is_left else []
        elif any(left[name] for name in before if isinstance(build(name, config), TableStep)):
            left[entry.name] = everything
        else:
            shards = shards_of(config.run)
            states = zip(shards, states_of(step, shards), strict=True)
            own = {shard.number for shard, state in states if state != "done"}
            left[entry.name] = sorted(own.union(*(left[name] for name in before)))
        yield entry.name, left[entry.name]


def _is_planned(config: PipelineConfig) -> bool:
    """Tell whether the shards are known, and are those of today's table or sources."""
    if config.way == "table":
        return status_of("plan", config).is_done
    try:
        return list(sources(config.run)) == list(sources_of(config.adopt))
    except UserError:
        return False


def _overrides(chain: ChainConfig, file: Path) -> list[str]:
    settings = JobSettings(chain, "train", stage=file.stem)
    return [word for setting in settings.all("overrides") for word in setting.value]


def _is_within(training: Path, run: Path) -> bool:
    """Tell whether `corgi evaluate RUN` finds this training."""
    return training.absolute().parent == (run / TRAIN).absolute()


def _is_evaluated(run: Path) -> bool:
    from evaluation.evaluate import config_of

    return read_figures(run).get("config") == config_of(run).model_dump(mode="json")


def _is_drawn(folder: Path, vocabulary: Vocabulary) -> bool:
    """Tell whether every sentence has its pictures, by the stages that the demo was begun with."""
    from demo.compile import Compile, Plan

    try:
        plan = Plan.read(folder)
    except UserError:
        return False
    step = Compile(plan, folder, ())
    return plan.vocabulary == vocabulary and all(step.state(shard) == "done" for shard in plan.shards(folder))
