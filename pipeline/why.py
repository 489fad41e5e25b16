"""One pair's whole story in the pipeline: where it is, what became of it, and which rule decided."""

from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError

from .config import PipelineConfig
from .dedup import DUPLICATES
from .files import read_table
from .plan import DROPPED, PLAN
from .select import candidates, failed_rules
from .shard import KEEP, PAIRS, TAR, URLS, Shard, states_suffix


class Found(NamedTuple):
    """A pair and where it stands."""

    key: str
    shard: Shard | None  # None: dropped by the plan
    row: int | None  # in the shard's tar; None where no picture was stored
    kept: bool
    lines: list[str]  # the story, a line each


def find(config: PipelineConfig, key: str) -> Found:
    """The story of the pair whose key starts with `key`. Opens the files of one shard only.

    Raises UserError where no pair, or more than one, has such a key.
    """
    planned, places = [], []
    for shard in _shards_of(config.run, key):
        urls = read_table(shard.path(URLS), made_by="plan")
        rows = pc.indices_nonzero(pc.starts_with(urls["key"], key))
        planned += urls.take(rows).to_pylist()
        places += [(shard, row) for row in rows.to_pylist()]
    if len({row["key"] for row in planned}) > 1:
        some = ", ".join(row["key"] for row in planned[:5])
        raise UserError(f"{key!r} is the beginning of more than one key: {some} ...")
    dropped = _rows(config.run / DROPPED, planned[0]["key"] if planned else key)
    if not planned and not dropped:
        raise UserError(f"no pair of {config.run} has a key that starts with {key!r}")
    lines = [
        f"table     {name} = {_short(value)}" for name, value in (planned or dropped)[0].items() if name != "reasons"
    ]
    lines += [f"plan      a row was dropped: {', '.join(row['reasons'])}" for row in dropped]
    if not planned:
        return Found(dropped[0]["key"], None, None, False, lines)
    shard, row = places[0]
    lines.append(f"plan      shard {shard}, row {row}")
    return _follow(config, shard, planned[0]["key"], lines)


def _shards_of(run: Path, key: str) -> list[Shard]:
    """Shards are cut from the pairs sorted by key, so the first keys tell which may hold it.

    Of many, two are enough to tell that a key is too short.
    """
    first = read_table(run / PLAN, ["first_key"], made_by="plan")["first_key"].to_pylist()
    begin, end = bisect_left(first, key), bisect_right(first, key + "g")  # "g" comes after every hex digit
    before = begin if first[begin : begin + 1] == [key] else begin - 1
    return [Shard(run, number) for number in range(max(0, before), min(end, begin + 1))]


def _follow(config: PipelineConfig, shard: Shard, key: str, lines: list[str]) -> Found:
    lost = Found(key, shard, None, False, lines)
    if not shard.path(PAIRS).exists():
        lines.append("download  not done yet")
        return lost
    pairs = read_table(shard.path(PAIRS), made_by="download")
    same = pairs.filter(pc.equal(pairs["key"], key)).to_pylist()
    if not same:
        lines.append("download  not done since the pairs were planned anew")
        return lost
    pair = same[0]
    told = ("status", "http_status", "content_type", "final_url", "fetched_bytes", "fetched_sha256", "format", "detail")
    lines += [f"download  {name} = {_short(pair[name])}" for name in told if pair.get(name) not in (None, "")]
    if pair["status"] != "ok":
        lines.append(f"dropped   by the download: {pair['status']}")
        return lost
    size = f"{pair['stored_width']} x {pair['stored_height']} px"
    lines.append(f"picture   {shard.path(TAR)} at byte {pair['tar_offset']}, {pair['tar_size']} bytes, {size}")
    stored = pairs.filter(pc.equal(pairs["status"], "ok"))
    return _judge(config, shard, key, stored["key"].to_pylist().index(key), set(pairs.column_names), lines)


def _judge(config: PipelineConfig, shard: Shard, key: str, row: int, known: set[str], lines: list[str]) -> Found:
    found = Found(key, shard, row, False, lines)
    if not shard.path(KEEP).exists():
        lines.append("select    not done yet")
        return found
    columns = candidates(config.run, shard).slice(row, 1)
    scores = columns.select([name for name in columns.column_names if name not in known]).to_pylist()[0]
    lines += [f"score     {name} = {_short(value)}" for name, value in scores.items()]
    failed = failed_rules(columns, config.select.rules)[0]
    for name, rule in config.select.rules.items():
        lines.append(f"rule      {'FAILED' if name in failed else 'passed'}  {name}: {rule}")
    copies = _rows(config.run / DUPLICATES, key, ("shard", "=", shard.number))
    lines += [f"dedup     {copy['kind']} copy of {copy['keeper']}" for copy in copies]
    if failed:
        lines.append(f"dropped   by the rule {failed[0]}")
        return found
    judged = read_table(shard.path(KEEP), made_by="select").slice(row, 1).to_pylist()
    if not judged or judged[0]["key"] != key:
        lines.append("select    not done since the pairs were downloaded anew")
        return found
    keep = judged[0]
    lines.append("select    kept" + (", held out for validation: no stage trains on it" if keep["held_out"] else ""))
    stages = [(stage, keep.get(stage)) for stage in config.select.stages]
    lines += [
        f"select    stage {stage}: {'not asked yet' if of is None else 'yes' if of else 'no'}" for stage, of in stages
    ]
    lines.append(_states(config, shard, key))
    return found._replace(kept=True)


def _states(config: PipelineConfig, shard: Shard, key: str) -> str:
    path = shard.path(states_suffix(config.embed.text.name))
    if not path.exists():
        return "embed     not done yet"
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        row = pc.index(table["key"], key).as_py()
        if row < 0:
            return "embed     not done since the pair is kept"
        return f"embed     {path} row {row}: {table['tokens'][row].as_py()} tokens"


def _rows(path: Path, key: str, *further: tuple[str, str, Any]) -> list[dict[str, Any]]:
    """Rows whose key starts with `key`; row groups that cannot hold it are not read."""
    if not path.exists():
        return []
    return pq.read_table(path, filters=[("key", ">=", key), ("key", "<", key + "g"), *further]).to_pylist()


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 200 else text[:197] + "..."
