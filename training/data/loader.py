"""From positions to batches: images, text, and every random number they need.

    position --order--> place --dataset--> image, caption, text embeds
             --rng----> time, noise, text drop, crop, augmentation level and noise

A batch is a pure function of (config, index, positions): any number of workers, processes or restarts gives the same.
Workers are threads: reading, decoding and drawing noise release the interpreter, and nothing has to be unpickled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cascade.conditioning import TextEmbeds, pad_text_embeds
from cascade.diffusion import stratified_times
from cascade.stage import StageConfig
from training.config import OWN, TrainConfig

from .bad_images import BadImage, SubstitutingReader
from .crops import Corner, full_crops, low_res_crops
from .dataset import Dataset, Place, Sample
from .order import Order
from .rng import Purpose, below, normal, normals, uniforms


@dataclass(frozen=True)
class Batch:
    """What one forward pass needs. b samples, t tokens of the longest text, images (b, 3, h, w)."""

    positions: np.ndarray  # (b,)
    keys: list[str]
    captions: list[str]
    x: Tensor  # images in [-1, 1]
    noise: Tensor  # standard normal, as x
    time: Tensor  # (b,) in [0, 1)
    text_embeds: Tensor  # (b, t, width)
    text_mask: Tensor  # (b, t) bool
    low_res: Tensor | None = None  # as x, for stages that enlarge: made small and large again
    aug_level: Tensor | None = None  # (b,) in [0, aug_level_max]
    aug_noise: Tensor | None = None  # as x
    dropout: Tensor | None = None  # (b,) int32, the seeds of a net that drops activations
    bad: tuple[BadImage, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """Return the same with its tensors on `device`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


