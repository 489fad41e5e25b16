"""What data-juicer and img2dataset keep, as figures: Corgi keeps the same, or it is said why not.

`benchmarks.filters` asks data-juicer itself; here stand its answers, of py-data-juicer 1.6.1 with Corgi's own model of
languages. img2dataset is asked: it is installed.
"""

import warnings
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from benchmarks.ten_filters import FLAGGED, TEN, WEB, Ten
from filters import rules
from filters.base import Batch
from filters.caption import Caption, CaptionConfig
from filters.language import Language, LanguageConfig
from filters.size import Size, SizeConfig
from pipeline.download.config import DownloadConfig
from pipeline.download.header import Header, Refused, check_header
from pipeline.lists import ListConfig, unlisted

# Kept (x) or not, of the captions WEB.
DATA_JUICER = {
    "length": "xxx.x.xxxxxxxxxxxxxx.xxx",
    "words": "..x...xx...x..xxx..x....",
    "letters": "x..x.xx.x.......x.x....x",
    "signs": "...xxxxxx..x....x......x",
    "repetition": "xx.xxxxxxxx.....xxxx.xxx",
    "language": ".xx......xxx.xxxx.....xx",
    "flagged": "xxxxxxxxxx.xxxxxxxxxxxxx",
}
DIFFER = {"words": 6, "signs": 3, "repetition": 1, "language": 2, "flagged": 1}  # of the 24, each with its reason
SIZES = [(160, 160), (159, 300), (320, 160), (321, 160), (160, 320), (160, 321), (200, 100), (1600, 200)]
BYTES = [10_239, 10_240]
OF_PICTURES = {"shape": "x.xxxx.x", "aspect": "xxx.x.x.", "bytes": ".x"}
REASONS = {"image too small": "too_small", "image area too large": "too_many_pixels", None: None}
REASONS |= {"aspect ratio too large": "bad_aspect"}


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bool]]:
    """What Corgi says of WEB."""
    listed = tmp_path_factory.mktemp("lists") / "flagged.txt"
    listed.write_text("\n".join(FLAGGED))
    scores = Caption(CaptionConfig())(Batch(captions=WEB)) | Language(LanguageConfig())(Batch(captions=WEB))
    table = pa.table({"caption": WEB, **scores})
    asked = {each.name: each.rule for each in TEN if each.name in DATA_JUICER and each.rule}
    held = {**rules.holds(table, asked), **unlisted(table, {"flagged": ListConfig(text=[Path(listed)])})}
    return {name: values.to_pylist() for name, values in held.items()}


@pytest.mark.parametrize("each", [each for each in TEN if each.name in DATA_JUICER], ids=lambda each: each.name)
def test_captions_that_data_juicer_keeps_are_kept(each: Ten, captions: dict[str, list[bool]]):
    theirs = [mark == "x" for mark in DATA_JUICER[each.name]]
    differ = [text for text, a, b in zip(WEB, captions[each.name], theirs, strict=True) if a != b]
    assert len(differ) == DIFFER.get(each.name, 0)
    assert all(each.reason(text) for text in differ)
    assert True in theirs and False in theirs  # else it would say nothing


def test_pictures_that_data_juicer_keeps_are_kept():
    widths, heights = map(list, zip(*SIZES, strict=True))
    sizes = {f"{of}_{side}": values for of in ("original", "stored") for side, values in
             (("width", widths), ("height", heights))}  # fmt: skip
    table = pa.table(sizes | Size(SizeConfig())(Batch(columns=sizes)))
    asked = {each.name: each.rule for each in TEN if each.is_of_pictures}
    of_bytes = {"bytes": asked.pop("bytes")}
    held = {**rules.holds(table, asked), **rules.holds(pa.table({"tar_size": BYTES}), of_bytes)}
    found = {name: "".join("x" if kept else "." for kept in values.to_pylist()) for name, values in held.items()}
    assert found == OF_PICTURES


@pytest.mark.long
@pytest.mark.parametrize("size", [(127, 500), (128, 128), (128, 384), (128, 385), (385, 128), (400, 250), (401, 250)])
def test_pictures_that_img2dataset_keeps_are_kept(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network
    pytest.importorskip("imghdr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resizer = pytest.importorskip("img2dataset.resizer").Resizer(
            256, "keep_ratio", True, min_image_size=128, max_image_area=100_000, max_aspect_ratio=3.0
        )
        file = BytesIO()
        Image.new("RGB", size).save(file, "JPEG")
        *_, problem = resizer(file)
    limits = DownloadConfig(min_side_px=128, max_pixels=100_000, max_aspect=3.0).limits
    try:
        check_header(Header("jpeg", *size), limits)
        refused = None
    except Refused as error:
        refused = error.reason
    assert refused == REASONS[problem]
