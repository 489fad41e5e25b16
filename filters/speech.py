"""How somebody is attacked, in ordinary words of eight languages: whom it is about, and what is said of them.

The words were written by what they mean (stupidity, dirt, pests, crime, worthlessness, expulsion, death, silence), each
meaning in each language. None of them is bad by itself. What counts is two of
them in one caption: "those people" with "vermin", "all women" with "liars". So a pest control van and a rally against
hate have one sign only.
"""

from functools import cache

from . import model_file, words
from .words import phrase

# Who is spoken to, or spoken of as one of many.
YOU = """
you your yours u ur yourself | du dir dich dein deine ihr euch | toi tu te ton ta vous votre | tú tu usted
ustedes eres vosotros sois | sei siete voi tu tuo | você vocês seu sua tu | ты вы тебя вас твой ваш | 你 你们
"""
THEM = """
these those they them all every everyone everybody each such bunch kind lot |
diese dieser dieses alle jeder jede solche so diesen | ces cette tous toutes tout quel quelle ceux bande espèce
|
estos estas esos esas todos todas toda qué ellos | questi queste quei quelle tutti tutte che razza |
estes estas esses essas todos todas toda que eles | эти этих все всех такие каждый какой | 这些 那些 都是 所有 他们
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
idiot idiots idiotic imbecile imbeciles moron morons moronic cretin cretins fool fools stupid dumb brainless
dimwit
ugly hideous fat disgusting repulsive filthy dirty nasty stinking smelly stink stinks scum filth vermin subhuman
subhumans
inferior barbarian barbarians freak freaks degenerate degenerates pervert perverts perverted coward cowards
cowardly
liar liars traitor traitors lazy greedy worthless useless pathetic miserable despicable disgrace loser losers
failure
lunatic lunatics brainwashed inbred whiny ungrateful shameless rotten evil |
idiot idioten idiotisch dumm dumme dummer dummen dummkopf trottel blöd blöde blöder blödmann depp hässlich
hässliche
hässlicher fett fette fetter eklig ekelhaft ekelhafte widerlich dreckig dreckige dreckiges schmutzig stinkend
stinken abschaum
ungeziefer untermensch untermenschen minderwertig barbaren missgeburt pervers perverse perverser perverslinge
feigling feige
lügner verräter faul faule faules gierig wertlos wertlose nutzlos erbärmlich schande versager irre |
idiot idiote idiots idiotes imbécile imbéciles crétin crétins débile débiles stupide stupides bête bêtes moche
laid laide
laids dégoûtant dégoûtante répugnant répugnants sales crasseux puant puants ordure ordures vermine inférieurs
barbares
sauvages monstre dégénérés pervers lâche lâches menteur menteurs menteuse menteuses traître traîtres paresseux
fainéants
avare inutile inutiles minable pitoyable honte   malades |
idiota idiotas imbécil imbéciles estúpido estúpida estúpidos estúpidas tonto tonta tontos feo fea feos asqueroso
asquerosos
asquerosa repugnante repugnantes sucio sucios apestoso apestosos escoria inferiores bárbaros monstruo
degenerados
pervertidos cobarde cobardes mentiroso mentirosos mentirosas traidor traidores vago vagos inútil inútiles
patético
miserable vergüenza fracasado enfermos asco |
idiota idioti imbecille imbecilli cretino cretina cretini stupido stupida stupidi stupide scemo scemi brutto
brutta schifoso
schifosa schifosi disgustoso disgustosi sporco sporchi puzzolente puzzolenti puzzano feccia inferiori barbari
degenerati pervertiti vigliacco vigliacchi bugiardo bugiardi traditore traditori pigro fannulloni inutile
inutili patetico
vergogna fallito malati ignoranti ignorante schifo |
idiota idiotas imbecil imbecis estúpido estúpida estúpidos burro burra burros feio feia feios nojento nojenta
nojentos sujo
sujos fedorento fedorentos escória inferiores bárbaros degenerados pervertidos covarde covardes mentiroso
mentirosos
traidor traidores preguiçoso preguiçosos vagabundo vagabundos inútil inúteis patético vergonha fracassado
doentes nojo
babaca |
идиот идиоты идиотка дурак дура дураки дуры дебил дебилы кретин тупой тупая тупые урод уродина уроды жирная
жирный
мерзкий грязный грязные вонючий вонючие мразь мрази отбросы подонок подонки дикари дикарь извращенцы трус лжец
предатель предатели ленивые жадные бесполезные жалкий позор неудачник больные |
白痴 笨蛋 傻瓜 傻子 蠢货 蠢猪 愚蠢 弱智 丑陋 丑八怪 肥猪 恶心 肮脏
人渣 败类 低等 野蛮人 变态 懦夫 骗子 叛徒 懒惰 贪婪 废物 没用 可悲 混蛋 王八蛋
"""
# What they are likened to, or said to be; of rats and thieves as such nobody takes offence.
LIKENED = """
trash garbage rat rats pig pigs dog dogs cow cows monkey monkeys ape apes donkey snake snakes worm worms insect
insects
cockroach cockroaches lice animal animals beast beasts savage savages monster monsters parasite parasites plague
cancer
disease virus infestation criminal criminals thief thieves murderer murderers rapist rapists terrorist
terrorists burden
crazy sick mentally useless invaders |
müll dreck ratte ratten schwein schweine hund hunde kuh affe affen esel schlange würmer insekten kakerlaken
läuse tier
tiere bestien parasiten pest krebs krankheit seuche verbrecher kriminelle dieb diebe mörder vergewaltiger
terroristen
last krank klauen stehlen stinken unglück |
déchet déchets rat rats porc porcs chien chiens vache vaches singe singes âne serpents insectes cafards animal
animaux
bêtes parasite parasites peste cancer maladie criminel criminels voleur voleurs assassins violeurs terroristes
fardeau fous |
basura rata ratas cerdo cerda cerdos perro perros vaca mono monos burro serpientes insectos cucarachas animal
animales
bestias parásitos plaga cáncer enfermedad criminales ladrón ladrones asesinos violadores terroristas carga
salvajes |
spazzatura ratto ratti topi maiale maiali scrofa cane cani vacca scimmia scimmie asino serpenti insetti
scarafaggi animali
bestie parassiti peste cancro malattia criminali ladro ladri rubano assassini stupratori terroristi peso
selvaggi |
lixo rato ratos porco porca porcos cachorro vaca macaco macacos cobra insetos baratas animais bestas parasitas
praga câncer
doença criminosos ladrão ladrões assassinos estupradores terroristas fardo selvagens |
мусор крыса крысы свинья свиньи собаки корова обезьяна обезьяны осёл змеи червь тараканы животные звери паразиты
чума
рак зараза преступники вор воры убийцы насильники террористы |
垃圾 老鼠 猪 狗 猴子 蛇 虫子 蟑螂 畜生 动物 寄生虫 瘟疫 癌症 病毒 罪犯 小偷 杀人犯 强奸犯 恐怖分子
"""
COPULA = """
are is be being was were = | ist sind bist seid war waren | est sont es êtes | es son eres sois | è sei sono
siete |
é são és | это как | 是 都是
"""
# What shall be done to them; each is long enough to say so by itself.
AWAY = """
go back to | go back where | send them back | send him back | throw them out | kick them out | get them out |
out of our | out
of my | get out of | not welcome here | nobody wants you | deport them | deport all | deport every | lock them
up |
locked up | build the wall | your kind here | get rid of |
ausländer raus | raus aus | geht nach hause | geh zurück | geht zurück | werft sie raus | schiebt sie ab |
abschieben | gehört eingesperrt | einsperren | nicht willkommen |
étrangers dehors | rentrez chez vous | rentre chez toi | retourne dans ton | dehors les | à la mer | foutez le
camp |
casse toi | à enfermer | en prison |
fuera los | fuera de nuestro | fuera de aquí | vuelve a tu | vuelvan a su | que se vayan | expulsarlos |
fuori gli | fuori dall | tornate a casa | torna a casa | tornatene al tuo | cacciateli | affondate i |
fora daqui | fora estrangeiros | volta para a | voltem para a | voltem para o | expulsem |
валите домой | убирайтесь домой | убирайтесь из | пошли вон | вон из | понаехали |
滚出去 | 滚回 | 滚蛋 | 赶出去 | 抓起来
"""
KILL = """
kill them | kill all | kill yourself | kill you | shoot them | hang them | gas them | burn them | drown them |
exterminate them
| wipe them | should die | must die | deserve to die | deserves to die | hope you die | just die |
die in | put
them down | beat them | beat you | smash your | punch you | shut up | shut your mouth | shut your face | go to
hell | fuck you | fuck off | screw you | cleanse our | rid the world |
hängt sie | erschießt sie | tötet sie | vergast | bringt sie um | soll sterben | sollen sterben | stirb du |
verrecke |
halt die fresse | halt den mund | halt dein maul | halts maul | fahr zur hölle | fick dich | verpiss dich |
mort aux | à mort | tuez les | pendez les | crève | crevez | ferme ta gueule | ferme la | ta gueule | va te
faire | mérites pas de
vivre | nique ta |
muerte a | hay que matar | mátalos | que se mueran | ojalá te mueras | muérete | no mereces vivir | cállate la |
cierra la
boca | vete al infierno | vete a la | que te jodan |
morte ai | morte agli | ammazzateli | uccideteli | devono morire | devi morire | dovete morire | crepa | chiudi
la bocca | chiudi
quella bocca | stai zitto | va all inferno | vai a morire |
morte aos | matem todos | tem que morrer | tomara que morra | morra | não merece viver | cala a boca | cale a
boca | vai
para o inferno | vai se foder | vai tomar no |
смерть | убить всех | расстрелять | надо расстреливать | повесить | чтоб ты сдох | сдохни | сдохните | заткнись
|
закрой рот | иди к чёрту | пошёл на | пошел на |
去死 | 该死 | 杀光 | 杀了他们 | 闭嘴 | 滚 | 不得好死 | 不配
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


@cache
def firsts() -> frozenset[str]:
    """Return the words that begin a phrase of this dictionary or of that of words."""
    return words.firsts_of(classes()) | words.firsts_of(words.entries())


def found_in(text: str) -> dict[str, int]:
    """Return all of a text that may stand in either dictionary, and at which word it begins."""
    return words.looked_up(text, firsts())
