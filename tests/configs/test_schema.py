"""An editor that goes by the schema says of a YAML what loading it says: no false alarm, and no typo missed."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import configs
from commands.config import kinds_of_config
from configs import UserError, read_yaml, resolve
from configs.schema import schema_of
from corgi import app

MODELS = {kind: model for kind, (model, _) in kinds_of_config().items()}
CHECKERS = {kind: Draft202012Validator(schema_of(model)) for kind, model in MODELS.items()}
SHIPPED = sorted(Path(configs.__file__).parent.rglob("*.yaml"))


def loads(kind, values) -> bool:
    try:
        resolve(MODELS[kind], values)
    except UserError:
        return False
    return True


@pytest.mark.parametrize("kind", MODELS)
def test_shipped_configs_have_no_red_line(kind):
    Draft202012Validator.check_schema(CHECKERS[kind].schema)
    own = [file for file in SHIPPED if loads(kind, read_yaml(file))]
    assert own
    for file in own:
        assert [error.message for error in CHECKERS[kind].iter_errors(read_yaml(file))] == [], file


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("pipeline", {"run": "r", "table": "t.parquet"}),  # one, where a list of one is meant
        ("pipeline", {"run": "r", "table": ["t.parquet", "u.parquet"], "select": {"rules": {"a": "width > 3"}}}),
        ("pipeline", {"run": "r", "tabel": "t.parquet"}),
        ("pipeline", {"table": "t.parquet"}),
        ("pipeline", {"run": "r", "table": "t.parquet", "plan": {"shard_size": "many"}}),
        ("pipeline", {"run": "r", "table": "t.parquet", "plan": {"shard_size": 0}}),
        ("pipeline", {"run": "r", "table": "t.parquet", "download": {"engine": "wget"}}),
        ("chain", {"pipeline": "p.yaml", "run": "r", "trian": []}),
        ("evaluate", {"sampls": 3}),
    ],
)
def test_the_schema_and_loading_say_the_same(kind, values):
    assert CHECKERS[kind].is_valid(values) == loads(kind, values)


def test_an_editor_finds_meaning_and_default():
    (download,) = [part for name, part in CHECKERS["pipeline"].schema["$defs"].items() if name == "DownloadConfig"]
    key = download["properties"]["retries"]
    assert isinstance(key["default"], int) and key["description"]


def test_the_command_prints_it_and_knows_its_kinds():
    done = CliRunner().invoke(app, ["config", "--schema", "training"])
    assert json.loads(done.stdout) == schema_of(MODELS["training"])
    with pytest.raises(UserError, match="one of pipeline, training, evaluate, chain"):
        CliRunner().invoke(app, ["config", "--schema", "train"], catch_exceptions=False, standalone_mode=False)
