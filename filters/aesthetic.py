"""How much people like a picture: LAION's aesthetic predictors, a head on the CLIP embedding of a picture.

christophschuhmann/improved-aesthetic-predictor has five linear layers and nothing between them,
LAION-AI/aesthetic-predictor one. Both were fitted to what people rated from 1 to 10.
"""

from typing import ClassVar, Literal

import pyarrow as pa

from .head import Head, HeadConfig


class AestheticConfig(HeadConfig):
    """The head of aesthetics; LAION's have nothing between their layers."""

    activation: Literal["none", "relu"] = "none"  # between layers
    ends: Literal["none", "sigmoid"] = "none"  # what becomes of the last number


class Aesthetic(Head):
    """aesthetic_score: about 1 to 10."""

    name: ClassVar[str] = "aesthetic"
    columns: ClassVar[dict[str, pa.DataType]] = {"aesthetic_score": pa.float32()}
