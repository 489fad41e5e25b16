"""From names to addresses that may be connected to, each asked for once a shard, in threads that do nothing but wait.

A name that leads to one private address is refused whatever else it leads to. The answer is kept, so a name cannot be
public when it is checked and private when it is used.
"""

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import ip_address
from typing import cast

from aiohttp.abc import AbstractResolver, ResolveResult

from .config import DownloadConfig
from .guard import Allowed, check_address, split_target
from .reasons import Refused, Transient

# What loop.getaddrinfo gives: family, type, protocol, canonical name, (address, port, ...).
AddressInfo = tuple[int, int, int, str, tuple]
Lookup = Callable[[str, int], Awaitable[list[AddressInfo]]]
MAX_THREADS = 256
QUESTIONS = 2  # about a name that nobody answers for; the system's own resolver has tried more than once in each
GIVEN_UP_S = 60.0  # then it is not asked about


class Resolver(AbstractResolver):
    """Gives aiohttp the addresses of a host. `lookup` asks the system; tests put their own there."""

    def __init__(self, config: DownloadConfig, *, lookup: Lookup | None = None) -> None:
        self._targets = {pattern: split_target(target) for pattern, target in config.resolve.items()}
        self._allowed = [Allowed.parse(text) for text in config.allow_addresses]
        # A question takes seconds where nobody answers, and a few dead names must not keep all others waiting.
        self._threads = ThreadPoolExecutor(min(config.connections, MAX_THREADS), thread_name_prefix="resolve")
        self._lookup = lookup or self._ask_system
        self._patience_s = config.dns_s
        self._answers: dict[str, asyncio.Task[list[str]]] = {}  # host -> its addresses, or why there is none
        self._unanswered: Counter[str] = Counter()
        self._given_up: dict[str, float] = {}  # host -> time until which it is not asked about

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of `host`, checked. Raises Refused: dns or private_address."""
        target = self._target(host)
        answers = [target] if target else [(address, port) for address in await self._addresses(host, port)]
        addresses = sorted(set(answers), key=lambda pair: (":" in pair[0], pair))  # IPv4 first
        for address, at in addresses:
            check_address(ip_address(address), port=at, allowed=self._allowed)
        return [_result(host, address, at) for address, at in addresses]

    async def close(self) -> None:
        """Stop questions that nobody waits for any more."""
        for task in self._answers.values():
            task.cancel()
        await asyncio.gather(*self._answers.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """Open a socket, if the address is let through: the last gate, whatever the way to here."""
        family, kind, protocol, _, address = info
        try:
            check_address(ip_address(address[0]), port=address[1], allowed=self._allowed)
        except Refused as refused:
            raise OSError(errno.EACCES, refused.reason) from None  # what aiohttp expects of a socket that does not open
        return socket.socket(family, kind, protocol)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Return what the name server says, dead names included: it is asked once a host, whatever the port."""
        if host not in self._answers:
            self._answers[host] = asyncio.create_task(self._ask_for(host, port))
        try:
            return await asyncio.shield(self._answers[host])
        except Transient:
            self._answers.pop(host, None)
            raise

    def _target(self, host: str) -> tuple[str, int] | None:
        name = host.rstrip(".").lower()
        return next((target for pattern, target in self._targets.items() if fnmatchcase(name, pattern)), None)

    async def _ask_for(self, host: str, port: int) -> list[str]:
        if self._given_up.get(host, 0.0) > time.monotonic():
            raise Refused("dns", f"the name server does not answer for {host}")
        try:
            infos = await asyncio.wait_for(self._lookup(host, port), self._patience_s)
        except (TimeoutError, socket.gaierror) as error:
            if isinstance(error, TimeoutError) or error.errno == socket.EAI_AGAIN:
                raise self._no_answer(host) from None
            raise Refused("dns", f"no address for {host}") from None
        except (OSError, UnicodeError):
            raise Refused("dns", f"no address for {host}") from None
        if not infos:
            raise Refused("dns", f"no address for {host}")
        return [cast(str, info[4][0]) for info in infos]

    def _no_answer(self, host: str) -> Transient:
        self._unanswered[host] += 1
        if self._unanswered[host] % QUESTIONS == 0:
            self._given_up[host] = time.monotonic() + GIVEN_UP_S
        return Transient("dns", f"the name server does not answer for {host}")

    async def _ask_system(self, host: str, port: int) -> list[AddressInfo]:
        question = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return cast(list[AddressInfo], await asyncio.get_running_loop().run_in_executor(self._threads, question))


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
