"""The YAML files of a folder, and what each of them is: told by their keys, not by their names.

mine/pipeline.yaml  base16.yaml  sr64.yaml  evaluate.yaml  chain.yaml
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs import Config, UserError, load, read_yaml
from pipeline.config import PipelineConfig
from slurm.config import ChainConfig
from storage.run import CONFIG
from storage.samples import EVALUATE
from training.config import TrainConfig

KINDS: dict[str, type[Config]] = {"pipeline": PipelineConfig, "train": TrainConfig, "chain": ChainConfig}


@dataclass(frozen=True)
class Project:
    """Which files belong together."""

    pipeline: Path | None = None
    stages: tuple[Path, ...] = ()  # small images first
    evaluate: Path | None = None
    chain: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Return all of them, in the order in which they are used."""
        return [file for file in (self.pipeline, *self.stages, self.evaluate, self.chain) if file is not None]


def project_of(path: Path, overrides: Sequence[str] = ()) -> Project:
    """Return the configs of a folder, those that a chain names, or a single one. Raises UserError.

    overrides: of a chain.
    """
    if path.is_dir():
        return _of_folder(path)
    kind = kind_of(path)
    if kind == "chain":
        chain = load(ChainConfig, path, overrides)
        return Project(chain.pipeline, tuple(chain.train), _evaluate(chain.run), path)
    return Project(pipeline=path) if kind == "pipeline" else Project(stages=(path,))


def kind_of(file: Path) -> str:
    """Return pipeline, train or chain: of which a config has most keys. Raises UserError where it has none of any."""
    values = read_yaml(file)
    shared = {kind: len(values.keys() & model.model_fields.keys()) for kind, model in KINDS.items()}
    best = max(shared, key=lambda kind: shared[kind])
    if not shared[best]:
        raise UserError(f"{file} is no config of a pipeline, a stage or a chain; `corgi init FOLDER` writes some")
    return best


def _of_folder(folder: Path) -> Project:
    """Take a folder for what its YAML files are; the resolved config of a run is none of a person's."""
    files = [file for file in sorted(folder.glob("*.yaml")) if file.name not in (CONFIG, EVALUATE)]
    by_kind: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for file in files:
        by_kind[kind_of(file)].append(file)
    if not files:
        raise UserError(f"{folder} holds no YAML configs; `corgi init {folder} --from ...` writes them")
    for kind in ("pipeline", "chain"):
        if len(by_kind[kind]) > 1:
            names = " and ".join(file.name for file in by_kind[kind])
            raise UserError(f"{folder} holds {len(by_kind[kind])} configs of a {kind}, {names}; give the one meant")
    return Project(
        pipeline=next(iter(by_kind["pipeline"]), None),
        stages=tuple(sorted(by_kind["train"], key=_image_px)),
        evaluate=_evaluate(folder),
        chain=next(iter(by_kind["chain"]), None),
    )


def _evaluate(folder: Path) -> Path | None:
    return folder / EVALUATE if (folder / EVALUATE).exists() else None


def _image_px(file: Path) -> tuple[float, str]:
    """Return what stages are sorted by; one that cannot be read comes last."""
    stage = read_yaml(file).get("stage")
    px = stage.get("image_px") if isinstance(stage, dict) else None
    return (px if isinstance(px, int) else float("inf"), file.name)
