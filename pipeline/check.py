"""What can be known to be wrong before the first second is spent."""

import pyarrow as pa

from configs import UserError, nearest
from filters.rules import check

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .plan import schema_of
from .rule_columns import check_scorers


def check_rules(config: PipelineConfig) -> None:
    """Raise UserError for what `select` or `embed` ask for and neither the source nor any step or scorer has."""
    planned = schema_of(config.table, config.plan) if config.way == "table" else adopted_schema_of(config.adopt)
    for name in config.embed.captions:
        if name not in planned.names or not pa.types.is_string(planned.field(name).type):
            raise UserError(f"embed.captions has {name!r}, which is no column of text{nearest(name, planned.names)}")
    columns = judged(planned, config.score)
    for rules in (config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()):
        check_scorers(rules, columns, config.score)
        check(rules, columns)
