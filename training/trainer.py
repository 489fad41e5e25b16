"""The loop: batches in, steps taken, and now and then a line, a validation, a checkpoint.

One Trainer trains any stage; a stage is data that is handed to it.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from cascade.stage import build
from configs import UserError

from . import checkpoint
from .config import TrainConfig, learning_rate
from .data.dataset import PairDataset, ShuffledCaptions
from .data.index import Index
from .data.loader import Batch, Loader
from .data.prefetch import steps_of
from .distributed import Ranks, all_gather, all_reduce_sum
from .ema import Ema
from .engine import Engine
from .metrics import RunLogger
from .preemption import PreemptionSignal
from .run_folder import identity
from .validation import bucket_log_snr, fixed_sets, validate

Outcome = Literal["done", "stopped"]


@dataclass
class Recent:
    """The steps since the last line of the log."""

    losses: list[float] = field(default_factory=list)  # of the steps that were applied
    seconds: float = 0.0  # that all of them took
    lr: float = 0.0  # of the last step
    grad_norm: float | None = None  # of the last step; None where it was not finite: JSON has no word for that


class Trainer:
    """One stage's training on this rank. Every rank makes one, and all do the same in the same order."""

    def __init__(self, config: TrainConfig, index: Index, *, ranks: Ranks) -> None:
        self.config, self.ranks = config, ranks
        torch.manual_seed(config.seed)  # the same net on every rank
        self.engine = Engine(config, build(config.stage), ranks=ranks)
        self.ema = Ema(config.ema, {name: self.engine.params[name] for name in self.engine.share})
        dataset = PairDataset(config, index)
        self.loader = Loader(config, ShuffledCaptions(dataset) if config.text.pairing == "shuffled" else dataset)
        self.fixed_sets = fixed_sets(config, index)
        saved, self.passed_over = checkpoint.load(config, self.engine, self.ema)
        self.state = saved.model_copy(update={"config": identity(config), "data": index.content})
        self.saved_at, self.stopping, self.recent = saved.step, False, Recent()
        self.preemption = PreemptionSignal(config.run)
        self.logger = RunLogger(config, ranks=ranks, done=saved.step)  # last, as it opens files

    def train(self) -> Outcome:
        """Train to the last step, or until one of the ranks is asked to stop."""
        batches = steps_of(self.loader, first_step=self.state.step, ranks=self.ranks)
        with self.logger, self.preemption.listening(), closing(batches):
            self.log_start()
            while self.state.step < self.config.steps and not self.stopping:
                self.step(batches)
                if self.due("log"):
                    self.log()
                if self.due("validation"):
                    self.validate()
                if self.due("checkpoint"):
                    self.save()
            return self.finish()

    def due(self, event: Literal["log", "validation", "checkpoint"]) -> bool:
        """Tell whether this step ends with it. The last step ends with all that happens at all."""
        every = {
            "log": self.config.log_every_steps,
            "validation": self.config.validation.every_steps,
            "checkpoint": self.config.checkpoint.every_steps,
        }[event]
        return every > 0 and (self.state.step % every == 0 or self.state.step == self.config.steps)

    def step(self, batches: Iterator[list[Batch]]) -> None:
        """Take one optimizer step from this rank's micro-batches, or none where a number is not finite."""
        began, micro_batches = time.monotonic(), next(batches)
        losses = self.all_losses(self.backward(micro_batches))
        self.stopping = self.is_stop_requested()
        self.note_bad_images(micro_batches)
        lr = learning_rate(self.config.optim, step=self.state.step, steps=self.config.steps)
        result = self.engine.step(lr=lr)
        if result.applied:
            self.ema.update(updates=self.state.updates)
            self.recent.losses.append(math.fsum(losses) / len(losses))
        else:
            self.note_skipped(losses)
        self.advance(applied=result.applied)
        self.recent.lr, self.recent.grad_norm = lr, result.grad_norm if result.applied else None
        self.recent.seconds += time.monotonic() - began

    def backward(self, micro_batches: list[Batch]) -> list[float]:
        """Add up the gradients of the step; return the loss of each micro-batch of this rank."""
        losses = []
        for number, batch in enumerate(micro_batches):
            loss = self.engine.loss(batch)
            self.engine.backward(loss, last=number == len(micro_batches) - 1)
            losses.append(loss.detach())
        return [float(loss) for loss in losses]  # only now: float() waits for the GPU

    def all_losses(self, losses: list[float]) -> list[float]:
        """Return the losses of all ranks' micro-batches in order of position, the same on every rank."""
        together = [0.0] * (len(losses) * self.ranks.world_size)
        together[self.ranks.rank :: self.ranks.world_size] = losses
        return all_reduce_sum(together, ranks=self.ranks)

    def is_stop_requested(self) -> bool:
        """Tell whether any rank was asked to save and leave."""
        requested = self.preemption.requested(look_for_file=self.ranks.is_main)
        return all_reduce_sum([float(requested)], ranks=self.ranks)[0] > 0

    def note_bad_images(self, micro_batches: list[Batch]) -> None:
        """Note the images of all ranks that could not be used."""
        bad = [image._asdict() for batch in micro_batches for image in batch.bad]
        if all_reduce_sum([float(len(bad))], ranks=self.ranks)[0]:
            for images in all_gather(bad, ranks=self.ranks):
                for image in images:
                    self.logger.note("bad_image", step=self.state.step + 1, seen=self.state.seen, **image)

    def note_skipped(self, losses: list[float]) -> None:
        """Note the samples of a step that was not taken. Raises UserError when too many follow each other."""
        size, first = self.config.micro_batch, self.state.seen
        bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
        positions = [first + number * size + place for number in bad or range(len(losses)) for place in range(size)]
        keys = self.loader.keys(positions) if self.ranks.is_main else []
        self.logger.note("bad_step", step=self.state.step + 1, seen=first, positions=positions, keys=keys)
        self.logger.say(f"step {self.state.step + 1}: a number was not finite; the step is skipped, see the ledger")
        if self.state.bad_steps + 1 >= self.config.optim.max_bad_steps:
            raise UserError(
                f"{self.config.optim.max_bad_steps} steps in a row were not finite (the last is step "
                f"{self.state.step + 1}); lower optim.lr, or look at the pairs that the ledger names",
                exit_code=1,
            )

    def advance(self, *, applied: bool) -> None:
        """Count one more step."""
        self.state = self.state.model_copy(
            update={
                "step": self.state.step + 1,
                "seen": self.state.seen + self.config.batch,
                "updates": self.state.updates + int(applied),
                "bad_steps": 0 if applied else self.state.bad_steps + 1,
            }
        )

    def log(self) -> None:
        """Note the steps since the last line."""
        recent, self.recent = self.recent, Recent()
        if not recent.losses:
            return
        loss = math.fsum(recent.losses) / len(recent.losses)
        rate = round(len(recent.losses) * self.config.batch / max(recent.seconds, 1e-9), 2)  # of all ranks together
        self.logger.note(
            "step",
            **self.position(),
            loss=loss,
            grad_norm=recent.grad_norm,
            lr=recent.lr,
            images_per_s=rate,
            steps=len(recent.losses),
            peak_mib=peak_memory_mib(),
        )
        self.logger.show(self.state.step, loss=loss, images_per_s=rate)

    def validate(self) -> None:
        """Note the loss by noise level on the fixed sets, with right and with shuffled captions."""
        began = time.monotonic()
        gaps = {
            split: validate(self.engine.objective, fixed, ranks=self.ranks) for split, fixed in self.fixed_sets.items()
        }
        splits: dict[str, Any] = {
            split: {"loss": gap.loss, "shuffled": gap.shuffled, "gap": gap.gap} for split, gap in gaps.items()
        }
        seconds = round(time.monotonic() - began, 2)
        self.logger.note(
            "validation", **self.position(), log_snr=bucket_log_snr(self.config), seconds=seconds, **splits
        )

    def save(self) -> None:
        """Commit a checkpoint; from here on what the ledger says is durable too."""
        began = time.monotonic()
        folder = checkpoint.save(self.config, self.engine, self.ema, self.state)
        self.saved_at = self.state.step
        seconds = round(time.monotonic() - began, 2)
        self.logger.note("checkpoint", **self.position(), folder=folder.name, seconds=seconds)
        self.logger.sync()

    def log_start(self) -> None:
        """Note where the training starts from. What an earlier start did after that place is void."""
        event = "start" if self.logger.is_first else "restart"
        shape = {"zero": self.engine.zero, "world_size": self.ranks.world_size}
        self.logger.note(event, **self.position(), **shape, passed_over=self.passed_over)
        for line in self.passed_over:
            self.logger.say(f"passed over: {line}")
        if self.state.step:
            self.logger.say(f"{self.config.stage.name}: goes on from step {self.state.step:,}")

    def finish(self) -> Outcome:
        """Save where that is not done yet, and note how it ended."""
        outcome: Outcome = "done" if self.state.step >= self.config.steps else "stopped"
        if self.saved_at != self.state.step:
            self.save()
        self.logger.note(outcome, **self.position())
        return outcome

    def position(self) -> dict[str, int]:
        """Return the place in the training that a line is about."""
        return {"step": self.state.step, "seen": self.state.seen}


def peak_memory_mib() -> int:
    """Return the most memory this process ever held."""
    unit = 1024 if sys.platform == "linux" else 2**20  # macOS says bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
