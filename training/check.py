"""What can be known to be wrong with a stage's training before its folder is touched: all of it, a line each."""

from collections.abc import Callable, Iterator
from typing import Any

from cascade.text_encoder import width_of
from configs import UserError, nearest
from pipeline.config import PipelineConfig
from storage.index import INDEX

from .config import OWN, TrainConfig, accumulation
from .data.index import check_text, read_index

TRAIN_COLUMN = "train"  # of every keep-list


def problems_of(
    config: TrainConfig,
    *,
    world_size: int,
    here: bool = True,
    processes: int | None = None,
    pipeline: PipelineConfig | None = None,
) -> Iterator[UserError]:
    """Yield what does not fit: batch, GPUs of this machine, pairs, text.

    here: it is to be trained on this machine, by so many processes; None: as the config says. pipeline: what makes the
    index first, where that is so; else it must be there.
    """
    yield from _raised(accumulation, config, world_size)
    each = processes or config.processes
    if here and each > 1 and 0 < (count := _gpus()) < each:
        yield UserError(f"processes is {each}, but this machine has {count} GPUs; say processes: {count}")
    if config.text.mode == "live":
        yield from _raised(_check_width, config)
    if pipeline is not None and config.data.index.absolute() == (pipeline.run / INDEX).absolute():
        yield from _fits(config, pipeline)
    else:
        yield from _raised(_check_index, config)


def _gpus() -> int:
    """Return how many GPUs there are; torch is loaded for no other question."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _fits(config: TrainConfig, pipeline: PipelineConfig) -> Iterator[UserError]:
    """Yield what the pipeline will not make as the training expects it."""
    columns, stored, asked = [TRAIN_COLUMN, *pipeline.select.stages], pipeline.embed, config.text
    if config.data.column not in columns:
        yield UserError(
            f"data.column {config.data.column!r} is no column of the keep-list{nearest(config.data.column, columns)}"
        )
    if asked.mode == "live":
        return
    if (asked.encoder.encoder, asked.encoder.made_with()) != (stored.text.encoder, stored.text.made_with()):
        yield UserError(
            f"text.encoder is {_shown(asked.encoder)}, but embed.text of the pipeline {_shown(stored.text)}; "
            "make them equal"
        )
    for column in asked.captions:
        if column not in (OWN, *stored.captions):
            yield UserError(
                f"text.captions has {column!r}, which is not in the pipeline's embed.captions; add it there"
            )
    yield from _raised(_check_width, config)


def _shown(text: Any) -> str:
    return f"{text.encoder!r} ({', '.join(f'{name} {value}' for name, value in text.made_with().items())})"


def _check_index(config: TrainConfig) -> None:
    check_text(read_index(config.data), config.text, text_width=config.stage.text_width)


def _check_width(config: TrainConfig) -> None:
    width = width_of(config.text.encoder)
    if width != config.stage.text_width:
        raise UserError(
            f"stage.text_width is {config.stage.text_width}, but embeds of {config.text.encoder.encoder!r} are {width} "
            f"wide; say text_width: {width}"
        )


def _raised(check: Callable[..., object], *arguments: Any) -> Iterator[UserError]:
    try:
        check(*arguments)
    except UserError as error:
        yield error
