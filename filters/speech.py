"""How somebody is attacked, in ordinary words of eight languages: whom it is about, and what is said of them.

None of these words is bad by itself. What counts is two of them in one caption: "those people" with "vermin", "all
women" with "liars", "them" with "send back". So a pest control van and a rally against hate have one sign only.
"""

from functools import cache

from . import model_file
from .words import phrase

# Who is spoken to, or spoken of as one of many.
YOU = """
you your yours u ur yourself | du dir dich dein deine ihr euch | toi tu te ton ta vous votre | tú tu usted
ustedes eres vosotros sois | sei siete voi tu tuo | você vocês seu sua tu | ты вы тебя вас твой ваш | 你 你们
"""
THEM = """
these those they them all every everyone bunch kind such typical | dieser alle jeder solche so ein | tous bande quel
quelle | estos esos esas todos todas qué toda | questi quei tutte che razza | esses estes tudo | все всех какой | 那些
都是 所有 全
"""
GROUP = """
people man men woman women girl girls boy boys kid kids family immigrant immigrants foreigner foreigners
refugee refugees migrant migrants illegals muslim muslims islam jew jews jewish christian christians black
blacks white whites asian asians indian indians arab arabs chinese mexican mexicans african africans gay gays
lesbian lesbians queer queers trans transgender homosexual homosexuals roma gypsy gypsies disabled race
feminists americans | ausländer flüchtling flüchtlinge frauen juden muslime schwule behinderte zigeuner türken
| étrangers migrants femmes homosexuels arabes juifs noirs musulmans | extranjeros inmigrantes mujeres gitanos
moros indios negros judíos | stranieri immigrati donne zingari ebrei neri | estrangeiros imigrantes mulheres
mulher ciganos índios judeus | мигранты мигрантов женщины бабы геи геев цыгане евреи |
外国人 移民 女人 同性恋 黑人 犹太人
穆斯林
"""
# What is said of them.
VERDICT = """
vermin filth filthy dirty disgusting disgust scum subhuman lazy stupid dumb ugly fat greedy brainless rapists
liar liars perverts pervert freak freaks sick smell loser losers idiot idiots moron morons fool lying
brainwashed traitors whiny crybaby traitor miserable | dumm dummer blöd hässlich faul dreckig dreckige
abschaum unglück vollidiot | stupide stupides imbécile imbéciles malade malades laid laide grosse |
idiota idiotas imbécil gorda fea feo salvajes estúpidos enferma | cretino stupidi stupida malati parassiti
schifosa grassa brutta brutto idioti | preguiçosos nojenta nojo doentes feia desgraçado | идиоты дура дебил
тупая тупой уродина жирная | 蠢猪 蠢货 丑八怪 肥猪 王八蛋 该死
"""
# What they are likened to, or said to be; of rats and thieves as such nobody takes offence.
LIKENED = """
rat rats cockroach cockroaches insect insects monkey monkeys ape animal animals beast cancer disease trash
garbage criminals criminal thief thieves murderers pig pigs cow | fett last klauen | vache | ladrones basura
cerda animales | ladri scrofa | burros parasitas ratos vaca | воры корова | 寄生虫 小偷
"""
COPULA = """
are is be was = | ist sind bist seid | est sont es êtes | es son eres sois | è sei sono siete | é são |
это как | 是 都是
"""
# What shall be done to them; each is long enough to say so by itself.
AWAY = """
get out filth | locked up | out of our | your kind | build the wall | ban islam | ausländer raus | gehört eingesperrt
| halt den mund | étrangers dehors | rentrez chez vous | dehors rentrez | à enfermer | fuera extranjeros | fuori gli
stranieri | affondate i barconi | vanno curati | fora estrangeiros | voltem para a | надо лечить | 滚出去
"""
KILL = """
kill them | kill yourself | go kill | should die | deserve to die | hope you die | all die | die slowly | wipe them |
gas them | hang them | hang the traitors | drown the | be beaten | deserves to | deserve rights | must be stopped |
mort aux | crevez tous | va te faire | hay que matar | no mereces vivir | cállate la | chiudi quella | tomara que
morra | заткнись | 闭嘴 | 滚
"""
CLASSES = {
    "you": YOU,
    "them": THEM,
    "group": GROUP,
    "verdict": VERDICT,
    "likened": LIKENED,
    "copula": COPULA,
    "away": AWAY,
    "kill": KILL,
}


PHRASES = ("away", "kill")
NEGATIVE = -1.8  # mean valence, of -4 to 4, of words that say something bad


def sentiment() -> model_file.ModelFile:
    """Return the lexicon of VADER: how bad ten people found each of 7,520 English words (Hutto, Gilbert 2014)."""
    return model_file.find("vaderSentiment", "vader_lexicon.txt", distribution="vaderSentiment")


@cache
def classes() -> dict[str, frozenset[str]]:
    """Return folded word or phrase -> the names of the classes that it is in, "negative" among them."""
    found: dict[str, set[str]] = {}
    for name, text in CLASSES.items():
        for part in text.replace("\n", " ").split("|"):
            for one in [part] if name in PHRASES else part.split():
                found.setdefault(phrase(one), set()).add(name)
    for line in sentiment().path.read_text(encoding="utf-8").splitlines():
        word, valence, *_ = line.split("\t")
        if word.isalpha() and float(valence) <= NEGATIVE:
            found.setdefault(phrase(word), set()).add("negative")
    return {key: frozenset(names) for key, names in found.items() if key}
