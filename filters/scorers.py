"""Which scorers run, and with what.

Every scorer has a field here; `nsfw: null` leaves one out, and its columns with it.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from configs import Config

from .base import Scorer
from .caption import Caption, CaptionConfig
from .hate import Hate, HateConfig
from .language import Language, LanguageConfig
from .nsfw import Nsfw, NsfwConfig
from .pdq import Pdq, PdqConfig
from .size import Size, SizeConfig

KINDS: dict[str, Callable[[Any], Scorer]] = {kind.name: kind for kind in (Size, Caption, Language, Hate, Nsfw, Pdq)}


class ScorersConfig(Config):
    """The scorers, in the order of their columns."""

    size: SizeConfig | None = SizeConfig()
    caption: CaptionConfig | None = CaptionConfig()
    language: LanguageConfig | None = LanguageConfig()
    hate: HateConfig | None = HateConfig()
    nsfw: NsfwConfig | None = NsfwConfig()
    pdq: PdqConfig | None = PdqConfig()


def build(config: ScorersConfig) -> list[Scorer]:
    """The scorers that are not null. Cheap: models are loaded by the first batch."""
    chosen = {name: getattr(config, name) for name in KINDS}
    return [KINDS[name](options) for name, options in chosen.items() if options is not None]


def columns(scorers: list[Scorer]) -> dict[str, pa.DataType]:
    """What the scorers add to a pair, in order."""
    return {name: kind for scorer in scorers for name, kind in scorer.columns.items()}
