"""The funnel on the page: rows of the table -> planned -> stored -> kept -> train and held out, and every loss."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from .html import Html, element, join
from .page_examples import Examples

STEPS = {
    "plan": ("Dropped by the plan", "What needs no download to be dropped."),
    "download": ("Lost in the download", "What the web answered, or what it was not asked for."),
    "select": ("Dropped by the rules", "Counted under the first rule that failed, in the order of the policy."),
}

MEANINGS = {
    "bad_url": "the url cannot be read as one",
    "bad_scheme": "the url is neither http nor https",
    "no_caption": "there are no words beside the picture",
    "duplicate_pair": "the same url with the same caption stands in the table before",
    "private_address": "the url, or where it leads, lies inside somebody's network",
    "dns": "the host has no address",
    "connect": "nobody answered there",
    "tls": "no safe connection could be made",
    "robots_txt": "the host's robots.txt asks not to fetch it",
    "timeout": "it took too long",
    "too_many_redirects": "sent on and on",
    "opt_out": "the answer's headers ask not to train on it",
    "not_a_picture": "the answer is something else, mostly a page",
    "bad_format": "a picture, but in none of the formats that are taken",
    "too_many_pixels": "it would need too much memory to open",
    "too_small": "a side is shorter than asked for",
    "bad_aspect": "far longer than wide, or wider than long",
    "too_many_bytes": "the file is too large",
    "cut_off": "the connection ended before the file did",
    "hash_mismatch": "not the picture that stood there when the table was made",
    "corrupt": "it cannot be decoded whole",
    "http_403": "the host forbids it",
    "http_404": "it is not there any more",
    "http_410": "it is gone for good",
    "http_429": "the host asks to come back later",
}


def meaning_of(reason: str) -> str:
    """A reason in words; empty where it is not one of ours."""
    code = reason.removeprefix("http_")
    if reason not in MEANINGS and code.isdecimal() and int(code) in [*HTTPStatus]:
        return f"the host answers: {HTTPStatus(int(code)).phrase.lower()}"
    return MEANINGS.get(reason, "")


def section(funnel: Mapping[str, Any], examples: Examples, kept: Html | None) -> Html:
    """funnel: what pipeline.funnel tells. kept: some of what came through, to look at."""
    return element(
        "section",
        element("h2", "The funnel"),
        element("p", sentence(funnel), class_="lead"),
        _bars(funnel),
        [_step(step, funnel, examples) for step in STEPS],
        [element("h3", "Kept"), kept] if kept else None,
        id="funnel",
    )


def levels(funnel: Mapping[str, Any]) -> dict[str, int]:
    """How many pairs there are after each step."""
    totals = {name: funnel["totals"].get(name, 0) for name in ("rows", "kept", "train", "held_out")}
    lost = {step: sum(funnel["counts"][step].values()) for step in STEPS}
    planned = totals["rows"] - lost["plan"]
    return {"rows": totals["rows"], "planned": planned, "stored": planned - lost["download"], **totals}


def sentence(funnel: Mapping[str, Any]) -> str:
    """The funnel in one sentence."""
    level = levels(funnel)
    share = f" ({level['kept'] / level['rows']:.0%})" if level["rows"] else ""
    return (
        f"Of {level['rows']:,} rows of the table {level['kept']:,}{share} came through: {level['train']:,} to train on"
        f" and {level['held_out']:,} held out. Every pair that did not is counted below, once, with its reason."
    )


def _bars(funnel: Mapping[str, Any]) -> Html:
    """One bar a step: what is left, and behind it what this step took."""
    level = levels(funnel)
    names = {
        "rows": "rows of the table",
        "planned": "planned",
        "stored": "downloaded and stored",
        "kept": "kept by the rules",
        "train": "to train on",
    }
    before, rows = level["rows"], []
    for name, said in names.items():
        rows.append(_bar(said, level[name], before=before, of=level["rows"], name=name))
        before = level[name]
    return element("ol", rows, class_="bars")


def _bar(said: str, count: int, *, before: int, of: int, name: str) -> Html:
    gone = before - count
    note = f"{gone:,} {'held out' if name == 'train' else 'lost'}" if gone else ""
    parts = [element("i", class_="left", style=_width(count, of)), element("i", class_="gone", style=_width(gone, of))]
    return element(
        "li",
        element("span", element("b", f"{count:,}", data_level=name), f" {said}"),
        element("span", note, class_="quiet"),
        element("span", parts, class_="bar", aria_hidden="true"),
    )


def _width(count: int, of: int) -> str:
    return f"width:{100 * count / of if of else 0:.3f}%"


def _step(step: str, funnel: Mapping[str, Any], examples: Examples) -> Html | None:
    counts = funnel["counts"][step]
    title, meaning = STEPS[step]
    lost, rows = sum(counts.values()), funnel["totals"].get("rows", 0)
    if not counts:
        return None
    largest = max(counts.values())
    reasons = [_reason(step, name, count, largest, rows, funnel, examples) for name, count in counts.items()]
    heading = element("h3", title, " ", element("small", f"{lost:,}", data_lost=step))
    return join(heading, element("p", meaning, class_="quiet"), element("div", reasons, class_="reasons"))


def _reason(
    step: str, name: str, count: int, largest: int, rows: int, funnel: Mapping[str, Any], examples: Examples
) -> Html:
    """One reason: how often, what it means, and on a click some of its pairs."""
    rule = examples.rules.get(name) if step == "select" else None
    meaning = element("code", rule, class_="why") if rule else element("span", meaning_of(name), class_="why")
    share = f"{count / rows:.2%}" if count else "none"
    head = (
        element("b", name),
        meaning,
        element("span", element("span", f"{count:,}", data_reason=f"{step}.{name}"), class_="count"),
        element("span", share, class_="quiet share"),
        element("span", element("i", class_="gone", style=_width(count, largest)), class_="bar", aria_hidden="true"),
    )
    shown = funnel["examples"].get(f"{step}.{name}", ())
    if not shown:
        return element("div", head, class_="reason none")
    more = f"{len(shown)} of {count:,}, the first in the order of keys" if count > len(shown) else f"all {count:,}"
    cards = examples.cards(shown, reason=name)
    return element("details", element("summary", head, class_="reason"), element("p", more, class_="quiet"), cards)
