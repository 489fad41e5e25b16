"""The loop: batches in, steps taken, and now and then a line, a validation, a checkpoint.

One Trainer trains any stage; a stage is data that is handed to it.
"""

import math
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Literal

import numpy as np
import torch

from cascade.stage import build
from configs import UserError
from storage.ledger import read_training

from . import beginning, checkpoint
from .changes import go_on, left_out_in
from .config import TrainConfig, learning_rate
from .data.dataset import PairDataset, ShuffledCaptions
from .data.index import Index
from .data.loader import Batch, Loader
from .data.positions import merged, of_step
from .data.prefetch import steps_of
from .distributed import Ranks, all_gather, all_reduce_sum
from .ema import Ema
from .ending import last_lines
from .engine import Engine
from .looks import Looks
from .metrics import RunLogger
from .nodes import host_name
from .preemption import PreemptionSignal
from .recent import Recent
from .run_folder import identity
from .stragglers import DeviceClock, find

Outcome = Literal["done", "stopped"]


class Trainer:
    """One stage's training on this rank. Every rank makes one, and all do the same in the same order."""

    def __init__(self, config: TrainConfig, index: Index, *, ranks: Ranks) -> None:
        self.config, self.ranks = config, ranks
        torch.manual_seed(config.seed)  # the same net on every rank
        self.engine = Engine(config, build(config.stage), ranks=ranks)
        self.ema = Ema(config.ema, {name: self.engine.params[name] for name in self.engine.share})
        self.looks = Looks(config, index, self.engine, self.ema)
        saved, self.passed_over = checkpoint.load(config, self.engine, self.ema)
        starts_from_another = config.init_from is not None and not saved.step
        self.initial = checkpoint.load_initial(config, self.engine, self.ema) if starts_from_another else None
        state, self.changes = go_on(saved, config, index)
        left_out = merged([*state.left_out, *left_out_in(read_training(config.run), until_step=saved.step)])
        self.state = state.model_copy(update={"config": identity(config), "left_out": left_out})
        dataset = PairDataset(config, index)
        chosen = ShuffledCaptions(dataset) if config.text.pairing == "shuffled" else dataset
        self.loader = Loader(config, chosen, order_from=state.order_from, bad_images=state.bad_images)
        self.saved_at, self.saved_updates, self.saved_when = saved.step, saved.updates, time.monotonic()
        self.stopping, self.saving, self.recent = False, False, Recent()
        self.forward, self.nodes = DeviceClock(ranks.device), all_gather(host_name(), ranks=ranks)
        self.rewinding, self.rewinds = False, Counter[int]()  # by the updates that were gone back to
        self.preemption = PreemptionSignal(config.run)
        self.logger = RunLogger(config, ranks=ranks, done=saved.step)  # last, as it opens files

    def train(self) -> Outcome:
        """Train to the last step, or until one of the ranks is asked to stop."""
        with self.logger, self.preemption.listening():
            beginning.note(self.logger, self.engine, self.state, self.changes, self.passed_over, self.initial)
            while not self.is_over:
                if self.rewinding:
                    self.rewind()
                with closing(self.batches()) as batches:
                    self.go_on(batches)
            return self.finish()

    @property
    def is_over(self) -> bool:
        """Tell whether the last step is done, or all ranks leave."""
        return self.stopping or (self.state.step >= self.config.steps and not self.rewinding)

    def batches(self) -> Generator[list[Batch]]:
        """Yield this rank's micro-batches, a list a step, from where the training stands."""
        return steps_of(self.loader, seen=self.state.seen, ranks=self.ranks, left_out=self.state.left_out)

    def go_on(self, batches: Iterator[list[Batch]]) -> None:
        """Take steps, and do what is due after each, until it is over or must go back."""
        while not self.is_over:
            self.step(batches)
            if self.rewinding:
                return
            if self.due("log"):
                self.log()
            if self.due("validation"):
                self.looks.look(self.logger, **self.position())
            if self.due("checkpoint"):
                self.save()

    def due(self, event: Literal["log", "validation", "checkpoint"]) -> bool:
        """Tell whether this step ends with it. The last step ends with all that happens at all."""
        every = {
            "log": self.config.log_every_steps,
            "validation": self.config.validation.every_steps,
            "checkpoint": self.config.checkpoint.every_steps,
        }[event]
        is_due = every > 0 and (self.state.step % every == 0 or self.state.step == self.config.steps)
        return is_due or (event == "checkpoint" and self.saving)

    def step(self, batches: Iterator[list[Batch]]) -> None:
        """Take one optimizer step from this rank's micro-batches, or none where a number is not finite."""
        began, micro_batches = time.monotonic(), next(batches)
        self.recent.data_s += time.monotonic() - began
        losses = self.all_losses(self.backward(micro_batches))
        self.stopping, self.saving = self.requests()
        self.note_bad_images(micro_batches)
        lr = learning_rate(self.config.optim, step=self.state.step, steps=self.config.steps)
        result = self.engine.step(lr=lr)
        if result.applied:
            self.ema.update(updates=self.state.updates)
            self.recent.losses.append(math.fsum(losses) / len(losses))
        else:
            self.note_skipped(losses)
        self.state = self.state.after_step(int(self.positions_of_step()[-1]) + 1, applied=result.applied)
        self.rewinding = self.bad_numbers_call_for_a_rewind()
        self.recent.lr, self.recent.grad_norm = lr, result.grad_norm if result.applied else None
        self.recent.seconds += time.monotonic() - began

    def backward(self, micro_batches: list[Batch]) -> list[float]:
        """Add up the gradients of the step; return the loss of each micro-batch of this rank."""
        losses = []
        for number, batch in enumerate(micro_batches):
            with self.forward.running():
                loss = self.engine.loss(batch)
            self.engine.backward(loss, last=number == len(micro_batches) - 1)
            losses.append(loss.detach())
        return [float(loss) for loss in losses]  # only now: float() waits for the GPU

    def all_losses(self, losses: list[float]) -> list[float]:
        """Return the losses of all ranks' micro-batches in order of position, the same on every rank."""
        together = [0.0] * (len(losses) * self.ranks.world_size)
        together[self.ranks.rank :: self.ranks.world_size] = losses
        return all_reduce_sum(together, ranks=self.ranks)

    def requests(self) -> tuple[bool, bool]:
        """Tell whether any rank was asked to save and leave, and whether a checkpoint is due by the clock of one."""
        requested = self.preemption.requested(look_for_file=self.ranks.is_main)
        every_s = 60 * (self.config.checkpoint.every_min or math.inf)
        is_late = self.ranks.is_main and time.monotonic() - self.saved_when >= every_s
        stop, save = all_reduce_sum([float(requested), float(is_late)], ranks=self.ranks)
        return stop > 0, save > 0

    def note_bad_images(self, micro_batches: list[Batch]) -> None:
        """Note the images of all ranks that could not be used; from here on no rank uses them."""
        bad = [image._asdict() for batch in micro_batches for image in batch.bad]
        if not all_reduce_sum([float(len(bad))], ranks=self.ranks)[0]:
            return
        known = set(self.state.bad_images)
        for images in all_gather(bad, ranks=self.ranks):
            for image in images:
                self.logger.note("bad_image", step=self.state.step + 1, seen=self.state.seen, **image)
                known |= {(number, key) for number, key in [(image["shard"], image["key"]), *image["also"]]}
        self.loader.reader.know(known)
        self.state = self.state.model_copy(update={"bad_images": sorted(known)})

    def note_skipped(self, losses: list[float]) -> None:
        """Note the samples of a step that was not taken."""
        bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
        parts = self.positions_of_step().reshape(len(losses), -1)
        positions = parts[bad or range(len(losses))].flatten().tolist()
        keys = self.loader.keys(positions) if self.ranks.is_main else []
        self.logger.note("bad_step", step=self.state.step + 1, seen=self.state.seen, positions=positions, keys=keys)
        self.logger.say(f"step {self.state.step + 1}: a number was not finite; the step is skipped, see the ledger")

    def positions_of_step(self) -> np.ndarray:
        """Return the (batch,) positions of the step that comes next."""
        return of_step(self.state.seen, batch=self.config.batch, left_out=self.state.left_out)

    def bad_numbers_call_for_a_rewind(self) -> bool:
        """Tell whether too many steps in a row were skipped. Raises UserError where going back has not helped."""
        optim = self.config.optim
        if self.state.bad_steps < optim.max_bad_steps:
            return False
        if self.saved_at and self.rewinds[self.saved_updates] < optim.max_rewinds:
            return True
        raise beginning.not_finite(self.config, step=self.state.step, saved_at=self.saved_at)

    def rewind(self) -> None:
        """Go back to the last checkpoint, and leave out from now on the samples that led to bad numbers."""
        saved, _ = checkpoint.load(self.config, self.engine, self.ema)
        self.state, (begin, end) = self.state.back_at(saved)
        self.rewinding, self.saved_at, self.recent = False, saved.step, Recent()
        self.saved_updates = saved.updates
        self.rewinds[saved.updates] += 1  # a checkpoint among skipped steps is no progress
        self.logger.note("rewind", **self.position(), left_out=[begin, end])
        self.logger.say(
            f"{self.config.stage.name}: goes back to step {saved.step:,} and leaves out positions {begin:,} to "
            f"{end - 1:,}"
        )
        self.logger.sync()

    def log(self) -> None:
        """Note the steps since the last line."""
        recent, self.recent = self.recent, Recent()
        own = (recent.data_s, self.forward.take())
        for slow in find(own, total_s=recent.seconds, ranks=self.ranks):
            self.logger.note("straggler", **self.position(), **slow._asdict(), node=self.nodes[slow.rank])
        if not recent.losses:
            return
        line = recent.line(batch=self.config.batch)
        self.logger.note("step", **self.position(), **line)
        shown = {name: line[name] for name in ("loss", "images_per_s", "data_share")}
        self.logger.show(self.state.step, **shown)

    def save(self) -> None:
        """Commit a checkpoint; from here on what the ledger says is durable too. UserError where that must not fail."""
        began = self.saved_when = time.monotonic()  # also where it fails: not at every step from here on
        try:
            folder = checkpoint.save(self.config, self.engine, self.ema, self.state)
        except checkpoint.NotSavedError as error:
            self.note_not_saved(error)
            return
        self.saved_at, self.saved_updates = self.state.step, self.state.updates
        seconds = round(time.monotonic() - began, 2)
        self.logger.note("checkpoint", **self.position(), folder=folder.name, seconds=seconds)
        self.logger.sync()

    def note_not_saved(self, error: checkpoint.NotSavedError) -> None:
        """Note a checkpoint that could not be written. Raises UserError where the training ends for it."""
        self.logger.note("not_saved", **self.position(), reason=str(error))
        line = f"step {self.state.step:,} could not be saved ({error}); step {self.saved_at:,} is the last that stands"
        if self.config.checkpoint.on_error == "stop" or self.state.step >= self.config.steps:
            raise UserError(f"{self.config.run}: {line}; make room and run the same command again", exit_code=1)
        self.logger.say(f"{self.config.stage.name}: {line}")

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
