"""A classifier of hateful and offensive English: Davidson et al. 2017 (arXiv 1703.04009), as hatesonar packages it.

A bag of words that was trained on tweets: quick, blind to context, and without any other language. A caption of which
it knows no word gets its prior: hate 0.04, offensive 0.29.
"""

import math
import re
from collections.abc import Collection

from . import model_file

HATE, OFFENSIVE = 0, 1  # the classes; 2 is neither
TOKEN = re.compile(r"[a-zA-Z0-9_]+")


def file() -> model_file.ModelFile:
    """Return the packaged model."""
    return model_file.find("hatesonar", "model/model.onnx", distribution="hatesonar")


class Sonar:
    """The classifier: tf-idf of single words, scaled to length one, and a linear layer with softmax.

    The packaged graph of ONNX says no more than that, and takes 20 times as long for a caption.
    """

    def __init__(self, unread: Collection[str] = ()) -> None:
        import onnx

        graph = onnx.load(str(file().path)).graph
        attributes = {
            node.op_type: {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            for node in graph.node
        }
        pool: list[str] = [word.decode() for word in attributes["TfIdfVectorizer"]["pool_strings"]]
        places = attributes["TfIdfVectorizer"]["ngram_indexes"]
        (idf,) = (onnx.numpy_helper.to_array(each) for each in graph.initializer if each.name == "idfcst")
        linear = attributes["LinearClassifier"]
        self._intercepts: list[float] = list(linear["intercepts"])
        count = len(pool)
        weights = [linear["coefficients"][of * count : (of + 1) * count] for of in range(len(self._intercepts))]
        # word -> idf, then idf times the weight of each class
        self._words = {
            word: (float(idf[at]), *(float(idf[at]) * each[at] for each in weights))
            for word, at in zip(pool, places, strict=True)
            if word not in unread
        }

    def __call__(self, caption: str) -> list[float]:
        """Return the probability of each class; they add up to 1."""
        counts: dict[str, int] = {}
        for word in TOKEN.findall(caption):
            lower = word.lower()
            if lower in self._words:
                counts[lower] = counts.get(lower, 0) + 1
        square, logits = 0.0, [0.0] * len(self._intercepts)
        for word, count in counts.items():
            idf, *weighted = self._words[word]
            square += (count * idf) ** 2
            logits = [logit + count * weight for logit, weight in zip(logits, weighted, strict=True)]
        length = math.sqrt(square) or 1.0
        logits = [logit / length + by for logit, by in zip(logits, self._intercepts, strict=True)]
        powers = [math.exp(logit - max(logits)) for logit in logits]
        return [power / sum(powers) for power in powers]

    def knows(self, word: str) -> bool:
        """Tell whether a word, in small letters, is one of the 28,302 of its English tweets."""
        return word in self._words
