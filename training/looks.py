"""What a training looks at now and then: the loss of fixed sets by noise level, and a grid of fixed captions."""

import time
from typing import Any

from . import grid
from .config import TrainConfig
from .data.index import Index
from .ema import Ema
from .engine import Engine
from .metrics import RunLogger
from .validation import bucket_log_snr, fixed_sets, validate


class Looks:
    """The fixed sets and captions of one training, made once. All ranks call alike."""

    def __init__(self, config: TrainConfig, index: Index, engine: Engine, ema: Ema) -> None:
        self.config, self.engine, self.ema = config, engine, ema
        self.fixed_sets = fixed_sets(config, index)
        self.grid_items = grid.items_of(config, self.fixed_sets)

    def look(self, logger: RunLogger, *, step: int, seen: int) -> None:
        """Note the loss by noise level on the fixed sets, with right and with shuffled captions; and draw a grid."""
        began = time.monotonic()
        gaps = {
            split: validate(self.engine.objective, fixed, ranks=self.engine.ranks)
            for split, fixed in self.fixed_sets.items()
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
        logger.note("validation", step=step, seen=seen, log_snr=bucket_log_snr(self.config), seconds=seconds, **splits)
        if self.grid_items:
            self._draw(logger, step=step, seen=seen)

    def _draw(self, logger: RunLogger, *, step: int, seen: int) -> None:
        """Draw the fixed captions with the weights of now, and store the images."""
        began, items = time.monotonic(), self.grid_items
        images = grid.draw(self.engine, self.ema, items)
        about = {
            "splits": [item.split for item in items],
            "keys": [item.sample.key for item in items],
            "track": grid.track_of(self.config),
            "seconds": round(time.monotonic() - began, 2),
        }
        captions = [item.sample.caption for item in items]
        try:
            logger.note_grid(images, step=step, seen=seen, captions=captions, **about)
        except OSError as error:  # the disk is full: no reason to end
            logger.note("not_saved", step=step, seen=seen, reason=f"grid: {error}")
