"""What can be known to be wrong with a pipeline before the first second is spent: all of it, a line each."""

from collections.abc import Iterator

import pyarrow as pa

from configs import UserError, nearest, refuse
from filters.rules import check
from filters.scorers import build
from storage.plan import PLAN, pairs_of

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .plan import schema_of
from .rule_columns import check_scorers
from .table_files import files_of
from .table_readers import size_of


def problems_of(config: PipelineConfig) -> Iterator[UserError]:
    """Yield what a table, shards, scorer or column that is asked for lacks. Heads of tables are read, no model is."""
    try:
        build(config.score)
    except UserError as error:
        yield error
    try:
        planned = schema_of(config.table, config.plan) if config.way == "table" else adopted_schema_of(config.adopt)
    except UserError as error:
        yield error
        return
    for name in config.embed.captions:
        if name not in planned.names or not pa.types.is_string(planned.field(name).type):
            known = nearest(name, planned.names)
            yield UserError(f"embed.captions has {name!r}, which is no column of text{known}")
    select, columns = config.select, judged(planned, config.score)
    for rules in (select.rules, {"held_out": select.held_out}, *select.stages.values()):
        for name, rule in rules.items():
            try:
                check_scorers({name: rule}, columns.names, config.score, pairs=pairs_in(config))
                check({name: rule}, columns)
            except UserError as error:
                yield error


def pairs_in(config: PipelineConfig) -> int | None:
    """Return how many pairs the run has, or before it is planned about how many rows its table; None: not known."""
    try:
        if (config.run / PLAN).exists():
            return sum(pairs_of(config.run))
        return size_of(files_of(config.table)) if config.way == "table" else None
    except UserError:
        return None


def check_pipeline(config: PipelineConfig) -> None:
    """Raise UserError with all problems."""
    refuse(problems_of(config))
