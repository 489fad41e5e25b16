"""Generated pictures on the page: each at every size of the cascade, beside the real drawing, with its caption."""

import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .html import Html, data_url, element, shorten
from .page_examples import VEILED
from .page_veil import Veil, veiled
from .picture_sets import FOLDER, REAL, sets_of

BUDGET_BYTES = 4_500_000  # of picture files; as text in the page they take a third more
FIRST = 18  # shown at once, the others on a click
PIXELATED_PX = 32  # pictures up to this side are stored exactly and shown as the squares they are


class Shown(NamedTuple):
    """One caption and its pictures."""

    caption: str
    group: str
    held_out: bool
    pictures: dict[str, np.ndarray]  # part -> (px, px, 3) uint8, the real one last


def section(run: Path, veil: Veil) -> Html | None:
    """None where nothing was sampled yet."""
    everything = list(gather(run))
    if not everything:
        return None
    hateful = veil.hateful(one.caption for one in everything)
    tiles, spent = list[Html](), 0
    for one in everything:
        files = {part: _file(pixels) for part, pixels in one.pictures.items()}
        spent += sum(len(file) for file, _ in files.values())
        if spent > BUDGET_BYTES:
            break
        tiles.append(_tile(one, files, hidden=one.caption in hateful))
    said = f"{len(tiles)} of {len(everything)} are shown here; all lie in the run's folder {FOLDER}."
    count = said if len(tiles) < len(everything) else ""
    lead = "Each caption as every stage drew it, and the real drawing last. None was chosen by hand; those marked "
    return element(
        "section",
        element("h2", "Pictures"),
        element("p", lead, element("em", "held out"), " were never trained on. ", count),
        _filters(everything),
        element("div", tiles[:FIRST], class_="tiles"),
        _more(tiles[FIRST:]),
        id="pictures",
    )


def _more(tiles: Sequence[Html]) -> Html | None:
    if not tiles:
        return None
    summary = element("summary", f"Show the other {len(tiles)}")
    return element("details", summary, element("div", tiles, class_="tiles"), class_="more")


def gather(run: Path) -> Iterator[Shown]:
    """Pictures of all sets, taking turns between the groups so that any beginning shows some of each."""
    groups: dict[tuple[str, str], list[Shown]] = {}
    for one in sets_of(run):
        rows, parts = one.rows().to_pylist(), one.parts()
        if not set(parts) - {REAL} or any(len(pictures) != len(rows) for pictures in parts.values()):
            continue  # a set half made
        for number, row in enumerate(rows):
            pictures = {part: array[number] for part, array in parts.items()}
            shown = Shown(row["caption"], row.get("group") or "", bool(row.get("held_out")), pictures)
            groups.setdefault((one.name, shown.group), []).append(shown)
    in_turn = [groups[place] for place in sorted(groups, key=lambda place: (groups[place][0].held_out, place))]
    for turn in zip_longest(*in_turn):
        yield from (shown for shown in turn if shown is not None)


def _file(pixels: np.ndarray) -> tuple[bytes, str]:
    """A picture as a file, and its kind."""
    held, kind = io.BytesIO(), "png" if len(pixels) <= PIXELATED_PX else "webp"
    options: dict[str, Any] = {"optimize": True} if kind == "png" else {"quality": 72, "method": 4}
    Image.fromarray(pixels).save(held, kind.upper(), **options)
    return held.getvalue(), kind


def _tile(one: Shown, files: dict[str, tuple[bytes, str]], *, hidden: bool) -> Html:
    held_out = element("em", "held out", class_="chip") if one.held_out else None
    labels = {"data_group": one.group, "data_held": "yes" if one.held_out else "no"}
    if hidden:
        largest, kind = list(files.values())[-2 if REAL in files else -1]
        packed = {"caption": one.caption, "picture": data_url(largest, kind=kind), "alt": "generated"}
        return element("article", veiled(packed, label=VEILED), class_="tile", **labels)
    pictures = [_picture(part, one, file, kind) for part, (file, kind) in files.items()]
    caption = element("p", shorten(one.caption, 200), " ", held_out, dir="auto")
    return element("article", element("div", pictures, class_="four"), caption, class_="tile", **labels)


def _picture(part: str, one: Shown, file: bytes, kind: str) -> Html:
    px = len(one.pictures[part])
    said = "real" if part == REAL else f"{px} px"
    what = "the real drawing of" if part == REAL else f"generated at {px} px:"
    class_ = "pixels" if px <= PIXELATED_PX else None
    image = element(
        "img", src=data_url(file, kind=kind), alt=f"{what} {one.caption}", width=px, height=px, class_=class_
    )
    return element("figure", image, element("figcaption", said), class_="real" if part == REAL else None)


def _filters(everything: Sequence[Shown]) -> Html:
    """Buttons that show one group alone; without scripts everything stays shown."""
    groups = sorted({one.group for one in everything if one.group})
    names = [("all", ""), *([("held out", "held")] if any(one.held_out for one in everything) else [])]
    buttons = [
        element("button", name, type="button", data_filter=wanted, aria_pressed="true" if name == "all" else "false")
        for name, wanted in [*names, *((group, f"group:{group}") for group in groups)]
    ]
    return element("div", buttons, class_="filters", role="group", aria_label="show pictures of")
