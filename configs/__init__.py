"""YAML files of every run, the one way to load them, and the registry of the pipeline's steps.

    config = load(PipelineConfig, "configs/pipeline.yaml", ["plan.shard_size=256"])

load          YAML and `key.sub=value` to a frozen model          errors   one line for a person, and an exit code
fingerprint   what made a file, in 24 hex digits                  steps    the registry: names, files, order, help
reference     every key of a config, from its model                reference_page   as people look at it
schema        a config as JSON Schema, for editors
paths         absolute where they are kept                      redacted   text without passwords and tokens
quickstart, train, policies                                       the YAML files themselves

What a config means belongs to the module that owns its model. Imports nothing of ours.
"""

from .errors import UserError, exit_code_of, nearest, printable, refuse, shortened
from .fingerprint import fingerprint, fingerprints, hashed
from .load import Config, dump, load, read_yaml, resolve
from .paths import absolute, moved

__all__ = [
    "Config",
    "UserError",
    "absolute",
    "dump",
    "exit_code_of",
    "fingerprint",
    "fingerprints",
    "hashed",
    "load",
    "moved",
    "nearest",
    "printable",
    "read_yaml",
    "refuse",
    "resolve",
    "shortened",
]
