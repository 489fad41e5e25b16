"""Every sentence of a vocabulary as pictures: a shard step, so it resumes, splits by rank, and always gives the same.

corgi demo compile configs/demo/emoji.yaml runs/x/train/base16 runs/x/train/sr64 --out runs/x/demo
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cascade.config import Precision
from configs import UserError, fingerprint, resolve
from configs.steps import StepEntry
from pipeline.runner import Outcome, run_shards
from pipeline.step import ShardStep
from storage.atomic import remove_left_over
from storage.demo import DRAWN, Picture, read_demo, read_pictures, reviews, write_demo, write_pictures
from storage.lease import Key, hold
from storage.ledger import note
from storage.shard import Shard

from .draw import Order, draw, stage_facts
from .lint import check
from .vocabulary import Vocabulary, combinations

VERSION = 1
PER_SHARD = 16  # pictures
STEP = "demo-compile"


@dataclass(frozen=True)
class Plan:
    """What demo.json says, and the redraws that people asked for: which pictures there are to be."""

    vocabulary: Vocabulary
    stages: Sequence[Mapping[str, Any]]
    pictures: int  # of each sentence
    seed: int
    precision: Precision
    batch: int
    policy: str  # fingerprint of the rules, their models and lists
    attempts: Mapping[tuple[str, int], int]

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return the plan of a demo. Raises UserError where there is none."""
        content = read_demo(folder)
        vocabulary = resolve(Vocabulary, content.pop("vocabulary"), source=str(folder))
        return cls(vocabulary, **content, attempts=redraws(folder))

    def shards(self, folder: Path) -> dict[Shard, tuple[Order, ...]]:
        """Return what each shard has to hold."""
        orders = [
            Order(each.key, number, self.attempts.get((each.key, number), 0), each.prompt)
            for each in combinations(self.vocabulary)
            for number in range(self.pictures)
        ]
        starts = range(0, len(orders), PER_SHARD)
        return {Shard(folder, n): tuple(orders[s : s + PER_SHARD]) for n, s in enumerate(starts)}

    def fingerprint(self, orders: Sequence[Order]) -> str:
        """Return what a shard with these orders is made from."""
        stages = [dict(stage) for stage in self.stages]
        how = (stages, self.seed, self.precision, self.batch, self.policy)
        return fingerprint("drawn", VERSION, [list(order) for order in orders], *how)


@dataclass
class Compile(ShardStep):
    """Draw and screen the pictures of one shard."""

    plan: Plan
    folder: Path
    folders: tuple[Path, ...]  # of the stages
    entry: ClassVar[StepEntry] = StepEntry("demo compile", "shard", "Draw every sentence.", writes=DRAWN)

    def fingerprint(self, shard: Shard) -> str:
        """Return what the shard would be made from today."""
        return self.plan.fingerprint(self.plan.shards(self.folder)[shard])

    def __call__(self, shard: Shard) -> Counter[str]:
        """Draw, screen and commit; count pictures by what became of them."""
        plan, orders = self.plan, self.plan.shards(self.folder)[shard]
        pictures = draw(
            orders,
            self.folders,
            facts=[dict(stage) for stage in plan.stages],
            base_seed=plan.seed,
            precision=plan.precision,
            batch=plan.batch,
            policy=plan.vocabulary.policy,
        )
        write_pictures(shard, pictures, fingerprint=plan.fingerprint(orders))
        return Counter(f"blocked_{each.reason}" if each.reason else "drawn" for each in pictures)


def compile_demo(
    vocabulary: Vocabulary,
    folders: Sequence[Path],
    *,
    out: Path,
    pictures: int = 1,
    seed: int = 0,
    precision: Precision = "fp32",
    batch: int = 16,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 1,
) -> Outcome:
    """Draw what is missing or stale of this rank's share, after lint. Raises UserError where lint refuses.

    Ranks share the folder and nothing else; each must be given the same.
    """
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size}: a rank is at least 0 and below the world size")
    check(vocabulary)
    content = {
        "vocabulary": vocabulary.model_dump(mode="json"),
        "stages": stage_facts(folders),
        "pictures": pictures,
        "seed": seed,
        "precision": precision,
        "batch": batch,
        "policy": vocabulary.policy.fingerprint,
    }
    with hold(out, Key(STEP, rank, world_size)) as was_cut_off:
        if was_cut_off:
            for folder in (out, *out.glob("[0-9]*/")):
                remove_left_over(folder)
        write_demo(out, content)
        plan = Plan.read(out)
        step = Compile(plan, out, tuple(folders))
        outcome = run_shards(step, list(plan.shards(out)), rank=rank, world_size=world_size, workers=workers)
        seconds, made = round(outcome.seconds, 3), outcome.done
        note(out, event="step", step=STEP, rank=rank, made=made, seconds=seconds, counts=dict(outcome.counts))
    return outcome


def drawn(folder: Path) -> Iterator[Picture]:
    """Yield every picture, in the vocabulary's order. Raises UserError where a shard is not there or stale."""
    plan = Plan.read(folder)
    for shard, orders in plan.shards(folder).items():
        yield from read_pictures(shard, fingerprint=plan.fingerprint(orders))


def redraws(folder: Path) -> dict[tuple[str, int], int]:
    """Return (key, number) -> how often people asked for another picture."""
    counts = Counter((line.get("key"), line.get("number")) for line in reviews(folder) if line.get("says") == "redraw")
    return dict(counts)  # type: ignore[arg-type]
