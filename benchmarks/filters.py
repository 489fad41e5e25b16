"""What each scorer costs: microseconds of one core for a pair, of Corgi and of data-juicer where it has the like.

    Corgi      size                                  caption
    peer       image_shape, image_aspect_ratio       text_length, words_num, alphanumeric

The others of its operators load models over the network and are left out. Images are as stored, at most 256 px; Corgi's
are decoded before, for all its scorers at once, and that is a figure of its own. data-juicer opens the file in each
operator, and is given its bytes. Without the peer the figures of Corgi stand alone.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

LIKE = {
    "size": ("ImageShapeFilter", "ImageAspectRatioFilter"),
    "caption": ("TextLengthFilter", "WordsNumFilter", "AlphanumericFilter"),
}
BARS = {"caption.over_data_juicer": 1.0}  # none for size: Corgi's download has left it in the pair's row


def corgi(settings: Settings) -> Run:
    """Prepare all scorers, and the decoding of what they look at."""
    from filters.base import Batch
    from filters.scorers import ScorersConfig, build
    from storage.tar import decode

    files = _files(settings)
    images = [decode(file) for file in files]
    columns: dict[str, list[Any]] = {"original_width": [image.shape[1] for image in images]}
    columns |= {"original_height": [image.shape[0] for image in images]}
    columns |= {f"stored_{side}": columns[f"original_{side}"] for side in ("width", "height")}
    batch = Batch(images=images, captions=settings["captions"], columns=columns)
    scorers = build(ScorersConfig())
    work: dict[str, Callable[[], Any]] = {scorer.name: partial(scorer, batch) for scorer in scorers}
    return _timed({"decode": lambda: [decode(file) for file in files], **work}, len(files))


def data_juicer(settings: Settings) -> Run:
    """Prepare data-juicer's operators, which write what they compute into the samples they are given."""
    from data_juicer.ops import filter as operators
    from data_juicer.utils.constant import Fields

    files = _files(settings)

    def compute(names: tuple[str, ...]) -> Callable[[], None]:
        chosen = [getattr(operators, name)(image_bytes_key="bytes") for name in names]

        def run() -> None:
            samples: dict[str, Any] = {"text": settings["captions"], Fields.stats: [{} for _ in files]}
            samples |= {"images": [[str(number)] for number in range(len(files))], "bytes": [[file] for file in files]}
            for operator in chosen:
                operator.compute_stats_batched(samples)

        return run

    return _timed({scorer: compute(names) for scorer, names in LIKE.items()}, len(files))


def _files(settings: Settings) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(settings["folder"]).glob("*.jpg"))]


def _timed(work: dict[str, Callable[[], Any]], count: int) -> Run:
    """Return a run of each part, in another order every time; every part was run once before."""
    for part in work.values():
        part()
    draw = random.Random(0)

    def run() -> Figures:
        figures = {}
        for name in draw.sample(list(work), len(work)):
            began = time.process_time()
            work[name]()
            figures[f"{name}.us_per_pair"] = 1e6 * (time.process_time() - began) / count
        return {f"{name}.us_per_pair": figures[f"{name}.us_per_pair"] for name in work}

    return run


CONTENDERS = {"corgi": Contender(corgi), "data_juicer": Contender(data_juicer, needs=("data_juicer", "aiohttp"))}


def main() -> int:
    """Run the benchmark, or one of its contenders."""
    given = common.options(__doc__)
    if given.contender:
        return common.serve(CONTENDERS, given)
    contenders = dict(CONTENDERS)
    if reason := common.missing(contenders):
        print(f"without the peer: {reason}", file=sys.stderr)
        del contenders["data_juicer"]
    from benchmarks import data
    from pipeline.download.config import DownloadConfig
    from pipeline.download.image import store

    count = 8 if given.quick else 256
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(data.images(count)):
            (Path(folder) / f"{number:05}.jpg").write_bytes(store(image, DownloadConfig().limits).data)
        settings = {"folder": folder, "captions": data.captions(count)}
        with common.ready(__spec__.name, contenders, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
    further = {}
    if "data_juicer" in runs:
        for scorer in LIKE:
            further[f"{scorer}.over_data_juicer"] = common.ratios(runs, "data_juicer", "corgi", f"{scorer}.us_per_pair")
    return common.report("filters", runs, further, bars={name: bar for name, bar in BARS.items() if name in further})


if __name__ == "__main__":
    sys.exit(main())
