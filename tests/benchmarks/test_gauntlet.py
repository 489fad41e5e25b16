"""The gauntlet judges by what is stored; the guarded engine passes some cases of every category."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gauntlet
from benchmarks.hostile import further
from benchmarks.hostile.case import OK, Case, picture
from benchmarks.hostile.downloaders import Kept, Names, guarded
from benchmarks.hostile.pictures import CANARY
from benchmarks.hostile.server import HostileWeb

CASES = gauntlet.by_category(gauntlet.all_cases())
IN_SECONDS = 4  # cases of a category
SLOW = "S5 endless and odd answers"  # each of its cases may take all the time there is


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "private.jpg"
    path.write_bytes(picture(998))
    return path


def test_every_attack_and_protocol_has_cases():
    assert sum(map(len, CASES.values())) >= 400
    assert {category.split()[0] for category in CASES} == {"S3", "S4", "S5", "S6", "S9", "S11", "S12"}
    for category, cases in CASES.items():
        assert len({(case.name, case.url) for case in cases}) == len(cases), category
    hosts = [where.partition("/")[0] for cases in CASES.values() for case in cases for where in {*case.pages}]
    assert len(hosts) == sum(len(case.pages) for cases in CASES.values() for case in cases)


def test_the_guarded_engine_passes_some_of_each(canary: Path):
    kept_apart = {SLOW, *gauntlet.FORMATS}
    some = [cases[:: -(-len(cases) // IN_SECONDS)] for name, cases in CASES.items() if name not in kept_apart]
    score = gauntlet.run(guarded, [case for cases in some for case in cases], canary=canary)
    assert score.faults == [] and score.cases > 50 and score.arrived == score.healthy == gauntlet.HEALTHY


def test_the_guarded_engine_passes_bombs_in_further_formats(canary: Path):
    score = gauntlet.run(guarded, CASES[further.CATEGORY], canary=canary)
    assert score.faults == [] and score.arrived == score.healthy


@pytest.mark.long
def test_the_guarded_engine_passes_all(canary: Path):
    for cases in CASES.values():
        score = gauntlet.run(guarded, cases, canary=canary)
        assert score.faults == [] and score.arrived == score.healthy


def test_a_downloader_without_a_guard_is_found_out(canary: Path):
    def careless(rows: Sequence[dict[str, Any]], web: HostileWeb, names: Names, formats: Sequence[str]) -> list[Kept]:
        return [Kept(picture(1) if "healthy" not in row["url"] else None) for row in rows]

    score = gauntlet.run(careless, CASES["S3 urls"][:5], canary=canary)
    assert (score.passed, score.arrived) == (0, 0)
    assert len(score.faults) == 5 + gauntlet.HEALTHY


@pytest.mark.parametrize(
    ("case", "kept", "fault"),
    [
        (Case("x", "S6", "http://a.test/", OK), Kept(picture(1)), None),
        (Case("x", "S6", "http://a.test/", OK), Kept(None, "timeout"), "not stored, though it should be (timeout)"),
        (Case("x", "S6", "http://a.test/", ("corrupt",)), Kept(None), None),
        (Case("x", "S6", "http://a.test/", ("corrupt",)), Kept(None, "timeout"), "timeout, not corrupt"),
        (Case("x", "S6", "http://a.test/", ("corrupt",)), Kept(picture(1)), "stored, though it must not be"),
        (Case("x", "S6", "http://a.test/", ("ok", "corrupt")), Kept(None, "corrupt"), None),
        (
            Case("x", "S12", "http://a.test/", OK, absent=(CANARY,)),
            Kept(picture(1) + CANARY),
            "b'canary-7f3a' is in what is stored",
        ),
        (
            Case("x", "S12", "http://a.test/", OK, size=(1, 2)),
            Kept(picture(1)),
            "stored as (320, 240), not (1, 2)",
        ),
    ],
)
def test_what_is_judged(case: Case, kept: Kept, fault: str | None):
    assert gauntlet.judge(case, kept) == fault
