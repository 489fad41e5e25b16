"""What select of a large run takes: seconds and memory, with the rules of a usual policy, one stage and held-out pairs.

    Corgi      seven rules, `held_out` and a stage's rule over the shards of a made-up run, on two processes

There is no peer that answers with every failing rule. The run is made first and not timed; its files were just written,
so they are read from the page cache. Its copies are those that the step dedup finds at distance 0.

Bar, of 10 M pairs on 2 cores: 30 seconds.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

QUICK_ROWS = 30_000
BARS = {"half_a_minute_over": 1.0}
SELECT: dict[str, Any] = {
    "rules": {
        "large_enough": "min_side >= 256",
        "words": "caption_words >= 2",
        "english": "language = 'en'",
        "no_hate": "hate < 0.9",
        "safe": "nsfw_score < 0.5",
        "exact_copy": "not exact_copy",
        "near_copy": "not near_copy",
    },
    "held_out": "starts_with(key, '00')",
    "stages": {"sr": {"large": "min_side >= 512"}},
}


def corgi(settings: Settings) -> Run:
    """Prepare the step over a run that is there."""
    from benchmarks import scale
    from configs import resolve
    from pipeline.config import PipelineConfig
    from pipeline.runner import run_step
    from storage.plan import shards_of
    from storage.shard import KEEP

    config = resolve(PipelineConfig, settings["config"])

    def run() -> Figures:
        for shard in shards_of(config.run):
            shard.path(KEEP).unlink(missing_ok=True)
        figures = scale.watched(lambda: run_step("select", config))
        del figures["spilled_gib"]
        return {**figures, "rows_per_s": settings["rows"] / figures["seconds"]}

    return run


CONTENDERS = {"corgi": Contender(corgi)}


def main() -> int:
    """Run the benchmark, or its contender."""
    given = common.options(__doc__, rounds=3, rows=10_000_000)
    if given.contender:
        return common.serve(CONTENDERS, given)
    from benchmarks import scale
    from pipeline.runner import run_step

    rows = QUICK_ROWS if given.quick else given.rows
    with tempfile.TemporaryDirectory() as folder:
        config = scale.make_run(Path(folder) / "run", count=rows, select=SELECT, dedup={"distance": 0})
        run_step("dedup", config)
        settings = {"rows": rows, "config": config.model_dump(mode="json")}
        with common.ready(__spec__.name, CONTENDERS, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
    further = {"half_a_minute_over": [30 / figures["seconds"] for figures in runs["corgi"]]}
    return common.report("select", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(main())
