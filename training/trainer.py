"""The loop: batches in, steps taken, and now and then a line, a validation, a checkpoint.

One Trainer trains any stage; a stage is data that is handed to it.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import torch

from cascade.stage import build
from configs import UserError

from . import checkpoint
from .ahead import steps_of
from .config import TrainConfig, learning_rate
from .ema import Ema
from .engine import Engine, Taken
from .index import Index
from .loader import Batch, Loader
from .ranks import Ranks, everyone, total
from .runfolder import identity
from .stop import StopRequest
from .teller import Teller
from .validate import bucket_log_snr, fixed_sets, losses

Outcome = Literal["done", "stopped"]


class Trainer:
    """One stage's training on this rank. Every rank makes one, and all do the same in the same order."""

    def __init__(self, config: TrainConfig, index: Index, *, ranks: Ranks) -> None:
        self.config, self.index, self.ranks = config, index, ranks
        torch.manual_seed(config.seed)  # the same net on every rank
        self.engine = Engine(config, build(config.stage), ranks=ranks)
        self.ema = Ema(config.ema, {name: self.engine.params[name] for name in self.engine.share})
        self.loader = Loader(config, index)
        self.fixed = fixed_sets(config, index)
        found, self.passed = checkpoint.load(config, self.engine, self.ema)
        self.state = found.model_copy(update={"config": identity(config), "data": index.content})
        self.saved_at, self.stopping = found.step, False
        self.recent: list[float] = []  # losses of the steps since the last line
        self.recent_s = 0.0  # seconds they took

    def train(self) -> Outcome:
        """Trains to the last step, or until one of the ranks is asked to stop."""
        ours = steps_of(self.loader, first_step=self.state.step, ranks=self.ranks)
        done = self.state.step
        with Teller(self.config, ranks=self.ranks, done=done) as self.tell, StopRequest(self.config.run) as self.stop:
            self.begin()
            with closing(ours):
                while self.state.step < self.config.steps and not self.stopping:
                    self.step(ours)
                    if self.due("log"):
                        self.log()
                    if self.due("validation"):
                        self.validate()
                    if self.due("checkpoint"):
                        self.save()
            return self.end()

    def due(self, what: Literal["log", "validation", "checkpoint"]) -> bool:
        """Whether this step ends with it. The last step ends with all that happens at all."""
        every = {
            "log": self.config.log_every_steps,
            "validation": self.config.validation.every_steps,
            "checkpoint": self.config.checkpoint.every_steps,
        }[what]
        return every > 0 and (self.state.step % every == 0 or self.state.step == self.config.steps)

    def step(self, ours: Iterator[list[Batch]]) -> None:
        """One optimizer step from this rank's micro-batches, or none where a number is not finite."""
        began, batches, found = time.monotonic(), next(ours), []
        for number, batch in enumerate(batches):
            loss = self.engine.loss(batch)
            self.engine.backward(loss, last=number == len(batches) - 1)
            found.append(loss.detach())
        parts = self.agree([float(loss) for loss in found], batches)
        lr = learning_rate(self.config.optim, step=self.state.step, steps=self.config.steps)
        taken = self.engine.step(lr=lr)
        if taken.applied:
            self.ema.update(updates=self.state.updates)
            self.recent.append(math.fsum(parts) / len(parts))
        else:
            self.skipped(parts)
        self.move_on(taken, lr)
        self.recent_s += time.monotonic() - began

    def agree(self, found: list[float], batches: list[Batch]) -> list[float]:
        """The losses of all micro-batches of the step, in order of position, the same on every rank.

        On the way the ranks tell each other who was asked to stop and who met pictures that cannot be used.
        """
        parts = [0.0] * (len(found) * self.ranks.world_size)
        parts[self.ranks.rank :: self.ranks.world_size] = found
        bad = [picture for batch in batches for picture in batch.bad]
        asked = self.stop.asked(look_for_file=self.ranks.leads)
        *parts, asking, unusable = total([*parts, float(asked), float(len(bad))], ranks=self.ranks)
        self.stopping = asking > 0
        if unusable:
            for pictures in everyone([picture._asdict() for picture in bad], ranks=self.ranks):
                for picture in pictures:
                    self.tell.note("bad_picture", step=self.state.step + 1, seen=self.state.seen, **picture)
        return parts

    def skipped(self, parts: list[float]) -> None:
        """Notes the samples of a step that was not taken. Raises UserError when too many follow each other."""
        size, first = self.config.micro_batch, self.state.seen
        bad = [number for number, part in enumerate(parts) if not math.isfinite(part)]
        positions = [first + number * size + place for number in bad or range(len(parts)) for place in range(size)]
        keys = self.loader.keys(positions) if self.ranks.leads else []
        self.tell.note("bad_step", step=self.state.step + 1, seen=first, positions=positions, keys=keys)
        self.tell.say(f"step {self.state.step + 1}: a number was not finite; the step is skipped, see the ledger")
        if self.state.bad_steps + 1 >= self.config.optim.max_bad_steps:
            raise UserError(
                f"{self.config.optim.max_bad_steps} steps in a row were not finite (the last is step "
                f"{self.state.step + 1}); lower optim.lr, or look at the pairs that the ledger names",
                exit_code=1,
            )

    def move_on(self, taken: Taken, lr: float) -> None:
        """The state after one more step."""
        was, self.taken, self.lr = self.state, taken, lr
        self.state = was.model_copy(
            update={
                "step": was.step + 1,
                "seen": was.seen + self.config.batch,
                "updates": was.updates + int(taken.applied),
                "bad_steps": 0 if taken.applied else was.bad_steps + 1,
            }
        )

    def log(self) -> None:
        """A line on the steps since the last one."""
        if self.recent:
            loss, rate = math.fsum(self.recent) / len(self.recent), self.rate()
            norm = self.taken.grad_norm if self.taken.applied else None  # JSON has no word for not-a-number
            numbers: dict[str, Any] = {"loss": loss, "grad_norm": norm, "lr": self.lr}
            numbers |= {"images_per_s": rate, "steps": len(self.recent), "peak_mib": peak_memory_mib()}
            self.tell.note("step", **self.where(), **numbers)
            self.tell.show(self.state.step, loss=loss, images_per_s=rate)
        self.recent, self.recent_s = [], 0.0

    def rate(self) -> float:
        """Images a second over the recent steps, on all ranks together."""
        return round(len(self.recent) * self.config.batch / max(self.recent_s, 1e-9), 2)

    def validate(self) -> None:
        """Loss by noise level on the fixed sets, right and shuffled captions."""
        began = time.monotonic()
        told: dict[str, Any] = {}
        for split, fixed in self.fixed.items():
            found = losses(self.engine.objective, fixed, ranks=self.ranks)
            told[split] = {"loss": found.loss, "shuffled": found.shuffled, "gap": found.gap}
        seconds = round(time.monotonic() - began, 2)
        self.tell.note("validation", **self.where(), log_snr=bucket_log_snr(self.config), seconds=seconds, **told)

    def save(self) -> None:
        """Commits a checkpoint; from here on what the ledger says is durable too."""
        began = time.monotonic()
        folder = checkpoint.save(self.config, self.engine, self.ema, self.state)
        self.saved_at = self.state.step
        self.tell.note("checkpoint", **self.where(), folder=folder.name, seconds=round(time.monotonic() - began, 2))
        self.tell.sync()

    def begin(self) -> None:
        """Says where the training starts from. What an earlier start did after that place is void."""
        event = "start" if self.tell.first else "restart"
        shape = {"zero": self.engine.zero, "world_size": self.ranks.world_size}
        self.tell.note(event, **self.where(), **shape, passed_over=self.passed)
        for line in self.passed:
            self.tell.say(f"passed over: {line}")
        if self.state.step:
            self.tell.say(f"{self.config.stage.name}: goes on from step {self.state.step:,}")

    def end(self) -> Outcome:
        """The last checkpoint and the last word."""
        outcome: Outcome = "done" if self.state.step >= self.config.steps else "stopped"
        if self.saved_at != self.state.step:
            self.save()
        self.tell.note(outcome, **self.where())
        return outcome

    def where(self) -> dict[str, int]:
        """The place in the training that a line is about."""
        return {"step": self.state.step, "seen": self.state.seen}


def peak_memory_mib() -> int:
    """The most memory this process ever held."""
    unit = 1024 if sys.platform == "linux" else 2**20  # macOS says bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
