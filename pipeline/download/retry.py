"""`corgi download --retry`: of finished shards, the pairs that were lost for reasons that may have passed, once more.

Nobody else is asked again. Images that are there already are copied, byte for byte, into the new tar, and the shard
keeps its fingerprint: it is still made from the same config and the same planned pairs.
"""

from collections import Counter
from dataclasses import dataclass

from configs import UserError
from configs.steps import STEPS
from pipeline.step import ShardStep, State
from storage import pairs
from storage.atomic import read_json
from storage.shard import STATS, TAR, Shard
from storage.staging import settle
from storage.tar import TarReader

from .config import DownloadConfig
from .reasons import is_among
from .some import asking_only
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
        return "stale" if state == "done" and self._lost(shard) else state

    def __call__(self, shard: Shard) -> Counter[str]:
        """Ask again for what was lost; return the pairs that were asked for, by what became of them.

        A shard that was never finished is downloaded. Raises UserError for one that another config made.
        """
        settle(shard)
        state = self._step.state(shard)
        if state == "missing":
            return self._step(shard)
        if state == "stale":
            raise UserError(
                f"shard {shard} is of another config or plan, so all of it would be asked for; "
                'run "corgi download" without --retry, or change the config back'
            )
        lost, table = self._lost(shard), pairs.read(shard)
        before = pairs.outcomes_of(table)
        with TarReader(shard.path(TAR)) as tar:
            pairs.write_shard(
                shard,
                table.drop_columns(pairs.COLUMNS.names),
                asking_only(lost, self._step.engine(shard), lambda row: pairs.with_image(before[row], tar)),
                fingerprint=self.fingerprint(shard),
                engine=self.download.engine,
                earlier=read_json(shard.path(STATS)),
            )
        now = pairs.read(shard, ["status"])["status"].to_pylist()
        return Counter(now[row] for row in lost)

    @property
    def _step(self) -> Download:
        # What is left to ask for may well be dead altogether, and says nothing of this machine's network.
        return Download(self.download.model_copy(update={"stop_after_hosts": 0}))

    def _lost(self, shard: Shard) -> list[int]:
        """Return the rows of the pairs that are asked for again."""
        statuses = pairs.read(shard, ["status"])["status"].to_pylist()
        return [row for row, status in enumerate(statuses) if is_among(status, self.reasons)]
