"""What is drawn and measured of a trained quickstart; each figure with its bar, and whether it holds.

shuffled-caption gap   does the base use its text, on training names and on families it has never seen
nearest drawing        do pictures look like their kind: the nearest real drawing, the own left out, is of the group
mean RGB drift         do enlarging stages keep colour        enlarged   and are they better than bilinear
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from cascade.conditioning import pad_text
from cascade.weights import LoadedStage
from configs import Config, fingerprint
from evaluation.colour import drift
from evaluation.enlarging import error_ratio
from evaluation.groups import group_of_nearest
from evaluation.mobilenet import features
from evaluation.picture_sets import REAL, PictureSet
from evaluation.samples import SampleConfig, Texts, fill, rates
from evaluation.text_use import TextUse, text_use
from pipeline import ledger
from pipeline.files import sha256_file
from pipeline.progress import Progress

from .chosen import Chosen, as_numbers, pictures, sized, some, stack, training_names
from .names import GROUPS, HELD_OUT, hashed

VERSION = 3
CHUNK = 64  # real pictures looked at together
BARS = {"gap_training": 0.40, "gap_held_out": 0.25, "group": 0.33, "drift": 0.02, "enlarged": 1.0}


class FiguresConfig(Config):
    """What is drawn and measured."""

    per_group: int = Field(default=30, ge=1)  # training names of each group
    held_out: int = Field(default=HELD_OUT, ge=0)  # held-out names that are drawn
    text_names: int = Field(default=200, ge=2)  # names of each split for the shuffled-caption gap
    enlarged: int = Field(default=32, ge=1)  # held-out names whose real pictures are made small and large again
    middle: tuple[float, float] = (-4.0, 2.0)  # log-SNR between which the gap is averaged: 3 of 7 buckets
    sample: SampleConfig = SampleConfig(precision="bf16")  # a third quicker, and no pixel more than 1 of 255 off


def figure(value: float, says: str, *, at_least: float | None = None, below: float | None = None) -> dict[str, Any]:
    """One entry of figures.json."""
    bar = f"at least {at_least:g}" if at_least is not None else f"below {below:g}" if below is not None else None
    holds = value >= at_least if at_least is not None else value < below if below is not None else None
    return {"figure": value, "bar": bar, "holds": holds, "says": says}


@dataclass(frozen=True)
class Work:
    """All that is drawn and measured of one run."""

    run: Path
    config: FiguresConfig
    stages: Sequence[LoadedStage]
    drawings: Sequence[Chosen]

    @cached_property
    def training(self) -> list[Chosen]:
        """The training names that are drawn."""
        return training_names(self.drawings, per_group=self.config.per_group)

    @cached_property
    def held_out(self) -> list[Chosen]:
        """The held-out names that are drawn."""
        return some([one for one in self.drawings if one.held_out], self.config.held_out, purpose="drawn")

    @cached_property
    def fingerprint(self) -> str:
        """Of the settings, the checkpoints and the kept pairs."""
        commits = [sha256_file(stage.folder / "COMMIT.json") for stage in self.stages]
        return fingerprint("figures", VERSION, self.config, BARS, commits, [one.key for one in self.drawings])

    def measure(self) -> dict[str, Any]:
        """Everything that figures.json holds."""
        made = self.draw("training", self.training)
        unseen = self.draw("held_out", self.held_out) if self.held_out else {}
        figures, curves = self.gaps()
        figures |= self.groups(made, unseen) | self.drifts(made) | self.enlarged()
        for stage, rate in rates(ledger.read(self.run)).items():
            figures[f"{stage}: pictures drawn a second"] = figure(rate, "both sets, the last time they were drawn")
        return {"figures": figures, "gap": curves}

    def draw(self, name: str, chosen: Sequence[Chosen]) -> dict[str, np.ndarray]:
        """The pictures of one set by every stage; the real ones and a contact sheet are stored beside them."""
        one, mark = PictureSet(self.run, name), fingerprint("rows", VERSION, [row.key for row in chosen])
        if one.read(REAL, fingerprint=mark) is None:
            one.write(REAL, stack(self.run, chosen, px=self.stages[-1].config.image_px), fingerprint=mark)
        one.write_rows(pa.Table.from_pylist([row._asdict() for row in chosen]), fingerprint=mark)
        seeds = [hashed(row.key, "drawn") for row in chosen]
        texts = Texts([row.caption for row in chosen])
        made = fill(one, self.stages, texts=texts, seeds=seeds, config=self.config.sample)
        one.write_sheet(list(made.values())[-1])
        return made

    def gaps(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """How much the base's loss rises with other pictures' captions; the middle levels, and every level."""
        figures, curves = {}, {}
        for split, bar in (("training", BARS["gap_training"]), ("held_out", BARS["gap_held_out"])):
            able = [one for one in self.drawings if one.held_out == (split == "held_out")]
            chosen = some(able, self.config.text_names, purpose="text use")
            try:
                used = self.text_use(chosen)
            except ValueError as error:  # too few names to shuffle them over families
                print(f"figures: no gap of {split} names: {error}")
                continue
            middle = used.between(*self.config.middle)
            levels = ", ".join(f"{at:g}" for at in used.log_snr if self.within(at))
            says = f"{len(chosen)} names; mean over log-SNR {levels}"
            name = f"{self.stages[0].config.name}: shuffled-caption gap, {split.replace('_', '-')} names"
            figures[name] = figure(sum(middle) / len(middle), says, at_least=bar)
            curves[split] = {"log_snr": used.log_snr, "gap": used.gap, "loss": used.loss, "shuffled": used.shuffled}
        return figures, curves

    def within(self, log_snr: float) -> bool:
        return self.config.middle[0] <= log_snr <= self.config.middle[1]

    def text_use(self, chosen: Sequence[Chosen]) -> TextUse:
        """Of the base, on real pictures."""
        base = self.stages[0]
        text = pad_text(Texts([one.caption for one in chosen]).states(base.text), width=base.config.text_width)
        return text_use(
            base.net,
            as_numbers(stack(self.run, chosen, px=base.config.image_px)),
            text=text.states,
            text_mask=text.mask,
            families=[one.family for one in chosen],
            prediction=base.config.diffusion.prediction,
        )

    def groups(self, made: dict[str, np.ndarray], unseen: dict[str, np.ndarray]) -> dict[str, Any]:
        """Share of the drawn pictures whose nearest real drawing is of their group, for each stage above the base."""
        real = [one for one in self.drawings if not one.tone_variant]
        enlarged = {stage.config.name: stage.config.image_px for stage in self.stages if stage.config.low_res_px}
        of_real = real_features(self.run, real, sizes_px=list(enlarged.values()))
        figures = {}
        for stage, px in enlarged.items():
            name = f"{stage}: nearest drawing is of the same group, {px} px"
            figures[name] = self.group(self.training, made[stage], real, of_real[px], at_least=BARS["group"])
            plain = np.flatnonzero([not one.tone_variant for one in self.held_out])
            if len(plain):
                chosen, drawn = [self.held_out[row] for row in plain], unseen[stage][plain]
                figures[f"{name}, held-out names"] = self.group(chosen, drawn, real, of_real[px])
        return figures

    def group(
        self,
        chosen: Sequence[Chosen],
        drawn: np.ndarray,
        real: Sequence[Chosen],
        of_real: np.ndarray,
        *,
        at_least: float | None = None,
    ) -> dict[str, Any]:
        """The figure of one set at one size; real drawings and their features are of the same rows."""
        row_of = {one.key: row for row, one in enumerate(real)}
        found = group_of_nearest(
            features(drawn),
            generated_groups=[one.group for one in chosen],
            own=np.array([row_of[one.key] for one in chosen]),
            real=of_real,
            real_groups=[one.group for one in real],
        )
        by_group = ", ".join(f"{group} {share:.0%}" for group, share in found.by_group.items())
        says = f"{len(chosen)} pictures, nearest of {len(real)} drawings; chance is 1 of {len(GROUPS)}. {by_group}"
        return figure(found.share, says, at_least=at_least)

    def drifts(self, made: dict[str, np.ndarray]) -> dict[str, Any]:
        """How far each enlarging stage moves the mean colour of what it is given."""
        figures = {}
        for low, high in zip(self.stages, self.stages[1:], strict=False):
            moved = drift(made[high.config.name], low_res=made[low.config.name])
            red, green, blue = moved.bias
            says = f"worst picture {moved.worst:.3f}; tint red {red:+.4f}, green {green:+.4f}, blue {blue:+.4f}"
            name = f"{high.config.name}: mean RGB drift, {low.config.image_px} to {high.config.image_px} px"
            figures[name] = figure(moved.mean, says, below=BARS["drift"])
        return figures

    def enlarged(self) -> dict[str, Any]:
        """What each enlarging stage makes of real pictures that were made small, against plain enlarging."""
        figures = {}
        for stage in [one for one in self.stages if one.config.low_res_px]:
            px = stage.config.image_px
            able = [one for one in self.drawings if one.held_out and min(one.stored_width, one.stored_height) >= px]
            chosen = some(able, self.config.enlarged, purpose="enlarged")
            if not chosen:
                continue
            ratio = error_ratio(
                stage,
                stack(self.run, chosen, px=px),
                states=Texts([one.caption for one in chosen]).states(stage.text),
                seeds=[hashed(one.key, "enlarged") for one in chosen],
                precision=self.config.sample.precision,
            )
            name = f"{stage.config.name}: squared error of real pictures enlarged, bilinear is 1"
            figures[name] = figure(ratio, f"{len(chosen)} held-out names", below=BARS["enlarged"])
        return figures


def real_features(run: Path, real: Sequence[Chosen], *, sizes_px: Sequence[int]) -> dict[int, np.ndarray]:
    """px -> (n, width) features of the real drawings at that size."""
    parts: dict[int, list[np.ndarray]] = {px: [] for px in sizes_px}
    with Progress("features", total=len(real), unit="drawings") as progress:
        for first in range(0, len(real), CHUNK):
            chunk = list(pictures(run, real[first : first + CHUNK]))
            for px in sizes_px:
                parts[px].append(features(np.stack([sized(picture, px) for picture in chunk])))
            progress.advance(len(chunk))
    return {px: np.concatenate(found) for px, found in parts.items()}
