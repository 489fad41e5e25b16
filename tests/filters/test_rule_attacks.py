"""A policy from a stranger cannot read files, reach the network, run statements or look at other pairs."""

import duckdb
import pyarrow as pa
import pytest

from configs import UserError
from filters.rules import SAFE, check_expression, failed_rules

PAIRS = pa.table({"caption": ["a", "b"], "number": [1, 2]})
SECRET = "swordfish"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text(f"word\n{SECRET}\n")
    return path


ATTACKS = [
    # further statements
    "true; COPY pairs TO '{out}'",
    "true; ATTACH '{out}'",
    "true;",
    "1) FROM pairs; COPY (SELECT 1) TO '{out}'; SELECT (1",
    # out of the parentheses
    "true) OR (SELECT true",
    "true) FROM read_csv('{secret}') --",
    "true) AS holds FROM read_text('{secret}') WHERE (content IS NOT NULL",
    "number = 1 --",
    "number = 1 -- and more",
    "number = 1 /*",
    "number = 1 AS holds",
    "number = 1, number = 2",
    "true UNION SELECT true",
    "true FROM pairs",
    "true ORDER BY 1",
    # files and network
    "(SELECT count(*) FROM read_text('{secret}')) > 0",
    "(SELECT count(*) FROM read_csv('{secret}')) > 0",
    "(SELECT count(*) FROM '{secret}') > 0",
    "exists (FROM glob('/etc/*'))",
    "exists (FROM read_parquet('https://example.com/x.parquet'))",
    "exists (FROM sniff_csv('{secret}'))",
    "'swordfish' in (SELECT word FROM '{secret}')",
    "caption = any (SELECT word FROM '{secret}')",
    "read_text('{secret}') is not null",
    "exists (FROM query('SELECT 1'))",
    "exists (FROM duckdb_settings())",
    "getenv('HOME') <> ''",
    "json_serialize_plan('SELECT * FROM read_csv(''{secret}'')') is not null",
    "json_serialize_plan('SELECT * FROM read_parquet(''https://example.com/x.parquet'')') is not null",
    # this program's own variables
    "exists (FROM PAIRS_OF_THE_PROGRAM)",
    # settings, clocks, dice, sleep
    "current_setting('home_directory') = ''",
    "set_config('threads', '9') is null",
    "getvariable('x') is null",
    "random() < 0.5",
    "uuid() is not null",
    "now() > '2020-01-01'::timestamp",
    "today() > '2020-01-01'",
    "sleep_ms(100) is null",
    "pg_sleep(1) is null",
    "nextval('s') > 0",
    "current_localtimestamp() > '2020-01-01'::timestamp",
    "current_localtime() is null",
    "age('2020-01-01'::timestamp) > interval 1 day",
    "error('x') is null",
    "write_log('x') is null",
    "current_user = 'x'",
    "txid_current() > 0",
    # memory
    "length(repeat('x', 1000000000)) > 0",
    "length(lpad(caption, 1000000000, 'x')) > 0",
    "length(format('{:1000000000}', caption)) > 0",
    "length(replace(replace(caption, 'a', 'aaaa'), 'a', 'aaaa')) > 0",
    "length(regexp_replace(caption, '.', '0000', 'g')) > 0",
    "len(range(1000000000)) > 0",
    "length(bar(number, 0, 1, 1000000000)) > 0",
    "length(hex(hex(caption))) > 0",
    "list_resize([1], 1000000000) is null",
    "caption = '" + 10_000 * "x" + "'",
    # other pairs
    "number > avg(number)",
    "number = max(number) OVER ()",
    "row_number() OVER (ORDER BY number) < 2",
    "(SELECT max(number) FROM pairs) = number",
    "pairs.number = 1",
    "COLUMNS(*) = 1",
    "*",
    "#1 = 1",
    "? = 1",
    "$secret = 1",
    "list_filter([1], x -> x > 0) is not null",
    "unnest([true, false])",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_by_the_parser_alone(attack, secret, tmp_path):
    out = tmp_path / "out"
    rule = attack.replace("{secret}", str(secret)).replace("{out}", str(out))
    with pytest.raises(UserError, match="rule 'attack'") as caught:
        check_expression("attack", rule, PAIRS.column_names)
    assert SECRET not in str(caught.value).replace(rule, "")
    with pytest.raises(UserError, match="rule 'attack'"):
        failed_rules(PAIRS, {"attack": rule})
    assert not out.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{secret}*')",
        "COPY (SELECT 1) TO '{secret}'",
        "ATTACH '{secret}'",
        "EXPORT DATABASE '{secret}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM PAIRS",
        "SET enable_external_access = true",
        "SET threads = 2",
        "SET lock_configuration = false",
        "RESET lock_configuration",
    ],
)
def test_the_database_would_not_do_it_either(statement, secret):
    with duckdb.connect(config=SAFE) as database, pytest.raises(duckdb.Error):
        database.execute(statement.replace("{secret}", str(secret))).fetchall()
    assert SECRET in secret.read_text()
