"""The config of the pipeline: one section a step, each with only what matters to that step."""

from pathlib import Path
from typing import Any, Literal, Self, get_args, get_type_hints

from pydantic import Field, create_model, model_validator

from configs import Config
from configs.steps import ENTRIES, Way
from filters.scorers import ScorersConfig

from .adopt.config import AdoptConfig
from .dedup import DedupConfig
from .download.config import DownloadConfig
from .embed import EmbedConfig
from .mirror import WandbConfig
from .plan import PlanConfig
from .select import SelectConfig
from .step import step_class
from .table_files import Tables

Engine = Literal["local", "ray"]


class PipelineConfig(Config):
    """From a url table to an index of trainable shards."""

    paths = ("table",)

    run: Path  # folder of everything made
    table: Tables = []  # files, folders, globs or urls: what `plan` reads (see table_files); or else `adopt.source`
    workers: int = Field(default=2, ge=1)  # processes of the shard steps on this machine
    # Where shard steps run: in processes here, or, `ray`, on the Ray cluster of RAY_ADDRESS, else one on this machine.
    engine: Engine = "local"
    tolerate: int = Field(default=0, ge=0)  # failed shards before a shard step ends with 3; dedup and index need all
    plan: PlanConfig = PlanConfig()
    download: DownloadConfig = DownloadConfig()
    score: ScorersConfig = ScorersConfig()
    dedup: DedupConfig = DedupConfig()
    select: SelectConfig = SelectConfig()
    embed: EmbedConfig = EmbedConfig()
    adopt: AdoptConfig = AdoptConfig()
    wandb: WandbConfig = WandbConfig()

    @property
    def way(self) -> Way:
        """Return how the run begins."""
        return "shards" if self.adopt.source else "table"

    @model_validator(mode="before")
    @classmethod
    def _downloads_elsewhere(cls, values: Any) -> Any:
        """Tell who means the downloader where it is said."""
        if isinstance(values, dict) and values.get("engine") in get_args(
            DownloadConfig.model_fields["engine"].annotation
        ):
            engine = values["engine"]
            raise ValueError(f"engine is where shard steps run; who downloads is download.engine: {engine}")
        return values

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        if bool(self.table) == bool(self.adopt.source):
            raise ValueError(
                "a run begins with a `table` of urls or with the shards of `adopt.source`: give one of them"
            )
        return self


def _further_sections() -> dict[str, Any]:
    """Return the sections of steps that are registered and not named above: a new step brings its own."""
    sections = {}
    for entry in ENTRIES:
        if entry.section and entry.section not in PipelineConfig.model_fields:
            kind = get_type_hints(step_class(entry))[entry.section]
            sections[entry.section] = (kind, kind())
    return sections


if sections := _further_sections():
    PipelineConfig = create_model("PipelineConfig", __base__=PipelineConfig, **sections)  # type: ignore[misc]
