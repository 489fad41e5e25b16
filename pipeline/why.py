"""One pair's whole story in the pipeline: where it is, what became of it, and which rule decided."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc

from configs import UserError, shortened
from configs.steps import ENTRIES
from filters.rules import failed_rules
from storage import keep_list, pairs
from storage.duplicates import copies_of
from storage.plan import dropped_with, first_keys, urls_of
from storage.shard import KEEP, PAIRS, TAR, Shard
from storage.tables import AFTER_ALL, rows_of_key
from storage.text_embeds import TextEmbedsFile, suffix

from .config import PipelineConfig
from .select import candidates_of

TOLD = ("plan", "download", "adopt", "score", "select", "embed")  # steps with sentences of their own below
OF_THE_DOWNLOAD = (
    *("status", "http_status", "content_type", "final_url", "fetched_bytes", "fetched_sha256", "format", "detail"),
)


MANY = 1000  # urls that fit; further ones are not counted


class Story(NamedTuple):
    """A pair and where it stands."""

    key: str
    shard: Shard | None  # None: dropped by the plan
    row: int | None  # in the shard's tar; None where no image was stored
    kept: bool
    lines: list[str]  # the story, a line each


def find(config: PipelineConfig, key: str) -> Story:
    """Return the story of the pair whose key starts with `key`, or else of the one whose url contains it.

    By key the files of one shard are opened, by url the urls of all shards are read. Raises UserError where no pair, or
    more than one, is meant.
    """
    story = _find(config, key) or _find(config, key_of_url(config.run, key))
    if story is None:
        raise UserError(f"{config.run} is being planned anew; ask again when that is done", exit_code=1)
    return story


def _find(config: PipelineConfig, key: str) -> Story | None:
    planned, places = [], []
    for shard in _shards_with(config.run, key):
        urls = pairs.planned(shard)
        rows = pc.indices_nonzero(pc.starts_with(urls["key"], key))
        planned += urls.take(rows).to_pylist()
        places += [(shard, row) for row in rows.to_pylist()]
    if any(pair["key"] == key for pair in planned):
        planned, places = _only(key, planned, places)
    if len({pair["key"] for pair in planned}) > 1:
        some = ", ".join(pair["key"] for pair in planned[:5])
        raise UserError(f"{key!r} is the beginning of more than one key: {some} ...")
    dropped = dropped_with(config.run, planned[0]["key"] if planned else key)
    if not planned and not dropped:
        return None
    lines = list(_columns("table", (planned or dropped)[0], leave_out=["reasons"]))
    lines += [f"plan      a row was dropped: {', '.join(row['reasons'])}" for row in dropped]
    if not planned:
        return Story(dropped[0]["key"], None, None, False, lines)
    shard, row = places[0]
    lines.append(f"plan      shard {shard}, row {row}")
    return _follow(config, Story(planned[0]["key"], shard, None, False, lines), shard)


def key_of_url(run: Path, part: str) -> str:
    """Return the key of the pair whose url is `part` or contains it. Raises UserError where none or several do."""
    found, same = dict[str, str](), dict[str, str]()
    for urls in urls_of(run):
        for fits, rows in ((pc.match_substring(urls["url"], part), found), (pc.equal(urls["url"], part), same)):
            chosen = urls.filter(fits).slice(0, MANY - len(rows))
            rows |= zip(chosen["key"].to_pylist(), chosen["url"].to_pylist(), strict=True)
    found = same or found
    if not found:
        raise UserError(f"no pair of {run} has a key that starts with {part!r}, or a url that contains it")
    if len(found) > 1:
        some = "; ".join(f"{key} {shortened(url, 100)}" for key, url in [*found.items()][:5])
        more = " or more" * (len(found) == MANY)
        raise UserError(f"{part!r} is in the urls of {len(found):,} pairs{more}: {some}")
    return next(iter(found))


def _only(
    key: str, planned: list[dict[str, Any]], places: list[tuple[Shard, int]]
) -> tuple[list[dict[str, Any]], list[tuple[Shard, int]]]:
    """Return the pairs whose whole key it is: keys of adopted shards may be the beginnings of others."""
    chosen = [number for number, pair in enumerate(planned) if pair["key"] == key]
    return [planned[number] for number in chosen], [places[number] for number in chosen]


def _shards_with(run: Path, key: str) -> list[Shard]:
    """Return the shards that may hold it: they are cut from the pairs sorted by key.

    Of many, two are enough to tell that a key is too short.
    """
    first = first_keys(run)
    begin, end = bisect_left(first, key), bisect_right(first, key + AFTER_ALL)
    before = begin if first[begin : begin + 1] == [key] else begin - 1
    return [Shard(run, number) for number in range(max(0, before), min(end, begin + 1))]


def _follow(config: PipelineConfig, story: Story, shard: Shard) -> Story:
    """Tell the download, then what the steps after it made of the image."""
    key, lines = story.key, story.lines
    if not shard.path(PAIRS).exists():
        lines.append("download  not done yet")
        return story
    table = pairs.read(shard)
    same = table.filter(pc.equal(table["key"], key)).to_pylist()
    if not same:
        lines.append("download  not done since the pairs were planned anew")
        return story
    pair = same[0]
    lines += _columns("download", {name: pair[name] for name in OF_THE_DOWNLOAD if pair.get(name) not in (None, "")})
    if pair["status"] != pairs.OK:
        lines.append(f"dropped   by the download: {pair['status']}")
        return story
    size = f"{pair['stored_width']} x {pair['stored_height']} px"
    tar = shard.path(TAR)
    where = f"{tar}, which is {tar.readlink()}," if tar.is_symlink() else f"{tar}"
    lines.append(f"image     {where} at byte {pair['tar_offset']}, {pair['tar_size']} bytes, {size}")
    row = pairs.stored(shard, ["key"])["key"].to_pylist().index(key)
    lines += _further_steps(shard, key)
    return _judge(config, story._replace(row=row), shard, row, known=table.column_names)


def _further_steps(shard: Shard, key: str) -> Iterator[str]:
    """Yield the columns that other registered steps made for this pair."""
    for entry in ENTRIES:
        if entry.kind == "shard" and entry.name not in TOLD:
            rows = rows_of_key(shard.path(entry.writes), key)
            yield from _columns(entry.name, rows[0], leave_out=["key"]) if rows else [f"{entry.name:10}not done yet"]


def _judge(config: PipelineConfig, story: Story, shard: Shard, row: int, *, known: Iterable[str]) -> Story:
    """Tell scores, rules and copies. known: columns that were told already."""
    key, lines = story.key, story.lines
    if not shard.path(KEEP).exists():
        lines.append("select    not done yet")
        return story
    candidates = candidates_of(shard)
    candidate = candidates.slice(row, 1)
    lines += _columns("score", candidate.to_pylist()[0], leave_out=known)
    failed = failed_rules(candidate, config.select.rules)[0]
    for name, rule in config.select.rules.items():
        lines.append(f"rule      {'FAILED' if name in failed else 'passed'}  {name}: {rule}")
    lines += [f"dedup     {copy['kind']} copy of {copy['keeper']}" for copy in copies_of(config.run, key)]
    if failed:
        lines.append(f"dropped   by the rule {failed[0]}")
        return story
    try:
        keep = keep_list.read(shard, of=candidates).slice(row, 1).to_pylist()[0]
    except UserError:
        lines.append("select    not done since the pairs were downloaded anew")
        return story
    lines.append("select    kept" + (", held out for validation: no stage trains on it" if keep["held_out"] else ""))
    answers = {None: "not asked yet", True: "yes", False: "no"}
    lines += [f"select    stage {stage}: {answers[keep.get(stage)]}" for stage in config.select.stages]
    lines.append(_text_embeds(config, shard, key))
    return story._replace(kept=True)


def _text_embeds(config: PipelineConfig, shard: Shard, key: str) -> str:
    encoder = config.embed.text.name
    if not shard.path(suffix(encoder)).exists():
        return "embed     not done yet"
    embeds = TextEmbedsFile(shard, encoder)
    row = embeds.row_of(key)
    if row is None:
        return "embed     not done since the pair is kept"
    return f"embed     {embeds.path} row {row}: {len(embeds.at(row, key=key))} tokens"


def _columns(step: str, values: dict[str, Any], *, leave_out: Iterable[str] = ()) -> Iterator[str]:
    """Yield a line for each column that a step made for the pair."""
    hidden = {*leave_out}
    yield from (f"{step:10}{name} = {short(value)}" for name, value in values.items() if name not in hidden)


def short(value: Any) -> str:
    """Return the value of a column in at most 200 characters."""
    text = f"{value:.4g}" if isinstance(value, float) else value.hex() if isinstance(value, bytes) else str(value)
    return shortened(text, 200)
