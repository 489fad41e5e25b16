"""HTML that escapes by default: text from the web can only ever become text.

    element("p", "1 < 2 ", element("b", caption), class_="note")  ->  <p class="note">1 &lt; 2 <b>...</b></p>

Only what `element` made, or what `trusted` was told to believe, goes onto the page as it is.
"""

import base64
import html
import re
from collections.abc import Iterable

VOID = ("br", "img", "meta")  # they have no end tag
BIDI = "\u202a-\u202e\u2066-\u2069"  # they would turn the text around them
UNSHOWABLE = re.compile(f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\ud800-\udfff{BIDI}]")

Child = "Html | str | int | float | None | Iterable[Html | str | int | float | None]"


class Html(str):
    """Text that is HTML already."""


def trusted(text: str) -> Html:
    """Our own text, taken as HTML. Never for anything that came from a table, a server or a file of a run."""
    return Html(text)


def escape(value: object) -> Html:
    """Text as HTML. Controls, halves of surrogates and marks that turn text around become U+FFFD."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(UNSHOWABLE.sub("\ufffd", str(value)), quote=True))


def element(name: str, /, *children: Child, **attributes: object) -> Html:  # type: ignore[valid-type]
    """One element. `class_` is written class, `data_key` data-key; True is an attribute alone, None and False none."""
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    inner = join(*children)
    assert not (name in VOID and inner), f"<{name}> holds nothing, got {inner!r}"
    return Html(f"<{name}{said}>" if name in VOID else f"<{name}{said}>{inner}</{name}>")


def join(*children: Child) -> Html:  # type: ignore[valid-type]
    """Children one after the other; None is left out, lists are laid out."""
    return Html("".join(_flat(child) for child in children))


def _flat(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, str):
        return escape(child)
    if isinstance(child, Iterable):
        return "".join(_flat(inner) for inner in child)
    return escape(child)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert not name.startswith("on"), f"{name}: behaviour belongs into the page's one script"
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def data_url(data: bytes, *, kind: str) -> str:
    """Bytes as a url that needs no network. kind: 'webp', 'png' or 'jpeg'."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut ends shown by three dots."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
