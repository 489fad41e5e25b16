"""What can be said in configs and in rules: the reference of all keys, and the columns of a pair."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app

if TYPE_CHECKING:
    from configs import Config
    from configs.reference_page import Reference

Word = Annotated[
    str | None,
    typer.Argument(metavar="KEY|columns", help="e.g. download.retries, download, training:optim.lr; or: columns"),
]
Source = Annotated[Path | None, typer.Argument(help="With columns: folder of a run, or YAML of a pipeline.")]


@app.command()
def config(
    word: Word = None,
    source: Source = None,
    is_all: Annotated[bool, typer.Option("--all", help="Every key of every config.")] = False,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="With --all: as the page docs/config.md.")] = False,
    schema: Annotated[
        str | None, typer.Option(metavar="KIND", help="JSON Schema for editors: pipeline, training, evaluate or chain.")
    ] = None,
) -> None:
    """Tell what can be said in a config. Type, default, unit, meaning and example of a key; the columns of rules."""
    from configs import UserError
    from configs.reference_page import listed, look_up, page

    if schema is not None:
        print(schema_text(schema))
    elif is_all:
        reference, introductions = reference_of_all()
        print(page(reference, introductions) if is_markdown else listed(reference), end="" if is_markdown else "\n")
    elif word == "columns" and source is not None:
        from pipeline.column_facts import told

        print(told(source))
    elif word is None or word == "columns":
        raise UserError("give a key, as `corgi config download.retries`; `columns` and a run or YAML; or --all")
    else:
        print(look_up(reference_of_all()[0], word))


def schema_text(kind: str) -> str:
    """Return the JSON Schema of a kind of config. Raises UserError."""
    from configs import UserError
    from configs.schema import schema_of

    models = kinds_of_config()
    if kind not in models:
        raise UserError(f"--schema {kind}: there is no such kind of config; give one of {', '.join(models)}")
    return json.dumps(schema_of(models[kind][0]), indent=2)


def reference_of_all() -> "tuple[Reference, dict[str, str]]":
    """Return the keys of every kind of config, and a sentence about each."""
    import configs
    from configs import read_yaml
    from configs.reference import keys_of

    kinds = kinds_of_config()
    shipped = [read_yaml(file) for file in sorted(Path(configs.__file__).parent.rglob("*.yaml"))]
    reference = {
        kind: list(keys_of(model, [values for values in shipped if {*values} <= {*model.model_fields}]))
        for kind, (model, _) in kinds.items()
    }
    return reference, {kind: sentence for kind, (_, sentence) in kinds.items()}


def kinds_of_config() -> "dict[str, tuple[type[Config], str]]":
    """Return the model of every kind of config, and a sentence about it."""
    from evaluation.config import EvaluateConfig
    from pipeline.config import PipelineConfig
    from slurm.config import ChainConfig
    from training.config import TrainConfig

    return {
        "pipeline": (PipelineConfig, "`corgi plan FILE` and all steps after it."),
        "training": (TrainConfig, "`corgi train FILE`: one stage."),
        "evaluate": (EvaluateConfig, "`corgi evaluate RUN`; the file is RUN/evaluate.yaml."),
        "chain": (ChainConfig, "`corgi submit FILE`: the whole way on a SLURM cluster."),
    }
