"""select: which pairs are kept, and every rule that the others failed.

Rules are SQL over all columns of a pair: the url table's, the download's, the scores, and whether it is a copy
(exact_copy, near_copy, caption_copy). No picture is read and no tar is rewritten; a changed threshold takes seconds.
"""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError, fingerprint
from filters.rules import failed_rules, holds
from filters.rules import fingerprint as in_order

from .config import PipelineConfig
from .dedup import DUPLICATES
from .files import read_mark, read_table, write_table
from .shard import KEEP, PAIRS, SCORES, Shard

VERSION = 1
KINDS = ("exact", "near", "caption")
KEPT = "corgi.kept"  # metadata: digest of the kept keys, all that `embed` depends on
CARRIED = ("tar_offset", "tar_size", "stored_width", "stored_height", "caption")


@dataclass(frozen=True)
class Select:
    """The shard step `select`."""

    config: PipelineConfig
    name: str = "select"
    reads: tuple[str, ...] = (PAIRS, SCORES)
    writes: str = KEEP

    def fingerprint(self, shard: Shard) -> str:
        """Of the rules, the shard's pairs and scores, and the duplicates of all shards."""
        duplicates = read_mark(self.config.run / DUPLICATES)
        if duplicates is None:
            raise UserError(f'{self.config.run / DUPLICATES} is not there; run "corgi dedup" first')
        made = [mark.content if (mark := read_mark(shard.path(suffix))) else None for suffix in self.reads]
        config = self.config.select
        stages = [[stage, in_order(rules)] for stage, rules in config.stages.items()]
        rules = [in_order(config.rules), config.held_out, stages]
        return fingerprint("select", VERSION, rules, made, duplicates.content)

    def __call__(self, shard: Shard) -> Counter[str]:
        """One row for each pair of the tar, in its order."""
        rules, mark = self.config.select, self.fingerprint(shard)
        pairs = candidates(self.config.run, shard)
        failed = failed_rules(pairs, rules.rules)
        kept = pa.array([not reasons for reasons in failed], pa.bool_())
        held_out = pc.and_(kept, holds(pairs, {"held_out": rules.held_out})["held_out"])
        columns = {
            "key": pairs["key"],
            "kept": kept,
            "failed": pa.array(failed, pa.list_(pa.string())),
            "held_out": held_out,
        }
        trained = pc.and_(kept, pc.invert(held_out))
        for stage, further in rules.stages.items():
            columns[stage] = pc.and_(
                trained, pa.array([not reasons for reasons in failed_rules(pairs, further)], pa.bool_())
            )
        table = pa.table({**columns, **{name: pairs[name] for name in CARRIED}})
        kept_keys = "\n".join(pairs["key"].filter(kept).to_pylist())
        write_table(shard.path(KEEP), table, fingerprint=mark, metadata={KEPT: sha256(kept_keys.encode()).hexdigest()})
        return Counter(reasons[0] if reasons else "kept" for reasons in failed)


def candidates(run: Path, shard: Shard) -> pa.Table:
    """The pairs of a shard's tar with every column a rule may use."""
    pairs = read_table(shard.path(PAIRS), made_by="download")
    pairs = pairs.filter(pc.equal(pairs["status"], "ok"))
    scores = read_table(shard.path(SCORES), made_by="score")
    if not pairs["key"].equals(scores["key"]):
        raise UserError(f'{shard.path(SCORES)} is not of the pairs there are now; run "corgi score" first')
    duplicates = pq.read_table(run / DUPLICATES, filters=[("shard", "=", shard.number)])
    for name in scores.column_names[1:]:
        pairs = pairs.append_column(name, scores[name])
    for kind in KINDS:
        copies = duplicates["key"].filter(pc.equal(duplicates["kind"], kind))
        pairs = pairs.append_column(f"{kind}_copy", pc.is_in(pairs["key"], value_set=copies.combine_chunks()))
    return pairs
