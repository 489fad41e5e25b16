"""Opt-outs in the headers of an answer: X-Robots-Tag in all its forms, and TDM-Reservation.

X-Robots-Tag: noai, noimageai          X-Robots-Tag: otherbot: noindex, corgi: noai
X-Robots-Tag: noindex;                 X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 PST, noai
TDM-Reservation: 1
"""

import re
from collections.abc import Collection, Iterable, Iterator

AGENT = re.compile(r"\*|[a-z][a-z0-9_.\-]*")  # no spaces: the rest of a date with a colon is no agent
WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


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
