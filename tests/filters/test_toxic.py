"""A text classifier by folder, with random weights: as transformers' own pipeline says, whatever the batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer, pipeline

from configs import UserError
from filters.base import Batch
from filters.scorers import ScorersConfig, build
from filters.toxic import Toxic, ToxicConfig

from .batches import HARMLESS, HATEFUL, one_by_one

CAPTIONS = [*HARMLESS, *HATEFUL, "", "many words " * 60]
PYSENTIMIENTO = ["hateful", "targeted", "aggressive"]
DETOXIFY = ["toxicity", "severe_toxicity", "threat"]


def model_in(folder: Path, labels: list[str]) -> Path:
    folder.mkdir(parents=True)
    words = sorted({word for caption in CAPTIONS for word in caption.lower().replace(",", " ").split()})
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    small: Any = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words) + 5, id2label=dict(enumerate(labels)), initializer_range=0.5, **small)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("ends", ["sigmoid", "softmax"])
@pytest.mark.parametrize("labels", [PYSENTIMIENTO, DETOXIFY])
def test_scores_are_those_of_transformers_own_pipeline(tmp_path: Path, labels: list[str], ends: Any):
    folder = model_in(tmp_path / "model", labels)
    found = Toxic(ToxicConfig(model=str(folder), ends=ends, batch=5, max_tokens=16))(Batch(captions=CAPTIONS))
    theirs: Any = pipeline("text-classification", model=str(folder), top_k=None, function_to_apply=ends)
    said: list[dict[str, float]] = [
        {each["label"]: each["score"] for each in row}
        for row in theirs(CAPTIONS, padding="max_length", truncation=True, max_length=16)
    ]
    worst = [max(row.get(label, 0) for label in ("hateful", "toxicity", "severe_toxicity")) for row in said]
    assert found["toxic"] == pytest.approx(worst, abs=1e-5)
    assert max(worst) - min(worst) > 0.01
    for column in ("targeted", "aggressive"):
        expected = [row[column] for row in said] if labels is PYSENTIMIENTO else [None] * len(CAPTIONS)
        assert found[column] == (pytest.approx(expected, abs=1e-5) if labels is PYSENTIMIENTO else expected)


def test_a_score_does_not_depend_on_the_batch(tmp_path: Path):
    scorer, batch = Toxic(ToxicConfig(model=str(model_in(tmp_path / "m", PYSENTIMIENTO)))), Batch(captions=CAPTIONS)
    assert scorer(batch) == one_by_one(scorer, batch)
    assert scorer(Batch()) == {"toxic": [], "targeted": [], "aggressive": []}


def test_it_is_off_until_a_model_is_named_that_can_be_used(tmp_path: Path):
    assert "toxic" not in [scorer.name for scorer in build(ScorersConfig())]
    other = Toxic(ToxicConfig(model=str(model_in(tmp_path / "m", ["sunny", "rainy"]))))
    assert other.fingerprint != Toxic(ToxicConfig(model=str(tmp_path / "m"), max_tokens=9)).fingerprint
    with pytest.raises(UserError, match=r"score\.toxic\.model: .* has the labels sunny, rainy; none of aggressive"):
        other(Batch(captions=["a"]))
    with pytest.raises(UserError, match=r"score\.toxic\.model 'no model' is no folder here"):
        _ = Toxic(ToxicConfig(model="no model")).fingerprint
