"""Which urls and addresses may be asked.

A table of urls from the web is hostile input: without a guard it reads the cluster's own services. So every url, every
redirect and every address a name leads to is checked, and the checked address is the one connected to.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Self

from yarl import URL

from .reasons import Refused

Address = IPv4Address | IPv6Address

PUBLIC_V6 = IPv6Network("2000::/3")  # all that was ever given out
NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits
V4_IN_V6 = IPv6Network("::/96")  # deprecated, still routed by some
# Not all releases of Python 3.11 and 3.12 call these private, or they are public by number only.
NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carriers' and clouds' own
        "168.63.129.16/32",  # a cloud's metadata
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PARTS = re.compile(r"(?P<start>[^/?#]*//[^/?#]*)(?P<path>[^?#]*)(?P<query>(\?[^#]*)?)(#.*)?")  # RFC 3986, appendix B
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
ILLEGAL = re.compile(r"[^!#-;=?-\[\]_a-z~]")  # in a request line: spaces, "<>\^`{|}, and all that is not ASCII
DOTS = re.compile(r"/(\.|%2e){1,2}$", re.IGNORECASE)
MAX_URL_CHARS = 8000  # servers refuse longer request lines


class Allowed(NamedTuple):
    """Addresses let through although they are private."""

    network: IPv4Network | IPv6Network
    port: int | None  # None: every port

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "10.0.0.0/8", "10.0.0.7", "127.0.0.1:8080" or "[::1]:8080"."""
        try:
            return cls(ip_network(text), None)
        except ValueError:
            host, port = split_target(text)
            return cls(ip_network(host), port)

    def holds(self, address: Address, port: int) -> bool:
        """Tell whether this address and port are among them."""
        return address in self.network and self.port in (None, port)


def split_target(text: str) -> tuple[str, int]:
    """Return ("127.0.0.1", 8080) of "127.0.0.1:8080", ("::1", 80) of "[::1]:80"."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f'{text!r} is not an "ip:port"')
    return str(ip_address(host.strip("[]"))), int(port)


def check_url(text: str, *, base: URL | None = None) -> URL:
    """Return the url in `text`, relative to `base` if that is given, as it will be asked for. Raises Refused.

    The host is in ASCII, the path and query in the url's own bytes: signatures do not survive another spelling. What is
    checked is the very object that later connects, so that no two parsers can disagree about the host.
    """
    if CONTROL.search(text) or len(text) > MAX_URL_CHARS:
        raise Refused("bad_url", "control characters or too long")
    try:
        start, path, query = _split(text.strip(" ") if base is None else _joined(base, text.strip(" ")))
        server = URL(start)
        host, scheme = (server.raw_host or "").lower(), server.scheme
        if scheme not in ("http", "https"):
            raise Refused("bad_scheme" if scheme else "bad_url", scheme or "no scheme")
        if server.user is not None or server.password is not None:
            raise Refused("bad_url", "a user name in the url")
        if server.port == 0 or not (":" in host or HOST.fullmatch(host)):
            raise Refused("bad_url", f"no host to ask: {host!a}")
        return URL(f"{server.origin()}{_quoted(_without_dots(path) or '/')}{_quoted(query)}", encoded=True)
    except (ValueError, IndexError):  # yarl raises the second at http://x[]@/
        raise Refused("bad_url", "no url that can be read") from None


def _joined(base: URL, text: str) -> str:
    """Resolve a reference (RFC 3986, 5.2.2) without spelling any of it anew; dots are resolved later."""
    origin, path = str(base.origin()), base.raw_path
    if SCHEME.match(text):
        return text
    if text.startswith("//"):
        return f"{base.scheme}:{text}"
    if text.startswith("/"):
        return origin + text
    if text.startswith("?"):
        return origin + path + text
    if not text or text.startswith("#"):
        return str(base)
    return origin + path[: path.rindex("/") + 1] + text


def _split(url: str) -> tuple[str, str, str]:
    """Return what comes before the path, the path, and the query with its "?"; the fragment is nobody's but ours."""
    parts = PARTS.fullmatch(url)
    return (parts["start"], parts["path"], parts["query"]) if parts else (url, "", "")


def _quoted(text: str) -> str:
    """Escape what no request line may hold, and nothing else: escapes and their case stay as they are.

    Bytes of a header that are not UTF-8 have come as surrogates and go out as they came.
    """
    return ILLEGAL.sub(
        lambda char: "".join(f"%{byte:02X}" for byte in char[0].encode("utf-8", "surrogateescape")), text
    )


def _without_dots(path: str) -> str:
    """Resolve "." and ".." (RFC 3986, 5.2.4), escaped ones too: robots.txt must speak of what the server will read."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(segment)
    ends_in_dots = DOTS.search(path) is not None
    return "".join(f"/{segment}" for segment in segments) + "/" * ends_in_dots


def address_in(host: str) -> Address | None:
    """Return the address a url's host is, None where it is a name. Raises Refused for spellings only browsers read.

    0x7f.1, 017700000001 and 2130706433 all are 127.0.0.1 to the C library, so a name must not end in a number.
    """
    if ":" in host:
        try:
            return ip_address(host)
        except ValueError:
            raise Refused("bad_url", f"{host} is no address") from None
    last = host.rstrip(".").rpartition(".")[2]
    if not NUMBER.fullmatch(last):
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        meant = _legacy_v4(host.rstrip("."))
    if meant is not None and not is_public(meant):
        raise Refused("private_address", f"{host} is {meant}")
    raise Refused("bad_url", f"{host} is neither a name nor an address in its usual form")


def check_address(address: Address, *, port: int, allowed: Iterable[Allowed]) -> None:
    """Raise Refused unless the address is public or let through."""
    if not is_public(address) and not any(rule.holds(address, port) for rule in allowed):
        raise Refused("private_address")


def is_public(address: Address) -> bool:
    """Tell whether the address is of the public internet, whatever it is wrapped in."""
    if isinstance(address, IPv6Address):
        inner = _v4_within(address)
        if inner is not None:
            return is_public(inner)
        if address not in PUBLIC_V6:
            return False
    if any(address in network for network in NEVER if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _v4_within(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64 or address in V4_IN_V6:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _legacy_v4(host: str) -> IPv4Address | None:
    """Return what the C library reads: 1 to 4 decimal, octal or hex numbers, the last of which fills what is left."""
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
