"""What a changed config lets through that was turned away before, so that only that is asked for again.

A shard's _stats.json tells with which values of KEYS it was asked for. Where nothing else differs today, and each of
them lets through at least what it did, the pairs that came stay, byte for byte, and so do those that were lost for
reasons of no changed key. Any other change makes the shard anew.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .block_lists import digests_of
from .config import NOT_IN_FINGERPRINT, DownloadConfig


class Key(NamedTuple):
    """A key of the config that turns pairs away."""

    reasons: tuple[str, ...]  # for which it does
    is_looser: Callable[[Any, Any], bool]  # (before, now): lets more through, and turns nothing away that came


def _is_new(before: Any, now: Any) -> bool:
    return bool(before != now)


def _ignores(before: str, now: str) -> bool:
    return now == "ignore"


def _has_more(before: list[str], now: list[str]) -> bool:
    return not {*now} <= {*before}


def _has_less(before: list[str], now: list[str]) -> bool:
    return not {*before} <= {*now}


def _holds_all(before: list[str], now: list[str]) -> bool:
    return {*before} <= {*now}


def _holds_none_new(before: list[str], now: list[str]) -> bool:
    return {*now} <= {*before}


def _is_higher(before: float, now: float) -> bool:
    return now > before


def _is_lower(before: float, now: float) -> bool:
    return now < before


def _asks_no_more(before: str, now: str) -> bool:
    return (before, now) == ("sha256", "none")


NOT_REACHED = ("dns", "private_address", "connect", "tls", "timeout", "bad_http", "cut_off")
KEYS = {
    # These three are in no fingerprint: a change by which less comes is no reason to ask at all.
    "allow_addresses": Key(("private_address",), _has_more),
    "resolve": Key(NOT_REACHED, _is_new),
    "block_hashes": Key(("blocked_hash",), _has_less),
    "robots": Key(("robots_txt",), _ignores),
    "opt_out": Key(("opt_out",), _ignores),
    "opt_out_directives": Key(("opt_out",), _holds_none_new),
    "opt_out_protocols": Key(("opt_out",), _holds_none_new),
    "formats": Key(("bad_format",), _holds_all),
    "min_side_px": Key(("too_small",), _is_lower),
    "max_aspect": Key(("bad_aspect",), _is_higher),
    "max_pixels": Key(("too_many_pixels", "too_many_scans", "decode_limit"), _is_higher),
    "max_bytes": Key(("too_many_bytes",), _is_higher),
    "max_redirects": Key(("too_many_redirects",), _is_higher),
    "verify_hash": Key(("hash_mismatch",), _asks_no_more),
}


def asked_with(config: DownloadConfig) -> dict[str, Any]:
    """Return the values of KEYS, as JSON holds them; of block-lists what is in them."""
    values = config.model_dump(mode="json", include={*KEYS})
    return values | {"block_hashes": digests_of(config.block_hashes)}


def loosened(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the reasons for which pairs were lost that may come now; None where some that came may be turned away.

    before, now: as `asked_with` returns them.
    """
    reasons: list[str] = []
    for name, key in KEYS.items():
        then = before.get(name, now[name])
        if then == now[name]:
            continue
        if key.is_looser(then, now[name]):
            reasons += key.reasons
        elif name not in NOT_IN_FINGERPRINT:
            return None
    return tuple(dict.fromkeys(reasons))


def made_of(config: DownloadConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs into the fingerprint of this config with other values of KEYS."""
    return config.made_of() | {name: value for name, value in values.items() if name not in NOT_IN_FINGERPRINT}
