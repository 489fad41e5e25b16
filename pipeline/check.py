"""What can be known to be wrong before the first second is spent."""

from filters.rules import check

from .columns import judged
from .config import PipelineConfig
from .plan import schema_of


def check_rules(config: PipelineConfig) -> None:
    """Raise UserError for a rule of `select` over a column that neither the tables nor any step or scorer has."""
    planned = schema_of(config.table, config.plan)
    columns = judged(planned, config.score)
    for rules in (config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()):
        check(rules, columns)
