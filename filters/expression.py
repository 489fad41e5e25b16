"""What a rule's expression may say: one SQL expression over the columns of one pair, and nothing else.

Policies are passed around, so a rule is not trusted. It is parsed, and every part of it must be on the short list
below: no second statement, no subquery, no look at other pairs, no files, no clock, no dice, and nothing whose answer
is much longer than what it was given, so that no rule can fill the memory (`repeat`, or `replace` within `replace`).
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
MAX_CHARS = 10_000
# Functions of their arguments alone, as DuckDB names them. DuckDB's own word for that, CONSISTENT, is not enough: it
# also says so of json_serialize_plan, which reads files, and of clocks.
FUNCTIONS = {
    *("+", "-", "*", "/", "//", "%", "**", "^", "&", "|", "<<", ">>", "~", "!", "||", "xor"),
    *("~~", "!~~", "~~*", "!~~*", "~~~", "^@", "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"),
    *("abs", "sign", "ceil", "ceiling", "floor", "round", "round_even", "trunc", "mod", "divide", "add", "subtract"),
    *("multiply", "pow", "power", "exp", "sqrt", "cbrt", "ln", "log", "log2", "log10", "least", "greatest", "pi"),
    *("isnan", "isinf", "isfinite", "if", "nullif", "bit_count", "gcd", "lcm", "sin", "cos", "tan", "atan", "atan2"),
    *("length", "len", "strlen", "char_length", "character_length", "length_grapheme", "octet_length", "bit_length"),
    *("lower", "lcase", "upper", "ucase", "trim", "ltrim", "rtrim", "left", "right", "substr", "substring", "reverse"),
    *("contains", "starts_with", "ends_with", "prefix", "suffix", "instr", "strpos", "position", "ascii", "unicode"),
    *("ord", "chr", "concat", "concat_ws", "translate", "strip_accents", "nfc_normalize", "split_part"),
    *("regexp_matches", "regexp_full_match", "regexp_extract", "string_split", "str_split", "split", "string_to_array"),
    *("string_split_regex", "str_split_regex", "regexp_split_to_array", "regexp_extract_all", "hamming", "mismatches"),
    *("hash", "md5", "sha1", "sha256", "encode", "decode", "url_decode", "from_hex", "unhex", "get_bit"),
    *("list_value", "list_contains", "list_has", "list_has_any", "list_has_all", "list_position", "list_extract"),
    *("list_element", "array_contains", "array_has", "array_has_any", "array_has_all", "array_position"),
    *(
        "array_length",
        "array_extract",
        "list_distinct",
        "list_unique",
        "list_slice",
        "array_slice",
        "struct_extract",
        "map_contains",
    ),
    *("map_extract", "element_at", "cardinality"),
    *("date_part", "datepart", "year", "month", "day", "hour", "minute", "second", "epoch", "epoch_ms", "dayofweek"),
    *("weekday", "week", "quarter", "date_trunc", "date_diff", "datediff", "make_date", "make_timestamp"),
}


def check_expression(name: str, rule: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that rule `name` reads, as they are called in `known`, in order.

    What passes can stand in parentheses inside any larger query. Raises UserError naming the rule.
    """
    if len(rule) > MAX_CHARS:
        raise UserError(f"rule {name!r} has {len(rule):,} characters; a rule has {MAX_CHARS:,} at most")
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


def parts_of(name: str, rule: str) -> Iterator[dict[str, Any]]:
    """Yield every part of a rule as DuckDB's syntax tree has it. Raises UserError where it is no expression."""
    return _parts(_parse(name, rule))


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
    if part["class"] == "FUNCTION" and function not in FUNCTIONS:
        words = [word for word in FUNCTIONS if NAME.fullmatch(word)]
        raise UserError(f"rule {name!r} calls {function}(), which no rule may call{nearest(function, words)}")


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


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})
