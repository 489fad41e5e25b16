"""`corgi download --retry`: of finished shards, the pairs that were lost for reasons that may have passed, once more.

Nobody else is asked again. Images that are there already are copied, byte for byte, into the new tar, and the shard
keeps its fingerprint: it is still made from the same config and the same planned pairs.
"""

from collections import Counter
from dataclasses import dataclass

from configs import UserError
from configs.steps import STEPS
from pipeline.step import ShardStep, State
from storage.shard import Shard
from storage.staging import settle
from storage.typed import typed

from .config import DownloadConfig
from .some import lost_for
from .step import Download


@dataclass(frozen=True)
class Retry(ShardStep):
    """The shard step `download` where finished shards are not all finished."""

    entry = STEPS["download"]
    download: DownloadConfig
    reasons: tuple[str, ...]  # see reasons.is_among

    def fingerprint(self, shard: Shard) -> str:
        """Cover what a download covers: a pair that came later is as good as one that came at once."""
        return self._step.fingerprint(shard)

    def state(self, shard: Shard) -> State:
        """Return where a shard stands: a finished one is stale if it lost a pair for one of the reasons."""
        state = self._step.state(shard)
        return "stale" if state == "done" and lost_for(shard, self.reasons) else state

    def __call__(self, shard: Shard) -> Counter[str]:
        """Ask again for what was lost; return the pairs that were asked for, by what became of them.

        A shard that was never finished is downloaded. Raises UserError for one that another config made.
        """
        settle(shard)
        if self._step.state(shard) == "missing":
            return self._step(shard)
        may_come = self._step.may_come(shard)
        if may_come is None:
            raise UserError(
                f"shard {shard} is of another config or plan, so all of it would be asked for; "
                f'run "{typed(shard.run, "download")}", or change the config back'
            )
        return self._step.ask_again(shard, (*self.reasons, *may_come))

    @property
    def _step(self) -> Download:
        return Download(self.download)
