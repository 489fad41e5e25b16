"""Intervals of shares, at 95 %: they hold for few cases and for shares near 0 and 1, where the usual ones do not."""

from math import sqrt
from typing import NamedTuple

Z = 1.959963984540054  # 97.5 % of a normal distribution lie below


class Share(NamedTuple):
    """A share of `of` cases, with its interval."""

    share: float
    low: float
    high: float
    hits: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "no case"
        return f"{100 * self.share:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(count: int, of: int) -> Share:
    """Return count / of with Wilson's score interval (1927); 0 to 1 where there is no case."""
    if not of:
        return Share(0.0, 0.0, 1.0, 0, 0)
    share, square = count / of, Z * Z / of
    middle = share + square / 2
    room = Z * sqrt(share * (1 - share) / of + square / (4 * of))
    low, high = (middle - room) / (1 + square), (middle + room) / (1 + square)
    return Share(share, 0.0 if count == 0 else low, 1.0 if count == of else high, count, of)


class Difference(NamedTuple):
    """The difference of two shares with its interval."""

    difference: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Tell whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high

    def __str__(self) -> str:
        return f"{100 * self.difference:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def newcombe(a: Share, b: Share) -> Difference:
    """Return a - b with Newcombe's hybrid score interval (1998, method 10)."""
    down = sqrt((a.share - a.low) ** 2 + (b.high - b.share) ** 2)
    up = sqrt((a.high - a.share) ** 2 + (b.share - b.low) ** 2)
    difference = a.share - b.share
    return Difference(difference, difference - down, difference + up)