class Loader:
    """Batches of a dataset by position, from the position `order_from` on. Safe to use from several threads."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        *,
        order_from: int = 0,
        bad_images: Sequence[tuple[int, str]] = (),
    ) -> None:
        self.config, self.dataset = config, dataset
        window = config.data.window_shards
        self.order = Order(dataset.counts, seed=config.seed, window_shards=window, begins=order_from)
        self.reader = SubstitutingReader(dataset, limit=config.data.bad_images, known=bad_images)

    def batch(self, positions: Sequence[int] | np.ndarray) -> Batch:
        """Return the batch of these positions, in this order."""
        positions = np.asarray(positions, np.int64)
        asked = zip(positions.tolist(), self.places(positions), strict=True)
        samples, bad = zip(*(self.reader.read(place, position=position) for position, place in asked), strict=True)
        places, columns = [sample.place for sample in samples], caption_columns(self.config, positions)
        text = training_text(self.config, positions, self.dataset.text_embeds(places, columns))
        captions = [self.dataset.caption(place, column) for place, column in zip(places, columns, strict=True)]
        return replace(
            assemble(self.config, positions, samples, text),
            captions=captions,
            dropout=dropout_seeds(self.config, positions),
            bad=tuple(image for image in bad if image),
        )

    def places(self, positions: Sequence[int] | np.ndarray) -> list[Place]:
        """Return where the samples of these positions lie."""
        places = self.order.at(positions)
        return [Place(*pair) for pair in zip(places.shard.tolist(), places.row.tolist(), strict=True)]

    def keys(self, positions: Sequence[int] | np.ndarray) -> list[str]:
        """Return the keys of the pairs at these positions; no image is read."""
        return [self.dataset.key(place) for place in self.places(positions)]


def assemble(config: TrainConfig, positions: np.ndarray, samples: Sequence[Sample], text: TextEmbeds) -> Batch:
    """Return samples as a batch with the random numbers of their positions, but none that only training needs."""
    stage = config.stage
    corners = crop_corners(config, positions)
    augmented = augmentation(config, positions, samples, corners) if stage.low_res_px is not None else {}
    return Batch(
        positions=positions,
        keys=[sample.key for sample in samples],
        captions=[sample.caption for sample in samples],
        x=full_crops([sample.image for sample in samples], corners, px=stage.train_px),
        noise=normals(config.seed, positions, Purpose.NOISE, shape=shape_of(stage)),
        time=draw_times(config, positions),
        text_embeds=text.embeds,
        text_mask=text.mask,
        **augmented,
    )


def shape_of(stage: StageConfig) -> tuple[int, ...]:
    """Return (3, px, px), the shape of what the net sees in training."""
    return 3, stage.train_px, stage.train_px


def draw_times(config: TrainConfig, positions: np.ndarray) -> Tensor:
    """Return (b,) times in [0, 1): one in each of `batch` equal parts over the global batch."""
    place = torch.from_numpy(positions % config.batch)
    return stratified_times(uniforms(config.seed, positions, Purpose.TIME), place=place, count=config.batch)


def crop_corners(config: TrainConfig, positions: np.ndarray) -> list[Corner]:
    """Return where each sample is cropped; (0, 0) for stages that see whole images."""
    limits = (config.stage.image_px - config.stage.train_px + 1,) * 2
    return [Corner(*below(config.seed, int(position), Purpose.CROP, limits=limits)) for position in positions]


def augmentation(
    config: TrainConfig, positions: np.ndarray, samples: Sequence[Sample], corners: Sequence[Corner]
) -> dict[str, Any]:
    """Return the low-res input of a stage that enlarges, and the level and noise that it is augmented with."""
    stage = config.stage
    lows = [sample.image.low for sample in samples if sample.image.low is not None]
    return {
        "low_res": low_res_crops(lows, corners, px=stage.train_px, image_px=stage.image_px),
        "aug_level": uniforms(config.seed, positions, Purpose.AUG_LEVEL) * stage.aug_level_max,
        "aug_noise": normals(config.seed, positions, Purpose.AUG_NOISE, shape=shape_of(stage)),
    }


def caption_columns(config: TrainConfig, positions: np.ndarray) -> list[str]:
    """Return for each position the column whose caption is read, drawn by the weights of text.captions."""
    weights = config.text.captions or {OWN: 1.0}
    if len(weights) == 1:
        return [*weights] * len(positions)
    ends = np.cumsum(list(weights.values())) / sum(weights.values())
    drawn = uniforms(config.seed, positions, Purpose.CAPTION).numpy()
    columns = np.minimum(np.searchsorted(ends, drawn, side="right"), len(weights) - 1)
    return [list(weights)[column] for column in columns.tolist()]


def dropout_seeds(config: TrainConfig, positions: np.ndarray) -> Tensor | None:
    """Return (b,) int32, the seeds of dropped activations; None for a net that drops none."""
    if not config.stage.model.dropout:
        return None
    seeds = [below(config.seed, int(position), Purpose.DROPOUT, limits=(2**31,))[0] for position in positions]
    return torch.tensor(seeds, dtype=torch.int32)


def padded_text(config: TrainConfig, embeds: Sequence[np.ndarray | None]) -> TextEmbeds:
    """Return texts as a batch, None as the null text."""
    return pad_text_embeds(embeds, width=config.stage.text_width, max_tokens=config.text.max_tokens)


def training_text(config: TrainConfig, positions: np.ndarray, embeds: Sequence[np.ndarray]) -> TextEmbeds:
    """Return texts as a batch, some dropped, so that the net also learns to do without, and noised as configured."""
    drops = uniforms(config.seed, positions, Purpose.DROP) < config.text.drop
    kept = [None if dropped else embed for dropped, embed in zip(drops.tolist(), embeds, strict=True)]
    text = padded_text(config, kept)
    return add_text_noise(config, positions, text) if config.text.noise else text


def add_text_noise(config: TrainConfig, positions: np.ndarray, text: TextEmbeds) -> TextEmbeds:
    """Return texts off by as much as is drawn for each sample, so that few pairs are not learned by heart.

    The conditioning augmentation of StackGAN (Zhang and others 2017, section 3.2), at a strength that differs from
    sample to sample, as the augmentation of a low-res image does: a name that was trained on is still told from
    its neighbours, and one that never was is answered by what lies around it, however far that is.
    """
    embeds = text.embeds.clone()
    levels = uniforms(config.seed, positions, Purpose.TEXT_NOISE_LEVEL) * config.text.noise
    for row, (position, mask) in enumerate(zip(positions.tolist(), text.mask, strict=True)):
        tokens = embeds[row, mask]  # the null text has no spread, and stays what it is
        noise = torch.from_numpy(normal(config.seed, position, Purpose.TEXT_NOISE, shape=tuple(tokens.shape)))
        embeds[row, mask] = tokens + float(levels[row]) * tokens.std() * noise
    return TextEmbeds(embeds, text.mask)
