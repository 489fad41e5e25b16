"""`corgi download CONFIG --verdict`: what a shard step came to over all its shares, once all of them have ended.

A share knows its own failures alone. On a cluster this decides whether the next step begins.
"""

import time
from collections import Counter

from configs import UserError
from storage.footers import remembered
from storage.plan import shards_of

from .config import PipelineConfig
from .losses import heavy_losses
from .runner import Outcome, build
from .status import states_of
from .step import LossyStep, ShardStep


def verdict(name: str, config: PipelineConfig) -> Outcome:
    """Return how many shards are done, which are not, and what they lost; nothing is made."""
    began, step = time.monotonic(), build(name, config)
    if not isinstance(step, ShardStep):
        raise UserError(f"{name} has no shares; --verdict is for steps that have")
    shards = shards_of(config.run)
    with remembered():
        states = dict(zip(shards, states_of(step, shards), strict=True))
    failed = {shard.number: f"it is {state}" for shard, state in states.items() if state != "done"}
    finished = [shard for shard, state in states.items() if state == "done"]
    losses = heavy_losses(step, finished) if isinstance(step, LossyStep) else []
    return Outcome(0, len(finished), failed, Counter(), time.monotonic() - began, losses)
