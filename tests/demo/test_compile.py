"""Compile: every sentence drawn, screened and hashed; who draws and how often it is killed changes no byte."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from configs import UserError, dump, load
from demo.compile import Plan, drawn
from demo.draw import decoded, encoded, screened
from demo.policy import Policy
from demo.review import say
from demo.vocabulary import Vocabulary, combinations
from storage import ledger
from storage.demo import DRAWN, read_demo
from storage.processes import child_environment

from .small_demo import approve, bundled, compiled, vocabulary

ROOT = Path(__file__).parents[2]
MANY = 5  # pictures of each of 14 sentences: five shards of 16


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob(f"*{DRAWN}"))}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("demo.compile.PER_SHARD", 2)


def test_every_combination_has_its_pictures_at_every_size(demo: Path):
    pictures = list(drawn(demo))
    assert [(each.prompt, each.number) for each in pictures] == [
        (each.prompt, number) for each in combinations(vocabulary()) for number in range(2)
    ]
    for picture in pictures:
        assert [(image.stage, image.px) for image in picture.images] == [("base16", 16), ("sr64", 64)]
        for image in picture.images:
            assert image.sha256 == hashlib.sha256(image.data).hexdigest()
            with PillowImage.open(io.BytesIO(image.data)) as opened:
                assert opened.size == (image.px, image.px)
        assert picture.reason is None and 0 <= picture.nsfw < 0.5 and len(picture.pdq) == 32
    assert len({picture.seed for picture in pictures}) == len(pictures)
    assert len({picture.images[-1].sha256 for picture in pictures}) == len(pictures)


@pytest.mark.long
def test_ranks_in_any_order_draw_the_same_bytes_and_only_what_is_missing(
    stages: list[Path], tmp_path: Path, small_shards: None
):
    few, whole, ranks = vocabulary(thing=["a lemon"], colour=["a red", "a blue"]), tmp_path / "all", tmp_path / "ranks"
    assert compiled(stages, whole, vocabulary=few)[:2] == (3, 0)
    for rank in (2, 0, 1):
        assert compiled(stages, ranks, vocabulary=few, rank=rank, world_size=3)[:2] == (1, 0)
    before = files(whole)
    assert len(before) == 3 and files(ranks) == before
    torn = next(whole.rglob(f"00001{DRAWN}"))
    torn.write_bytes(torn.read_bytes()[:100])
    with pytest.raises(UserError, match=r"not there; run the same `corgi demo compile` again"):
        list(drawn(whole))
    assert compiled(stages, whole, vocabulary=few)[:2] == (1, 2)
    assert files(whole) == before


def test_another_seed_word_or_policy_makes_shards_stale(stages: list[Path], tmp_path: Path):
    folder = tmp_path / "demo"
    fewer = vocabulary(thing=["a lemon"], colour=["a red"])
    assert compiled(stages, folder, vocabulary=fewer).done == 1
    assert compiled(stages, folder, vocabulary=fewer, seed=1).done == 1
    assert compiled(stages, folder, vocabulary=vocabulary(thing=["a pear"], colour=["a red"]), seed=1).done == 1
    stricter = vocabulary("policy.nsfw=0.4", thing=["a pear"], colour=["a red"])
    assert compiled(stages, folder, vocabulary=stricter, seed=1).done == 1
    lines = [line for line in ledger.read(folder) if line["event"] == "step"]
    assert [line["step"] for line in lines] == ["demo-compile"] * 4


def test_blocked_pictures_are_counted_with_a_reason_and_none_of_their_bytes_is_kept(stages: list[Path], tmp_path: Path):
    few = {"thing": ["a lemon"], "colour": ["a red"]}
    counts = compiled(stages, tmp_path / "all", vocabulary=vocabulary("policy.nsfw=0", **few)).counts
    assert counts == {"blocked_nsfw": 4}
    assert all(picture.images == () and picture.reason == "nsfw" for picture in drawn(tmp_path / "all"))
    with pytest.raises(UserError, match="no picture is approved"):
        bundled(tmp_path / "all", tmp_path / "site")
    compiled(stages, tmp_path / "one", vocabulary=vocabulary(**few))
    shown = next(iter(drawn(tmp_path / "one"))).images[0].sha256
    (tmp_path / "list.txt").write_text(f"{shown}\n")
    listed = vocabulary(f"policy.block_hashes=[{tmp_path / 'list.txt'}]", **few)
    assert compiled(stages, tmp_path / "one", vocabulary=listed).counts == {"blocked_blocked_hash": 1, "drawn": 3}


def test_a_listed_picture_is_known_again_by_its_looks(tmp_path: Path):
    blocks = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels = blocks.repeat(32, 0).repeat(32, 1)
    image = encoded("sr256", pixels)
    assert image.kind == "webp" and np.abs(decoded(image).astype(int) - pixels).mean() < 8
    reason, _, pdq = screened([image], Policy())
    assert reason is None
    (tmp_path / "list.txt").write_text(f"pdq:{pdq.hex()}\n")
    listed = Policy(block_hashes=(tmp_path / "list.txt",))
    mirrored = encoded("sr256", np.ascontiguousarray(pixels[:, ::-1]))
    assert screened([mirrored], listed)[0] == "blocked_hash"
    assert Policy().fingerprint != listed.fingerprint


def test_a_redraw_changes_that_picture_alone(stages: list[Path], tmp_path: Path):
    folder, few = tmp_path / "demo", vocabulary(thing=["a lemon"], colour=["a red"])
    compiled(stages, folder, vocabulary=few)
    approve(folder)
    before = {picture.key: picture for picture in drawn(folder)}
    asked = next(iter(before.values()))
    say(folder, asked, "redraw", reviewer="ada", note="two stems")
    with pytest.raises(UserError, match="stale"):
        list(drawn(folder))
    compiled(stages, folder, vocabulary=few)
    after = {picture.key: picture for picture in drawn(folder)}
    assert {key for key in before if before[key] != after[key]} == {asked.key}
    assert after[asked.key].attempt == 1 and after[asked.key].seed != asked.seed


def test_a_stage_that_was_trained_on_is_another_model(stages: list[Path], demo: Path):
    facts = read_demo(demo)["stages"]
    assert [fact["name"] for fact in facts] == ["base16", "sr64"] and all(len(fact["weights"]) == 64 for fact in facts)
    plan = Plan.read(demo)
    orders = next(iter(plan.shards(demo).values()))
    other = replace(plan, stages=[{**facts[0], "weights": "0" * 64}, facts[1]])
    assert other.fingerprint(orders) != plan.fingerprint(orders)


def test_enlarging_stages_alone_draw_nothing(stages: list[Path], tmp_path: Path):
    with pytest.raises(UserError, match="sr64 enlarges; a demo needs the base stage, too"):
        compiled(stages[1:], tmp_path / "demo")
    with pytest.raises(UserError, match="rank 3 of 3"):
        compiled(stages, tmp_path / "demo", rank=3, world_size=3)


@pytest.mark.long
def test_killed_and_run_again_and_by_three_ranks_it_is_the_same_bundle(stages: list[Path], tmp_path: Path):
    (tmp_path / "vocabulary.yaml").write_text(dump(vocabulary()))
    assert load(Vocabulary, tmp_path / "vocabulary.yaml") == vocabulary()

    def command(out: Path, *further: str) -> list[str]:
        paths = [str(tmp_path / "vocabulary.yaml"), *map(str, stages), "--out", str(out)]
        return [sys.executable, "-m", "corgi", "demo", "compile", *paths, "--pictures", str(MANY), *further]

    environment = {**child_environment(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed, ranks = tmp_path / "killed" / "demo", tmp_path / "ranks" / "demo"
    child = subprocess.Popen(command(killed), env=environment, start_new_session=True)
    while not any(killed.rglob(f"*{DRAWN}")):
        assert child.poll() is None
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert len(files(killed)) < 5
    subprocess.run(command(killed), env=environment, check=True)
    parts = [
        subprocess.Popen(command(ranks, "--rank", str(rank), "--world-size", "3"), env=environment) for rank in range(3)
    ]
    assert [part.wait() for part in parts] == [0, 0, 0]
    assert len(files(killed)) == 5 and files(killed) == files(ranks)
    for folder in (killed, ranks):
        approve(folder, but=["an emoji of a pear, food"])
        bundled(folder, folder.parent / "site", key=tmp_path / "key.pem")
    assert tree(killed.parent / "site") == tree(ranks.parent / "site")
