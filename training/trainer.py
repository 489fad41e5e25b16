"""The loop: batches in, steps taken, and now and then a line, a validation, a checkpoint.

One Trainer trains any stage; a stage is data that is handed to it.
"""

import math
import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import torch

from cascade.stage import build
from configs import UserError
from storage.run import CONFIG

from . import checkpoint, grid
from .changes import consequences, go_on
from .config import TrainConfig, learning_rate
from .data.dataset import PairDataset, ShuffledCaptions
from .data.index import Index
from .data.loader import Batch, Loader
from .data.prefetch import steps_of
from .distributed import Ranks, all_gather, all_reduce_sum
from .ema import Ema
from .ending import last_lines
from .engine import Engine
from .metrics import RunLogger
from .preemption import PreemptionSignal
from .recent import Recent
from .run_folder import identity
from .validation import bucket_log_snr, fixed_sets, validate

Outcome = Literal["done", "stopped"]


class Trainer:
    """One stage's training on this rank. Every rank makes one, and all do the same in the same order."""

    def __init__(self, config: TrainConfig, index: Index, *, ranks: Ranks) -> None:
        self.config, self.ranks = config, ranks
        torch.manual_seed(config.seed)  # the same net on every rank
        self.engine = Engine(config, build(config.stage), ranks=ranks)
        self.ema = Ema(config.ema, {name: self.engine.params[name] for name in self.engine.share})
        self.fixed_sets = fixed_sets(config, index)
        self.grid_items = grid.items_of(config, self.fixed_sets)
        saved, self.passed_over = checkpoint.load(config, self.engine, self.ema)
        starts_from_another = config.init_from is not None and not saved.step
        self.initial = checkpoint.load_initial(config, self.engine, self.ema) if starts_from_another else None
        state, self.changes = go_on(saved, config, index)
        self.state = state.model_copy(update={"config": identity(config)})
        dataset = PairDataset(config, index)
        chosen = ShuffledCaptions(dataset) if config.text.pairing == "shuffled" else dataset
        self.loader = Loader(config, chosen, order_from=state.order_from)
        self.saved_at, self.stopping, self.recent = saved.step, False, Recent()
        self.preemption = PreemptionSignal(config.run)
        self.logger = RunLogger(config, ranks=ranks, done=saved.step)  # last, as it opens files

    def train(self) -> Outcome:
        """Train to the last step, or until one of the ranks is asked to stop."""
        batches = steps_of(self.loader, seen=self.state.seen, ranks=self.ranks)
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
        self.recent.data_s += time.monotonic() - began
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
            lr = self.config.optim.lr
            raise UserError(
                f"{self.config.optim.max_bad_steps} steps in a row were not finite (the last is step "
                f"{self.state.step + 1}); look at the pairs that the ledger names, or go on from step "
                f"{self.saved_at:,} with a lower learning rate than {lr:g}: "
                f"corgi train {shlex.quote(str(self.config.run / CONFIG))} optim.lr={lr / 4:g}",
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
        line = recent.line(batch=self.config.batch)
        self.logger.note("step", **self.position(), **line)
        shown = {name: line[name] for name in ("loss", "images_per_s", "data_share")}
        self.logger.show(self.state.step, **shown)

    def validate(self) -> None:
        """Note the loss by noise level on the fixed sets, with right and with shuffled captions; and draw a grid."""
        began = time.monotonic()
        gaps = {
            split: validate(self.engine.objective, fixed, ranks=self.ranks) for split, fixed in self.fixed_sets.items()
        }
        splits: dict[str, Any] = {
            split: {
                "loss": gap.loss,
                "shuffled": gap.shuffled,
                "gap": gap.gap,
                "mean_loss": gap.mean_loss,
                "middle_gap": gap.middle_gap,
            }
            for split, gap in gaps.items()
        }
        seconds = round(time.monotonic() - began, 2)
        self.logger.note(
            "validation", **self.position(), log_snr=bucket_log_snr(self.config), seconds=seconds, **splits
        )
        if self.grid_items:
            self.draw_grid()

    def draw_grid(self) -> None:
        """Draw the fixed captions with the weights of now, and store the images."""
        began, items = time.monotonic(), self.grid_items
        images = grid.draw(self.engine, self.ema, items)
        self.logger.note_grid(
            images,
            **self.position(),
            captions=[item.sample.caption for item in items],
            splits=[item.split for item in items],
            keys=[item.sample.key for item in items],
            track=grid.track_of(self.config),
            seconds=round(time.monotonic() - began, 2),
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
        if self.initial:
            self.logger.note("init", **self.position(), **self.initial)
            self.logger.say(
                f"{self.config.stage.name}: starts from {self.initial['track']} of {self.initial['folder']}"
            )
        if self.changes:
            changes = {change.key: [change.was, change.now] for change in self.changes}
            self.logger.note("changed", **self.position(), changes=changes)
        for line in consequences(self.state, self.changes):
            self.logger.say(f"{self.config.stage.name}: {line}")
        self.logger.sync()  # else a checkpoint could outlive, on a machine that fails, the note of what led to it

    def finish(self) -> Outcome:
        """Save where that is not done yet, and note how it ended."""
        outcome: Outcome = "done" if self.state.step >= self.config.steps else "stopped"
        if self.saved_at != self.state.step:
            self.save()
        self.logger.note(outcome, **self.position())
        for line in last_lines(self.config.run) if self.ranks.is_main else ():
            self.logger.say(f"{self.config.stage.name}: {line}")
        return outcome

    def position(self) -> dict[str, int]:
        """Return the place in the training that a line is about."""
        return {"step": self.state.step, "seen": self.state.seen}
