"""Samplers as they are asked for on a command line: one value for all stages, or one for each.

--steps 64          every stage takes 64 steps
--steps 64,32       the lowest stage takes 64, the next one 32
--aug-level 0.1,0   of the stages that enlarge, lowest first: a base has none
"""

from collections.abc import Mapping, Sequence

from configs import UserError, resolve

from .config import SamplerConfig
from .stage import StageConfig

OF_ENLARGING = ("aug_level",)


def samplers_of(stages: Sequence[StageConfig], asked: Mapping[str, str]) -> dict[str, SamplerConfig]:
    """Return each stage's own sampler with what is asked laid over it, by the stage's name.

    stages: lowest first. asked: field of SamplerConfig -> a value for all, or one each with commas between. Raises
    UserError naming stage, field and value.
    """
    changes: dict[str, dict[str, object]] = {stage.name: {} for stage in stages}
    for field, text in asked.items():
        able = [stage for stage in stages if stage.low_res_px or field not in OF_ENLARGING]
        for stage, value in zip(able, _values(field, text, able), strict=True):
            changes[stage.name][field] = value
            if (field, value) == ("method", "heun"):
                changes[stage.name]["grid"] = "edm"  # the only one that it takes
    chosen = {}
    for stage in stages:
        values = stage.sampler.model_dump(mode="json") | changes[stage.name]
        chosen[stage.name] = resolve(SamplerConfig, values, source=f"{stage.name}: sampler")
        stage.check_sampler(chosen[stage.name])
    return chosen


def _values(field: str, text: str, stages: Sequence[StageConfig]) -> list[str]:
    values, names = [value.strip() for value in text.split(",")], ", ".join(stage.name for stage in stages)
    if not stages:
        raise UserError(f"{field} {text} is for stages that enlarge, and none does; leave it out")
    if len(values) not in (1, len(stages)):
        each = f" or {len(stages)}, one each for {names}" if len(stages) > 1 else f", for {names}"
        raise UserError(f"{field} takes one value{each}; got {len(values)}: {text}")
    return values if len(values) == len(stages) else values * len(stages)
