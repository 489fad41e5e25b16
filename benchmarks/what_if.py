"""What another rule would keep and lose of a large run, out of what is stored: seconds and memory.

    Corgi      `nsfw_score < 0.3` in the place of the policy's rule on that column, beside keep-lists of seven rules
    anew       the same without keep-lists, so that all rules are asked again

There is no peer: others filter again. The run is made first and not timed; its files were just written, so they are
read from the page cache. Examples are fetched, but not judged for who may see them.

Bar, of 10 M pairs on 2 cores: 10 seconds.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings
from benchmarks.select import SELECT

QUICK_ROWS = 30_000
WISH = "nsfw_score < 0.3"
BARS = {"ten_seconds_over": 1.0}


def corgi(settings: Settings) -> Run:
    """Prepare the question to a run that is there."""
    from benchmarks import scale
    from configs import resolve
    from pipeline.config import PipelineConfig
    from pipeline.decisions.what_if import WhatIf, what_if

    config = resolve(PipelineConfig, settings["config"])

    def run() -> Figures:
        found: list[WhatIf] = []
        figures = scale.watched(lambda: found.append(what_if(config, [WISH])))
        assert found[0].rows == settings["rows"] and found[0].judged_anew == settings["judged_anew"]
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
    from storage.plan import shards_of
    from storage.shard import KEEP

    rows = QUICK_ROWS if given.quick else given.rows
    with tempfile.TemporaryDirectory() as folder:
        config = scale.make_run(Path(folder) / "run", count=rows, select=SELECT, dedup={"distance": 0})
        run_step("dedup", config)
        run_step("select", config)
        settings = {"rows": rows, "judged_anew": 0, "config": config.model_dump(mode="json")}
        with common.ready(__spec__.name, CONTENDERS, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
        for shard in shards_of(config.run):
            shard.path(KEEP).unlink()
        with common.ready(__spec__.name, CONTENDERS, {**settings, "judged_anew": rows}) as sides:
            runs["anew"] = common.alternate(sides, rounds=1)["corgi"]
    further = {"ten_seconds_over": [10 / figures["seconds"] for figures in runs["corgi"]]}
    return common.report("what_if", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(main())
