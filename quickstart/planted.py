"""What the real web serves beside images, planted at written-down numbers.

KINDS is the whole truth: every planted pair is of one kind, the kind stands in its url's path, and what the server
answers depends on the url alone. `step` and `reason` say where such a pair must be lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from configs import hashed

from .captions import odd_caption
from .names import Drawing, caption_of

HOSTS = tuple(f"{place}.{name}.test" for name in ("emoji", "pictures", "drawings", "archive") for place in "abcdefgh")
NAMES = 4009  # drawings of a whole quickstart, to which the counts below belong
Step = Literal["plan", "download", "select", "kept"]


@dataclass(frozen=True)
class Kind:
    """One kind of planted pair."""

    name: str
    count: int  # beside 4,009 true pairs; fewer drawings get fewer, but at least one
    step: Step  # which step must drop it
    reason: str  # and for what
    ending: str = "png"
    host: str = ""  # "" for one of HOSTS


KINDS = (
    Kind("no-url", 6, "plan", "bad_url"),
    Kind("ftp", 4, "plan", "bad_scheme"),
    Kind("data", 4, "plan", "bad_scheme"),
    Kind("file", 4, "plan", "bad_scheme"),
    Kind("no-caption", 8, "plan", "no_caption"),
    Kind("twice", 40, "plan", "duplicate_pair"),
    Kind("gone", 60, "download", "http_404"),
    Kind("forbidden", 20, "download", "http_403"),
    Kind("withdrawn", 10, "download", "http_410"),
    Kind("broken-server", 3, "download", "http_500"),
    Kind("busy", 3, "download", "http_429"),
    Kind("to-private", 6, "download", "private_address"),
    Kind("to-file", 2, "download", "bad_scheme"),
    Kind("loop", 4, "download", "too_many_redirects"),
    Kind("private", 9, "download", "private_address"),
    Kind("user", 2, "download", "bad_url"),
    Kind("no-host", 3, "download", "dns", host="nobody.invalid"),
    Kind("no-listener", 2, "download", "connect", host="closed.test"),
    Kind("robots", 12, "download", "robots_txt", host="norobots.test"),
    Kind("noai", 10, "download", "opt_out"),
    Kind("noimageai", 5, "download", "opt_out"),
    Kind("not-for-robots", 4, "download", "opt_out"),
    Kind("html", 15, "download", "not_a_picture", "jpg"),
    Kind("unknown", 4, "download", "not_a_picture", "jpg"),
    Kind("svg", 5, "download", "bad_format", "svg"),
    Kind("gif", 8, "download", "bad_format", "gif"),
    Kind("truncated", 12, "download", "corrupt", "jpg"),
    Kind("corrupt", 12, "download", "corrupt"),
    Kind("bomb", 3, "download", "too_many_pixels"),
    Kind("fat", 3, "download", "too_many_bytes", "jpg"),
    Kind("fat-unannounced", 2, "download", "too_many_bytes", "jpg"),
    Kind("slow", 3, "download", "timeout", "jpg"),
    Kind("cut-off", 4, "download", "cut_off", "jpg"),
    Kind("mismatch", 25, "download", "hash_mismatch"),
    Kind("tiny", 15, "download", "too_small"),
    Kind("wide", 8, "download", "bad_aspect"),
    Kind("copy", 40, "select", "exact_copy"),
    Kind("near", 40, "select", "near_copy"),
    Kind("one-word", 30, "select", "enough_words", "jpg"),
    Kind("foreign", 60, "select", "english", "jpg"),
    Kind("markup", 20, "select", "no_markup", "jpg"),
    Kind("hateful", 40, "select", "no_hate", "jpg"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
# Where a crawler must not look, in the spellings that resolvers understand.
PRIVATE = ("10.0.0.7", "192.168.1.1", "[::1]", "169.254.169.254", "2130706433", "0x7f000001", "[::ffff:10.0.0.7]")
# Of 1,000 true pairs so many take a detour: a redirect, a chain of them, or a "come back later" at the first asking.
DETOURS = {"moved": 15, "moved-often": 5, "busy-once": 4}


@dataclass(frozen=True)
class Pair:
    """A row of the table and what must become of it."""

    url: str
    caption: str
    drawing: Drawing
    kind: str  # "true", or the name of a Kind
    step: Step
    reason: str  # "" for what is kept


def true_pair(drawing: Drawing, ending: str) -> Pair:
    """Return a drawing under its own url, which may take a detour."""
    place = hashed(drawing.code, "detour") % 1000
    path = "pictures"
    for name, rate in DETOURS.items():
        place -= rate
        if place < 0:
            path = name
            break
    url = f"http://{host_of(drawing.code, 'true')}/{path}/{drawing.code}.{ending}"
    return Pair(url, caption_of(drawing), drawing, "true", "kept", "")


def planted(chosen: list[Drawing], true_urls: dict[str, str]) -> Iterator[Pair]:
    """Yield the planted pairs beside these drawings. true_urls: code -> url of its true pair."""
    for kind in KINDS:
        count = max(1, round(kind.count * len(chosen) / NAMES))
        for drawing in _first(chosen, count, dice=kind.name):
            yield Pair(
                _url(kind, drawing, true_urls), _caption(kind, drawing), drawing, kind.name, kind.step, kind.reason
            )


def _first(chosen: list[Drawing], count: int, *, dice: str) -> list[Drawing]:
    return sorted(chosen, key=lambda drawing: hashed(drawing.code, dice))[:count]


def host_of(code: str, kind: str) -> str:
    """Return one of the made-up hosts."""
    return HOSTS[hashed(code, kind, "host") % len(HOSTS)]


def _url(kind: Kind, drawing: Drawing, true_urls: dict[str, str]) -> str:
    host = kind.host or host_of(drawing.code, kind.name)
    path = f"{kind.name}/{drawing.code}.{kind.ending}"
    urls = {
        "no-url": f"see {drawing.code}.png",
        "ftp": f"ftp://{host}/{path}",
        "data": f"data:image/png;base64,{drawing.code}",
        "file": f"file:///pictures/{drawing.code}.png",
        "twice": true_urls[drawing.code],
        "private": f"http://{PRIVATE[hashed(drawing.code) % len(PRIVATE)]}/{path}",
        "user": f"http://user:word@{host}/{path}",
    }
    return urls.get(kind.name, f"http://{host}/{path}")


def _caption(kind: Kind, drawing: Drawing) -> str:
    if kind.name == "twice":
        return caption_of(drawing)
    if kind.name == "no-caption":
        return " "
    if kind.step != "select" or kind.name in ("copy", "near"):
        return f"{caption_of(drawing)}, once more"
    return odd_caption(kind.name, drawing)
