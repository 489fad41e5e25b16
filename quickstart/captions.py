"""Captions that a filter must stop: one word, another language, markup, hate.

The hateful ones are mild and made up: about peoples that do not exist, and without a slur.
"""

from functools import cache

from configs import hashed

from .names import Drawing

PEOPLES = ("Blorgs", "Zindlers", "Moonfolk", "Quibbs", "Undermen", "Farnics", "Tollos", "Wexers")
HATEFUL = (
    "I hate these stupid {people}, they are trash",
    "all {people} are ugly idiots and should go away",
    "shut up you dumb {people}, nobody wants you",
    "{people} are filthy trash and I hate them all",
    "those stupid {people} ruin everything, hate them",
    "ugly {people} are dumb trash, send them back",
)
SENTENCES = {
    "de": "eine Zeichnung von {name}, gezeichnet mit bunten Farben",
    "fr": "un dessin de {name}, avec des couleurs vives",
    "es": "un dibujo de {name}, con muchos colores vivos",
    "it": "un disegno di {name}, con tanti colori vivaci",
    "pt": "um desenho de {name}, com muitas cores vivas",
    "ru": "рисунок: {name}, яркие цвета",
    "zh": "一幅{name}的图画, 颜色鲜艳",
    "ja": "{name}の絵、鮮やかな色",
}
MARKUP = (  # what pages leave behind in alt texts
    '<a href="http://a.test/">{name}</a>',
    "IMG_{number:04d}.JPG",
    "{{{{ page.title }}}} {name}",  # a template that nobody filled in; entities are resolved by the plan
    "[img]http://a.test/{number}.png[/img]",
)


def odd_caption(kind: str, drawing: Drawing) -> str:
    """Return the caption of a planted pair of this kind: one-word, foreign, markup or hateful."""
    dice = hashed(drawing.code, kind, "caption")
    if kind == "one-word":
        return drawing.name.split()[-1].strip(",")
    if kind == "markup":
        return MARKUP[dice % len(MARKUP)].format(name=drawing.name, number=dice % 10_000)
    if kind == "hateful":
        return HATEFUL[dice % len(HATEFUL)].format(people=PEOPLES[dice // 7 % len(PEOPLES)])
    assert kind == "foreign", kind
    language = sorted(SENTENCES)[dice % len(SENTENCES)]
    return SENTENCES[language].format(name=_translated(language).get(drawing.code, ""))


@cache
def _translated(language: str) -> dict[str, str]:
    """Return code -> name in a language, for the drawings that have one."""
    import emoji

    emoji.config.load_language(language)
    return {
        "-".join(f"{ord(char):x}" for char in chars): data[language].strip(":").replace("_", " ")
        for chars, data in emoji.EMOJI_DATA.items()
        if language in data
    }
