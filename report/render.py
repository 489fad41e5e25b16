"""The templates' environment, and the one gate between text from the web and the page.

Templates escape by default, and each value they print passes `clean` before, in text and in attributes, whatever it was
marked as. Only this folder's own files, style, script and mark, are taken as markup.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .chart import short

HERE = Path(__file__).parent
BIDI = "\u202a-\u202e\u2066-\u2069"  # they would turn the text around them
UNSHOWABLE = re.compile(f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\ud800-\udfff{BIDI}]")


def clean(value: Any) -> str:
    """Return text whose controls, halves of surrogates and marks that turn text around are U+FFFD; None is empty."""
    text = UNSHOWABLE.sub("\ufffd", "" if value is None else str(value))
    return Markup(text) if isinstance(value, Markup) else text


def own(name: str) -> Markup:
    """Return a file of this folder as markup. Never for anything that came from a table, a server or a run."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def render(template: str, **values: Any) -> str:
    """Return a template filled with values, without its line breaks between elements."""
    return ENVIRONMENT.get_template(template).render(values).replace(">\n<", "><")


def data_url(data: bytes, *, kind: str) -> str:
    """Return bytes as a url that needs no network. kind: of the image, "webp" or "png"."""
    return f"data:image/{kind};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    finalize=clean,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["own"] = own
ENVIRONMENT.filters |= {
    "thousands": "{:,}".format,
    "short": short,
    "place": lambda value: f"{round(value, 1):g}",  # a coordinate, to a tenth of a unit
    "sha256": lambda text: _base64(hashlib.sha256(text.encode()).digest()),  # as a content policy names a script
}
