"""A T5 of a few thousand random weights with a tokenizer trained on the spot, saved as transformers saves it."""

import io
from pathlib import Path

import sentencepiece
import torch
import transformers

CAPTIONS = [
    "a drawing of a red apple, food",
    "a drawing of a green apple",
    "flag of Norway",
    "a waving hand with medium skin tone",
    "two red hearts beside a house made out of sushi, in which a cute corgi lives",
    "corgi",
    "the face of a smiling cat with heart eyes, drawn by hand in blue and yellow ink on white paper",
]


def small_t5(folder: Path) -> Path:
    """Writes spiece.model, config.json and model.safetensors into `folder`."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CAPTIONS * 20),
        model_writer=model,
        model_type="unigram",
        vocab_size=56,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
