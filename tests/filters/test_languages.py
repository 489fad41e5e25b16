"""Which language a caption is in, and whether that is English."""

from filters.base import Batch
from filters.language import Language, LanguageConfig

SHORT = {
    "a drawing of a red apple on the table": "en",
    "ein roter Apfel liegt auf dem Tisch": "de",
    "une pomme rouge sur la table de la cuisine": "fr",
    "una manzana roja sobre la mesa": "es",
    "\u0437\u0435\u043b\u0451\u043d\u043e\u0435 \u044f\u0431\u043b\u043e\u043a\u043e": "ru",
    "\u684c\u5b50\u4e0a\u6709\u4e00\u4e2a\u7ea2\u82f9\u679c": "zh",
}
# English captions of names and nouns that fastText takes for French, Spanish and Italian.
MISTAKEN = ["Ferrari Coupe Sticker", "Porcelain Dinner Plate", "Panorama Canvas Print", "Velvet Curtain Panel"]


def test_languages_of_short_captions():
    found = Language(LanguageConfig())(Batch(captions=list(SHORT)))
    assert found["language"] == list(SHORT.values())
    assert all(0.5 < score <= 1 for score in found["language_score"])
    assert [score > 0.5 for score in found["english"]] == [code == "en" for code in SHORT.values()]


def test_names_and_nouns_are_more_often_english_than_the_model_says():
    found = Language(LanguageConfig())(Batch(captions=MISTAKEN))
    assert sum(language != "en" for language in found["language"]) >= 3
    assert all(score > 0.5 for score in found["english"])


def test_language_reads_line_breaks_and_the_start_of_long_captions():
    english, german = "a red apple on the table\n", "ein roter Apfel auf dem Tisch "
    pairs = Batch(captions=[english, english * 3 + german * 1000, ""])
    found = Language(LanguageConfig(max_chars=60))(pairs)
    assert found["language"] == ["en", "en", "en"]
    assert found["language_score"][2] < 0.2  # nothing to go by: the model's prior
    assert found["english"][1] > 0.9
