"""What plan takes for a large url table: seconds, memory and scratch space.

    Corgi      a table with LAION-2B's columns in four parquet files, cut into shards of 10,000 pairs; 1 row of 50 has
               the url of another one
    rules      the same, with two rules, of which one is a function of the url
    join       the same, with a second caption of each pair by its url from another table

There is no peer that finds equal urls over a whole table and keeps what it drops. The tables are made first and not
timed; they are read from the page cache. Scratch space is what stands beside the finished plan at the most.

Bars, of 10 M pairs on 2 cores: 60 seconds, 1 GiB, and 3 times the table.
"""

import sys
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

QUICK_ROWS = 100_000
FILES = 4
EQUAL_OF = 50  # one row of so many has the url of the row before
BATCH = 100_000
RULES = {"wide": "WIDTH >= 100", "no_thumb": "not contains(lower(url), '/thumb/')"}
BARS = {"corgi_minute_over": 1.0, "corgi_gib_left": 0.0, "corgi_spill_left": 0.0}


def make_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write a url table of so many rows as a folder of parquet files, and a table of second captions."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks import data, scale

    texts = data.captions(1000)
    main, further = folder / "table", folder / "captions"
    for made in (main, further):
        made.mkdir()
    for number in range(FILES):
        with (
            pq.ParquetWriter(main / f"{number}.parquet", _schema()) as writer,
            pq.ParquetWriter(further / f"{number}.parquet", _captions_schema()) as second,
        ):
            first, last = number * rows // FILES, (number + 1) * rows // FILES
            for at in range(first, last, BATCH):
                numbers = np.arange(at, min(at + BATCH, last))
                draw = scale.words(numbers, scale.SOURCE)[:, 0]
                own = np.where(numbers % EQUAL_OF == EQUAL_OF - 1, numbers - 1, numbers)
                urls = [f"https://i{n % 99991}.made-up.test/a/path/of/usual/{n:012d}.jpg?w=800" for n in own.tolist()]
                captions = [f"{texts[some % 1000]} number {n}" for n, some in zip(own, draw.tolist(), strict=True)]
                sides = (draw % np.uint64(1500)).astype(np.int32)
                scores = (draw % np.uint64(997)).astype(np.float32) / 997
                columns: list[Any] = [urls, captions, sides, sides[::-1], scores, scores[::-1], scores]
                writer.write_table(pa.table(columns, schema=_schema()))
                second.write_table(pa.table([urls, captions[::-1]], schema=_captions_schema()))
    return main, further


def _schema() -> Any:
    import pyarrow as pa

    names = {"URL": pa.string(), "TEXT": pa.string(), "WIDTH": pa.int32(), "HEIGHT": pa.int32()}
    return pa.schema({**names, **dict.fromkeys(("similarity", "pwatermark", "punsafe"), pa.float32())})


def _captions_schema() -> Any:
    import pyarrow as pa

    return pa.schema({"URL": pa.string(), "llava": pa.string()})


def corgi(settings: Settings) -> Run:
    """Prepare one plan of the tables."""
    from benchmarks import scale
    from configs import resolve
    from pipeline.config import PipelineConfig
    from pipeline.runner import run_step

    folder, table = Path(settings["folder"]), Path(settings["table"])
    run = folder / settings["name"]
    config = resolve(PipelineConfig, {"run": str(run), "table": [str(table)], "plan": settings["plan"], "workers": 2})

    def measure() -> Figures:
        rmtree(run, ignore_errors=True)
        figures = scale.watched(lambda: run_step("plan", config), run)
        kept = scale.size_of(run) / 2**30
        of_table = scale.size_of(table) / 2**30
        return {**figures, "spilled_of_table": max(0.0, figures["spilled_gib"] - kept) / of_table, "plan_gib": kept}

    return measure


CONTENDERS = {name: Contender(corgi) for name in ("corgi", "rules", "join")}


def main() -> int:
    """Run the benchmark, or its contender."""
    given = common.options(__doc__, rounds=3, rows=10_000_000)
    if given.contender:
        return common.serve(CONTENDERS, given)
    rows = QUICK_ROWS if given.quick else given.rows
    with tempfile.TemporaryDirectory() as name:
        table, captions = make_tables(Path(name), rows)
        plans: dict[str, Any] = {"corgi": {}, "rules": {"rules": RULES}}
        plans["join"] = {"join": [{"table": [str(captions)], "on": "url"}], "captions": ["llava"]}
        runs: dict[str, list[Figures]] = {}
        for which, plan in plans.items():
            settings = {"folder": name, "table": str(table), "plan": plan, "name": which}
            with common.ready(__spec__.name, {which: CONTENDERS[which]}, settings) as sides:
                runs |= common.alternate(sides, rounds=given.rounds)
    mine = runs["corgi"]
    further = {
        "corgi_minute_over": [60 / figures["seconds"] for figures in mine],
        "corgi_gib_left": [1 - figures["peak_gib"] for figures in mine],
        "corgi_spill_left": [3 - figures["spilled_of_table"] for figures in mine],
    }
    return common.report("plan", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(main())
