"""What the protocols say of use for training, in headers and in lines and files. No word is no answer; no counts.

X-Robots-Tag: noai, noimageai          X-Robots-Tag: otherbot: noindex, corgi: noai
X-Robots-Tag: noindex;                 X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai
TDM-Reservation: 1                     Content-Usage: train-ai=n
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator

from multidict import CIMultiDictProxy

from .config import DownloadConfig

AGENT = re.compile(r"\*|[a-z][a-z0-9_.\-]*")  # no spaces: the rest of a date with a colon is no agent
WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
# draft-ietf-aipref-vocab: the labels of training a generative model, then of what that is part of, by draft. A category
# without an answer takes its parent's.
USAGE_LABELS = (
    ("train-ai",),  # 05 to 08
    ("train-genai", "train-ai", "bots"),  # 03 and 04, which had no train-genai
    ("train-genai", "train-ai", "all"),  # 02
    ("genai", "ai", "tdm"),  # 01
)
MAX_RULES = 10_000  # of a tdmrep.json


def said_in_headers(headers: CIMultiDictProxy[str], config: DownloadConfig) -> str | None:
    """Return the protocol and the words by which an answer opts out, None where it does not."""
    if config.opt_out == "ignore":
        return None
    agents = {config.agent, *(agent.lower() for agent in config.opt_out_agents)}
    directives = {directive.lower() for directive in config.opt_out_directives}
    x_robots, tdm = headers.getall("X-Robots-Tag", []), headers.getall("TDM-Reservation", [])
    directive = opted_out(x_robots, tdm, agents=agents, directives=directives)
    if directive is not None:
        return directive if directive == "tdm-reservation" else f"x-robots-tag {directive}"
    label = usage_denied(", ".join(headers.getall("Content-Usage", [])))
    return f"content-usage {label}=n" if label and "content-usage" in config.opt_out_protocols else None


def opted_out(
    x_robots: Iterable[str], tdm: Iterable[str], *, agents: Collection[str], directives: Collection[str]
) -> str | None:
    """Return the first directive that forbids the use, None where nothing does.

    `x_robots` and `tdm` are all values of the two headers; `agents` are the names meant for us and `directives` the
    words that count, both lower-cased.
    """
    if "tdm-reservation" in directives and any(value.strip() == "1" for value in tdm):
        return "tdm-reservation"
    for value in x_robots:
        for agent, directive in _directives(value.lower()):
            if directive in directives and (agent is None or agent == "*" or agent in agents):
                return directive
    return None


def _directives(value: str) -> Iterator[tuple[str | None, str]]:
    """Yield (agent, directive) pairs; an agent holds for all that follows it in the value, until the next agent."""
    agent = None
    for part in re.split("[,;]", value):
        head, colon, rest = part.strip().partition(":")
        if not colon:
            yield agent, head.strip()
        elif head.strip() not in WITH_VALUE and AGENT.fullmatch(head.strip()):
            agent = head.strip()
            yield agent, rest.strip()


def usage_denied(value: str) -> str | None:
    """Return the label by which a Content-Usage dictionary (RFC 9651, 3.2) denies training, None where none does."""
    answers = _usage(value)
    return next((label for label, answer in answers if answer == "n"), None)


def usage_word(value: str) -> bool | None:
    """Return what a Content-Usage dictionary says of training: True is yes, False no, None nothing."""
    answers = [answer for _, answer in _usage(value)]
    return "n" not in answers if answers else None


def _usage(value: str) -> list[tuple[str, str]]:
    """Return each draft's answer, with its label. The last of equal keys counts; parameters and other values do not."""
    members = [member.partition(";")[0] for member in QUOTED.sub('""', value).lower().split(",")]
    said = {key.strip(): answer.strip() for key, _, answer in (member.partition("=") for member in members)}
    narrowest = (next((label for label in labels if said.get(label) in ("y", "n")), None) for labels in USAGE_LABELS)
    return [(label, said[label]) for label in narrowest if label is not None]


def signal_word(value: str) -> bool | None:
    """Return what a Content-Signal line says of training (draft-romm-aipref-contentsignals): yes, no, or nothing."""
    said = re.sub(r"\s*=\s*", "=", value.lower()).replace(",", " ").replace(";", " ").split()
    if "ai-train=no" in said:
        return False
    return True if "ai-train=yes" in said else None


def tdmrep_as_robots(text: str) -> str:
    """Return a tdmrep.json (TDM Reservation Protocol, 2024) as a robots.txt to everybody, "" where it is none.

    Its locations match like the paths there, and of two for one path the one that reserves counts.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    rules = [_tdm_rule(entry) for entry in (entries if isinstance(entries, list) else [entries])[:MAX_RULES]]
    return "\n".join(["User-agent: *", *rules]) if any(rules) else ""


def _tdm_rule(entry: object) -> str:
    location = entry.get("location") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(location, str) or not re.fullmatch(r"[^\s#]+", location):
        return ""
    match str(entry.get("tdm-reservation")):
        case "1":
            return f"Disallow: {location}" + "*" * (not location.endswith("$"))
        case "0":
            return f"Allow: {location}"
    return ""
