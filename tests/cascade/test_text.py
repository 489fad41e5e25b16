"""The text encoder gives transformers' own numbers, and a caption's numbers are its own."""

import socket

import numpy as np
import pytest
import torch
import transformers

from cascade.text import TextConfig, TextEncoder, bits, bucket
from configs import UserError

from .encoders import CAPTIONS, small_t5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_t5(tmp_path_factory.mktemp("encoders") / "small t5")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a folder needs no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def as_float(states):
    return torch.from_numpy((states.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.usefixtures("no_network")
def test_t5_states_are_transformers_own_on_real_tokens(folder):
    encoder = TextEncoder(TextConfig(encoder=str(folder), max_tokens=64))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.T5EncoderModel.from_pretrained(folder).eval()
    assert (encoder.width, encoder.name) == (32, "small-t5")
    for caption, states in zip(CAPTIONS, encoder.encode(CAPTIONS), strict=True):
        tokens = tokenizer(caption, return_tensors="pt")
        assert tokenizer.unk_token_id not in tokens["input_ids"]
        with torch.no_grad():
            expected = model(**tokens).last_hidden_state[0]
        assert states.dtype == np.uint16 and states.shape == expected.shape
        torch.testing.assert_close(as_float(states), expected, rtol=2**-8, atol=1e-5)  # bfloat16 keeps 8 bits


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_caption_s_states_do_not_depend_on_its_neighbours(folder, precision):
    encoder = TextEncoder(TextConfig(encoder=str(folder), precision=precision))
    many = [f"{caption} {number}" for number in range(40) for caption in CAPTIONS]
    together = dict(zip(many, encoder.encode(many), strict=True))
    backwards = dict(zip(many[::-1], encoder.encode(many[::-1]), strict=True))
    for caption in many[::23]:
        alone = encoder.encode([caption])[0]
        assert np.array_equal(alone, together[caption]) and np.array_equal(alone, backwards[caption])
    twice = encoder.encode([many[0], many[1], many[0]])
    assert np.array_equal(twice[0], twice[2]) and not np.array_equal(twice[0], twice[1])
    assert encoder.encode([]) == []


@pytest.mark.usefixtures("no_network")
def test_minilm_comes_with_pip_and_tells_word_order():
    encoder = TextEncoder(TextConfig())
    assert (encoder.name, encoder.width) == ("minilm", 384)
    first, second, empty = encoder.encode(["a dog bites a man", "a man bites a dog", ""])
    assert first.shape == second.shape == (7, 384) and empty.shape == (2, 384)
    dogs = as_float(first)[2], as_float(second)[5]
    assert not torch.allclose(*dogs, atol=0.1)


def test_long_captions_are_cut(folder):
    encoder = TextEncoder(TextConfig(encoder=str(folder), max_tokens=10))
    assert len(encoder.encode(["apple " * 50])[0]) == 10


def test_the_fingerprint_covers_files_and_settings(folder, tmp_path):
    config = TextConfig(encoder=str(folder))
    same = TextConfig(encoder=str(folder))
    assert config.fingerprint == same.fingerprint == TextEncoder(config).fingerprint
    other = small_t5(tmp_path / "other")
    assert TextConfig(encoder=str(other)).fingerprint == config.fingerprint  # equal files, wherever they lie
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    changed = [TextConfig(encoder=str(other)), TextConfig(encoder=str(folder), max_tokens=32), TextConfig()]
    assert len({config.fingerprint, *(one.fingerprint for one in changed)}) == 4


def test_encoders_that_cannot_be_had_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no folder here and no name on the hub"):
        TextEncoder(TextConfig(encoder=str(tmp_path / "missing")))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="pickles are never loaded"):
        TextEncoder(TextConfig(encoder=str(tmp_path)))


def test_names_are_safe_for_files():
    assert TextConfig(encoder="google/t5-v1_1-xxl").name == "google-t5-v1_1-xxl"


def test_buckets_grow_in_halves():
    assert [bucket(n, 64) for n in (1, 8, 9, 12, 13, 17, 24, 25, 33, 48, 49, 64)] == [
        *(8, 8, 12, 12, 16, 24, 24, 32, 48, 48, 64, 64)
    ]
    assert bucket(40, 40) == 40


def test_bits_are_rounded_to_the_nearest_bfloat16():
    values = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.25])  # the middle two lie between two: the even one
    assert bits(values).tolist() == [0x3F80, 0x3F80, 0x3F82, 0xC050]
