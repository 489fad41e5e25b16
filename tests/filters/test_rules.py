"""Rules hold or fail, row by row; and rules that cannot be decided say so before any work is done."""

import pyarrow as pa
import pytest

from configs import UserError
from filters.rules import check, check_expression, failed_rules, fingerprint, holds

PAIRS = pa.table(
    {
        "caption": ["a cat", "DSC_0042.jpg", None, "it's {odd}, \u4e2d\u6587"],
        "min_side": pa.array([512, 100, 512, None], pa.int32()),
        "nsfw_score": pa.array([0.1, 0.2, 0.9, 0.3], pa.float32()),
        "near_copy": [False, False, True, False],
        "pdq": pa.array([b"\0" * 32] * 4, pa.binary(32)),
        "Similarity": [0.3, 0.31, 0.2, 0.1],
    }
)
RULES = {
    "large": "min_side >= 256",
    "worded": "length(caption) >= 5 and caption not like '%.jpg'",
    "harmless": "nsfw_score < 0.5",
    "first": "NOT near_copy",
}


def test_all_failing_rules_are_told_in_the_stated_order():
    assert failed_rules(PAIRS, RULES) == [[], ["large", "worded"], ["worded", "harmless", "first"], ["large"]]
    backwards = dict(reversed(RULES.items()))
    assert failed_rules(PAIRS, backwards)[2] == ["first", "harmless", "worded"]


def test_null_counts_as_failed():
    assert holds(PAIRS, {"known": "min_side > 0"})["known"].to_pylist() == [True, True, True, False]
    assert holds(PAIRS, {"unknown": "min_side is null"})["unknown"].to_pylist() == [False, False, False, True]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_nan_counts_as_failed_whichever_side_is_asked_for(kind: pa.DataType):
    table = pa.table({"score": pa.array([0.5, float("nan"), float("inf"), None], kind)})
    rules = {"above": "score >= 0.3", "below": "score <= 0.6", "other": "score <> 7", "not": "not (score < 0.3)"}
    rules["none"] = "score is null"
    assert failed_rules(table, {name: rules[name] for name in ("above", "other", "not")}) == [
        [],
        ["above", "other", "not"],
        [],
        ["above", "other", "not"],
    ]
    held = holds(table, rules)
    assert held["below"].to_pylist() == [True, False, False, False]
    assert held["none"].to_pylist() == [False, True, False, True]


def test_rules_over_no_column_no_row_and_no_rule():
    assert holds(PAIRS, {"all": "true", "none": "false"})["none"].to_pylist() == [False] * 4
    assert failed_rules(PAIRS, {}) == [[]] * 4
    assert failed_rules(PAIRS.slice(0, 0), RULES) == []


def test_names_of_columns_have_no_case():
    assert failed_rules(PAIRS, {"alike": "similarity >= 0.3 and MIN_SIDE > 0"}) == [[], [], ["alike"], ["alike"]]


@pytest.mark.parametrize(
    "rule",
    [
        "min_side between 100 and 600",
        "caption in ('a cat', 'a dog')",
        "caption ~ '.*cat.*' or regexp_matches(caption, '(?i)dsc')",
        "caption ilike '%CAT%' and caption not ilike 'x_'",
        "case when near_copy then nsfw_score < 0.1 else true end",
        "coalesce(min_side, 0) >= 0 and ifnull(min_side, 1) >= 0",
        "least(min_side, 10) * 2 + 1 <= 21 and min_side % 2 = 0 and min_side // 2 > 0",
        "try_cast(caption as int) is null and min_side::double > 0.5",
        "nullif(caption, '') is not null and split_part(caption, ' ', 1) = 'a'",
        "if(near_copy, false, true)",
        "len(string_split(trim(lower(caption)), ' ')) > 1",
        "near_copy is distinct from true and not (near_copy = true) and near_copy != true",
        '"min_side" > /* pixels */ 10',
        "pdq = unhex('" + 64 * "0" + "')",
        "starts_with(caption, 'a') and caption[1] = 'a'",
        "abs(round(log(min_side))) > 0 -\n 1",
    ],
)
def test_what_rules_may_say(rule):
    assert failed_rules(PAIRS, {"rule": rule})[0] == []


