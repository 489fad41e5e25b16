"""Manners and patience: waits that are out of step, silent hosts, dead names, and a machine without a network."""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from configs import UserError
from pipeline.download import wishes
from pipeline.download.config import DownloadConfig
from pipeline.download.guarded import fetch_shard
from pipeline.download.host_limits import jittered
from pipeline.download.resolver import AddressInfo, Resolver
from pipeline.download.silent_hosts import LAG
from pipeline.download.step import Download
from pipeline.runner import run_shards
from storage.pairs import Outcome

from .download_server import Page, Web, config_for, jpeg, plan_shard, serve

PICTURE = jpeg(1, 64, 48)
GAVE_UP = "host gave up after 5 failures"
HOSTS = DownloadConfig().stop_after_hosts
TRIED = 5 + LAG - 1  # urls of a host that never answers


@pytest.fixture(autouse=True)
def _no_wishes_kept():
    wishes._kept.clear()


def test_waits_are_spread_but_the_same_on_every_run():
    waits = [jittered(2.0, f"http://a.test/{n}.jpg", attempt) for n in range(100) for attempt in (1, 2)]
    assert waits == [jittered(2.0, f"http://a.test/{n}.jpg", attempt) for n in range(100) for attempt in (1, 2)]
    assert len(set(waits)) == 200 and 1.0 <= min(waits) < 1.2 and 2.8 < max(waits) < 3.0
    assert jittered(0.0, "http://a.test/\udce9", 1) == 0.0


