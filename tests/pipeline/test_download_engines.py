"""One contract, two engines: the same urls through the same server, and every difference explained.

What is not in DIFFERENCES must be equal: order, columns, types, status and http_status, and of stored pictures the
size, the original size and, closely, the pixels.
"""

import hashlib
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from configs import UserError
from pipeline.download.config import DownloadConfig
from pipeline.download.img2dataset_engine import _environment, http_status_of, reason_of
from pipeline.download.step import Download
from storage.atomic import read_json
from storage.shard import PAIRS, STATS, TAR, Shard
from storage.tar import TarReader

from .download_server import Page, Web, config_for, drawing, encoded, jpeg, plan_shard, serve
from .test_download_fetch import bomb, rules, to

TURNED = Image.Exif()
TURNED[0x0112] = 6
SHEER = drawing(5, 300, 200).convert("RGBA")
SHEER.putalpha(Image.linear_gradient("L").resize((300, 200)))
GREY16 = Image.fromarray(np.tile(np.linspace(0, 65535, 200).astype(np.uint16), (100, 1)))

PAGES = {
    # Served well.
    "a.test/large.jpg": Page(jpeg(1, 768, 512)),
    "a.test/exact.jpg": Page(jpeg(2, 256, 256)),
    "a.test/small.jpg": Page(jpeg(3, 100, 80)),
    "a.test/tall.png": Page(encoded(drawing(4, 200, 600), "PNG")),
    "a.test/sheer.png": Page(encoded(SHEER, "PNG")),
    "b.test/photo.webp": Page(encoded(drawing(6, 500, 500), "WEBP", quality=95)),
    "b.test/grey.jpg": Page(encoded(drawing(7).convert("L"), quality=95)),
    "b.test/palette.png": Page(encoded(drawing(8).quantize(64, dither=Image.Dither.NONE), "PNG")),
    "b.test/moved.jpg": to("http://a.test/large.jpg", 301),
    "b.test/otherbot.jpg": Page(jpeg(9), headers=[("X-Robots-Tag", "otherbot: noai")]),
    "b.test/busy.jpg": Page(jpeg(10), at_first=(503, {})),
    "b.test/turned.jpg": Page(encoded(drawing(11, 300, 200), exif=TURNED)),
    "b.test/grey16.png": Page(encoded(GREY16, "PNG")),
    "b.test/cmyk.jpg": Page(encoded(drawing(12).convert("CMYK"), quality=95)),
    # Refused.
    "c.test/gone.jpg": Page(status=404),
    "c.test/forbidden.jpg": Page(status=403),
    "c.test/broken.jpg": Page(status=500),
    "c.test/loop.jpg": to("/loop.jpg"),
    "c.test/file.jpg": to("file:///etc/passwd"),
    "c.test/noai.jpg": Page(jpeg(13), headers=[("X-Robots-Tag", "noai")]),
    "c.test/two.jpg": Page(jpeg(13), headers=[("X-Robots-Tag", "nofollow"), ("X-Robots-Tag", "noindex")]),
    "c.test/none.jpg": Page(jpeg(13), headers=[("X-Robots-Tag", "none")]),
    "c.test/dated.jpg": Page(jpeg(13), headers=[("X-Robots-Tag", "unavailable_after: 1 Jan 2040 15:00:00 PST, noai")]),
    "c.test/semicolon.jpg": Page(jpeg(13), headers=[("X-Robots-Tag", "noindex;")]),
    "c.test/reserved.jpg": Page(jpeg(13), headers=[("TDM-Reservation", "1")]),
    "c.test/private.jpg": to("http://10.0.0.7/x.jpg"),
    "c.test/html.jpg": Page(b"<!DOCTYPE html><p>gone</p>"),
    "c.test/picture.gif": Page(encoded(drawing(14), "GIF"), type="image/gif"),
    "c.test/tiny.jpg": Page(jpeg(15, 20, 20)),
    "c.test/banner.jpg": Page(jpeg(16, 900, 100)),
    "c.test/many.jpg": Page(jpeg(17, 1500, 1500)),
    "c.test/bomb.png": Page(bomb(30_000)),
    "c.test/cut.jpg": Page(jpeg(18), cut_at=3000),
    "c.test/half.jpg": Page(jpeg(18)[:3000]),
    "c.test/noise.jpg": Page(jpeg(18)[:700] + bytes(5000)),
    "c.test/heavy.png": Page(encoded(Image.effect_noise((700, 700), 90), "PNG")),
    "c.test/swapped.jpg": Page(jpeg(19)),
    "c.test/swapped.html": Page(b"<p>gone</p>"),
    "d.test/robots.txt": rules("User-agent: *\nDisallow: /\n"),
    "d.test/disallowed.jpg": Page(jpeg(20)),
}
ELSEWHERE = ["http://127.0.0.1:9/x.jpg", "ftp://a.test/x.jpg", "http://me@a.test/large.jpg"]
URLS = [f"http://{where}" for where in PAGES if not where.endswith("robots.txt")] + ELSEWHERE
VALUES = {"min_side_px": 50, "max_aspect": 5.0, "max_pixels": 1_500_000, "max_bytes": 400_000, "retries": 1}
CLOSE = 4.0  # mean absolute difference of stored pixels, of 255: area and bicubic filter, halved and full colour

