"""What may not be said or shown: the thresholds and lists of a demo, and the text rules that follow from them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from configs import Config, fingerprint
from filters.base import Batch
from filters.caption import Caption, CaptionConfig
from filters.hate import Hate, HateConfig
from filters.nsfw import Nsfw, NsfwConfig
from storage.atomic import sha256_cached

from .persons import folded, person_in

Share = Annotated[float, Field(ge=0, le=1)]


class Policy(Config):
    """Thresholds as in the quickstart's pipeline: stricter costs words or pictures, never safety."""

    hate: Share = 0.12  # a sentence with this or more is not taken
    offensive: Share = 0.45
    nsfw: Share = 0.5  # a picture with this or more is not shown
    names: tuple[str, ...] = ()  # words with a capital that name nobody: British, Shiba
    blocked_words: tuple[str, ...] = ()
    block_hashes: tuple[Path, ...] = ()  # lists of sha256 and pdq:<hash> of pictures that are not shown

    @property
    def fingerprint(self) -> str:
        """Return a digest of the rules, of the models that apply them and of what the lists hold."""
        models = (Hate(HateConfig()).fingerprint, Nsfw(NsfwConfig()).fingerprint)
        lists = sorted(sha256_cached(path) for path in self.block_hashes)
        return fingerprint("demo policy", self.model_dump(exclude={"block_hashes"}), lists, models)


def problems_of_word(policy: Policy, text: str) -> Iterator[str]:
    """Yield why a word, or a sentence with its gaps, may not be in a vocabulary."""
    if found := person_in(text):
        yield f"speaks of a person: {found}"
    known = {part for name in policy.names for part in re.findall(r"\w+", name)}
    for part in re.findall(r"\w+", text):
        if part != part.lower() and part not in known:
            yield f"{part!r} has a capital, so it may be somebody's name; if it is not, list it under policy.names"
    for word in policy.blocked_words:
        if re.search(rf"\b{re.escape(folded(word))}\b", folded(text)):
            yield f"{word!r} is a blocked word"


def problems_of_prompts(policy: Policy, prompts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (prompt, why it may not be drawn)."""
    batch = Batch(captions=list(prompts))
    hate, looks = Hate(HateConfig())(batch), Caption(CaptionConfig())(batch)
    for row, prompt in enumerate(prompts):
        if found := person_in(prompt):
            yield prompt, f"speaks of a person: {found}"
        for name in ("hate", "offensive"):
            if (score := hate[name][row]) >= getattr(policy, name):
                yield prompt, f"{name} {score:.2f}, and {getattr(policy, name)} is the limit"
        if looks["caption_markup"][row] or looks["caption_filename"][row]:
            yield prompt, "looks like markup, an address or the name of a file"
        for word in policy.blocked_words:
            if re.search(rf"\b{re.escape(folded(word))}\b", folded(prompt)):
                yield prompt, f"{word!r} is a blocked word"
