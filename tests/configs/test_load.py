from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from configs import Config, UserError, dump, exit_code_of, fingerprint, load, printable, resolve


class Adam(Config):
    kind: Literal["adam"] = "adam"
    lr: float = Field(default=1e-4, gt=0)


class Muon(Config):
    kind: Literal["muon"] = "muon"
    momentum: float = 0.9


class Training(Config):
    steps: int
    optim: Annotated[Adam | Muon, Field(discriminator="kind")] = Adam()
    rules: dict[str, str] = {}


def test_the_command_line_lies_over_the_file_and_the_file_over_the_defaults(tmp_path: Path):
    file = tmp_path / "a.yaml"
    file.write_text("steps: 5\noptim: {kind: adam}\n")
    config = load(Training, file, ["optim.lr=3e-5", "rules.large=width >= 256"])
    assert (config.steps, config.optim, config.rules) == (5, Adam(lr=3e-5), {"large": "width >= 256"})
    file.write_text(dump(config))
    assert load(Training, file) == config


@pytest.mark.parametrize(
    ("values", "overrides", "said"),
    [
        ({"steps": 1, "stepz": 2}, [], "has no field 'stepz'; did you mean 'steps'?"),
        ({"steps": 1, "optim": {"kind": "adam", "lrr": 2}}, [], "has no field 'lrr'; did you mean 'lr'?"),
        ({"steps": 1, "optim": {"kind": "adam"}}, ["optim.lr=-1"], "greater than 0, got -1"),
        ({}, [], "steps: Field required"),
        ({"steps": 1}, ["steps"], "written key.sub=value"),
        ({"steps": 1}, ["steps.a=1"], "single value"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_remedy(values, overrides, said):
    with pytest.raises(UserError) as caught:
        resolve(Training, values, overrides, source="a.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "\x00"])
def test_a_file_that_is_no_config_says_so(tmp_path: Path, text: str):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"broken\.yaml"):
        load(Training, file)


@pytest.mark.parametrize("text", ["steps: 1\nsteps: 2\n", "steps: 1\nrules: {a: x, b: y, a: z}\n"])
def test_a_key_that_stands_twice_is_a_mistake(tmp_path: Path, text: str):
    file = tmp_path / "twice.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"stands twice.*line 2"):
        load(Training, file)


def test_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        load(Training, tmp_path / "none.yaml")


def test_a_fingerprint_is_of_the_values_alone():
    assert fingerprint("a", {"x": 1, "y": 2}) == fingerprint("a", {"y": 2, "x": 1})
    assert fingerprint(Training(steps=1)) == fingerprint(Training(steps=1).model_dump(mode="json"))
    assert fingerprint(1) != fingerprint("1")
    assert len(fingerprint()) == 24


@pytest.mark.parametrize("text", ["steps=[a", "steps=@x", "rules={*.test: 1}"])
def test_an_override_that_is_no_yaml_is_told(tmp_path: Path, text: str):
    (tmp_path / "a.yaml").write_text("steps: 1\n")
    with pytest.raises(UserError, match="put it in quotes"):
        load(Training, tmp_path / "a.yaml", [text])


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases .* stand for 4[0-9,]+ values"),
        ("rules: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("steps: " + "9" * 6000, "digits"),
        ("steps: &s [*s]", "steps"),
        (f"steps: {'x' * 100_000}", r"got 'x{196}\.\.\."),
    ],
)
def test_a_few_lines_that_stand_for_too_much_are_one_line(tmp_path: Path, text: str, said: str):
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load(Training, file)
    assert len(str(caught.value)) < 700
    with pytest.raises(UserError):
        resolve(Training, {}, [f"steps={text.partition(': ')[2]}"])


def test_strangers_bytes_are_escaped_on_a_terminal(capsys: pytest.CaptureFixture[str]):
    text = "red\x1b[31m \x9b31m line\nforged: \u202eevil\udc80 \u4e2d\u6587 caf\u00e9"
    assert printable(text) == r"red\x1b[31m \x9b31m line\nforged: \u202eevil\udc80 " + "\u4e2d\u6587 caf\u00e9"

    def command() -> int:
        raise UserError(text)

    assert exit_code_of(command) == 2
    assert capsys.readouterr().err == f"corgi: {printable(text)}\n"


class Lists(Config):
    formats: tuple[Literal["jpeg", "png"], ...] = ()
    names: list[str] = []
    tracks: list[Adam] = []
    betas: tuple[float, float] = (0.9, 0.99)


def test_a_single_value_is_a_list_of_one():
    config = resolve(Lists, {"formats": "jpeg", "names": "a, b.parquet"[3:], "tracks": {"lr": 0.5}})
    assert config == Lists(formats=("jpeg",), names=["b.parquet"], tracks=[Adam(lr=0.5)])
    assert resolve(Lists, {}, ["names=x", "formats=[png, jpeg]"]).names == ["x"]
    with pytest.raises(UserError, match="betas"):
        resolve(Lists, {"betas": 0.5})


def test_a_string_that_may_be_several_is_refused():
    with pytest.raises(UserError, match=r"names: one value or several\? write a list, as names: \[a, b\]"):
        resolve(Lists, {"names": "a, b"})
