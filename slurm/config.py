"""What a chain file holds: the steps' config, the stages' configs, and what each job asks the cluster for.

    pipeline: runs/laion/pipeline.yaml
    train: [configs/train/base64.yaml, configs/train/sr256.yaml]
    run: runs/laion
    slurm:
      partition: cpu                               # for every job
      download: {tasks: 64, cpus: 16}              # for this step
      train: {nodes: 4, gpus_per_node: 8}          # for every stage
      stages: {base64: {nodes: 16}}                # for this stage

The nearest wins: slurm.stages.base64, then slurm.train, then slurm. `env`, `setup`, `sbatch` and
`overrides` add up instead.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, create_model, model_validator

from configs import Config, nearest
from configs.steps import ENTRIES

Text = TypeVar("Text", str, Path)


def _one_line(value: Text) -> Text:
    if not str(value).isprintable():
        raise ValueError("must be one line of printable characters, as it becomes a part of one line of a script")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
LinePath = Annotated[Path, AfterValidator(_one_line)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SbatchLine = Annotated[Line, StringConstraints(pattern=r"^-")]
Count = Annotated[int, Field(ge=1)]


class JobConfig(Config):
    """What a job asks for. null: what the next level says, and on top what the cluster does by itself."""

    partition: Line | None = Field(default=None, examples=["gpu"])  # as --partition
    account: Line | None = Field(default=None, examples=["my_project"])  # as --account
    qos: Line | None = Field(default=None, examples=["normal"])  # as --qos
    cpus: Count | None = Field(default=None, examples=[8])  # of one task; a shard step starts as many processes
    mem_gb: float | None = Field(default=None, gt=0, examples=[64])  # of one node
    time_min: Count | None = Field(default=None, examples=[240])  # after which the cluster ends the job
    gpus_per_node: Count | None = Field(default=None, examples=[8])  # as --gpus-per-node
    env: dict[EnvName, Line] = Field(
        default={}, examples=[{"NCCL_DEBUG": "WARN"}]
    )  # exported; no secrets, scripts are kept in the run folder
    setup: list[str] = Field(default=[], examples=[["module load cuda"]])  # lines of bash before the command
    sbatch: list[SbatchLine] = Field(default=[], examples=[["--constraint=a100"]])  # further options


class ShardJobConfig(JobConfig):
    """A step that knows one shard: an array of tasks, each with its share of the shards."""

    tasks: Count | None = Field(default=None, examples=[64])  # size of the array; null: 1
    at_once: Count | None = Field(
        default=None, examples=[16]
    )  # tasks that run at one time; null: as many as there is room for
    workers: Count | None = Field(
        default=None, examples=[8]
    )  # processes of one task; null: `cpus`, or the pipeline's own


class TrainJobConfig(JobConfig):
    """One stage's training: one task a node, which starts the processes of that node."""

    nodes: Count | None = Field(default=None, examples=[4])  # machines; null: 1
    processes_per_node: Count | None = Field(
        default=None, examples=[8]
    )  # null: one a GPU; without GPUs the `processes` of the stage's config
    # Of the stage's config, as `corgi train` takes them.
    overrides: list[Line] = Field(default=[], examples=[["micro_batch=16"]])
    hosts: Literal["many", "one"] | None = None  # one machine: processes meet on loopback; null: many


if TYPE_CHECKING:
    StepJobsConfig = JobConfig
else:  # a section for each registered step
    _KINDS = {"shard": ShardJobConfig, "table": JobConfig}
    _SECTIONS = {entry.name: (_KINDS[entry.kind], _KINDS[entry.kind]()) for entry in ENTRIES}
    StepJobsConfig = create_model("StepJobsConfig", __base__=JobConfig, **_SECTIONS)


class SlurmConfig(StepJobsConfig):
    """For every job here, for some below."""

    report: JobConfig = JobConfig()
    train: TrainJobConfig = TrainJobConfig()
    stages: dict[str, TrainJobConfig] = {}  # by the name of the stage's YAML without its ending


class ChainConfig(Config):
    """The whole way as jobs. Paths are as the commands take them, relative to where `corgi submit` runs."""

    pipeline: LinePath  # YAML of the pipeline
    train: list[LinePath] = []  # one independent job a stage
    run: LinePath  # scripts, logs and job ids go to its folder slurm/
    slurm: SlurmConfig = SlurmConfig()

    @property
    def folder(self) -> Path:
        """Return where scripts, logs and job ids are kept."""
        return self.run / "slurm"

    @model_validator(mode="after")
    def _check(self) -> "ChainConfig":
        names = [file.stem for file in self.train]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"train names {', '.join(sorted(twice))} twice; the files' names must differ")
        for name in self.slurm.stages:
            if name not in names:
                raise ValueError(f"slurm.stages has {name!r}, which is no file of train{nearest(name, names)}")
        return self


class Setting(NamedTuple):
    """A value and the config key that set it."""

    value: Any
    key: str


class JobSettings:
    """What one job asks for, looked up from the nearest level to the most general."""

    def __init__(self, chain: ChainConfig, step: str, *, stage: str | None = None) -> None:
        general = dict(chain.slurm)
        self.levels: list[tuple[str, dict[str, Any]]] = [(f"slurm.{step}", dict(general[step])), ("slurm", general)]
        if stage in chain.slurm.stages:
            self.levels.insert(0, (f"slurm.stages.{stage}", dict(chain.slurm.stages[str(stage)])))

    def get(self, name: str) -> Setting | None:
        """Return the nearest value of a field; None where nobody set it."""
        return next((setting for setting in self._settings(name) if setting.value is not None), None)

    def or_else(self, name: str, value: Any) -> Setting:
        """Return the nearest value of a field, or `value`, noted as the default of the job's own level."""
        return self.get(name) or Setting(value, f"{self.levels[0][0]}.{name}, default")

    def all(self, name: str) -> list[Setting]:
        """Return a field of every level that fills it, the most general first."""
        return [setting for setting in reversed(self._settings(name)) if setting.value]

    def _settings(self, name: str) -> list[Setting]:
        return [Setting(level.get(name), f"{key}.{name}") for key, level in self.levels]
