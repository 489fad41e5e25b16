"""Rules: named SQL expressions over a pair's columns that must hold.

    large_enough: min_side >= 256
    no_hate: hate < 0.12 and offensive < 0.4

NULL counts as failed: what is not known to be fit is not fit. All failing rules are named, in the stated order.
"""

from collections.abc import Iterable, Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError
from configs import fingerprint as _fingerprint

from .expression import check_expression, first_line

__all__ = ["check", "check_expression", "failed_rules", "fingerprint", "holds"]

ROW = "corgi_row"
SAFE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "2GB",
    "max_temp_directory_size": "0KB",
    "enable_external_access": "false",  # no files, no network, no extensions
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # names never mean variables of this program
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
    failed: list[list[str]] = [[] for _ in range(len(table))]
    for name, held in holds(table, rules).items():
        for row in pc.indices_nonzero(pc.invert(held)).to_pylist():
            failed[row].append(name)
    return failed


def holds(table: pa.Table, rules: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    """Return for each rule whether it is known to hold: bool, one a row. Raises UserError naming the rule."""
    used = {name: check_expression(name, rule, table.column_names) for name, rule in rules.items()}
    with duckdb.connect(config=SAFE) as database:
        database.register("pairs", _numbered(table, {column for columns in used.values() for column in columns}))
        return {name: _decide(database, name, rule) for name, rule in rules.items()}


def _numbered(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return only the columns that are used, and the row's number."""
    chosen = table.select(sorted(columns))
    return chosen.append_column(ROW, pa.array(range(len(table)), pa.int64()))


def _decide(database: duckdb.DuckDBPyConnection, name: str, rule: str) -> pa.ChunkedArray:
    try:
        answers = database.sql(f"SELECT ({rule}) AS holds FROM pairs ORDER BY {ROW}")
        if answers.types != ["BOOLEAN"]:
            raise UserError(f"rule {name!r} must be true or false, but is {answers.types[0]}: {rule!r}")
        return pc.fill_null(answers.to_arrow_table()["holds"], False)
    except duckdb.Error as error:
        raise UserError(f"rule {name!r} cannot be decided: {first_line(error)}; got {rule!r}") from None