def outcomes_of(config: DownloadConfig, urls: list[str], **lookup: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    fetch_shard(config, [{"key": "k", "url": url, "caption": ""} for url in urls], outcomes.append, **lookup)
    return outcomes


def rows(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """All that is stored of them, and nothing of what it took."""
    return [tuple(value for name, value in vars(outcome).items() if name != "effort") for outcome in outcomes]


@contextmanager
def nobody() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.long
@pytest.mark.parametrize("reason", ["timeout", "connect"])
def test_a_host_that_does_not_answer_is_given_up_and_equally_so_on_every_run(reason: str):
    urls = [f"http://{host}.test/{n}.jpg" for n in range(40) for host in ("silent", "good")]
    with serve({"*/" + f"{n}.jpg": Page(PICTURE) for n in range(40)}) as web_, nobody() as nowhere:
        web_.pages |= {f"silent.test/{n}.jpg": Page(PICTURE, wait_s=600) for n in range(40)}
        values: dict[str, Any] = {"first_byte_s": 1.0, "retries": 0, "robots": "ignore", "opt_out": "ignore"}
        if reason == "connect":
            values["resolve"] = {"silent.test": nowhere, "*.test": web_.target}
            values["allow_addresses"] = (web_.target, nowhere)
        made = []
        for connections, of_a_host in ((64, 64), (4, 4)):
            config = config_for(web_, connections=connections, host_connections=of_a_host, **values)
            made.append(outcomes_of(config, urls))
        asked = Counter(where.partition("/")[0] for where in web_.asked.elements())
    silent, good = made[0][::2], made[0][1::2]
    assert {outcome.status for outcome in good} == {"ok"}
    assert [outcome.status for outcome in silent] == [reason] * 40
    assert [outcome.detail == GAVE_UP for outcome in silent] == [False] * TRIED + [True] * (40 - TRIED)
    assert asked["silent.test"] == (2 * TRIED if reason == "timeout" else 0)
    assert rows(made[1]) == rows(made[0])


@pytest.mark.long
def test_a_host_that_answers_now_and_then_is_not_given_up():
    pages = {f"a.test/{n}.jpg": Page(PICTURE, wait_s=600.0 * (n % 5 != 0)) for n in range(60)}
    with serve(pages) as web_:
        config = config_for(web_, first_byte_s=1.0, host_connections=16)
        outcomes = outcomes_of(config, [f"http://{where}" for where in pages])
    assert [outcome.status for outcome in outcomes] == ["ok", *["timeout"] * 4] * 12
    assert {outcome.detail for outcome in outcomes} == {None, "no answer"}


def test_a_host_is_never_given_up_where_that_is_asked_for():
    pages = {f"a.test/{n}.jpg": Page(PICTURE, wait_s=600) for n in range(30)}
    with serve(pages) as web_:
        config = config_for(web_, first_byte_s=1.0, host_connections=30, host_failures=0)
        outcomes_of(config, [f"http://{where}" for where in pages])
        assert sum(web_.asked[where] for where in pages) == 30


def test_one_slow_url_keeps_nobody_waiting():
    class Last(Web):
        """Answers /0.jpg when all others have been asked for."""

        async def _answer(self, request: Any, where: str) -> Any:
            while where == "a.test/0.jpg" and len(self.asked) < 50 + 3:  # and three files of wishes
                await asyncio.sleep(0.01)
            return await super()._answer(request, where)

    pages = {f"a.test/{n}.jpg": Page(PICTURE) for n in range(50)}
    with serve(pages, kind=Last) as web_:
        outcomes = outcomes_of(config_for(web_), [f"http://{where}" for where in pages])
    assert {outcome.status for outcome in outcomes} == {"ok"}


def test_a_dead_name_is_asked_about_once_a_shard():
    asked: Counter[str] = Counter()

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        asked[host] += 1
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    origins = ("http://dead.example", "https://dead.example", "http://dead.example:81")
    urls = [f"{origin}/{n}.jpg" for n in range(9) for origin in origins]
    with serve({}) as web_:
        outcomes = outcomes_of(config_for(web_), urls, lookup=lookup)
    assert {outcome.status for outcome in outcomes} == {"dns"}
    assert asked == {"dead.example": 1}


def dead(count: int) -> list[str]:
    return [f"http://dead{n}.test/x.jpg" for n in range(count)]


def test_a_machine_without_a_network_ends_the_step_and_says_what_to_look_at(tmp_path: Path):
    with serve({}) as web_, nobody() as nowhere:
        config = config_for(web_, retries=0, resolve={"*.test": nowhere}, allow_addresses=(nowhere,))
        shard = plan_shard(tmp_path, ["not a url", "http://10.0.0.7/", *dead(HOSTS)])
        with pytest.raises(UserError, match=r"dead0\.test, dead1\.test, .* 50 no connection.*name server") as error:
            run_shards(Download(config), [shard])  # in a process of its own
        assert error.value.exit_code == 1
        assert [path.name for path in (tmp_path / "000").iterdir()] == ["00000.urls.parquet"]
        Download(config)(plan_shard(tmp_path / "fewer", dead(HOSTS - 1)))  # that may well be
        patient = config.model_copy(update={"stop_after_hosts": 0})
        assert Download(patient)(plan_shard(tmp_path / "gone", dead(HOSTS))) == {"connect": HOSTS}


def test_names_that_nobody_knows_are_told_from_connections():
    async def lookup(host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with serve({}) as web_, pytest.raises(UserError, match="50 have no address, 0 no connection"):
        outcomes_of(config_for(web_), [f"http://h{n}.example/" for n in range(HOSTS)], lookup=lookup)


@pytest.mark.parametrize("at", [0, 20, 150])
@pytest.mark.parametrize("page", [Page(PICTURE), Page(status=404), Page(status=500)], ids=["picture", "404", "500"])
def test_many_dead_urls_with_a_living_one_among_them_are_no_broken_network(page: Page, at: int):
    urls = dead(160)
    urls[at] = "http://good.test/x.jpg"
    with serve({"good.test/x.jpg": page}) as web_, nobody() as nowhere:
        resolve = {"good.test": web_.target, "*.test": nowhere}
        config = config_for(web_, retries=0, resolve=resolve, allow_addresses=(web_.target, nowhere))
        outcomes = outcomes_of(config, urls)
    assert Counter(outcome.status for outcome in outcomes)["connect"] == 159


FEW_FILES = """
import os, resource, sys
from pipeline.download.config import DownloadConfig
from pipeline.download.guarded import fetch_shard
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
statuses = []
planned = [{"key": "k", "url": f"http://h{number}.test/x.jpg", "caption": ""} for number in range(400)]
fetch_shard(DownloadConfig.model_validate_json(sys.argv[1]), planned, lambda outcome: statuses.append(outcome.status))
print(len(statuses), *set(statuses))
"""


def with_files(limit: int, config: DownloadConfig) -> subprocess.CompletedProcess[str]:
    """A shard of 400 hosts in a process that may have so many files open."""
    words = [sys.executable, "-c", FEW_FILES, config.model_dump_json(), str(limit)]
    return subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_shard_of_many_hosts_takes_few_descriptors():
    with serve({"*/x.jpg": Page(PICTURE)}) as web_:
        done = with_files(128, config_for(web_, connections=16))
    assert done.stdout.split() == ["400", "ok"], done.stderr


def test_a_process_without_descriptors_blames_no_url():
    with serve({"*/x.jpg": Page(PICTURE, wait_s=5)}) as web_:  # so that many are under way at once
        done = with_files(40, config_for(web_, connections=64))
    assert done.stdout == "" and 'raise "ulimit -n" or lower download.connections' in done.stderr


def test_hosts_that_come_again_need_no_new_connections(monkeypatch):
    opened: Counter[str] = Counter()
    open_socket = Resolver.open_socket

    def counted(resolver: Resolver, info: AddressInfo) -> socket.socket:
        opened["sockets"] += 1
        return open_socket(resolver, info)

    monkeypatch.setattr(Resolver, "open_socket", counted)
    hosts = 20
    with serve({"*/x.jpg": Page(PICTURE)}) as web_:
        urls = [f"http://h{number}.test/x.jpg" for number in range(hosts)] * 4
        outcomes = outcomes_of(config_for(web_, connections=4, host_connections=2), urls)
        asked = web_.asked.total()
    assert {outcome.status for outcome in outcomes} == {"ok"} and asked == 7 * hosts
    assert opened["sockets"] <= 2 * hosts
