"""Size and caption: scorers of what a pair is called and how large it is."""

import pytest

from filters.base import Batch
from filters.caption import Caption, CaptionConfig
from filters.size import Size, SizeConfig

from .batches import HARMLESS


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


def test_words_of_scripts_without_spaces_are_counted_by_a_dictionary():
    counts = {
        "\u684c\u5b50\u4e0a\u6709\u4e00\u4e2a\u7ea2\u82f9\u679c": (4, 7),  # Chinese: a red apple is on the table
        "\u0e41\u0e21\u0e27\u0e19\u0e2d\u0e19\u0e1a\u0e19\u0e42\u0e0b\u0e1f\u0e32": (
            3,
            5,
        ),  # Thai: a cat lies on the sofa
        "\u732b\u304c\u30bd\u30d5\u30a1\u3067\u5bdd\u3066\u3044\u308b": (4, 8),  # Japanese: the cat sleeps on the sofa
        "\uace0\uc591\uc774\uac00 \uc790\uace0 \uc788\ub2e4": (3, 3),  # Korean has spaces
    }
    for caption, (least, most) in counts.items():
        assert least <= of_caption(caption)["caption_words"] <= most, caption


@pytest.mark.parametrize("caption", ["Fox Crochet Hat.jpg", "Two Red Boats at Noon.jpg", "caf\u00e9 01.JPEG"])
def test_names_of_files_may_have_spaces(caption):
    assert of_caption(caption)["caption_filename"]


@pytest.mark.parametrize(
    "caption", ["Image 3 of 12", "Stock Photo", "Click to enlarge", "Royalty Free Stock Photos #12"]
)
def test_what_stands_under_any_picture_is_boilerplate(caption):
    assert of_caption(caption)["caption_boilerplate"]


@pytest.mark.parametrize("caption", [*HARMLESS, "404 - 17/23", "", "Stock photo of a rooster", "Photograph of Paris"])
def test_what_tells_of_its_picture_is_none(caption):
    assert not of_caption(caption)["caption_boilerplate"]


def test_repetition_and_addresses():
    assert of_caption("oak chair oak stool Oak chair")["caption_repetition"] == 0.5
    assert of_caption("")["caption_repetition"] == 0 == of_caption("one red apple")["caption_repetition"]
    assert of_caption("see www.example.com")["caption_url"] and not of_caption("a <b>word</b>")["caption_url"]


@pytest.mark.parametrize(
    ("caption", "alphabet"),
    [
        ("a red apple", "latin"),
        ("\u00c9t\u00e9 \u00e0 Paris", "latin"),
        ("\u043a\u0440\u0430\u0441\u043d\u043e\u0435 \u044f\u0431\u043b\u043e\u043a\u043e, iPhone", "cyrillic"),
        ("\u7ea2\u82f9\u679c", "han"),
        ("\u308a\u3093\u3054\u306e\u5199\u771f", "kana"),
        ("\uc0ac\uacfc", "hangul"),
        ("\u0e41\u0e2d\u0e1b", "thai"),
        ("\u12a0\u121b\u122d\u129b", "other"),  # Amharic
        ("IMG 2031 \u7ea2\u82f9\u679c", "latin"),  # of equally many the first
        ("1234 --- \U0001f34e", None),
        ("", None),
    ],
)
def test_the_alphabet_is_that_of_most_letters(caption, alphabet):
    assert of_caption(caption)["caption_alphabet"] == alphabet
