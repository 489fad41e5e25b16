"""`corgi sample`: captions into PNG files that say how they were drawn.

corgi sample runs/x/train/base16 runs/x/train/sr64 --caption "a red apple"     runs/x/samples/a-red-apple-0.sr64.png
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field

from cascade.device import find_device
from cascade.generate import Cascade, Precision
from cascade.sampler_options import samplers_of
from cascade.samplers import SamplerConfig
from configs import Config, UserError, hashed
from pipeline.progress import Progress
from storage.atomic import sha256_file
from storage.pictures import contact_sheet, write_picture
from storage.run import code_commit, run_of
from storage.samples import FOLDER

from .start_pictures import read_start

NAME_CHARS = 60  # of a caption in a file's name
GRID_PX = 4096  # of a grid's side at most


class DrawConfig(Config):
    """How pictures are drawn, but for the samplers."""

    seed: int = 0  # of the first caption; the next has the next
    track: str = "ema"  # of the weights; "params" are the raw ones
    device: str | None = None  # None: a GPU where there is one
    precision: Precision = "fp32"
    batch: int = Field(default=16, ge=1, le=4096)  # captions drawn at once
    grid: bool = False  # one picture of all of them, too


def draw(
    stages: Sequence[Path],
    *,
    captions: Sequence[str],
    start: Sequence[Path] = (),
    out: Path | None = None,
    asked: Mapping[str, str] | None = None,
    config: DrawConfig | None = None,
) -> list[Path]:
    """Write one PNG for each caption and stage as soon as it is drawn; return their paths.

    start: pictures to enlarge, see `read_start`. out: None is the folder of samples of the run that the stages belong
    to, where its page finds them. asked: of the samplers, see cascade/sampler_options.py.
    """
    config = config or DrawConfig()
    if not captions:
        raise UserError('nothing to draw; give --caption "a red apple", as often as you like, or --captions FILE')
    for caption in captions:
        _check_caption(caption)
    device = find_device(config.device)
    cascade = Cascade.load(stages, track=config.track, device=device, precision=config.precision)
    configs = [stage.config for stage in cascade.stages]
    samplers, starts = samplers_of(configs, asked or {}), read_start(start, configs[0], count=len(captions))
    out = _made(out or run_of(cascade.stages[-1].folder.parents[1]) / FOLDER)
    about = _about(cascade, samplers, config.model_copy(update={"device": device}))
    about |= {"start": [sha256_file(file) for file in start]} if start else {}
    paths, tiles = list[Path](), list[np.ndarray]()
    tile_px = min(cascade.stages[-1].config.image_px, GRID_PX // _columns(len(captions)))
    with Progress("sample", total=len(captions), unit="captions") as progress:
        for first in range(0, len(captions), config.batch):
            some = captions[first : first + config.batch]
            began = time.monotonic()
            own_start = None if starts is None else starts[first : first + config.batch]
            images = cascade.sample(
                some, seed=config.seed + first, start=own_start, samplers=samplers, batch=config.batch
            )
            seconds = round((time.monotonic() - began) / len(some), 3)
            about |= {"drawn_at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds}
            for place, caption in enumerate(some):
                own = {name: pixels[place] for name, pixels in images.items()}
                paths += _write(out, own, about, caption=caption, seed=config.seed + first + place)
                tiles.append(_smaller(list(own.values())[-1], tile_px) if config.grid else np.empty(0))
            progress.advance(len(some))
    return [
        *paths,
        *([_write_grid(out, tiles, {**about, "captions": [*captions]}, config.seed)] if config.grid else []),
    ]


def read_captions(file: Path) -> list[str]:
    """Return the captions of a text file in UTF-8, one a line; empty lines are passed over. Raises UserError."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: no UTF-8 at byte {error.start:,}; save it as UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; give a text file with a caption a line") from None
    captions = [line.strip() for line in lines if line.strip()]
    if not captions:
        raise UserError(f"{file}: holds no caption; write one a line")
    return captions


def file_name(caption: str) -> str:
    """Return a caption as the start of a file's name: small letters, digits and dashes.

    Where that leaves out more than punctuation, some digits of the whole caption's hash tell it from others.
    """
    words = re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")
    name = words[:NAME_CHARS].rstrip("-") or "caption"
    is_whole = name == words and caption.isascii() and caption.isprintable()
    return name if is_whole else f"{name}-{hashed(caption, 'name') % 16**6:06x}"


def _made(folder: Path) -> Path:
    """Make the folder of the pictures; return it. Raises UserError where none can be, before anything is drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder} cannot be a folder of pictures: a file is in its way; give another --out") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}; give another --out", exit_code=1) from None
    if not os.access(folder, os.W_OK):  # a run of others, perhaps
        raise UserError(f"{folder} cannot be written to; give another --out", exit_code=1)
    return folder


def _check_caption(caption: str) -> None:
    """Raise UserError for a caption that is no text."""
    try:
        caption.encode()
    except UnicodeEncodeError:
        raise UserError(f"the caption {caption!r} is no UTF-8 text; mind the terminal's encoding") from None


def _about(cascade: Cascade, samplers: Mapping[str, SamplerConfig], config: DrawConfig) -> dict[str, Any]:
    """Return what all pictures of one call say of themselves."""
    stages = [
        {
            "name": stage.config.name,
            "step": stage.step,
            "digest": stage.digest,
            "sampler": samplers[stage.config.name].model_dump(mode="json"),
        }
        for stage in cascade.stages
    ]
    how = config.model_dump(mode="json", exclude={"seed", "grid"})
    return {"software": f"Corgi {code_commit() or ''}".strip(), "stages": stages, **how}


def _write(
    out: Path, images: Mapping[str, np.ndarray], about: Mapping[str, Any], *, caption: str, seed: int
) -> list[Path]:
    """Write one caption's picture by every stage; each names the stages up to its own."""
    paths = []
    for number, (name, pixels) in enumerate(images.items(), 1):
        paths.append(out / f"{file_name(caption)}-{seed}.{name}.png")
        own = {"caption": caption, "seed": seed, "stage": name, "stages": about["stages"][:number]}
        write_picture(paths[-1], Image.fromarray(pixels), {**about, **own})
    return paths


def _write_grid(out: Path, tiles: Sequence[np.ndarray], about: Mapping[str, Any], seed: int) -> Path:
    """Write one picture of the pictures by the last stage."""
    sheet = contact_sheet(tiles, columns=_columns(len(tiles)), px=len(tiles[0]))
    path = out / f"grid.{seed}-{seed + len(tiles) - 1}.{about['stages'][-1]['name']}.png"  # no caption's name has a dot
    write_picture(path, sheet, {**about, "seed": seed})
    return path


def _columns(count: int) -> int:
    """Return the columns of a grid that is about square."""
    return int(np.ceil(np.sqrt(count)))


def _smaller(pixels: np.ndarray, px: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((px, px), Image.Resampling.BOX))
