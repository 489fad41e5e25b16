"""What a person can do about each reason for which pairs are lost: what it means, and the key that would change it."""

from typing import NamedTuple

from configs import shortened

from .config import DownloadConfig
from .reasons import PASSING, is_among

SHOWN_CHARS = 60  # of a key's value


class Advice(NamedTuple):
    """Of one reason."""

    meaning: str
    keys: tuple[str, ...] = ()  # of the download's config
    change: str = ""  # what to do with them; or what else can be done


OWN_HOSTS = "against the hosts' word: for hosts of your own, or where you have their leave"
ADVICE = {
    "bad_url": Advice("no url that can be asked for", change="look at the table's column; plan.url names another"),
    "bad_scheme": Advice("only http and https are asked", change="no key changes that; mend the table's urls"),
    "private_address": Advice(
        "the host has an address that is not of the public internet",
        ("allow_addresses",),
        'lets such through, e.g. "download.allow_addresses=[10.0.0.0/8]"',
    ),
    "dns": Advice(
        "the name server knows no such host",
        ("resolve",),
        "says where names lead, e.g. download.resolve=\"{'*.test': 127.0.0.1:8080}\"",
    ),
    "connect": Advice(
        "nobody answers at the host's address", ("resolve", "connect_s"), "say where names lead, and how long to wait"
    ),
    "tls": Advice("the host's certificate is not valid", change="no key lets such hosts through"),
    "robots_txt": Advice(
        "the hosts' robots.txt disallows it to download.user_agent", ("robots",), f"may say ignore, {OWN_HOSTS}"
    ),
    "timeout": Advice(
        "hosts are too slow, or the way to them is",
        ("first_byte_s", "total_s", "connections"),
        "say how long to wait, and how much is asked for at once",
    ),
    "bad_http": Advice("what answers is no web server", ("resolve",), "says where names lead"),
    "too_many_redirects": Advice("hosts send us on and on", ("max_redirects",), "says how often they may"),
    "opt_out": Advice("hosts reserve their images from training", ("opt_out",), f"may say ignore, {OWN_HOSTS}"),
    "bad_encoding": Advice("bodies come packed in a way that cannot be unpacked", change="no key changes that"),
    "not_a_picture": Advice(
        "what came is no image, often a page that tells why", change="look at the url in a browser; no key changes that"
    ),
    "bad_format": Advice(
        "images are of other formats than those asked for", ("formats",), "names those that are taken"
    ),
    "too_many_pixels": Advice("images are larger than allowed", ("max_pixels",), "is the bound"),
    "too_small": Advice("images are smaller than asked for", ("min_side_px",), "is the bound on their shorter side"),
    "bad_aspect": Advice("images are longer and narrower than allowed", ("max_aspect",), "is the bound"),
    "too_many_bytes": Advice("bodies are larger than allowed", ("max_bytes",), "is the bound"),
    "cut_off": Advice("connections break before the body ends"),
    "blocked_hash": Advice("images are on a block-list", ("block_hashes",), "names the lists"),
    "hash_mismatch": Advice(
        "what is served is not the image that the table has the digest of",
        ("verify_hash",),
        "says which column is compared; none takes what is there now, whatever it shows",
    ),
    "too_many_scans": Advice("JPEGs ask for more work than their pixels justify", ("max_pixels",), "bounds that, too"),
    "decode_limit": Advice("decoding takes more time or memory than it may", ("max_pixels",), "bounds the memory"),
    "corrupt": Advice("images cannot be decoded", change="look at the url in a browser; no key changes that"),
    "http_401": Advice("hosts want to know who asks", change="no key gives them a name and password"),
    "http_403": Advice(
        "hosts refuse us", ("user_agent", "host_interval_s"), "say who asks, with a page on it, and how fast"
    ),
    "http_404": Advice("images are gone", change="no key brings them back; look at the url in a browser"),
    "http_410": Advice("images are gone", change="no key brings them back"),
    "http_429": Advice(
        "hosts are asked too often", ("host_interval_s", "host_connections"), "say how fast each is asked"
    ),
    "http_5xx": Advice("servers are broken or too busy"),
}
OTHER = Advice("hosts answered so", change="look at the url in a browser")


def remedy(reason: str, config: DownloadConfig) -> str:
    """Return what a reason means, the keys that would change it with their values, and whether to ask again."""
    advice = next((advice for name, advice in ADVICE.items() if is_among(reason, [name])), OTHER)
    named = " and ".join(f"download.{key} ({_shown(getattr(config, key))})" for key in advice.keys)
    parts = [advice.meaning, f"{named} {advice.change}".strip()]
    if is_among(reason, PASSING):
        parts.append(f"if it may have passed, --retry {reason} asks again")
    return "; ".join(filter(None, parts))


def _shown(value: object) -> str:
    return shortened(str(list(value) if isinstance(value, tuple) else value) if value != "" else "empty", SHOWN_CHARS)