# url -> (status by the guarded engine, by img2dataset). Why:
STATUS = {
    # It knows one form of X-Robots-Tag per line, and no TDM-Reservation.
    "http://c.test/dated.jpg": ("opt_out", "ok"),
    "http://c.test/semicolon.jpg": ("opt_out", "ok"),
    "http://c.test/reserved.jpg": ("opt_out", "ok"),
    # It asks for no robots.txt.
    "http://d.test/disallowed.jpg": ("robots_txt", "ok"),
    # It asks anybody; here the proxy that the resolver map became answers instead.
    "http://c.test/private.jpg": ("private_address", "http_404"),
    "http://127.0.0.1:9/x.jpg": ("private_address", "http_404"),
    # It drops a user name from the url and goes on.
    "http://me@a.test/large.jpg": ("bad_url", "ok"),
    # ftp is as good to it as http.
    "ftp://a.test/x.jpg": ("bad_scheme", "dns"),
    # It takes whatever OpenCV decodes, and what OpenCV does not decode has one name.
    "http://c.test/picture.gif": ("bad_format", "ok"),
    "http://c.test/html.jpg": ("not_a_picture", "corrupt"),
    "http://c.test/swapped.html": ("not_a_picture", "corrupt"),
    # It decodes before it looks at the size; only a limit of OpenCV's own stops a bomb.
    "http://c.test/bomb.png": ("too_many_pixels", "corrupt"),
    # It has no cap on bytes.
    "http://c.test/heavy.png": ("too_many_bytes", "ok"),
}
PICTURE = {
    "http://b.test/turned.jpg": "it ignores EXIF orientation, so the sides are swapped",
    "http://b.test/grey16.png": "it stores 16 bits clipped to 8: most of the picture is white",
}
# Columns that it cannot fill: of an answer it keeps the status only.
UNKNOWN = ("content_type", "final_url", "fetched_bytes", "format")


def rows_of(run: Path, web_: Web, engine: str) -> tuple[Shard, list[dict[str, Any]]]:
    """A shard of all urls by one engine."""
    digests = ["0" * 64 if "swapped" in url else None for url in URLS]
    shard = plan_shard(run, URLS, sha256=digests)
    counts = Download(config_for(web_, engine=engine, **VALUES))(shard)
    rows = pq.read_table(shard.path(PAIRS), partitioning=None).to_pylist()
    assert counts.total() == len(rows) == len(URLS)
    return shard, rows


def pixels(shard: Shard, row: dict[str, Any]) -> np.ndarray:
    """The stored picture, (height, width, 3)."""
    with TarReader(shard.path(TAR)) as tar:
        data = tar.read(row["tar_offset"], size=row["tar_size"])
    assert hashlib.sha256(data).hexdigest() == row["stored_sha256"]
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), np.float32)


def looks_equal(one: tuple[Shard, dict[str, Any]], two: tuple[Shard, dict[str, Any]]) -> bool:
    """Whether the stored pictures are of one size and close in all their pixels."""
    a, b = pixels(*one), pixels(*two)
    return a.shape == b.shape and float(np.abs(a - b).mean()) < CLOSE


@pytest.mark.long
def test_both_engines_make_the_same_shard_but_for_what_is_explained(tmp_path: Path):
    with serve(PAGES) as web_:
        ours, rows = rows_of(tmp_path / "guarded", web_, "guarded")
        theirs, library = rows_of(tmp_path / "img2dataset", web_, "img2dataset")
    assert pq.read_schema(ours.path(PAIRS)).equals(pq.read_schema(theirs.path(PAIRS)))
    for url, row, other in zip(URLS, rows, library, strict=True):
        assert row["url"] == other["url"] == url and row["key"] == other["key"]
        assert (row["status"], other["status"]) == STATUS.get(url, (row["status"], row["status"])), url
        if url not in STATUS:
            assert row["http_status"] == other["http_status"], url
        assert all(other[name] is None for name in UNKNOWN)
        if row["status"] == other["status"] == "ok":
            for name in ("original_width", "original_height", "fetched_sha256"):
                assert row[name] == other[name], (url, name)
            assert looks_equal((ours, row), (theirs, other)) == (url not in PICTURE), url
    for shard, made in ((ours, rows), (theirs, library)):
        with tarfile.open(shard.path(TAR)) as tar:
            keys = [row["key"] for row in made if row["status"] == "ok"]
            assert tar.getnames() == [f"{key}.{kind}" for key in keys for kind in ("jpg", "txt", "json")]
        left = {path.name for path in shard.path(TAR).parent.iterdir()}
        assert left == {"00000.urls.parquet", "00000.tar", "00000.parquet", "00000_stats.json"}
    assert read_json(theirs.path(STATS))["engine"] == "img2dataset"


