"""What a chain file holds: the steps' config, the stages' configs, and what each job asks the cluster for.

    pipeline: runs/laion/pipeline.yaml
    train: [configs/train/base64.yaml, configs/train/sr256.yaml]
    run: runs/laion
    slurm:
      partition: cpu                               # for every job
      download: {tasks: 64, cpus: 16}              # for this step
      train: {nodes: 4, gpus_per_node: 8}          # for every stage
      stages: {base64: {nodes: 16}}                # for this stage

The nearest wins: slurm.stages.base64, then slurm.train, then slurm. `env`, `modules`, `setup`, `mounts`, `sbatch` and
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
    gres: Line | None = Field(default=None, examples=["gpu:a100:8"])  # as --gres
    constraint: Line | None = Field(default=None, examples=["a100&ib"])  # as --constraint: features a node must have
    # Seconds before the end of its time at which a job is asked to save and leave. null: 300 for a training, 60 for
    # the others, and at most half of `time_min`.
    signal_s: Count | None = Field(default=None, examples=[600])
    # How often a job that was stopped early is taken up again. null: 100, and 3 where `preemption` is singleton.
    restarts: int | None = Field(default=None, ge=0, examples=[20])
    python: Line | None = Field(
        default=None, examples=["/home/ada/envs/corgi/bin/python"]
    )  # interpreter of a venv, a conda environment, or in the container; null: that of `corgi submit`
    container: Line | None = Field(default=None, examples=["/images/corgi.sqsh"])  # image that the commands run in
    container_by: Literal["pyxis", "apptainer"] | None = None  # srun --container-image, or apptainer exec; null: pyxis
    mounts: list[Line] = Field(
        default=[], examples=[["/scratch:/scratch"]]
    )  # folders that the container sees beside the one where `corgi submit` ran
    env: dict[EnvName, Line] = Field(
        default={}, examples=[{"NCCL_DEBUG": "WARN"}]
    )  # exported; no secrets, scripts are kept in the run folder
    modules: list[Line] = Field(default=[], examples=[["cuda/12.4"]])  # as module load, before `setup`
    setup: list[str] = Field(default=[], examples=[["module load cuda"]])  # lines of bash before the command
    # Whether a job looks at its node before it begins, as `corgi doctor --job`, and ends with 94 where something is
    # broken. null: true.
    health: bool | None = None
    sbatch: list[SbatchLine] = Field(default=[], examples=[["--constraint=a100"]])  # further options


class ShardJobConfig(JobConfig):
    """A step that knows one shard: an array of tasks, each with its share of the shards."""

    tasks: Count | None = Field(
        default=None, examples=[64]
    )  # size of the array, at most a task a shard; null: a task for every 32 shards
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

    # requeue: a job that was stopped early puts itself into the queue again. singleton: where the site forbids that,
    # `restarts` copies wait behind each job, by id, and go on where the one before stopped.
    preemption: Literal["requeue", "singleton"] = "requeue"
    # planned: without a plan only its job is submitted, which then submits the rest, as large as the plan asks for.
    # asked: all at once, with `tasks` as given, where nodes may not call sbatch; surplus tasks end at once.
    arrays: Literal["planned", "asked"] = "planned"
    evaluate: JobConfig = JobConfig()
    report: JobConfig = JobConfig()
    sync: JobConfig = JobConfig()
    demo: ShardJobConfig = ShardJobConfig()
    train: TrainJobConfig = TrainJobConfig()
    stages: dict[str, TrainJobConfig] = {}  # by the name of the stage's YAML without its ending


class ChainConfig(Config):
    """The whole way as jobs. Paths are as the commands take them, relative to where `corgi submit` runs."""

    pipeline: LinePath  # YAML of the pipeline
    train: list[LinePath] = []  # one independent job a stage
    demo: LinePath | None = Field(
        default=None, examples=["configs/demo/emoji.yaml"]
    )  # vocabulary whose sentences the trained stages draw, as `corgi demo compile`
    # Trackers that a job tells of the run once all others have ended; wandb_offline: into W&B's files, for a login node
    # to send.
    logging: list[Literal["wandb", "wandb_offline", "tensorboard"]] = Field(default=[], examples=[["tensorboard"]])
    run: LinePath  # scripts, logs and job ids go to its folder slurm/
    slurm: SlurmConfig = SlurmConfig()

    @property
    def folder(self) -> Path:
        """Return where scripts, logs and job ids are kept."""
        return self.run / "slurm"

    def script_of(self, name: str) -> Path:
        """Return where the script of a job is kept."""
        return self.folder / f"{name}.sbatch"

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
