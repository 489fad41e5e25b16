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
        known, counts = self._words, dict[str, int]()
        # Lowering all at once is quicker; a few letters beyond ASCII become ASCII by it, and are no words of the model.
        found = TOKEN.findall(caption.lower()) if caption.isascii() else map(str.lower, TOKEN.findall(caption))
        for word in found:
            if word in known:
                counts[word] = counts.get(word, 0) + 1
        square = hate = offensive = neither = 0.0
        for word, count in counts.items():
            idf, by_hate, by_offensive, by_neither = known[word]
            square += (count * idf) ** 2
            hate += count * by_hate
            offensive += count * by_offensive
            neither += count * by_neither
        length = math.sqrt(square) or 1.0
        logits = [each / length + by for each, by in zip((hate, offensive, neither), self._intercepts, strict=True)]
        most = max(logits)
        powers = [math.exp(logit - most) for logit in logits]
        total = sum(powers)
        return [power / total for power in powers]

    def knows(self, word: str) -> bool:
        """Tell whether a word, in small letters, is one of the 28,302 of its English tweets."""
        return word in self._words