@pytest.mark.long
def test_a_library_that_does_not_come_back_is_killed_with_all_its_processes(tmp_path: Path):
    with serve({"a.test/x.jpg": Page(jpeg(1), wait_s=600)}) as web_:
        shard = plan_shard(tmp_path, ["http://a.test/x.jpg"])
        step = Download(config_for(web_, engine="img2dataset", watchdog_s=3, first_byte_s=600))
        with pytest.raises(RuntimeError, match="watchdog_s=3"):
            step(shard)
    assert [path.name for path in shard.path(TAR).parent.iterdir()] == ["00000.urls.parquet"]
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(str(tmp_path).encode() in command for command in running)


def test_a_distributor_that_is_not_installed_is_named_with_what_to_install(tmp_path: Path):
    shard = plan_shard(tmp_path, ["http://a.test/1.jpg"])
    config = DownloadConfig(engine="img2dataset", distributor="pyspark")
    with pytest.raises(UserError, match='distributor is pyspark, which is not installed: pip install "pyspark"'):
        Download(config)(shard)


def test_workers_of_spark_run_on_our_python_unless_another_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    assert _environment(DownloadConfig())["PYSPARK_PYTHON"] == sys.executable
    monkeypatch.setenv("PYSPARK_PYTHON", "/cluster/python")
    assert _environment(DownloadConfig())["PYSPARK_PYTHON"] == "/cluster/python"


@pytest.mark.parametrize("lacking", ["img2dataset", "imghdr"])  # imghdr: what it imports and Python 3.13 dropped
def test_a_missing_library_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
):
    monkeypatch.setitem(sys.modules, lacking, None)
    step = Download(DownloadConfig(engine="img2dataset"))
    with pytest.raises(UserError, match=f'this Python has no .*{lacking}.*; .*pip install img2dataset.*"guarded"$'):
        step(plan_shard(tmp_path, ["http://a.test/x.jpg"]))
    assert [path.name for path in (tmp_path / "000").iterdir()] == ["00000.urls.parquet"]


@pytest.mark.parametrize(
    ("status", "message", "reason", "code"),
    [
        ("failed_to_download", "HTTP Error 404: Not Found", "http_404", 404),
        ("failed_to_download", "HTTP Error 302: The HTTP server returned a redirect error that would lead to an"
         " infinite loop.\nThe last 30x error message was:\nFound", "too_many_redirects", 302),
        ("failed_to_download", "HTTP Error 302: Found - Redirection to url 'file:///etc/passwd' is not allowed",
         "bad_scheme", 302),
        ("failed_to_download", "<urlopen error [Errno -2] Name or service not known>", "dns", None),
        ("failed_to_download", "<urlopen error [Errno 111] Connection refused>", "connect", None),
        ("failed_to_download", "<urlopen error timed out>", "timeout", None),
        ("failed_to_download", "The read operation timed out", "timeout", None),
        ("failed_to_download", "<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] failed>", "tls", None),
        ("failed_to_download", "IncompleteRead(3000 bytes read, 6550 more expected)", "cut_off", 200),
        ("failed_to_download", "Use of image disallowed by X-Robots-Tag directive", "opt_out", 200),
        ("failed_to_download", "<urlopen error unknown url type: gopher>", "bad_scheme", None),
        ("failed_to_download", "<urlopen error no host given>", "bad_url", None),
        ("failed_to_download", None, "connect", None),
        ("failed_to_resize", "image too small", "too_small", 200),
        ("failed_to_resize", "image area too large", "too_many_pixels", 200),
        ("failed_to_resize", "aspect ratio too large", "bad_aspect", 200),
        ("failed_to_resize", "Image decoding error", "corrupt", 200),
    ],
)  # fmt: skip
def test_its_messages_are_put_into_our_words(status: str, message: str | None, reason: str, code: int | None):
    assert reason_of(status, message) == reason
    assert http_status_of(reason, message) == code
