"""Why a pair is lost, and in which order the reasons are met. A pair is counted under the first one.

    1  url        bad_url, bad_scheme, private_address (an address written into the url)
    2  wishes     what reaching the host's robots.txt meets: dns, private_address, connect, tls; then robots_txt; then
                  opt_out, of robots.txt, tdmrep.json, ai.txt
    3  request    dns, private_address, connect, tls, timeout, bad_http
    4  redirect   too_many_redirects, then 1-3 again for the next url
    5  answer     http_<code> for every status that is neither 200 nor a redirect
    6  headers    opt_out, then too_many_bytes if so many are announced
    7  first bytes, as soon as they tell:  bad_encoding, not_a_picture, bad_format, too_many_pixels, too_small,
                  bad_aspect
    8  body       too_many_bytes, bad_encoding, timeout, cut_off
    9  whole body blocked_hash (by its sha256), hash_mismatch
   10  decoding   too_many_scans (of a JPEG), decode_limit (time, memory, a dead decoder), corrupt (truncated too)
   11  image      blocked_hash (by what it looks like)

Only transient reasons are tried again: refused connections, silent name servers, and `retry_statuses`.
"""

import re
from collections.abc import Iterable

from configs import UserError, nearest

# Everything but http_<code>, in the order above.
REASONS = (
    "bad_url",
    "bad_scheme",
    "private_address",
    "dns",
    "connect",
    "tls",
    "robots_txt",
    "timeout",
    "bad_http",
    "too_many_redirects",
    "opt_out",
    "bad_encoding",
    "not_a_picture",
    "bad_format",
    "too_many_pixels",
    "too_small",
    "bad_aspect",
    "too_many_bytes",
    "cut_off",
    "blocked_hash",
    "hash_mismatch",
    "too_many_scans",
    "decode_limit",
    "corrupt",
)

ALL_PASSING = "transient"  # what `corgi download --retry` calls the reasons below
# Reasons that may have passed by the next day: what `--retry transient` asks for again. An x is any digit.
PASSING = {
    "dns": "the name server was down, or the name was not renewed in time",
    "connect": "the host was down or restarted",
    "tls": "certificates run out and are renewed",
    "timeout": "the host, or the way to it, was slow",
    "cut_off": "the connection broke",
    "http_408": "the server waited too long for the request",
    "http_425": "the server would not yet take the request",
    "http_429": "the host was asked too often",
    "http_5xx": "the server was broken or too busy",
}


def parse_reasons(text: str) -> tuple[str, ...]:
    """Return the reasons that a comma-separated list names. Raises UserError for one that there is not."""
    reasons: list[str] = []
    for word in filter(None, map(str.strip, text.split(","))):
        if word != ALL_PASSING and word not in REASONS and not re.fullmatch("http_[0-9][0-9x]{2}", word):
            raise UserError(f"--retry {word!r} is no reason{nearest(word, [ALL_PASSING, *REASONS, *PASSING])}")
        reasons += PASSING if word == ALL_PASSING else [word]
    if not reasons:
        raise UserError(f"--retry names no reason; say {ALL_PASSING}, or reasons as the funnel names them")
    return tuple(dict.fromkeys(reasons))


def is_among(status: str, reasons: Iterable[str]) -> bool:
    """Tell whether a pair was lost for one of these reasons."""
    is_http = status.startswith("http_")
    return any(
        status == reason or (is_http and re.fullmatch(reason.replace("x", "[0-9]"), status)) for reason in reasons
    )


class Refused(Exception):  # noqa: N818  # most are no errors of ours
    """A pair is lost for `reason`; `detail` is a line for people.

    The detail is stored beside the pair, so it must be the same on every machine: no times, no resolved addresses.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        assert reason in REASONS or reason.startswith("http_"), reason
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Transient(Refused):
    """A refusal worth another attempt, not before `after_s` seconds where the server named a time."""

    def __init__(self, reason: str, detail: str = "", after_s: float | None = None) -> None:
        super().__init__(reason, detail)
        self.args = (reason, detail, after_s)
        self.after_s = after_s
