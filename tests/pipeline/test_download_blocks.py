"""Images on a list of hashes are lost before a byte of them is on the disk, whichever way they are turned."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs import UserError
from filters.base import Batch
from filters.pdq import Pdq, PdqConfig
from pipeline.download.config import DownloadConfig
from pipeline.download.step import Download

from .download_server import Page, config_for, download, encoded, plan_shard, serve

FLAT = Image.new("RGB", (320, 240), (200, 10, 10))


def scene(seed: int) -> Image.Image:
    """A picture with detail at all scales, as photographs have: its spectrum falls with the frequency."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(360)[:, None], np.fft.rfftfreq(480)) + 1e-3
    pixels = np.fft.irfft2(np.fft.rfft2(random.standard_normal((360, 480))) / frequency, (360, 480))
    pixels = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def pdq_of(image: Image.Image) -> str:
    (hash_,) = Pdq(PdqConfig())(Batch(images=[np.asarray(image)], captions=[], columns={}))["pdq"]
    return f"pdq:{hash_.hex()}"


def rows(tmp_path: Path, pages: dict[str, bytes], *lines: str, **values: Any) -> dict[str, dict[str, Any]]:
    """What becomes of the bodies at these places under one list."""
    (tmp_path / "list.txt").write_text("\n".join(["# blocked", *lines]))
    with serve({f"a.test/{name}": Page(body) for name, body in pages.items()}) as web_:
        urls = [f"http://a.test/{name}" for name in pages]
        found = download(tmp_path / "run", web_, urls, block_hashes=[tmp_path / "list.txt"], **values)
    return dict(zip(pages, found, strict=True))


@pytest.mark.parametrize("is_by_sight", [False, True])
def test_no_byte_of_a_blocked_image_reaches_the_disk(tmp_path: Path, is_by_sight: bool):
    bodies = {f"{seed}.jpg": encoded(scene(seed).resize((240, 180)), quality=90) for seed in (1, 2)}
    line = pdq_of(scene(1)) if is_by_sight else sha256(bodies["1.jpg"]).hexdigest().upper()
    found = rows(tmp_path, bodies, line)
    assert [row["status"] for row in found.values()] == ["blocked_hash", "ok"]
    assert found["1.jpg"]["detail"] == "list.txt, line 2" and found["1.jpg"]["stored_sha256"] is None
    files = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    on_disk = [any(body[-400:-200] in data for data in files) for body in bodies.values()]
    assert on_disk == [False, True]


def test_an_image_is_known_in_every_orientation_size_and_format(tmp_path: Path):
    image = scene(1)
    turned = {f"{turn.name}.jpg": encoded(image.transpose(turn)) for turn in Image.Transpose}
    others = {"small.png": encoded(image.resize((240, 180)), "PNG"), "own.jpg": encoded(image, quality=70)}
    found = rows(
        tmp_path, {**turned, **others, "other.jpg": encoded(scene(2))}, "# one", pdq_of(scene(7)), pdq_of(image)
    )
    statuses = {name: row["status"] for name, row in found.items()}
    assert statuses.pop("other.jpg") == "ok"
    assert set(statuses.values()) == {"blocked_hash"} and len(statuses) == 9
    assert {row["detail"] for row in found.values()} == {"list.txt, line 4", None}


def test_a_flat_image_is_like_none(tmp_path: Path):
    found = rows(tmp_path, {"flat.jpg": encoded(FLAT)}, pdq_of(FLAT))
    assert found["flat.jpg"]["status"] == "ok"


def test_a_longer_list_makes_no_shard_stale(tmp_path: Path):
    shard = plan_shard(tmp_path, ["http://a.test/1.jpg"])
    marks = {
        Download(DownloadConfig(block_hashes=lists)).fingerprint(shard) for lists in ((), (tmp_path / "list.txt",))
    }
    assert len(marks) == 1


@pytest.mark.parametrize(
    ("text", "says"), [("host:a.test", "line 1 is a host"), ("", "names nothing"), (None, "cannot be read")]
)
def test_a_list_that_is_none_is_told_before_anything_is_asked(tmp_path: Path, text: str | None, says: str):
    if text is not None:
        (tmp_path / "list.txt").write_text(text)
    with serve({}) as web_, pytest.raises(UserError, match=says):
        Download(config_for(web_, block_hashes=[tmp_path / "list.txt"]))(plan_shard(tmp_path, ["http://a.test/1.jpg"]))
    assert not web_.asked


def test_the_library_that_writes_first_cannot_block(tmp_path: Path):
    with pytest.raises(ValueError, match="is for the engine guarded"):
        DownloadConfig(engine="img2dataset", block_hashes=(tmp_path / "list.txt",))
