"""robots.txt (RFC 9309): which groups are meant for us, and what their rules say of fetching and of use.

For each name of ours the group that names it longest counts, for our own the group of "*" where none names it. An agent
whose opt-outs we share has its word only where it is named: "*" has spoken to us already, and may have said less.

    User-agent: img2dataset     User-agent: *
    Disallow: /                 Content-Signal: search=yes, ai-train=no
                                Content-Usage: /shop/ train-ai=n
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from protego import Protego

AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent[:\s]+(?P<agent>[^#]*)", re.IGNORECASE)  # as generous as protego is
SOMEBODY_ELSE = "User-agent: somebody/else"  # no agent of ours has a slash
NO_RULE = "Disallow:"  # says nothing, but ends a row of User-agent lines as any rule does
NOT_OF_A_GROUP = re.compile(r"\s*(#|$|site-?maps?\b|host\b)", re.IGNORECASE)


class Rules(NamedTuple):
    """What is said to one agent, as paths that are allowed and disallowed to it."""

    agent: str
    paths: Protego

    def allow(self, url: str) -> bool:
        """Tell whether the longest rule that matches, if any does, lets the agent have `url`."""
        return self.paths.can_fetch(url, self.agent)


def rules_for(text: str, agents: Sequence[str]) -> list[Rules]:
    """Return the rules of a robots.txt, or a file in its form, for each agent (lower case) that it speaks to.

    `agents` begins with our own name, to which "*" speaks, too.
    """
    texts = [(agent, for_agent(text, agent, by_name=bool(rank))) for rank, agent in enumerate(agents)]
    return [Rules(agent, Protego.parse(own)) for agent, own in texts if own]


def use_rules_for(
    text: str, agents: Sequence[str], *, field: str, word_of: Callable[[str], bool | None]
) -> list[Rules]:
    """Return what the lines of `field` say of training, as rules of paths: Allow and Disallow of their own.

    `word_of` reads such a line after its path: True if training is let, False if it is not, None if there is no word of
    it. A line without a word of it is no rule, so it does not lift a shorter one.
    """
    if field not in text.lower():
        return []
    line_of_field = re.compile(rf"\s*{field}\s*:\s*(?P<path>/\S*)?(?P<words>[^#]*)", re.IGNORECASE)
    return rules_for("\n".join(_use_rule(line, line_of_field, word_of) for line in text.splitlines()), agents)


def _use_rule(line: str, line_of_field: re.Pattern[str], word_of: Callable[[str], bool | None]) -> str:
    if AGENT_LINE.match(line) or NOT_OF_A_GROUP.match(line):
        return line
    parts = line_of_field.match(line)
    word = word_of(parts["words"]) if parts else None
    if parts is None or word is None:
        return NO_RULE
    path = (parts["path"] or "/").partition("#")[0]
    if word:
        return f"Allow: {path}"
    # Of two rules for one path the one that forbids counts, other than for fetching: one byte more, the same paths.
    return f"Disallow: {path}" + "*" * (not path.endswith("$"))


def for_agent(text: str, agent: str, *, by_name: bool = False) -> str:
    """Return a robots.txt that says the same to `agent` (lower case) and nothing to others, "" where nothing at all.

    `by_name` leaves "*" out. The parser keeps every rule once for each agent of its group: a thousand agents before ten
    thousand rules, in half a megabyte, would fill the memory.
    """
    lines = list(_lines_for(text, agent, by_name))
    speaks = any(AGENT_LINE.match(line) and line != SOMEBODY_ELSE for line in lines)
    return "\n".join(lines) if speaks else ""


def _lines_for(text: str, agent: str, by_name: bool) -> Iterator[str]:
    for line in text.splitlines():
        named = AGENT_LINE.match(line)
        if named is None or not named["agent"].strip():
            yield line
            continue
        name = named["agent"].strip().lower()
        bare = name.replace("*", "")
        ours = not by_name if name == "*" else bare and bare in agent
        yield f"User-agent: {bare or name}" if ours else SOMEBODY_ELSE
