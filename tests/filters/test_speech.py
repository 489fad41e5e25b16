"""What is said of whom: how lists are read, what stands in them, and what turns an attack around."""

import re
import time
import tracemalloc

import pytest

from filters import speech
from filters.base import Batch
from filters.hate import Hate, HateConfig

LANGUAGES = {"en", "de", "fr", "es", "it", "pt", "ru", "zh"}
# Mild ones; each says the same in its language: a group is said to be a pest, is hated, and shall go.
ATTACKS = [
    *("all immigrants are vermin", "I despise every gypsy in this town", "throw all refugees out of our country"),
    *("alle Ausländer sind Ungeziefer", "ich hasse Zigeuner", "wir müssen alle Flüchtlinge abschieben"),
    *("les immigrés sont de la vermine", "je déteste tous les gitans", "il faut expulser tous les réfugiés"),
    *("los inmigrantes son escoria", "odio a los gitanos", "hay que expulsar a los refugiados"),
    *("gli immigrati sono feccia", "odio gli zingari", "bisogna cacciare tutti i profughi"),
    *("os imigrantes são escória", "odeio ciganos", "temos que expulsar os refugiados"),
    *("мигранты это отбросы", "ненавижу цыган", "надо выгнать всех беженцев"),
    *("移民都是人渣", "我讨厌吉普赛人", "应该把难民赶出去"),
]
HARMLESS = [
    *(
        "Gay couple kissing with their dog at the beach",
        "Muslim family visits the zoo",
        "Pest control van, rats and mice",
    ),
    *("Not all Muslims are terrorists, placard at a rally", 'He said "all immigrants are vermin" and was dismissed'),
    *("No immigrant deserves to be called vermin", "Kill your lawn and plant natives instead", "black trash bags"),
    *("Jüdischer Friedhof in Prag", "Kein Mensch ist illegal, Aufkleber", "Vieux juif avec son chien", "Perro sucio"),
    *("Ebrei deportati da Roma, ottobre 1943", "Judeus na Amazônia, exposição", "Цыгане на ярмарке, картина"),
    *(
        "同性恋者游行反对歧视",
        "猪年吉祥 剪纸",
        "a rat, a pig and a donkey",
        "dog face",
        "the worst idiot in Dostoevsky's novel",
    ),
]


def hateful(*captions):
    return Hate(HateConfig())(Batch(captions=list(captions)))["hateful"]


def test_attacks_are_found_in_eight_languages():
    assert {text: score < 0.5 for text, score in zip(ATTACKS, hateful(*ATTACKS), strict=True) if score < 0.5} == {}


def test_who_is_named_quoted_or_defended_is_not_attacked():
    assert {text: score for text, score in zip(HARMLESS, hateful(*HARMLESS), strict=True) if score >= 0.5} == {}


def test_traditional_characters_say_the_same():
    assert hateful("這些猶太人都是騙子") == hateful("这些犹太人都是骗子") != hateful("猫")
    assert len(speech.TRADITIONAL) == len(speech.SIMPLIFIED)


def test_phrases_stems_and_gaps_are_read_and_a_phrase_takes_its_words():
    found = speech.read("the foreigners, get them all out")["en"]
    assert found["group"] == [1] and found["away"] == [2] and "them" not in found
    assert "person" not in speech.read("black people")["en"]  # a phrase of the group
    assert speech.read("immigration officers").get("en", {}).get("group") is None
    assert speech.read("die Muslime")["de"]["group"] == [1]


@pytest.mark.parametrize("name", ["vile", "bad", "beast", "hate", "kill", "out", "role"])
def test_no_ordinary_word_is_enough_by_itself(name):
    entries = speech._entries()
    alone = [key for key, entry in entries.items() if any(each[1] == name for each in entry.classes) and "*" not in key]
    alone = [word for word in alone if not speech.HAN.match(word)]  # what is one word there is several elsewhere
    assert len(alone) > 20
    scores = hateful(*(f"{word}, 12 x 18 cm" for word in alone))
    assert [word for word, score in zip(alone, scores, strict=True) if score >= 0.5] == []


def test_lists_are_of_known_classes_and_of_one_script():
    assert {file.stem for file in speech.files()} == LANGUAGES
    for file in speech.files():
        text = file.read_text(encoding="utf-8")
        names = {line.partition(":")[0] for line in text.splitlines() if not line.startswith("#")}
        assert names <= {*speech.CLASSES} and {"group", "hate", "kill", "vile", "not", "against"} <= names
        words = " ".join(line.partition(":")[2] for line in text.splitlines() if not line.startswith("#"))
        mixed = [word for word in words.split() if re.search("[a-zA-Z]", word) and re.search("[\u0400-\u04ff]", word)]
        assert mixed == [], file.stem
        assert all(part for word in words.split() for part in word.split("_")), file.stem  # no slip of the pen


def test_a_long_caption_takes_as_long_as_its_words():
    took = []
    for size in (20_000, 200_000):
        text = ("kill you all, muslims are not scum, " * size)[:size]
        start = time.process_time()
        hateful(text)
        took.append(time.process_time() - start)
    assert took[1] < 60 * took[0]


def test_no_word_that_is_listed_is_longer_than_what_is_looked_up():
    assert max(len(key.rstrip("*")) for key in speech._entries()) < speech.LONGEST


def test_long_captions_and_long_words_are_not_remembered():
    assert speech.read("all immigrants are vermin")
    tracemalloc.start()
    try:
        for number in range(5):
            assert speech.read(f"{number} " + "vermin " * 10_000 + "x" * 500_000)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 300_000
