"""Hate and insult in captions: the classifier of Davidson et al. 2017 (arXiv 1703.04009), as hatesonar packages it.

A bag of English words, so it is quick, sees no context and knows no other language. A caption without any word that
it knows gets its prior: hate 0.04, offensive 0.29.

It was trained on tweets, and there "white" alone means hate: of 1,000 captions from the web it calls 45 hateful or
offensive (hate 0.12, offensive 0.40), nearly all for a colour or for speaking of women. Words that only name a colour,
a people or a kind of person are therefore not read; that leaves 11, and of 14 mild insults finds 11 instead of 12.
"""

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from configs import Config, fingerprint

from . import model_file
from .base import Batch

if TYPE_CHECKING:
    import onnxruntime

HATE, OFFENSIVE = 0, 1  # the model's classes; 2 is neither


Word = Annotated[str, Field(pattern="^[a-z0-9_]+$")]


class HateConfig(Config):
    """What is left out of a caption before it is judged. Thresholds are for rules."""

    # Words that are passed over, in small letters.
    unread: tuple[Word, ...] = (
        *("white", "black", "man", "women", "girl", "gay", "jew", "israel", "america", "race", "kid"),
        *("cracker", "da", "yo"),  # crackers, parts of names and toys
    )


class Hate:
    """hate, offensive: probabilities in [0, 1], which together with "neither" add up to 1."""

    name: ClassVar[str] = "hate"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {"hate": pa.float32(), "offensive": pa.float32()}

    def __init__(self, config: HateConfig) -> None:
        self.config = config
        self._file = model_file.find("hatesonar", "model/model.onnx", distribution="hatesonar")
        self._unread = re.compile(rf"\b(?:{'|'.join(config.unread)})\b", re.ASCII | re.IGNORECASE)
        self.fingerprint = fingerprint(self.name, config, self._file.sha256, self._file.version)

    @cached_property
    def _session(self) -> "onnxruntime.InferenceSession":
        return model_file.session(with_c_locale(self._file.path.read_bytes()))

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        # One caption a run: as quick as a small batch, and the tokenizer has nothing to pad.
        classes = [self._judge(caption) for caption in batch.captions]
        return {"hate": [odds[HATE] for odds in classes], "offensive": [odds[OFFENSIVE] for odds in classes]}

    def _judge(self, caption: str) -> dict[int, float]:
        """Return the probability of each class."""
        read = self._unread.sub(" ", caption) if self.config.unread else caption
        (rows,) = self._session.run(["output_probability"], {"text": np.array([read], dtype=object)})
        return dict(rows[0])


def with_c_locale(model: bytes) -> bytes:
    """Return the same graph, lower-casing in locale "C".

    The graph leaves the locale to onnxruntime, which then insists on en_US.UTF-8, and few servers have it. All words
    that the model knows are ASCII, so nothing is lost.
    """
    import onnx

    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("locale", "C")])
    return bytes(graph.SerializeToString())
