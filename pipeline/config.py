"""The config of the pipeline: one section a step, each with only what matters to that step."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from cascade.text import TextConfig
from configs import Config, read_yaml
from filters.scorers import ScorersConfig

from .download.config import DownloadConfig


class PlanConfig(Config):
    """How the url table is cut into shards, and what is dropped before any byte is fetched."""

    shard_size: int = Field(default=10_000, ge=1)  # planned pairs in a shard
    url: str | None = None  # the table's column; None: url or URL
    caption: str | None = None  # None: caption, TEXT or text
    rules: dict[str, str] = {}  # name -> SQL over the table's lower-cased columns that must hold
    memory_gb: float = Field(default=4, gt=0)  # DuckDB spills to disk beyond this


class DedupConfig(Config):
    """Which pairs count as the same picture or the same words. Of duplicates the smallest key stays."""

    distance: int = Field(default=15, ge=0, le=31)  # PDQ bits of 256 that may differ; 31 costs ten times the time
    min_quality: int = Field(default=50, ge=0, le=100)  # flatter pictures have no PDQ hash worth comparing
    max_caption_count: int | None = Field(default=None, ge=1)  # a caption seen more often keeps this many; None: any


class SelectConfig(Config):
    """Rules: name -> SQL expression over every column of the pair that must hold, in the order losses are counted.

    Or the path of a policy, a YAML file of such rules; the run's own config holds them, not the path.
    """

    rules: dict[str, str] = {}
    held_out: str = "false"  # SQL: kept pairs for which this holds are for validation and never trained on
    stages: dict[str, dict[str, str]] = {}  # further rules of single stages: a column of the keep-list each

    @field_validator("rules", mode="before")
    @classmethod
    def _of_a_policy(cls, value: Any) -> Any:
        return read_yaml(Path(value)) if isinstance(value, str) else value


class EmbedConfig(Config):
    """The frozen text encoder whose per-token states are stored."""

    text: TextConfig = TextConfig()


class PipelineConfig(Config):
    """From a url table to an index of trainable shards."""

    run: Path  # folder of everything made
    table: list[Path] = Field(min_length=1)  # parquet, csv or jsonl
    workers: int = Field(default=2, ge=1)  # processes of the shard steps on this machine
    tolerate: int = Field(default=0, ge=0)  # failed shards before a shard step ends with 3; dedup and index need all
    engine: Literal["local"] = "local"
    plan: PlanConfig = PlanConfig()
    download: DownloadConfig = DownloadConfig()
    score: ScorersConfig = ScorersConfig()
    dedup: DedupConfig = DedupConfig()
    select: SelectConfig = SelectConfig()
    embed: EmbedConfig = EmbedConfig()
