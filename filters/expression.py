"""What a rule's expression may say: one SQL expression over the columns of one pair, and nothing else.

Policies are passed around, so a rule is not trusted. It is parsed, and every part of it must be on the short list
below: no second statement, no subquery, no look at other pairs, no files, no clock, no dice.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import duckdb

from configs import UserError, nearest

NAME = re.compile(r"[a-z][a-z0-9_]*")
PARTS = {"BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"}
PARTS |= {"OPERATOR", "TYPE"}
MACROS = {"if", "nullif", "split_part"}  # DuckDB writes these as macros; its other macros look at the database


def check_expression(name: str, rule: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that rule `name` reads, as they are called in `known`, in order.

    What passes can stand in parentheses inside any larger query. Raises UserError naming the rule.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a rule; take small letters, digits and underscores: {_tame(name)!r}")
    known = list(known)
    used = []
    for part in _parts(_parse(name, rule)):
        if part["class"] == "COLUMN_REF":
            used.append(_column(name, part["column_names"], known))
        else:
            _check_part(name, part)
    return tuple(dict.fromkeys(used))


def _parse(name: str, rule: str) -> Any:
    """Return the syntax tree of the expression."""
    try:
        duckdb.SQLExpression(rule)
        duckdb.SQLExpression(f"({rule})")  # fails where the end is a comment or an alias, which would swallow more
    except duckdb.Error as error:
        raise UserError(f"rule {name!r} is not one SQL expression: {first_line(error)}; got {rule!r}") from None
    ((text,),) = _database().execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({rule})"]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise UserError(f"rule {name!r} is not one SQL expression: {tree['error_message']}; got {rule!r}")
    (statement,) = tree["statements"]
    return statement["node"]["select_list"]


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of the tree that is an expression."""
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for inner in tree:
            yield from _parts(inner)


def _check_part(name: str, part: dict[str, Any]) -> None:
    if part["class"] not in PARTS:
        what = part["class"].lower().replace("_", " ")
        raise UserError(f"rule {name!r} uses a {what}; a rule may only look at the columns of one pair")
    function = part.get("function_name", "").lower()
    if part["class"] != "FUNCTION" or function in _functions():
        return
    if function in _unfit_functions():
        raise UserError(f"rule {name!r} calls {function}(), whose answer is not a matter of one pair's columns alone")
    raise UserError(f"rule {name!r} calls {function}(), which does not exist{nearest(function, _words(_functions()))}")


def _column(name: str, path: list[str], known: list[str]) -> str:
    column = ".".join(path)
    same = [other for other in known if other.lower() == column.lower()]  # SQL's names have no case
    if len(same) > 1:
        raise UserError(f"rule {name!r} uses the column {column!r}, which stands {len(same)} times in the table")
    if not same:
        raise UserError(f"rule {name!r} uses the column {column!r}, which does not exist{nearest(column, known)}")
    return same[0]


def first_line(error: Exception) -> str:
    """Return DuckDB's message without its drawing of the query."""
    return str(error).strip().splitlines()[0].rstrip(".")


def _tame(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "my_rule"


def _words(functions: Iterable[str]) -> list[str]:
    return [function for function in functions if NAME.fullmatch(function)]


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@cache
def _functions() -> frozenset[str]:
    """Return the functions of their arguments alone."""
    rows = _database().execute("SELECT function_name, function_type, stability FROM duckdb_functions()").fetchall()
    pure = {function for function, kind, stability in rows if kind == "scalar" and stability == "CONSISTENT"}
    unsure = {function for function, kind, stability in rows if kind == "scalar" and stability != "CONSISTENT"}
    return frozenset(pure - unsure | MACROS)


@cache
def _unfit_functions() -> frozenset[str]:
    """Return the functions that a rule may not call: dice, clocks, sums over many pairs, views of the database."""
    rows = _database().execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    return frozenset(function for (function,) in rows) - _functions()
