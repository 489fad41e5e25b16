"""YAML files of every run, and the one way to load them. Imports nothing of ours.

config = load(PipelineConfig, "configs/pipeline.yaml", ["plan.shard_size=256"])
"""

from .errors import UserError, nearest
from .fingerprint import fingerprint
from .load import Config, dump, load, read_yaml, resolve

__all__ = ["Config", "UserError", "dump", "fingerprint", "load", "nearest", "read_yaml", "resolve"]
