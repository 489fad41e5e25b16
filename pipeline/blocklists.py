"""Lists of urls and hosts that are never asked for: takedowns, opt-outs, hosts that serve what nobody wants.

Text files with an entry a line, of any length; what follows a # at the beginning of a line, or after a space, is a
comment. A url is compared without its fragment, scheme and host in small letters. A host is compared as it is asked
for, lower-case and in ASCII (RFC 5891), and stands for its subdomains, too.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from pydantic import Field
from yarl import URL

from configs import Config, UserError
from filters.expression import first_line
from storage.takedown import read as read_tombstones

from .sql import quoted
from .table_files import TableFile, Tables, lists_of
from .table_readers import LINE, lines_of

BLOCKED_URL, BLOCKED_HOST = "corgi_blocked_url", "corgi_blocked_host"  # columns of a row
URLS, HOSTS = "corgi_urls", "corgi_hosts"  # tables of all entries
URLS_HERE, HOSTS_HERE = "corgi_urls_here", "corgi_hosts_here"  # tables of what some rows have and is blocked
IN_ASCII = "corgi_in_ascii"
MAX_HOST_CHARS = 253  # of a name that can be asked for (RFC 1035)

BEFORE_PATH = "regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*:[/\\\\]*[^/\\\\?#]*')"
SAME_URL = f"lower({BEFORE_PATH}) || split_part(substr({{0}}, length({BEFORE_PATH}) + 1), '#', 1)"
AUTHORITY = "regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*:[/\\\\]*([^/\\\\?#]*)', 1)"
WITH_PORT = f"regexp_replace({AUTHORITY}, '^.*@', '')"
HOST = f"rtrim(trim(lower(regexp_replace({WITH_PORT}, ':[0-9]*$', '')), '[]'), '.')"
# example.com of a.example.com, and so on
PARENTS = """list_transform(range(1, len(string_split({0}, '.')) + 1),
    lambda first: array_to_string(string_split({0}, '.')[first:], '.'))"""


class BlockConfig(Config):
    """Lists of what is never asked for; files or urls, .gz and .zst too."""

    paths = ("urls", "hosts")

    urls: Tables = Field(default=[], examples=[["taken_down.txt"]])  # a url a line
    hosts: Tables = Field(
        default=[], examples=[["hosts.txt.gz"]]
    )  # a host a line, which stands for its subdomains, too


def files_of_lists(config: BlockConfig) -> list[list[TableFile]]:
    """Return the files of the lists of urls, and of those of hosts."""
    return [lists_of(config.urls), lists_of(config.hosts)]


def load(database: duckdb.DuckDBPyConnection, config: BlockConfig, scratch: Path) -> None:
    """Read all lists into tables of the database. Raises UserError for an entry that could never be met."""
    urls, hosts = files_of_lists(config)
    _load(database, URLS, urls, scratch, SAME_URL.format("entry"), "^[a-z][a-z0-9+.-]*://[^/]", "url")
    name = "rtrim(trim(lower(ltrim(entry, '*.')), '[]'), '.')"
    _load(database, HOSTS, hosts, scratch, name, r"^[^\s/\\?#@]+$", "host")
    _register_ascii(database, f"SELECT entry AS host FROM {HOSTS}")
    ascii_name = f"coalesce({IN_ASCII}.ascii, entry)"
    database.sql(
        f"CREATE OR REPLACE TABLE {HOSTS} AS SELECT {ascii_name} AS entry "
        f"FROM {HOSTS} LEFT JOIN {IN_ASCII} ON host = entry"
    )


def mark(database: duckdb.DuckDBPyConnection, rows: str) -> str:
    """Return the query of some rows with BLOCKED_URL and BLOCKED_HOST; it reads tables of the last call alone."""
    here = f"SELECT DISTINCT {SAME_URL.format('url')} AS entry FROM {rows}"
    database.sql(
        f"CREATE OR REPLACE TEMP TABLE {URLS_HERE} AS SELECT entry FROM ({here}) SEMI JOIN {URLS} USING (entry)"
    )
    hosts = f"SELECT DISTINCT {HOST.format('url')} AS host FROM {rows}"
    _register_ascii(database, hosts)
    in_ascii = f"SELECT host, coalesce(ascii, host) AS ascii FROM ({hosts}) LEFT JOIN {IN_ASCII} USING (host)"
    parents = (
        f"SELECT host, unnest({PARENTS.format('ascii')}) AS entry FROM ({in_ascii}) "
        f"WHERE length(ascii) <= {MAX_HOST_CHARS}"
    )
    database.sql(
        f"CREATE OR REPLACE TEMP TABLE {HOSTS_HERE} AS "
        f"SELECT DISTINCT host FROM ({parents}) SEMI JOIN {HOSTS} USING (entry)"
    )
    return f"""SELECT *, {SAME_URL.format("url")} IN (FROM {URLS_HERE}) AS {BLOCKED_URL},
        {HOST.format("url")} IN (FROM {HOSTS_HERE}) AS {BLOCKED_HOST} FROM {rows}"""


def taken_down(database: duckdb.DuckDBPyConnection, run: Path) -> str:
    """Return the SQL that tells whether a row of this run was taken down, by its key or its url."""
    tombstones = read_tombstones(run)
    if not len(tombstones):
        return "false"  # no row need be hashed
    database.register("tombstones", tombstones)
    of_kind = "(SELECT sha256 FROM tombstones WHERE kind = '{0}')"
    return " OR ".join(f"sha256({kind}) IN {of_kind.format(kind)}" for kind in ("key", "url"))


def unmarked(rows: str) -> str:
    """Return the query of rows where nothing is blocked."""
    return f"SELECT *, false AS {BLOCKED_URL}, false AS {BLOCKED_HOST} FROM {rows}"


def _load(
    database: duckdb.DuckDBPyConnection,
    table: str,
    files: Sequence[TableFile],
    scratch: Path,
    normal: str,
    pattern: str,
    what: str,
) -> None:
    """Fill a table with the entries of some lists. normal: SQL of an `entry` as it is compared."""
    database.sql(f"CREATE OR REPLACE TABLE {table} (entry VARCHAR)")
    for file in files:
        entries = rf"SELECT trim(regexp_replace({LINE}, '(^|\s)#.*$', '')) AS entry FROM ({lines_of(file, scratch)})"
        entries = f"SELECT {normal} AS entry, entry AS written FROM ({entries}) WHERE entry <> ''"
        wrong = f"SELECT written FROM ({entries}) WHERE NOT regexp_matches(entry, {quoted(pattern, mark=chr(39))})"
        try:
            database.sql(f"INSERT INTO {table} SELECT entry FROM ({entries})")
            strays = database.sql(f"{wrong} LIMIT 1").fetchall()
        except duckdb.Error as error:
            raise UserError(f"{file.name} cannot be read as a list of {what}s: {first_line(error)}") from None
        if strays:
            raise UserError(f"{file.name}: {strays[0][0]!r} is no {what}; a block-list has a {what} a line")


def _register_ascii(database: duckdb.DuckDBPyConnection, hosts: str) -> None:
    """Register a table of the hosts that are not ASCII, and of what they are called when they are asked for."""
    names = database.sql(
        rf"SELECT DISTINCT host FROM ({hosts}) WHERE regexp_matches(host, '[^\x00-\x7f]|%')"
    ).fetchall()
    forms = [in_ascii(name) for (name,) in names]
    columns = {"host": pa.array([name for (name,) in names], pa.string()), "ascii": pa.array(forms, pa.string())}
    database.register(IN_ASCII, pa.table(columns))


def in_ascii(host: str) -> str:
    """Return a host as it is asked for, in ASCII; as it is where it could not be."""
    try:
        return (URL(f"http://{unquote(host)}/").raw_host or host).rstrip(".")  # urllib asks for the unquoted one
    except ValueError:  # it is no name that could be asked for
        return host
