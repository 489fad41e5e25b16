"""The text encoder gives transformers' own numbers, and a caption's numbers are its own."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers

from cascade import text_encoder
from cascade.text_encoder import TextConfig, TextEmbedder, TextEncoder, bits, bucket
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


def as_float(embeds):
    return torch.from_numpy((embeds.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.usefixtures("no_network")
def test_t5_embeds_are_transformers_own_on_real_tokens(folder):
    encoder = TextEncoder(TextConfig(encoder=str(folder), max_tokens=64))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.T5EncoderModel.from_pretrained(folder).eval()
    assert (encoder.width, encoder.config.name) == (32, "small-t5")
    for caption, embeds in zip(CAPTIONS, encoder.encode(CAPTIONS), strict=True):
        tokens = tokenizer(caption, return_tensors="pt")
        assert tokenizer.unk_token_id not in tokens["input_ids"]
        with torch.no_grad():
            expected = model(**tokens).last_hidden_state[0]
        assert embeds.dtype == np.uint16 and embeds.shape == expected.shape
        torch.testing.assert_close(as_float(embeds), expected, rtol=2**-8, atol=1e-5)  # bfloat16 keeps 8 bits


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_caption_s_embeds_do_not_depend_on_its_neighbours(folder, precision):
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
    assert (encoder.config.name, encoder.width) == ("minilm", 384)
    first, second, empty = encoder.encode(["a dog bites a man", "a man bites a dog", ""])
    assert first.shape == second.shape == (7, 384) and empty.shape == (2, 384)
    dogs = as_float(first)[2], as_float(second)[5]
    assert not torch.allclose(*dogs, atol=0.1)


def counting_encoder(monkeypatch):
    """Make TextEmbedder's encoders note what they load and encode; return both lists."""
    loaded: list[TextConfig] = []
    encoded: list[str] = []

    class Counting(TextEncoder):
        def __init__(self, config, device):
            loaded.append(config)
            super().__init__(config, device)

        def encode(self, captions, **options):
            encoded.extend(captions)
            return super().encode(captions, **options)

    monkeypatch.setattr(text_encoder, "TextEncoder", Counting)
    return loaded, encoded


def test_the_embedder_loads_each_encoder_once_and_only_when_it_is_needed(folder, monkeypatch):
    loaded, encoded = counting_encoder(monkeypatch)
    short, long = TextConfig(encoder=str(folder), max_tokens=4), TextConfig(encoder=str(folder))
    embedder = TextEmbedder()
    assert embedder(short, []) == [] and loaded == []
    mixed = [CAPTIONS[1], CAPTIONS[0], CAPTIONS[1]]
    for config in (short, long, short, TextConfig(encoder=str(folder))):
        expected = TextEncoder(config).encode(mixed)
        assert all(np.array_equal(*pair) for pair in zip(embedder(config, mixed), expected, strict=True))
    assert loaded == [short, long] and encoded == [CAPTIONS[1], CAPTIONS[0]] * 2


def test_the_embedder_serves_several_threads_and_encodes_nothing_twice(folder, monkeypatch):
    loaded, encoded = counting_encoder(monkeypatch)
    config, embedder, start = TextConfig(encoder=str(folder)), TextEmbedder(), threading.Barrier(8)
    expected = dict(zip(CAPTIONS, TextEncoder(config).encode(CAPTIONS), strict=True))

    def ask(first):
        start.wait()
        captions = CAPTIONS[first % 4 : first % 4 + 4]
        return list(zip(captions, embedder(config, captions), strict=True))

    with ThreadPoolExecutor(8) as threads:
        answers = [pair for pairs in threads.map(ask, range(8)) for pair in pairs]
    assert len(answers) == 32 and all(np.array_equal(embeds, expected[caption]) for caption, embeds in answers)
    assert len(loaded) == 1 and sorted(encoded) == sorted(CAPTIONS)


@pytest.mark.parametrize(("remember", "encoded_again"), [(3, []), (2, CAPTIONS[:2]), (0, CAPTIONS[:2])])
def test_the_embedder_forgets_beyond_its_bound_and_its_numbers_stay(folder, monkeypatch, remember, encoded_again):
    _, encoded = counting_encoder(monkeypatch)
    config, embedder = TextConfig(encoder=str(folder)), TextEmbedder(remember=remember)
    first = embedder(config, CAPTIONS[:3])
    again = embedder(config, CAPTIONS[:2])
    assert encoded == [*CAPTIONS[:3], *encoded_again]
    assert all(np.array_equal(*pair) for pair in zip(first[:2], again, strict=True))


def test_an_encoder_that_fails_to_load_is_tried_again(folder, tmp_path):
    later, embedder = tmp_path / "later", TextEmbedder()
    for _ in range(2):  # the lock is free again, and nothing half loaded stays
        with pytest.raises(UserError, match="no folder here"):
            embedder(TextConfig(encoder=str(later)), ["corgi"])
    later.symlink_to(folder)
    assert embedder(TextConfig(encoder=str(later)), ["corgi"])[0].shape[1] == 32


def test_long_captions_are_cut(folder):
    encoder = TextEncoder(TextConfig(encoder=str(folder), max_tokens=10))
    assert len(encoder.encode(["apple " * 50])[0]) == 10


def test_the_fingerprint_covers_files_and_settings(folder, tmp_path):
    config = TextConfig(encoder=str(folder))
    same = TextConfig(encoder=str(folder))
    assert config.fingerprint == same.fingerprint
    other = small_t5(tmp_path / "other")
    assert TextConfig(encoder=str(other)).fingerprint == config.fingerprint  # equal files, wherever they lie
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    changed = [TextConfig(encoder=str(other)), TextConfig(encoder=str(folder), max_tokens=32), TextConfig()]
    assert len({config.fingerprint, *(config.fingerprint for config in changed)}) == 4


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
