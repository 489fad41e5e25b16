"""64 px samples a second from the tars of one run, with no worker and with two, each worker on one thread.

All read the same tars from a warm page cache and hand out batches of 64 images in [-1, 1] with their captions. Corgi's
loader also shuffles, reads the text embeds and draws the noise of the step; its cache of decoded images is off.
webdataset reads in order and does none of that.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

if TYPE_CHECKING:
    from PIL import Image

PX, BATCH, WORKERS = 64, 64, (0, 2)
AHEAD = 2  # batches that each worker keeps ready
BARS = {
    "over_webdataset_pil.workers_0": 1.5,
    "over_webdataset_fast.workers_0": 1.0,
    "over_webdataset_fast.workers_2": 1.0,
}


def corgi(settings: Settings) -> Run:
    """Prepare Corgi's loader with threads as workers."""
    import numpy as np
    import torch

    from training.config import TrainConfig
    from training.data.dataset import PairDataset
    from training.data.index import read_index
    from training.data.loader import Loader
    from training.data.prefetch import in_order

    torch.set_num_threads(1)
    stage = {"name": "base64", "image_px": PX, "text_width": 384, "model": {"kind": "adm"}}
    data = {"index": str(Path(settings["run"]) / "index.parquet"), "cache_mib": 0}
    values = {"run": settings["run"], "stage": stage, "data": data, "steps": 1, "batch": BATCH, "micro_batch": BATCH}
    config = TrainConfig.model_validate(values)
    loader = Loader(config, PairDataset(config, read_index(config.data)))

    def epoch(workers: int) -> int:
        parts = list(np.arange(settings["count"]).reshape(-1, BATCH))
        unread = [np.arange(1)] * AHEAD * workers  # in_order serves endless streams: it hands out what lies so far back
        batches = in_order(loader.batch, iter([*parts, *unread]), workers=workers, ahead=AHEAD)
        return sum(len(batch.x) for batch in batches)

    return _timed({workers: lambda workers=workers: epoch(workers) for workers in WORKERS})


def webdataset_pil(settings: Settings) -> Run:
    """Prepare webdataset with its own decoder, Pillow."""
    import webdataset

    return _webdataset(settings, webdataset.imagehandler("pilrgb", extensions=["jpg"]))


def webdataset_fast(settings: Settings) -> Run:
    """Prepare webdataset with a decoder that scales down in the frequency domain, as Corgi's own does."""
    return _webdataset(settings, _decode_small)


def _decode_small(name: str, data: bytes) -> Any:
    import simplejpeg
    from PIL import Image

    if not name.endswith("jpg"):
        return None
    return Image.fromarray(simplejpeg.decode_jpeg(data, min_width=PX, min_height=PX, min_factor=1))


def _webdataset(settings: Settings, decoder: Any) -> Run:
    import torch
    import webdataset

    torch.set_num_threads(1)

    def samples(workers: int) -> Iterable[Any]:
        tars = webdataset.WebDataset(settings["tars"], shardshuffle=False)
        dataset = tars.decode(decoder).to_tuple("jpg", "txt").map_tuple(_prepare, str).batched(BATCH)
        ahead: dict[str, Any] = {"persistent_workers": True, "prefetch_factor": AHEAD} if workers else {}
        return webdataset.WebLoader(dataset, batch_size=None, num_workers=workers, **ahead)

    loaders = {workers: samples(workers) for workers in WORKERS}
    return _timed({n: lambda n=n: sum(len(images) for images, _ in loaders[n]) for n in WORKERS})


def _prepare(image: "Image.Image") -> Any:
    """Return (3, px, px) float32 in [-1, 1]: the middle square, made small by area means."""
    import numpy as np
    import torch
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    small = image.resize((PX, PX), Image.Resampling.BOX, box=(left, top, left + side, top + side))
    return torch.from_numpy(np.asarray(small).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)


def _timed(epochs: dict[int, Any]) -> Run:
    """Return a run of one pass over the data for each number of workers; every pass was made once before."""
    for epoch in epochs.values():
        epoch()

    def run() -> Figures:
        figures = {}
        for workers, epoch in epochs.items():
            began = time.perf_counter()
            count = epoch()
            figures[f"samples_per_s.workers_{workers}"] = count / (time.perf_counter() - began)
        return figures

    return run


CONTENDERS = {
    "corgi": Contender(corgi),
    "webdataset_pil": Contender(webdataset_pil, needs=("torch", "webdataset", "PIL")),
    "webdataset_fast": Contender(webdataset_fast, needs=("torch", "webdataset", "simplejpeg")),
}


def measure(given: argparse.Namespace) -> int:
    """Run all contenders in turn and report."""
    from benchmarks import data
    from storage.plan import shards_of
    from storage.shard import TAR

    count = 2 * BATCH if given.quick else 16 * BATCH
    with tempfile.TemporaryDirectory() as folder:
        run = data.finished_run(Path(folder) / "run", count=count, shards=2 if given.quick else 4).run
        tars = [str(shard.path(TAR)) for shard in shards_of(run)]
        settings = {"run": str(run), "tars": tars, "count": count}
        with common.ready(__spec__.name, CONTENDERS, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
    further = {
        f"over_{peer}.workers_{n}": common.ratios(runs, "corgi", peer, f"samples_per_s.workers_{n}")
        for peer in ("webdataset_pil", "webdataset_fast")
        for n in WORKERS
    }
    return common.report("loader", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(common.main(__doc__, CONTENDERS, measure))
