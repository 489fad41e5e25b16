"""S11: what hosts and authors wish, protocol by protocol. Every case is a word that holds for us, or one that does not.

The downloader's own name is `corgi`; what is addressed to img2dataset is meant for it, too. A pair is left out if any
protocol that holds for it says no: no word is no answer, and no beside yes is no.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256

import brotli

from .case import OK, Case, Pages, Script, answer, head, picture, text, to

ROBOTS, TDMREP, AI_TXT = "/robots.txt", "/.well-known/tdmrep.json", "/ai.txt"
NO, DISALLOWED = ("opt_out",), ("robots_txt",)
LATER = "unavailable_after: 25 Jun 2040 15:00:00 PST"
# X-Robots-Tag: the lines of one answer, and whether they leave the picture out.
X_ROBOTS: list[tuple[Sequence[str], bool]] = [
    *(([word], True) for word in ("noai", "noimageai", "noml", "none", "noindex", "noimageindex")),
    *(([word.upper()], True) for word in ("noai", "noimageai", "noml", "none")),
    (["noindex;"], True),
    (["  noai  "], True),
    (["nofollow, noai"], True),
    (["noarchive,nosnippet,noimageai"], True),
    (["nofollow; noimageai ;"], True),
    (["nosnippet", "noai"], True),
    (["all", "noai"], True),
    (["noai", "all"], True),
    (["img2dataset: noai"], True),
    (["img2dataset: noimageindex, nofollow"], True),
    (["corgi: noai"], True),
    (["CORGI: nofollow, noml"], True),
    (["*: noai"], True),
    (["otherbot: noindex, corgi: noml"], True),
    (["otherbot: noindex", "corgi: none"], True),
    ([f"{LATER}, noai"], True),
    (["unavailable_after: Friday, 25-Jun-40 15:00:00 PST, noimageai"], True),
    ([LATER, "noai"], True),
    (["max-snippet: 20, noai"], True),
    (["max-image-preview: large, noml"], True),
    (["otherbot: noai"], False),
    (["otherbot: nofollow, noai"], False),
    (["corgi: nofollow, otherbot: noai"], False),
    (["googlebot: none", "bingbot: noindex"], False),
    (["corgis: noai"], False),
    ([LATER], False),
    (["max-image-preview: none"], False),
    (["all"], False),
    (["index, follow"], False),
    (["noaindex"], False),
    (["nofollow, noarchive, nosnippet, notranslate"], False),
    ([""], False),
    ([":,;::"], False),
]
TDM: list[tuple[Sequence[str], bool]] = [
    (["1"], True),
    ([" 1 "], True),
    (["0", "1"], True),
    (["1", "0"], True),
    (["0"], False),
    (["yes"], False),
    ([""], False),
]
USAGE: list[tuple[Sequence[str], bool]] = [
    (["train-ai=n"], True),
    (["TRAIN-AI=N"], True),
    (["search=y, train-ai=n"], True),
    (["search=y", "train-ai=n"], True),
    (['train-ai=n;why="a, train-ai=y"'], True),
    (["train-ai=y, train-ai=n"], True),
    (["bots=n"], True),
    (["train-genai=n"], True),
    (["train-ai=y"], False),
    (["search=n"], False),
    (["train-ai=n, train-ai=y"], False),  # RFC 9651: the last of equal keys
    (["train-ai=y, bots=n"], False),  # the narrower category has its own answer
    (['train-ai="n"'], False),
    (["train-ai"], False),
]
ALL = "User-agent: *\n"
# robots.txt of RFC 9309: its text, the path that is asked for, and whether it may be.
FETCH: list[tuple[str, str, bool]] = [
    (f"{ALL}Disallow: /\n", "/x.jpg", False),
    (f"{ALL}Disallow:/\n", "/x.jpg", False),
    ("user-agent: *\ndisallow: /\n", "/x.jpg", False),
    (f"{ALL}Disallow: /\r\n".replace("\n", "\r\n"), "/x.jpg", False),
    (f"{ALL}Disallow: /\n".replace("\n", "\r"), "/x.jpg", False),
    (f"\ufeff{ALL}Disallow: /\n", "/x.jpg", False),
    (f"# a comment\n{ALL}Disallow: / # all of it\n", "/x.jpg", False),
    ("User-agent: corgi\nDisallow: /\n", "/x.jpg", False),
    ("User-agent: CORGI\nDisallow: /\n", "/x.jpg", False),
    ("User-agent: img2dataset\nDisallow: /\n", "/x.jpg", False),
    ("User-agent: otherbot\nUser-agent: corgi\nDisallow: /\n", "/x.jpg", False),
    ("User-agent: otherbot\nAllow: /\n\nUser-agent: *\nDisallow: /\n", "/x.jpg", False),
    (f"{ALL}Allow: /\n\nUser-agent: corgi\nDisallow: /\n", "/x.jpg", False),
    (f"{ALL}Disallow: /private/\nAllow: /private/but/\n", "/private/x.jpg", False),
    (f"{ALL}Disallow: /private/\nAllow: /private/but/\n", "/private/but/x.jpg", True),
    (f"{ALL}Disallow: /*.jpg$\n", "/x.jpg", False),
    (f"{ALL}Disallow: /*.jpg$\n", "/x.jpg.png", True),
    (f"{ALL}Disallow: /a%2Fb/\n", "/a%2Fb/x.jpg", False),
    (f"{ALL}Disallow: /\nAllow: /x.jpg\n", "/x.jpg", True),
    (f"{ALL}Disallow:\n", "/x.jpg", True),
    ("User-agent: otherbot\nDisallow: /\n", "/x.jpg", True),
    (f"{ALL}Disallow: /\n\nUser-agent: corgi\nAllow: /\n", "/x.jpg", True),
    ("", "/x.jpg", True),
    ("<html>not a robots.txt</html>", "/x.jpg", True),
    (f"{ALL}Disallow: /\n" + "# filler\n" * 50_000, "/x.jpg", False),  # 450 kB: RFC 9309 asks for 500 KiB
    ("# filler\n" * 50_000 + f"{ALL}Disallow: /\n", "/x.jpg", False),
]
# Lines of robots.txt about use: its text, the path, and whether the picture is left out.
USE: list[tuple[str, str, bool]] = [
    (f"{ALL}Content-Signal: search=yes,ai-train=no\nAllow: /\n", "/x.jpg", True),
    (f"{ALL}Content-Signal: ai-train=no, search=yes, ai-input=no\n", "/x.jpg", True),
    (f"{ALL}content-signal : AI-Train = No # ours\n", "/x.jpg", True),
    ("User-agent: img2dataset\nContent-Signal: ai-train=no\n", "/x.jpg", True),
    ("User-agent: corgi\nContent-Signal: ai-train=no\n", "/x.jpg", True),
    (f"{ALL}Content-Signal: /x ai-train=no\n", "/x.jpg", True),
    (f"User-agent: otherbot\nDisallow: /\n{ALL}Content-Signal: ai-train=no\n", "/x.jpg", True),
    (f"{ALL}Content-Signal: ai-train=no\nContent-Usage: train-ai=y\n", "/x.jpg", True),
    (f"{ALL}Content-Signal: ai-train=no\nContent-Signal: /x.jpg ai-train=yes\n", "/x.jpg", False),
    (f"{ALL}Content-Signal: search=no, ai-input=no\n", "/x.jpg", False),
    (f"{ALL}Content-Signal: ai-train=yes\n", "/x.jpg", False),
    ("User-agent: otherbot\nContent-Signal: ai-train=no\n", "/x.jpg", False),
    (f"# Content-Signal: ai-train=no\n{ALL}Allow: /\n", "/x.jpg", False),
    (f"{ALL}Content-Signal: /other/ ai-train=no\n", "/x.jpg", False),
    (f"{ALL}Allow: /\nContent-Usage: train-ai=n\n", "/x.jpg", True),
    (f"{ALL}Content-Usage: train-ai=n\nContent-Usage: /but/ train-ai=y\n", "/x.jpg", True),
    (f"{ALL}Content-Usage: train-ai=n\nContent-Usage: /but/ train-ai=y\n", "/but/x.jpg", False),
    (f"{ALL}Content-Usage: train-ai=y\nContent-Usage: /*.jpg$ train-ai=n\n", "/x.jpg", True),
    (f"{ALL}Content-Usage: train-ai=y\nContent-Usage: train-ai=n\n", "/x.jpg", True),
    (f"{ALL}Content-Usage: train-ai=n\nContent-Usage: /x search=y\n", "/x.jpg", True),
    ("User-agent: img2dataset\nContent-Usage: train-ai=n\n", "/x.jpg", True),
    (f"{ALL}Content-Usage: search=n\n", "/x.jpg", False),
    (f"{ALL}Content-Usage: /y train-ai=n\n", "/x.jpg", False),
    (f"{ALL}Content-Usage: train-ai=n\n\nUser-agent: corgi\nContent-Usage: train-ai=y\n", "/x.jpg", False),
]
RESERVED: list[tuple[object, str, bool]] = [
    ([{"location": "/", "tdm-reservation": 1}], "/x.jpg", True),
    ([{"location": "/", "tdm-reservation": "1"}], "/x.jpg", True),
    ({"location": "/", "tdm-reservation": 1}, "/x.jpg", True),
    ([{"location": "/*.jpg", "tdm-reservation": 1, "tdm-policy": "http://a.test/policy"}], "/x.jpg", True),
    ([{"location": "/art/", "tdm-reservation": 1}], "/art/x.jpg", True),
    ([{"location": "/", "tdm-reservation": 0}, {"location": "/x", "tdm-reservation": 1}], "/x.jpg", True),
    ([{"location": "/x", "tdm-reservation": 0}, {"location": "/x", "tdm-reservation": 1}], "/x.jpg", True),
    ([7, None, {"location": "/", "tdm-reservation": 1}], "/x.jpg", True),
    ([{"location": "/", "tdm-reservation": 1}, {"location": "/x", "tdm-reservation": 0}], "/x.jpg", False),
    ([{"location": "/art/", "tdm-reservation": 1}], "/x.jpg", False),
    ([{"location": "/", "tdm-reservation": 0}], "/x.jpg", False),
    ([{"tdm-reservation": 1}], "/x.jpg", False),
    ("nothing", "/x.jpg", False),
]
AI: list[tuple[str, str, bool]] = [
    ("User-Agent: *\nDisallow: /\n", "/x.jpg", True),
    ("User-Agent: *\nDisallow: *.jpg\n", "/x.jpg", True),
    ("# Spawning AI\nUser-Agent: *\nDisallow: *.jpg\nDisallow: *.png\nAllow: *.txt\n", "/x.jpg", True),
    ("User-Agent: *\nDisallow: /*.jpg$\n", "/x.jpg", True),
    ("User-Agent: img2dataset\nDisallow: /\n", "/x.jpg", True),
    ("User-Agent: *\nDisallow: *.txt\nAllow: *.jpg\n", "/x.jpg", False),
    ("User-Agent: *\nDisallow: *.mp3\n", "/x.jpg", False),
    ("User-Agent: *\nAllow: /\n", "/x.jpg", False),
    ("<html>User-agent: *\nDisallow: /", "/x.jpg", False),
]
FORBIDS = f"{ALL}Disallow: /\n"
PACKED = gzip.compress(FORBIDS.encode(), mtime=0)
BROTLI = brotli.compress(FORBIDS.encode())
# How robots.txt is served: RFC 9309, 2.3.1, and bodies that are packed.
SERVED: dict[str, tuple[Script, tuple[str, ...]]] = {
    "packed by gzip": (answer(PACKED, "Content-Encoding: gzip"), DISALLOWED),
    "packed by gzip that nobody names": (answer(PACKED), DISALLOWED),
    "a file robots.txt.gz": (answer(PACKED, type="application/gzip"), DISALLOWED),
    "packed, but damaged": (answer(b"\x1f\x8bgarbage", "Content-Encoding: gzip"), DISALLOWED),
    "packed by brotli": (answer(BROTLI, "Content-Encoding: br"), DISALLOWED),
    "packed by brotli, cut short": (answer(BROTLI[:-9], "Content-Encoding: br"), DISALLOWED),
    "packed by gzip, cut short": (answer(PACKED[:-20], "Content-Encoding: gzip"), DISALLOWED),
    "packed by brotli that allows": (answer(brotli.compress(FORBIDS[:-2].encode()), "Content-Encoding: br"), OK),
    "a gzip bomb that forbids": (
        answer(gzip.compress((FORBIDS + "#" * 30_000_000).encode(), mtime=0), "Content-Encoding: gzip"),
        DISALLOWED,
    ),
    "moved": (to("/moved.txt"), DISALLOWED),
    "moved to a private address": (to("http://10.0.0.7/robots.txt"), DISALLOWED),
    "500": (answer(b"", status="500 Broken"), DISALLOWED),
    "503": (answer(b"", status="503 Busy"), DISALLOWED),
    "429": (answer(b"", status="429 Slow"), DISALLOWED),
    "silence": ((head("Content-Length: 100"), 30.0), DISALLOWED),
    "no HTTP": ((b"nothing\r\n\r\n",), DISALLOWED),
    "401": (answer(b"", status="401 Who"), OK),
    "403": (answer(b"", status="403 No"), OK),
    "404 that forbids": (answer(FORBIDS.encode(), status="404 Not Found"), OK),
    "410": (answer(b"", status="410 Gone"), OK),
}


def cases() -> Iterator[Case]:
    """Yield all cases of S11."""
    for field, protocol, vectors in (
        ("X-Robots-Tag", "X-Robots-Tag", X_ROBOTS),
        ("TDM-Reservation", "TDM-Reservation header", TDM),
        ("Content-Usage", "Content-Usage header", USAGE),
    ):
        for values, denied in vectors:
            page = answer(picture(40), *(f"{field}: {value}" for value in values))
            yield _case(f"S11 {protocol}", " | ".join(values), NO if denied else OK, page=page)
    for body, path, allowed in FETCH:
        yield _case("S11 robots.txt", body, OK if allowed else DISALLOWED, (ROBOTS, text(body)), path=path)
    for name, (script, expected) in SERVED.items():
        yield _case("S11 robots.txt", name, expected, (ROBOTS, script), ("/moved.txt", text(FORBIDS)))
    for body, path, denied in USE:
        protocol = "Content-Usage in robots.txt" if "Usage" in body else "Content-Signal"
        yield _case(f"S11 {protocol}", body, NO if denied else OK, (ROBOTS, text(body)), path=path)
    for rules, path, denied in RESERVED:
        yield _case(
            "S11 tdmrep.json", json.dumps(rules), NO if denied else OK, (TDMREP, text(json.dumps(rules))), path=path
        )
    for body, path, denied in AI:
        yield _case("S11 ai.txt", body, NO if denied else OK, (AI_TXT, text(body)), path=path)
    yield from _conflicts()


def _conflicts() -> Iterator[Case]:
    """Yield cases in which two protocols disagree, on one picture or along a redirect."""
    yes = text(f"{ALL}Allow: /\nContent-Signal: ai-train=yes\nContent-Usage: train-ai=y\n")
    no_header = answer(picture(40), "X-Robots-Tag: noai")
    free_header = answer(picture(40), "X-Robots-Tag: all", "TDM-Reservation: 0", "Content-Usage: train-ai=y")
    reserved = (TDMREP, text(json.dumps([{"location": "/", "tdm-reservation": 1}])))
    free = (TDMREP, text(json.dumps([{"location": "/", "tdm-reservation": 0}])))
    broken = answer(b"", status="500 Broken")
    conflict = "S11 conflicts"
    yield _case(conflict, "robots.txt allows, the header denies", NO, (ROBOTS, yes), page=no_header)
    yield _case(conflict, "robots.txt allows, tdmrep.json reserves", NO, (ROBOTS, yes), reserved)
    yield _case(conflict, "the header allows, tdmrep.json reserves", NO, reserved, page=free_header)
    yield _case(conflict, "the header allows, ai.txt denies", NO, (AI_TXT, text(AI[0][0])), page=free_header)
    yield _case(conflict, "the header allows, robots.txt signals no", NO, (ROBOTS, text(USE[0][0])), page=free_header)
    yield _case(conflict, "all allow, robots.txt forbids", DISALLOWED, (ROBOTS, text(FORBIDS)), free, page=free_header)
    yield _case(conflict, "all allow", OK, (ROBOTS, yes), free, page=free_header)
    yield _case(conflict, "the other files are broken", OK, (TDMREP, broken), (AI_TXT, broken))
    end = ("/end.jpg", answer(picture(40)))
    forbids_end = (ROBOTS, text(f"{ALL}Disallow: /end\n"))
    yield _case(conflict, "a redirect to what robots.txt forbids", DISALLOWED, forbids_end, end, page=to("/end.jpg"))
    yield _case(conflict, "a redirect to what denies", NO, ("/end.jpg", no_header), page=to("/end.jpg"))
    yield _case(conflict, "a redirect to what allows", OK, end, page=to("/end.jpg"))


def _case(
    category: str,
    name: str,
    expected: tuple[str, ...],
    *files: tuple[str, Script],
    path: str = "/x.jpg",
    page: Script | None = None,
) -> Case:
    """Return a case on a host of its own, which has these files and the picture at `path`."""
    digest = sha256(repr((category, name, path)).encode()).hexdigest()
    host = f"wish-{digest[:12]}.test"  # of its own: a word of one host says nothing of another
    pages: Pages = {host + path: page or answer(picture(40)), **{host + at: script for at, script in files}}
    return Case(" ".join(name.split())[:60] or "no word", category, f"http://{host}{path}", expected, pages)
