"""How much one client may ask: a bucket that fills at a steady rate, for each address, in memory alone."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 10_000  # clients; those that asked longest ago are forgotten first


class Rate:
    """Requests a second, and how many at once; a network of IPv6 (/64) is one client."""

    def __init__(self, per_second: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> what is left, when

    def admits(self, client: str) -> bool:
        """Count a request; tell whether it is one too many."""
        name, now = network(client), self._clock()
        left, then = self._buckets.pop(name, (float(self._burst), now))
        left = min(left + (now - then) * self._per_second, float(self._burst))
        is_admitted = left >= 1
        self._buckets[name] = (left - is_admitted, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return is_admitted


def network(client: str) -> str:
    """Return what tells clients apart by their address."""
    if ":" not in client:
        return client
    try:
        return str(ipaddress.ip_network((client.partition("%")[0], 64), strict=False))
    except ValueError:
        return client
