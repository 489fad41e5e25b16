"""What dedup of a large run takes: time, memory, scratch space; and whether it finds every planted copy, and no other.

    Corgi      exact, caption and near copies (15 of 256 bits) of a made-up run, on two processes

There is no peer: fastdup and the like look at images, and datatrove and text-dedup at texts. The run is made first and
not timed; its files were just written, so they are read from the page cache. Memory is that of all processes together.

Bars, of 10 M pairs on 2 cores: 10 minutes, 2 GiB, scratch space of three times what is read, all planted copies.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

QUICK_ROWS = 30_000
MAX_CAPTION_COUNT = 1000
BARS = {"planted_copies_found": 1.0, "ten_minutes_over": 1.0, "two_gib_over": 1.0, "three_inputs_over_scratch": 1.0}


def corgi(settings: Settings) -> Run:
    """Prepare the step over a run that is there."""
    from benchmarks import scale
    from configs import resolve
    from pipeline.config import PipelineConfig
    from pipeline.dedup import SCRATCH
    from pipeline.runner import run_step
    from storage.duplicates import DUPLICATES

    config = resolve(PipelineConfig, settings["config"])

    def run() -> Figures:
        (config.run / DUPLICATES).unlink(missing_ok=True)
        figures = scale.watched(lambda: run_step("dedup", config), config.run / SCRATCH)
        return {**figures, "rows_per_s": settings["rows"] / figures["seconds"], "found": float(_found(settings))}

    return run


def _found(settings: Settings) -> bool:
    """Tell whether the exact and near copies are those that were planted."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from benchmarks import scale
    from storage.duplicates import DUPLICATES

    rows = settings["rows"]
    copies = pq.read_table(Path(settings["config"]["run"]) / DUPLICATES)
    is_right = []
    for kind, expected in scale.expected_copies(rows).items():
        table = copies.filter(pc.equal(copies["kind"], kind))
        is_right += [
            table[name].to_pylist() == scale.keys(expected[:, n], rows) for n, name in enumerate(("key", "keeper"))
        ]
    return all(is_right)


CONTENDERS = {"corgi": Contender(corgi)}


def main() -> int:
    """Run the benchmark, or its contender."""
    given = common.options(__doc__, rounds=1, rows=10_000_000)
    if given.contender:
        return common.serve(CONTENDERS, given)
    from benchmarks import scale

    rows = QUICK_ROWS if given.quick else given.rows
    with tempfile.TemporaryDirectory() as folder:
        sections: dict[str, Any] = {"dedup": {"max_caption_count": MAX_CAPTION_COUNT}}
        config = scale.make_run(Path(folder) / "run", count=rows, **sections)
        read_gib = scale.size_of(config.run) / 2**30
        settings = {"rows": rows, "config": config.model_dump(mode="json")}
        with common.ready(__spec__.name, CONTENDERS, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
    measured = runs["corgi"]
    further = {
        "read_gib": [read_gib],
        "planted_copies_found": [figures["found"] for figures in measured],
        "ten_minutes_over": [600 / figures["seconds"] for figures in measured],
        "two_gib_over": [2 / figures["peak_gib"] for figures in measured],
        "three_inputs_over_scratch": [3 * read_gib / max(figures["spilled_gib"], 1e-9) for figures in measured],
    }
    return common.report("dedup", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(main())
