"""What is drawn and measured of a run; each figure with its bar, and whether it holds.

caption gap            does the base use its text, on training pairs and on pairs it has never seen
nearest real image     do samples look like their kind: the nearest real image, the own left out, is of the group
mean RGB drift         do enlarging stages keep colour        enlarged   and are they better than bilinear

What a run gives no ground to measure is told as a figure without a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cascade.conditioning import pad_text_embeds
from cascade.text_encoder import TextEmbedder
from cascade.weights import LoadedStage
from configs import fingerprint, hashed
from pipeline.progress import Progress
from storage import ledger
from storage.samples import REAL, SampleSet

from .caption_gap import CaptionGap, caption_gap, others_of
from .config import EvaluateConfig
from .enlarging import drift, error_ratio
from .eval_set import EvalPair, as_numbers, images_of, sized, some, stack, training_set
from .groups import group_of_nearest
from .mobilenet import features
from .sample_sets import fill, rates

VERSION = 6
CHUNK = 64  # real images looked at together
SMALLEST_PX = 32  # of images whose features say anything
SPLITS = {"training": "training pairs", "held_out": "held-out pairs"}
Figures = dict[str, dict[str, Any]]  # name -> figure, bar, holds, says


def figure(
    value: float | None, says: str, *, at_least: float | None = None, below: float | None = None
) -> dict[str, Any]:
    """Return one entry of figures.json. value: None where it could not be measured; `says` tells why."""
    bar = f"at least {at_least:g}" if at_least is not None else f"below {below:g}" if below is not None else None
    holds = None
    if value is not None and bar is not None:
        holds = value >= at_least if at_least is not None else value < below if below is not None else None
    return {"figure": value, "bar": bar, "holds": holds, "says": says}


@dataclass(frozen=True)
class Evaluation:
    """All that is drawn and measured of one run."""

    run: Path
    config: EvaluateConfig
    stages: Sequence[LoadedStage]  # lowest first, each enlarges what the one before makes
    pairs: Sequence[EvalPair]
    embed: TextEmbedder

    @cached_property
    def drawn(self) -> dict[str, list[EvalPair]]:
        """Return the pairs that are drawn, by split."""
        held_out = [pair for pair in self.pairs if pair.held_out]
        return {
            "training": training_set(self.pairs, per_group=self.config.per_group),
            "held_out": some(held_out, self.config.held_out, purpose="drawn"),
        }

    @cached_property
    def real(self) -> list[EvalPair]:
        """Return the pairs whose images samples are compared with."""
        return some([pair for pair in self.pairs if not pair.variant], self.config.compared, purpose="compared")

    @cached_property
    def fingerprint(self) -> str:
        """Cover the settings, the checkpoints and the kept pairs."""
        weights = [stage.digest for stage in self.stages]
        return fingerprint("figures", VERSION, self.config, weights, [pair.key for pair in self.pairs])

    def measure(self) -> dict[str, Any]:
        """Return figures and curves, as figures.json holds them."""
        samples = {split: self.draw(split, pairs) if pairs else {} for split, pairs in self.drawn.items()}
        figures, curves = self.gaps()
        figures |= self.groups(samples) | self.drifts(samples["training"]) | self.enlarged()
        for stage, rate in rates(ledger.read(self.run)).items():
            figures[f"{stage}: images drawn a second"] = figure(rate, "both sets, the last time they were drawn")
        return {"figures": figures, "gap": curves}

    def draw(self, split: str, pairs: Sequence[EvalPair]) -> dict[str, np.ndarray]:
        """Return the images of one set by every stage; the real ones and a contact sheet are stored beside them."""
        samples, mark = SampleSet(self.run, split), fingerprint("rows", VERSION, [pair.key for pair in pairs])
        if samples.read(REAL, fingerprint=mark) is None:
            samples.write(REAL, stack(self.run, pairs, px=self.stages[-1].config.image_px), fingerprint=mark)
        samples.write_rows(pa.Table.from_pylist([pair._asdict() for pair in pairs]), fingerprint=mark)
        low_res_px = self.stages[0].config.low_res_px
        by_stage = fill(
            samples,
            self.stages,
            captions=[pair.caption for pair in pairs],
            seeds=[hashed(pair.key, "drawn") for pair in pairs],
            embed=self.embed,
            config=self.config.sample,
            start=stack(self.run, pairs, px=low_res_px) if low_res_px else None,
        )
        samples.write_sheet(list(by_stage.values())[-1])
        return by_stage

    def gaps(self) -> tuple[Figures, dict[str, Any]]:
        """Return how much the base's loss rises with other pairs' captions; over the middle levels, and by level."""
        figures, curves = Figures(), {}
        for split, bar in (("training", self.config.bars.gap_training), ("held_out", self.config.bars.gap_held_out)):
            name = f"{self.stages[0].config.name}: caption gap, {SPLITS[split]}"
            able = [pair for pair in self.pairs if pair.held_out == (split == "held_out")]
            chosen = some(able, self.config.gap_pairs, purpose="text use")
            if reason := self._no_gap(chosen):
                figures[name] = figure(None, reason, at_least=bar)
                continue
            gap = self.caption_gap(chosen)
            low, high = self.config.gap_log_snr
            middle = gap.between(low, high)
            levels = ", ".join(f"{at:g}" for at in gap.log_snr if low <= at <= high)
            says = f"{len(chosen)} pairs; mean over log-SNR {levels}"
            figures[name] = figure(sum(middle) / len(middle), says, at_least=bar)
            curves[split] = {"log_snr": gap.log_snr, "gap": gap.gap, "loss": gap.loss, "shuffled": gap.shuffled}
        return figures, curves

    def _no_gap(self, pairs: Sequence[EvalPair]) -> str | None:
        """Return why the caption gap cannot be measured on these pairs; None where it can."""
        if self.stages[0].config.low_res_px:
            return "the run has no base stage"
        try:
            others_of([pair.family for pair in pairs])
        except ValueError as error:
            return str(error)
        return None

    def caption_gap(self, pairs: Sequence[EvalPair]) -> CaptionGap:
        """Measure the base on real images."""
        base = self.stages[0]
        embeds = self.embed(base.text, [pair.caption for pair in pairs])
        text = pad_text_embeds(embeds, width=base.config.text_width, max_tokens=base.max_tokens)
        return caption_gap(
            base.net,
            as_numbers(stack(self.run, pairs, px=base.config.image_px)).to(self.config.device),
            text_embeds=text.embeds.to(self.config.device),
            text_mask=text.mask.to(self.config.device),
            families=[pair.family for pair in pairs],
            prediction=base.config.diffusion.prediction,
        )

    def groups(self, samples: dict[str, dict[str, np.ndarray]]) -> Figures:
        """Return the share of samples whose nearest real image is of their group, for each stage of a fair size."""
        stages = {stage.config.name: px for stage in self.stages if (px := stage.config.image_px) >= SMALLEST_PX}
        if not self.config.group:
            return {"nearest real image is of the same group": figure(None, "no column of groups; give group=COLUMN")}
        real = real_features(self.run, self.real, sizes_px=list(stages.values()))
        figures = Figures()
        for stage, px in stages.items():
            name = f"{stage}: nearest real image is of the same group, {px} px"
            for split, label, bar in (("training", "", self.config.bars.group), ("held_out", ", held-out pairs", None)):
                plain = [row for row, pair in enumerate(self.drawn[split]) if not pair.variant]
                if not plain:
                    figures[name + label] = figure(None, f"no {SPLITS[split]} to draw", at_least=bar)
                    continue
                pairs, images = [self.drawn[split][row] for row in plain], samples[split][stage][plain]
                figures[name + label] = self.group(pairs, images, real[px], at_least=bar)
        return figures

    def group(
        self, pairs: Sequence[EvalPair], images: np.ndarray, real: np.ndarray, *, at_least: float | None
    ) -> dict[str, Any]:
        """Return the figure of one set at one size. real: features of the real images at that size."""
        row_of = {pair.key: row for row, pair in enumerate(self.real)}
        groups = [pair.group for pair in self.real]
        result = group_of_nearest(
            features(images),
            generated_groups=[pair.group for pair in pairs],
            own=np.array([row_of.get(pair.key, -1) for pair in pairs]),
            real=real,
            real_groups=groups,
        )
        by_group = ", ".join(f"{group} {share:.0%}" for group, share in result.by_group.items())
        chance = f"chance is 1 of {len(set(groups))}"
        says = f"{len(pairs)} images, nearest of {len(groups)} real ones; {chance}. {by_group}"
        return figure(result.share, says, at_least=at_least)

    def drifts(self, samples: dict[str, np.ndarray]) -> Figures:
        """Return how far each enlarging stage moves the mean colour of what it is given."""
        figures = Figures()
        for low, high in pairwise(self.stages):
            name = f"{high.config.name}: mean RGB drift, {low.config.image_px} to {high.config.image_px} px"
            if not samples:
                figures[name] = figure(None, f"no {SPLITS['training']} to draw", below=self.config.bars.drift)
                continue
            moved = drift(samples[high.config.name], low_res=samples[low.config.name])
            red, green, blue = moved.bias
            says = f"worst image {moved.worst:.3f}; tint red {red:+.4f}, green {green:+.4f}, blue {blue:+.4f}"
            figures[name] = figure(moved.mean, says, below=self.config.bars.drift)
        return figures

    def enlarged(self) -> Figures:
        """Return what each enlarging stage makes of real images that were made small, against plain enlarging."""
        figures = Figures()
        for stage in [stage for stage in self.stages if stage.config.low_res_px]:
            px, bar = stage.config.image_px, self.config.bars.enlarged
            name = f"{stage.config.name}: squared error of real images enlarged, bilinear is 1"
            able = [pair for pair in self.pairs if pair.held_out and min(pair.stored_width, pair.stored_height) >= px]
            chosen = some(able, self.config.enlarged, purpose="enlarged")
            if not chosen:
                figures[name] = figure(None, f"no held-out pair is stored at {px} px or more", below=bar)
                continue
            ratio = error_ratio(
                stage,
                stack(self.run, chosen, px=px),
                text_embeds=self.embed(stage.text, [pair.caption for pair in chosen]),
                seeds=[hashed(pair.key, "enlarged") for pair in chosen],
                sampler=self.config.sample.samplers.get(stage.config.name),
                precision=self.config.sample.precision,
            )
            without = ", all of them without any detail" if ratio is None else ""
            figures[name] = figure(ratio, f"{len(chosen)} held-out pairs{without}", below=bar)
        return figures


def real_features(run: Path, pairs: Sequence[EvalPair], *, sizes_px: Sequence[int]) -> dict[int, np.ndarray]:
    """Return px -> (n, width) features of the real images at that size."""
    parts: dict[int, list[np.ndarray]] = {px: [] for px in sizes_px}
    with Progress("features", total=len(pairs), unit="images") as progress:
        for first in range(0, len(pairs), CHUNK):
            chunk = list(images_of(run, pairs[first : first + CHUNK]))
            for px in sizes_px:
                parts[px].append(features(np.stack([sized(image, px) for image in chunk])))
            progress.advance(len(chunk))
    return {px: np.concatenate(chunks) for px, chunks in parts.items()}
