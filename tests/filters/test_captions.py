"""Size, caption, language and hate: scorers that look at no pixel."""

import numpy as np
import onnxruntime
import pytest
from hatesonar import Sonar
from hatesonar.api import DEFAULT_MODEL_FILE

from configs import resolve
from filters.base import Batch
from filters.caption import Caption, CaptionConfig
from filters.hate import Hate, HateConfig, with_c_locale
from filters.language import Language, LanguageConfig
from filters.size import Size, SizeConfig

from .batches import HARMLESS, HATEFUL


def test_sides_and_aspect_of_the_original_or_of_what_is_stored():
    columns: dict[str, list[int | None]] = {
        "original_width": [600, 300, None],
        "original_height": [200, 300, 10],
        "stored_width": [256, 256, 1],
        "stored_height": [85, 256, 1],
    }
    pairs = Batch(columns=columns)
    assert Size(SizeConfig())(pairs) == {
        "min_side": [200, 300, None],
        "max_side": [600, 300, None],
        "aspect": [3.0, 1.0, None],
    }
    assert Size(SizeConfig(of="stored"))(pairs)["min_side"] == [85, 256, 1]


def of_caption(caption):
    return {name: values[0] for name, values in Caption(CaptionConfig())(Batch(captions=[caption])).items()}


def test_counts_of_a_caption():
    found = of_caption("  a red  apple, 5 pieces\n")
    assert (found["caption_chars"], found["caption_words"]) == (22, 5)
    assert found["caption_letters"] == pytest.approx(15 / 17)


def test_letters_of_any_script_count_as_letters():
    assert of_caption("\u4e2d\u6587 \u0928\u092e\u0938\u094d\u0924\u0947")["caption_letters"] == 1
    assert of_caption("")["caption_letters"] == 0
    assert of_caption("404 - 17/23")["caption_letters"] == 0


@pytest.mark.parametrize(
    "caption",
    [
        "<b>Game 20</b>: at Denver",
        '<img src="x.png">',
        "Tom &amp; Jerry",
        "&#39;quoted&#39;",
        "[url=x]here[/url]",
        "{{ title }}",
        "see http://example.com/cat",
        ".red { color: red; }",
        "${product.name}",
    ],
)
def test_leftovers_of_web_pages_are_markup(caption):
    assert of_caption(caption)["caption_markup"]


@pytest.mark.parametrize("caption", [*HARMLESS, "5 < 6 and 7 > 3", "R&D; more", "a [sic] b", "smile :-) {yes}"])
def test_plain_captions_are_not_markup(caption):
    found = of_caption(caption)
    assert not found["caption_markup"] and not found["caption_filename"]


@pytest.mark.parametrize("caption", ["DSC_0042.JPG", "sunset-over-sea.png", "IMG_1234", "image (3)", "Untitled"])
def test_names_of_files(caption):
    assert of_caption(caption)["caption_filename"]


@pytest.mark.parametrize("caption", ["a photo of DSC_0042.JPG", "image of a dog", "screenshot of a game", "photograph"])
def test_captions_that_only_mention_files(caption):
    assert not of_caption(caption)["caption_filename"]


def test_languages_of_short_captions():
    captions = {
        "a drawing of a red apple on the table": "en",
        "ein roter Apfel liegt auf dem Tisch": "de",
        "une pomme rouge sur la table de la cuisine": "fr",
        "una manzana roja sobre la mesa": "es",
        "\u0437\u0435\u043b\u0451\u043d\u043e\u0435 \u044f\u0431\u043b\u043e\u043a\u043e": "ru",
        "\u684c\u5b50\u4e0a\u6709\u4e00\u4e2a\u7ea2\u82f9\u679c": "zh",
    }
    found = Language(LanguageConfig())(Batch(captions=list(captions)))
    assert found["language"] == list(captions.values())
    assert all(0.5 < score <= 1 for score in found["language_score"])


def test_language_reads_line_breaks_and_the_start_of_long_captions():
    english, german = "a red apple on the table\n", "ein roter Apfel auf dem Tisch "
    pairs = Batch(captions=[english, english * 3 + german * 1000, ""])
    found = Language(LanguageConfig(max_chars=60))(pairs)
    assert found["language"] == ["en", "en", "en"]
    assert found["language_score"][2] < 0.2  # nothing to go by: the model's prior


@pytest.fixture(scope="module")
def sonar():
    """The package's own class over the graph in locale C; it cannot load its own file where en_US.UTF-8 is missing."""
    sonar = Sonar.__new__(Sonar)
    sonar.sess = onnxruntime.InferenceSession(with_c_locale(DEFAULT_MODEL_FILE.read_bytes()))
    sonar.mapping = {0: "hate_speech", 1: "offensive_language", 2: "neither"}
    return sonar


def test_hate_equals_the_package_s_own_answers(sonar):
    captions = [*HARMLESS, *HATEFUL, "", "HATE in capitals", "caf\u00e9 \u4e2d\u6587 hate", "nul\0byte", "word " * 3000]
    found = Hate(resolve(HateConfig, {"unread": []}))(Batch(captions=captions))
    for caption, hate, offensive in zip(captions, found["hate"], found["offensive"], strict=True):
        classes = {one["class_name"]: one["confidence"] for one in sonar.ping(caption)["classes"]}
        assert (classes["hate_speech"], classes["offensive_language"]) == (hate, offensive)


def test_hateful_captions_are_found_and_harmless_ones_left():
    found = Hate(HateConfig())(Batch(captions=HATEFUL + HARMLESS))
    bad = (np.array(found["hate"]) >= 0.15) | (np.array(found["offensive"]) >= 0.45)
    assert bad[: len(HATEFUL)].all()
    assert not bad[len(HATEFUL) :].any()


def test_words_that_are_not_read_do_not_count(sonar):
    assert sonar.ping("a white flower")["top_class"] == "hate_speech"  # why there are words that are not read
    plain, coloured = (Hate(HateConfig())(Batch(captions=[c])) for c in ("a flower", "a White flower"))
    assert plain == coloured
