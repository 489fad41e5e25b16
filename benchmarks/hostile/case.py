"""What a case is: a row of a url table, what is served for it, and what may come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

OK = ("ok",)


class Again(NamedTuple):
    """The same bytes many times, with a pause in seconds after each; `times` None: until the client leaves."""

    data: bytes
    times: int | None
    pause_s: float = 0.0


Script: TypeAlias = Sequence[bytes | float | Again]  # what one connection gets: bytes, pauses in seconds; then it ends
Pages: TypeAlias = Mapping[str, Script]  # "host/path" -> what is served there


@dataclass(frozen=True, eq=False)  # a case is equal to itself alone
class Case:
    """One row. `{inner}`, `{outer}` and `{canary}` in its url are a private port, the web's port and a local file.

    expected: ok, or the reasons that are right. A downloader without reasons is judged by what it stored alone.
    """

    name: str
    category: str
    url: str
    expected: tuple[str, ...]
    pages: Pages = field(default_factory=dict)
    sha256: str | None = None  # of the table
    names: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)  # host -> answers of the name server
    absent: tuple[bytes, ...] = ()  # must not be in what is stored
    size: tuple[int, int] | None = None  # width and height of what is stored


def answer(body: bytes, *headers: str, status: str = "200 OK", type: str = "image/jpeg") -> Script:
    """Return a whole answer of HTTP/1.1."""
    lines = [f"Content-Type: {type}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return (head(*lines, status=status), body)


def head(*headers: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def to(where: str, status: str = "302 Found") -> Script:
    """Return a redirect."""
    return answer(b"", f"Location: {where}", status=status)


def text(body: str, *headers: str) -> Script:
    """Return a text file."""
    return answer(body.encode(), *headers, type="text/plain")


@cache
def picture(seed: int = 0, width: int = 320, height: int = 240, format: str = "JPEG") -> bytes:
    """Return a smooth picture in colour as a file, another one for every seed."""
    return encoded(drawing(seed, width, height), format)


def drawing(seed: int, width: int = 320, height: int = 240) -> Any:
    """Return the pixels of such a picture, an Image."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Any, format: str = "JPEG", **options: object) -> bytes:
    """Return an Image as a file."""
    file = BytesIO()
    image.save(file, format, **({"quality": 90} if format == "JPEG" else {}) | options)
    return file.getvalue()


def healthy(category: str, count: int) -> list[Case]:
    """Return pairs that must arrive whatever stands beside them, on hosts of their own, in several formats."""
    kinds = ("JPEG", "PNG", "WEBP")
    slug = "".join(letter for letter in category.lower() if letter.isalnum())
    cases = []
    for number in range(count):
        host = f"healthy{number % 5}-{slug}.test"
        page = answer(picture(number, 300 + number, 240, kinds[number % 3]))
        url = f"http://{host}/{number}.jpg"
        cases.append(Case(f"healthy {number}", category, url, OK, {f"{host}/{number}.jpg": page}))
    return cases
