"""One function for everything that can be known to be wrong with a folder of configs before the first second is spent.

    refuse(problems_of(project_of(Path("mine"))))

What a pipeline or a training needs is for them to say (pipeline/check.py, training/check.py); here stands what must
fit between them, and to the machine they are to run on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cascade.text_encoder import width_of
from configs import Config, UserError, load
from evaluation.config import EvaluateConfig
from pipeline.check import problems_of as problems_of_pipeline
from pipeline.config import PipelineConfig
from pipeline.rule_columns import idle_rules
from slurm.config import ChainConfig, JobSettings
from training.check import problems_of as problems_of_training
from training.config import TrainConfig, accumulation

from .files import Project

Model = TypeVar("Model", bound=Config)


def problems_of(project: Project, overrides: Sequence[str] = (), *, on_cluster: bool = False) -> list[UserError]:
    """Return all problems, each with the file it lies in.

    overrides: of the chain. on_cluster: its jobs run elsewhere, so GPUs of this machine do not matter.
    """
    found: list[UserError] = []
    pipeline = _loaded(PipelineConfig, project.pipeline, found)
    loaded = {file: _loaded(TrainConfig, file, found) for file in project.stages}
    stages = {file: stage for file, stage in loaded.items() if stage is not None}
    evaluate = _loaded(EvaluateConfig, project.evaluate, found)
    chain = _loaded(ChainConfig, project.chain, found, overrides)
    if project.pipeline and pipeline:
        found += _in(project.pipeline, _of_pipeline(pipeline, has_stages=bool(stages), here=not on_cluster))
    if pipeline or not project.pipeline:  # else what the index will hold is not known
        for file, stage in stages.items():
            found += _in(file, _of_stage(stage, chain, file, pipeline, on_cluster=on_cluster))
    found += _of_runs({file: stage.run for file, stage in stages.items()})
    if project.evaluate and evaluate and not on_cluster:
        found += _in(project.evaluate, _without_gpu("device", evaluate.device))
    if project.chain and chain:
        found += _in(project.chain, _of_chain(chain, project, pipeline))
    return found


def idle_rules_of(project: Project) -> list[str]:
    """Return a line for each rule that decides nothing, or keeps nothing, as the config stands. It has no problems."""
    return list(idle_rules(load(PipelineConfig, project.pipeline))) if project.pipeline else []


def _loaded(
    model: type[Model], file: Path | None, found: list[UserError], overrides: Sequence[str] = ()
) -> Model | None:
    """Return the config in a file; None where there is none, or it is added to what was found."""
    if file is None:
        return None
    try:
        return load(model, file, overrides)
    except UserError as error:
        found.append(error)
        return None


def _in(file: Path, problems: Iterable[UserError]) -> Iterator[UserError]:
    """Yield each problem with the name of the file that it lies in."""
    for problem in problems:
        yield UserError(*(f"{file}: {line}" for line in problem.lines), exit_code=problem.exit_code)


def _of_pipeline(config: PipelineConfig, *, has_stages: bool, here: bool) -> Iterator[UserError]:
    yield from problems_of_pipeline(config)
    if not has_stages:  # they compare themselves with it
        try:
            width_of(config.embed.text)
        except UserError as error:
            yield error
    for name, scorer in config.score if here else ():
        yield from _without_gpu(f"score.{name}.device", getattr(scorer, "device", "cpu"))


def _without_gpu(key: str, device: str) -> Iterator[UserError]:
    """Yield a problem where a GPU is asked for and this machine has none."""
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            yield UserError(f"{key} is {device!r}, but there is no GPU here that torch can use; say {key}: cpu")


def _of_stage(
    stage: TrainConfig, chain: ChainConfig | None, file: Path, pipeline: PipelineConfig | None, *, on_cluster: bool
) -> Iterator[UserError]:
    """Yield what is wrong with a stage on this machine, and on the nodes that the chain gives it."""
    settings = _asked_of(chain, file) if chain else None
    if settings is None or not on_cluster:
        yield from problems_of_training(stage, world_size=stage.processes, here=not on_cluster, pipeline=pipeline)
    if settings is None:
        return
    nodes = settings.or_else("nodes", 1)
    overrides = [word for setting in settings.all("overrides") for word in setting.value]
    try:
        there = load(TrainConfig, file, overrides)
        given = settings.get("processes_per_node") or settings.get("gpus_per_node")
        world_size = nodes.value * (given.value if given else there.processes)
        if on_cluster:
            yield from problems_of_training(there, world_size=world_size, here=False, pipeline=pipeline)
        else:
            accumulation(there, world_size)
    except UserError as error:
        yield UserError(f"{error} (as a job of {nodes.value} nodes, {nodes.key})")


def _asked_of(chain: ChainConfig, file: Path) -> JobSettings | None:
    """Return what the chain asks the cluster for, of the stage in this file; None where it does not train it."""
    is_trained = any(_same(file, named) for named in chain.train)
    return JobSettings(chain, "train", stage=file.stem) if is_trained else None


def _of_runs(runs: Mapping[Path, Path]) -> Iterator[UserError]:
    seen: dict[Path, Path] = {}
    for file, run in runs.items():
        first = seen.setdefault(run.absolute(), file)
        if first != file:
            yield UserError(f"{file}: run is {run}, as in {first}; a training has a folder of its own")


def _of_chain(chain: ChainConfig, project: Project, pipeline: PipelineConfig | None) -> Iterator[UserError]:
    for key, files in (("pipeline", [chain.pipeline]), ("train", chain.train)):
        for file in files:
            if not file.exists():
                yield UserError(f"{key} names {file}, which is not there; give the path of a YAML config")
    if project.pipeline and not _same(chain.pipeline, project.pipeline):
        yield UserError(f"pipeline is {chain.pipeline}, but the pipeline here is {project.pipeline}; name that")
    if pipeline and not _same(chain.run, pipeline.run):
        yield UserError(f"run is {chain.run}, but the pipeline's is {pipeline.run}; make them equal")


def _same(one: Path, other: Path) -> bool:
    return one.absolute().resolve() == other.absolute().resolve()
