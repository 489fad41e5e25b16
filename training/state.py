"""Where a training stands: everything that a checkpoint holds beside tensors."""

from typing import Any

from configs import Config

from .data.positions import Range, merged


class TrainState(Config):
    """Everything but the tensors. Counts say where the data, the randomness and the learning rate stand."""

    step: int = 0  # batches seen
    seen: int = 0  # samples seen: the position of the next one
    updates: int = 0  # optimizer steps applied; fewer than `step` where some were skipped
    bad_steps: int = 0  # skipped steps in a row, up to now
    bad_from: int | None = None  # position of the first of them
    left_out: list[Range] = []  # positions from, and below, that no step sees, since they led to bad numbers
    bad_images: list[tuple[int, str]] = []  # number of the shard, and key: could not be used once, and never are again
    config: str = ""  # fingerprint of its settings
    settings: dict[str, Any] = {}  # of training.changes: what led here since the last change
    data: str = ""  # content of the index it reads
    order_from: int = 0  # position from which on the order is that of this index

    def after_step(self, end: int, *, applied: bool) -> "TrainState":
        """Return where it stands one step later. end: position after the last that the step saw."""
        return self.model_copy(
            update={
                "step": self.step + 1,
                "seen": end,
                "updates": self.updates + int(applied),
                "bad_steps": 0 if applied else self.bad_steps + 1,
                "bad_from": None if applied else self.seen if self.bad_from is None else self.bad_from,
            }
        )

    def back_at(self, saved: "TrainState") -> tuple["TrainState", Range]:
        """Return where it stands at an earlier checkpoint, and what is left out from now on: the last skipped steps."""
        begin = max(saved.seen if self.bad_from is None else self.bad_from, saved.seen)
        left_out = (begin, self.seen)
        update = {
            "step": saved.step,
            "seen": saved.seen,
            "updates": saved.updates,
            "bad_steps": 0,
            "bad_from": None,
            "left_out": merged([*self.left_out, left_out]),
        }
        return self.model_copy(update=update), left_out
