"""Every pattern over a caption takes time linear in it: the worst of each, 100 kB long, within seconds of processor.

Patterns that backtrack would need minutes to days. The limit is on the time of the processor, of a process of its own.
"""

import resource
import subprocess
import sys

import pytest

from .patterns import patterns

# Beginnings that match for ever, what repeats, and an end that spoils the match.
PARTS = [
    "a{",
    ":",
    ";",
    "<a ",
    "<a",
    " ",
    "[img ",
    "[b",
    "{{",
    "&a",
    "&#1",
    "&amp;",
    "w",
    "1",
    "1 ",
    "+1 (",
    "a.",
    "a@a.",
    "@",
]
PARTS += ["a@", ".a-", "-", "0a", "f u ", "a*", "*", "$a", "AA11 ", "4111 ", "123.", "tel. 1", "http", "www.", "www"]
PARTS += [
    "\u4e00",
    "\u0e01",
    "e\u0301",
    "\u200b",
    "\x00",
    "\U000e0041",
    "img_",
    "()",
    ".jpg",
    "porn ",
    "you ",
    "\u0130",
    "z\u0335",
]
LIMIT_S = 120
BACKTRACKS = r"a\{[^{}]*:[^{}]*;[^{}]*\}"

WORK = """
from filters.base import Batch
from filters.scorers import ScorersConfig, build
from pipeline.captions import normalised
from tests.filters.patterns import patterns, worst_of
from tests.filters.test_linear_patterns import PARTS, SIZE

texts = [(part * SIZE)[:SIZE] for part in PARTS]
texts += [(first + second * SIZE)[:SIZE] for first in ("a{", "<a", "[b", "a@", "+1") for second in PARTS[:16]]
texts += ["a{" + ":" * (SIZE // 2) + ";" * (SIZE // 2)]
every = patterns()
for pattern in every.values():
    for text in worst_of(pattern, SIZE):
        pattern.search(text)
        pattern.fullmatch(text)
for scorer in build(ScorersConfig(nsfw=None, pdq=None, size=None)):
    scorer(Batch(captions=texts))
for text in texts:
    normalised(text)
print(len(texts), len(every))
"""
SIZE = 100_000


def barely_limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))


@pytest.mark.long
def test_a_hundred_kilobytes_of_anything_take_seconds():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 0, done.stderr[-2000:]
    texts, patterns_tried = map(int, done.stdout.split())
    assert texts > 100 and patterns_tried >= 40
    assert {"filters.caption.TAGS.0", "filters.privacy.PHONE.0", "pipeline.captions.REFERENCE.0"} <= {*patterns()}


@pytest.mark.long
def test_a_pattern_that_backtracks_would_be_caught():
    work = f"import re; from tests.filters.patterns import worst_of\np = re.compile({BACKTRACKS!r})\n"
    work += "for text in worst_of(p, 6000): p.search(text); p.fullmatch(text)"
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, preexec_fn=barely_limited)
    assert done.returncode < 0  # killed by its limit
