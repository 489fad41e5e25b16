"""What can be known to be wrong before the first second is spent."""

from filters.rules import check

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .url_tables import schema_of


def check_rules(config: PipelineConfig) -> None:
    """Raise UserError for a rule of `select` over a column that neither the source nor any step or scorer has."""
    if config.way == "table":
        planned = schema_of(config.table, url=config.plan.url, caption=config.plan.caption)
    else:
        planned = adopted_schema_of(config.adopt)
    columns = judged(planned, config.score)
    for rules in (config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()):
        check(rules, columns)
