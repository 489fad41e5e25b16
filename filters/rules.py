"""Rules: named SQL expressions over a pair's columns that must hold.

    large_enough: min_side >= 256
    no_hate: hateful < 0.5

NULL counts as failed, and so do NaN and what cannot be computed of a pair (a division by zero, a cast of a word to a
number): what is not known to be fit is not fit. All failing rules are named, in the stated order.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError
from configs import fingerprint as _fingerprint

from .expression import check_expression, first_line

__all__ = ["check", "check_expression", "columns_of", "failed", "failed_rules", "fingerprint", "holds", "holds_each"]

ROW = "corgi_row"
SAFE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "2GB",
    "max_temp_directory_size": "0KB",
    "enable_external_access": "false",  # no files, no network, no extensions
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # names never mean variables of this program
    "ieee_floating_point_ops": "false",  # 0.0 / 0.0 has no value, where it would be NaN, the largest number of all
    "lock_configuration": "true",
}


def fingerprint(rules: Mapping[str, str]) -> str:
    """Return the digest of names, expressions and their order."""
    return _fingerprint("rules", [[name, rule] for name, rule in rules.items()])


def check(rules: Mapping[str, str], schema: pa.Schema) -> None:
    """Raise UserError where a rule cannot be decided for tables of this schema: at once, before any work is done."""
    holds(schema.empty_table(), rules)


def failed_rules(table: pa.Table, rules: Mapping[str, str]) -> list[list[str]]:
    """Return for each row the names of all rules that do not hold, in the order of `rules`."""
    return failed(holds(table, rules), len(table)).to_pylist()


def failed(held: Mapping[str, pa.ChunkedArray], count: int) -> pa.ListArray:
    """Return for each of `count` rows the names of what does not hold, in the order of `held`."""
    fails = np.zeros((count, len(held)), bool)
    for column, values in enumerate(held.values()):
        fails[:, column] = ~values.to_numpy()
    begins = np.concatenate([[0], np.cumsum(fails.sum(axis=1))])
    names = pa.array(list(held), pa.string()).take(pa.array(np.nonzero(fails)[1]))
    return pa.ListArray.from_arrays(pa.array(begins, pa.int32()), names)


def holds(table: pa.Table, rules: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    """Return for each rule whether it is known to hold: bool, one a row. Raises UserError naming the rule."""
    return holds_each(table, [rules])[0]


def holds_each(table: pa.Table, policies: Sequence[Mapping[str, str]]) -> list[dict[str, pa.ChunkedArray]]:
    """Return what `holds` does for each of several policies, which may use the same names: all at once."""
    rules = [rule for policy in policies for rule in policy.items()]
    if not rules:
        return [{} for _ in policies]
    used = columns_of(policies, table.column_names)
    with _database().cursor() as database:
        database.register("pairs", _numbered(table, used))
        try:
            answers = iter(_decide(database, rules))
        except UserError:
            _database.cache_clear()  # some errors leave a database that answers nothing more
            raise
    return [{name: next(answers) for name in policy} for policy in policies]


def columns_of(policies: Iterable[Mapping[str, str]], known: Iterable[str]) -> set[str]:
    """Return which of the known columns the rules speak of. Raises UserError naming a rule that may not be asked."""
    names = tuple(known)
    return {column for policy in policies for name, rule in policy.items() for column in _checked(name, rule, names)}


def _numbered(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return only the columns that are used, NULL in the place of NaN, and the row's number."""
    chosen = table.select(sorted(columns))
    for place, values in enumerate(chosen.columns):
        if pa.types.is_floating(values.type):
            # SQL takes NaN for the largest number of all, so that it would pass `similarity >= 0.3`.
            wide = values.cast(pa.float32()) if values.type == pa.float16() else values  # DuckDB knows none of 16 bits
            known = pc.if_else(pc.is_nan(wide), pa.scalar(None, wide.type), wide)
            chosen = chosen.set_column(place, chosen.field(place).name, known)
    return chosen.append_column(ROW, pa.array(np.arange(len(table), dtype=np.int64)))


def _decide(database: duckdb.DuckDBPyConnection, rules: Sequence[tuple[str, str]]) -> list[pa.ChunkedArray]:
    """Ask for all rules in one query; where that fails, one by one, to name the rule."""
    try:
        return _asked(database, rules)
    except (duckdb.Error, UserError) as error:
        if len(rules) > 1:
            return [answer for rule in rules for answer in _decide(database, [rule])]
        if isinstance(error, UserError):
            raise
        ((name, rule),) = rules
        raise UserError(f"rule {name!r} cannot be decided: {first_line(error)}; got {rule!r}") from None


def _asked(database: duckdb.DuckDBPyConnection, rules: Sequence[tuple[str, str]]) -> list[pa.ChunkedArray]:
    # No rule can speak of a column whose name begins with that of ROW: none of a pair is called so.
    # TRY: a pair of which a rule cannot be computed fails it, and ends nothing.
    columns = [f"TRY({rule}) AS {ROW}_{number}" for number, (_, rule) in enumerate(rules)]
    answers = database.sql(f"SELECT {', '.join([*columns, ROW])} FROM pairs ORDER BY {ROW}")
    types = ["BOOLEAN", *(kind for kind in database.sql("FROM pairs").types if kind == '"NULL"')]
    for (name, rule), kind in zip(rules, answers.types[:-1], strict=True):
        if kind not in types:  # what is made of a column without any value has no type either
            raise UserError(f"rule {name!r} must be true or false, but is {kind}: {rule!r}")
    return [pc.fill_null(column.cast(pa.bool_()), False) for column in answers.to_arrow_table().columns[:-1]]


@lru_cache(maxsize=1000)
def _checked(name: str, rule: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return check_expression(name, rule, known)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return this process's database: to start one takes longer than to decide the rules of a shard."""
    return duckdb.connect(config=SAFE)
