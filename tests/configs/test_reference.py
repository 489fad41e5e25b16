"""What `corgi config` tells of keys: all of it from the models, and the committed page with it."""

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
import yaml
from pydantic import Field, create_model
from typer.testing import CliRunner

from commands.config import reference_of_all
from configs import Config, UserError, resolve
from configs.reference import keys_of
from configs.reference_page import look_up, page
from corgi import app

PAGE = Path(__file__).parents[2] / "docs/config.md"
REFERENCE, INTRODUCTIONS = reference_of_all()


class Track(Config):
    """One average. And more."""

    decay: float = Field(default=0.9, gt=0, lt=1)  # share that stays


class Adam(Config):
    kind: Literal["adam"] = "adam"  # which


class Muon(Config):
    kind: Literal["muon"] = "muon"  # which
    momentum: float = 0.9  # of the buffer


class Training(Config):
    """For the test."""

    total_s: float = Field(ge=1)  # patience
    # Two lines above,
    # for one key.
    names: list[str] = Field(default=[], examples=[["a", "b"]])

    # A heading.

    far: int | None = Field(default=None, ge=1, examples=[3])  # null: near
    tracks: dict[str, Track] = {}
    optim: Annotated[Adam | Muon, Field(discriminator="kind")] = Adam()  # who


def test_a_key_is_told_from_its_declaration():
    keys = {(key.name, key.note): key for key in keys_of(Training, [{"total_s": 5, "tracks": {"x": {"decay": 0.5}}}])}
    told = {name: (key.words, key.default, key.meaning, key.example) for name, key in keys.items()}
    assert told["total_s", ""] == ("number >= 1, s", "required", "patience", "5")
    assert told["names", ""] == ("list of text", "[]", "Two lines above, for one key.", "[a, b]")
    assert told["far", ""] == ("whole number >= 1 or null", "null", "null: near", "3")
    assert told["tracks", ""][2] == "One average."
    assert told["tracks.NAME.decay", ""] == ("number > 0 and < 1", "0.9", "share that stays", "0.5")
    assert told["optim.momentum", "kind: muon"] == ("number", "0.9", "of the buffer", "0.9")
    assert ("optim.momentum", "kind: adam") not in told


def test_every_key_says_what_it_means_and_gives_an_example_that_fits():
    for kind, keys in REFERENCE.items():
        for key in keys:
            assert key.meaning, f"{kind}:{key.name} has no comment beside its declaration"
            if key.example:
                alone: Any = create_model("Alone", __base__=Config, value=cast(Any, (key.field.annotation, key.field)))
                resolve(alone, {"value": yaml.safe_load(key.example)}, source=key.name)
            else:
                assert "section" in key.kind, f"{kind}:{key.name} has no example: Field(examples=[...])"


def test_the_page_in_docs_is_that_of_today():
    assert PAGE.read_text(encoding="utf-8") == page(REFERENCE, INTRODUCTIONS), (
        "run: corgi config --all --markdown > docs/config.md"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("download.retries", "default  2"),
        ("pipeline:download.retries", "example  download.retries="),
        ("download", "download.host_interval_s"),
        ("lr", "training:optim.lr"),
        ("ema.fast.decay", "> 0 and < 1"),
        ("plan.join[].on", "uid"),
        ("slurm.download.tasks", "size of the array"),
    ],
)
def test_a_key_is_found_by_its_name_its_end_or_its_section(word: str, said: str):
    assert said in look_up(REFERENCE, word)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("download.retrys", "did you mean pipeline:download.retries"),
        ("optimizer.lrr", "training:optim.lr"),
        ("trainign:optim.lr", "one of pipeline, training"),
        ("zzzzzz", "--all"),
    ],
)
def test_a_misspelt_key_names_the_nearest(word: str, said: str):
    with pytest.raises(UserError) as caught:
        look_up(REFERENCE, word)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_tells_a_key():
    told = CliRunner().invoke(app, ["config", "dedup.distance"])
    assert told.exit_code == 0 and "whole number >= 0 and <= 31" in told.stdout and "default  15" in told.stdout
    wrong = CliRunner().invoke(app, ["config", "dedup.distence"])
    assert isinstance(wrong.exception, UserError) and "dedup.distance" in str(wrong.exception)
