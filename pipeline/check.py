"""What can be known to be wrong before the first second is spent."""

from filters.rules import check

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .plan import schema_of


def check_rules(config: PipelineConfig) -> None:
    """Raise UserError for a rule of `select` over a column that neither the source nor any step or scorer has."""
    planned = schema_of(config.table, config.plan) if config.way == "table" else adopted_schema_of(config.adopt)
    columns = judged(planned, config.score)
    for rules in (config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()):
        check(rules, columns)
