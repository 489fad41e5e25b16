"""Two small stages of random weights, a vocabulary of a dozen sentences, and a demo drawn from them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cascade.text_encoder import TextConfig
from configs import resolve
from demo.bundle import bundle
from demo.compile import compile_demo, drawn
from demo.review import say
from demo.vocabulary import Vocabulary
from pipeline.runner import Outcome
from pipeline.step import ShardStep
from storage.shard import Shard
from storage.signed import load_key
from tests.cascade.checkpoints import save
from tests.cascade.encoders import small_t5
from tests.cascade.nets import BASE, SR, awake

WORDS = {
    "medium": ["a drawing", "an emoji"],
    "thing": ["a red apple", "a lemon", "a pear", "a tulip"],
    "colour": ["a red", "a green", "a blue"],
}
SENTENCES = {"things": "{medium} of {thing}, food", "circles": "{medium} of {colour} circle"}


def stages(home: Path) -> list[Path]:
    text = TextConfig(encoder=str(small_t5(home / "t5")))
    for stage in (BASE, SR):
        sampler = stage.sampler.model_copy(update={"steps": 2, "method": "ddim"})
        quick = stage.model_copy(update={"text_width": 32, "sampler": sampler})
        save(home / stage.name, 3, quick, {"ema_ema": awake(quick)}, text=text)
    return [home / BASE.name, home / SR.name]


def values(**groups: Sequence[Any]) -> dict[str, Any]:
    """What the YAML would hold. groups: words instead of the usual ones, or whole entries."""
    return {
        "title": "Small words",
        "about": "Two stages of random weights.",
        "model_page": "https://example.org/model",
        "sentences": [{"name": name, "sentence": sentence} for name, sentence in SENTENCES.items()],
        "groups": {
            name: [
                word if isinstance(word, dict) else {"text": word, "status": "approved", "reviewer": "ada"}
                for word in words
            ]
            for name, words in {**WORDS, **groups}.items()
        },
    }


def vocabulary(*overrides: str, **groups: Sequence[Any]) -> Vocabulary:
    return resolve(Vocabulary, values(**groups), overrides)


def compiled(folders: Sequence[Path], out: Path, **options: Any) -> Outcome:
    """In this process: a pool takes seconds to start. The long tests type the command."""
    with patch("demo.compile.run_shards", _run_here):
        return compile_demo(options.pop("vocabulary", None) or vocabulary(), folders, out=out, **options)


def _run_here(
    step: ShardStep, shards: Sequence[Shard], *, rank: int = 0, world_size: int = 1, workers: int = 1
) -> Outcome:
    mine = shards[rank::world_size]
    todo = [shard for shard in mine if step.state(shard) != "done"]
    counts = sum((step(shard) for shard in todo), Counter[str]())
    return Outcome(len(todo), len(mine) - len(todo), {}, counts, 0.0)


def approve(folder: Path, *, but: Sequence[str] = ()) -> None:
    """Say yes to every picture, and no to those of the sentences in `but`."""
    for picture in drawn(folder):
        if not picture.reason:
            say(folder, picture, "reject" if picture.prompt in but else "approve", reviewer="ada")


def bundled(folder: Path, out: Path, *, key: Path | None = None, is_draft: bool = False) -> Path:
    bundle(folder, out=out, key=load_key(key or folder.parent / "key.pem"), is_draft=is_draft)
    return out