@pytest.mark.parametrize(
    ("rule", "fit"),
    [
        ("wide / high >= 1", [True, False, False]),
        ("wide::double / high >= 1", [True, False, False]),
        ("not (wide / high < 1)", [True, False, False]),
        ("wide % high = 0", [True, False, False]),
        ("wide // high <= 1", [True, False, True]),
        ("sqrt(wide - 1) >= 0", [True, False, True]),
        ("cast(said as int) >= 256", [True, False, False]),
        ("case when high = 0 then true else wide / high >= 1 end", [True, True, False]),
    ],
)
def test_a_pair_of_which_a_rule_cannot_be_computed_fails_it_and_ends_nothing(rule: str, fit: list[bool]):
    table = pa.table({"wide": [4, 0, 1], "high": [4, 0, 3], "said": ["640", "n/a", "12"]})
    assert holds(table, {"rule": rule})["rule"].to_pylist() == fit


def test_order_of_rows_is_kept_for_many_rows():
    numbers = pa.table({"n": pa.array(range(50_000))})
    assert holds(numbers, {"odd": "n % 2 = 1"})["odd"].to_pylist() == [n % 2 == 1 for n in range(50_000)]


def test_columns_that_a_rule_reads():
    assert check_expression("rule", "MIN_SIDE > 1 or similarity < min_side", PAIRS.column_names) == (
        "min_side",
        "Similarity",
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("min_sied > 1", "rule 'bad' uses the column 'min_sied', which does not exist; did you mean 'min_side'"),
        ("zebra > 1", "known: Similarity, caption, min_side"),
        ("min_side >", "rule 'bad' is not one SQL expression"),
        ("", "rule 'bad' is not one SQL expression"),
        ("min_side + 1", "rule 'bad' must be true or false, but is .*INT"),
        ("null", "rule 'bad' must be true or false"),
        ("caption", "must be true or false, but is VARCHAR"),
        ("lenght(caption) > 1", r"rule 'bad' calls lenght\(\), which no rule may call; did you mean 'length'"),
        ("length(min_side) > 1", "rule 'bad' cannot be decided: Binder Error"),
        ("current_date > '2020-01-01'", "'current_date', which does not exist"),
    ],
)
def test_errors_name_the_rule_and_what_is_wrong(rule, message):
    with pytest.raises(UserError, match=message):
        failed_rules(PAIRS, {"good": "true", "bad": rule})


def test_rules_are_checked_against_a_schema_alone():
    check(RULES, PAIRS.schema)
    with pytest.raises(UserError, match="rule 'large' uses the column 'max_side'"):
        check({"large": "max_side > 1"}, PAIRS.schema)


@pytest.mark.parametrize("name", ["", "Too Small", "a-b", "x' OR 1 --", "1st"])
def test_names_of_rules_are_plain(name):
    with pytest.raises(UserError, match="no name for a rule"):
        failed_rules(PAIRS, {name: "true"})


def test_a_column_that_stands_twice_is_an_error_where_it_is_used():
    twice = PAIRS.append_column("CAPTION", PAIRS["caption"])
    assert failed_rules(twice, {"rule": "min_side > 0"})[0] == []
    with pytest.raises(UserError, match="'caption', which stands 2 times"):
        failed_rules(twice, {"rule": "caption <> ''"})


def test_the_fingerprint_knows_the_order():
    assert fingerprint(RULES) == fingerprint(dict(RULES))
    assert fingerprint(RULES) != fingerprint(dict(reversed(RULES.items())))
    assert fingerprint(RULES) != fingerprint({**RULES, "large": "min_side >= 257"})
