"""What the text scorers are worth: on half of the labelled captions, once set aside, and on a set by another hand.

Figures with Wilson intervals; `python -m tests.filters.test_labelled [TABLE.parquet] [CASES.csv]` prints them all, and
of mistakes digests alone. TABLE: has the captions whose labels are in web.tsv, in a column TEXT. CASES: a file of
HateCheck (Röttger et al. 2021 and 2022, sentences by others), of which nothing is kept here.
"""

import csv
import math
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from filters import words
from filters.attack import Signs, signs
from filters.base import Batch
from filters.hate import Hate, HateConfig
from filters.language import Language, LanguageConfig
from filters.sexual import Sexual, SexualConfig
from pipeline.captions import normalised

from .labelled import Half, Labelled, read

SPEECH = slice(Signs._fields.index("hate_group"), Signs._fields.index("spared"))


class Figures(NamedTuple):
    """How often a scorer is right, of those that it flags and of those that it should."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def figures(is_so: list[bool], flagged: list[bool]) -> Figures:
    pairs = list(zip(is_so, flagged, strict=True))
    return Figures(pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)))


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, spread = hits / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / spread
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / spread
    return middle - half, middle + half


class Judged(NamedTuple):
    """All captions of a half, and what the members and the ensemble say of them."""

    rows: list[Labelled]
    scores: dict[str, list]
    members: dict[str, list[bool]]

    @property
    def is_hate(self) -> list[bool]:
        return [row.is_hate for row in self.rows]


def judged(half: Half) -> Judged:
    rows, hate = read(half), Hate(HateConfig())
    batch = Batch(captions=[row.caption for row in rows])
    scores = hate(batch) | Sexual(SexualConfig())(batch) | Language(LanguageConfig())(batch)
    found = [signs(row.caption, hate._languages.likely) for row in rows]
    listed = [words.hits(words.looked_up(row.caption, words.first_words())).values() for row in rows]
    members = {
        "sonar": [h >= 0.12 or o >= 0.45 for h, o in zip(scores["hate"], scores["offensive"], strict=True)],
        "words": [any(hit.kind != "sexual" and hit.severity >= 2 for hit in hits) for hits in listed],
        "speech": [any(any(list(each)[SPEECH]) for each in every) for every in found],
    }
    return Judged(rows, scores, members)


@pytest.fixture(scope="module")
def frozen() -> Judged:
    return judged("frozen")


def flagged(scores: list[float]) -> list[bool]:
    return [score >= 0.5 for score in scores]


def test_captions_are_many_of_eight_languages_and_each_stands_once():
    rows = [*read("tuning"), *read("frozen")]
    assert len({row.caption for row in rows}) == len(rows) >= 600
    assert len({row.language for row in rows}) == 8
    for half, odd in (("tuning", 0), ("frozen", 1)):
        assert all(int(row.digest[0], 16) % 2 == odd for row in read(half))  # type: ignore[arg-type]


def test_the_ensemble_beats_each_of_its_members(frozen):
    whole = figures(frozen.is_hate, flagged(frozen.scores["hateful"]))
    assert whole.precision >= 0.9 and whole.recall >= 0.9
    for name, said in frozen.members.items():
        assert whole.f1 > figures(frozen.is_hate, said).f1, name


def test_what_nobody_had_seen_is_judged_as_well():
    third = judged("third")
    whole = figures(third.is_hate, flagged(third.scores["hateful"]))
    assert whole.precision >= 0.8 and whole.recall >= 0.7
    named = [score for row, score in zip(third.rows, third.scores["hateful"], strict=True) if row.labels == "i"]
    assert len(named) > 30 and max(named) < 0.5


def test_captions_that_name_a_group_are_not_flagged_more_often_than_others(frozen):
    shares = {}
    for named in (True, False):
        wrong = [
            score >= 0.5
            for row, score in zip(frozen.rows, frozen.scores["hateful"], strict=True)
            if not row.is_hate and row.names_group == named
        ]
        shares[named] = (sum(wrong) / len(wrong), wilson(sum(wrong), len(wrong)))
    assert shares[True][0] <= shares[False][1][1]


def test_what_the_judges_agree_on_is_right_more_often(frozen):
    sure = [not unsure for unsure in frozen.scores["hateful_unsure"]]
    agreed = [
        (row.is_hate, score >= 0.5)
        for row, score, is_sure in zip(frozen.rows, frozen.scores["hateful"], sure, strict=True)
        if is_sure
    ]
    assert len(agreed) >= 0.8 * len(frozen.rows)
    whole = figures(frozen.is_hate, flagged(frozen.scores["hateful"]))
    assert figures(*map(list, zip(*agreed, strict=True))).f1 > whole.f1


def test_sexual_captions(frozen):
    found = figures([row.is_sexual for row in frozen.rows], flagged(frozen.scores["sexual"]))
    assert found.precision >= 0.7 and found.recall >= 0.6


def test_little_english_is_lost_and_little_else_is_kept(frozen):
    english, kept = [row.language == "en" for row in frozen.rows], flagged(frozen.scores["english"])
    found = figures(english, kept)
    assert found.missed <= 0.02 * sum(english)
    assert found.wrong <= 0.02 * sum(kept)


def main() -> None:
    for half in ("tuning", "frozen", "later", "third"):
        known = judged(half)  # type: ignore[arg-type]
        whole = {**known.members, "ensemble": flagged(known.scores["hateful"])}
        tables = [(name, known.is_hate, said) for name, said in whole.items()]
        tables.append(("sexual", [row.is_sexual for row in known.rows], flagged(known.scores["sexual"])))
        tables.append(("english", [row.language == "en" for row in known.rows], flagged(known.scores["english"])))
        for name, is_so, said in tables:
            of = figures(is_so, said)
            precision, recall = (wilson(of.right, of.right + other) for other in (of.wrong, of.missed))
            print(
                f"{half:7}{name:9} precision {of.precision:.2f} ({precision[0]:.2f} to {precision[1]:.2f})  "
                f"recall {of.recall:.2f} ({recall[0]:.2f} to {recall[1]:.2f})  F1 {of.f1:.2f}  {of}"
            )
        wrong = [r.digest for r, s in zip(known.rows, known.scores["hateful"], strict=True) if r.is_hate != (s >= 0.5)]
        print(f"{half:7}ensemble errs on {' '.join(wrong)}")


def of_web(table: Path) -> None:
    """Print what the scorers say of captions of the web, of which only digests and labels are kept."""
    lines = (Path(__file__).parent / "labelled" / "web.tsv").read_text(encoding="utf-8").splitlines()
    labels = {digest: rest for digest, *rest in (line.split("\t") for line in lines if line[0] != "#")}
    raw = pq.read_table(table)["TEXT"].to_pylist()
    batch = Batch(captions=[normalised(caption) for caption in raw])
    found = [labels[sha256(caption.encode()).hexdigest()[:16]] for caption in raw]
    scores = Hate(HateConfig())(batch) | Sexual(SexualConfig())(batch) | Language(LanguageConfig())(batch)
    before = [h >= 0.12 or o >= 0.45 for h, o in zip(scores["hate"], scores["offensive"], strict=True)]
    print("hate before", figures([False] * len(found), before))
    print(
        "hateful    ",
        figures([False] * len(found), flagged(scores["hateful"])),
        sum(scores["hateful_unsure"]),
        "unsure",
    )
    print("sexual     ", figures([label == "s" for _, label in found], flagged(scores["sexual"])))
    clear = [row for row, (language, _) in enumerate(found) if language != "mixed"]
    is_english = [found[row][0] == "en" for row in clear]
    for name, kept in (
        ("language = en", [scores["language"][row] == "en" for row in clear]),
        ("english >= .5", [scores["english"][row] >= 0.5 for row in clear]),
    ):
        print(name, figures(is_english, kept), f"lost {1 - figures(is_english, kept).recall:.3f}")


def of_hatecheck(table: Path) -> None:
    """Print what the hate scorers say of HateCheck's cases; those that are made from one template count as one."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        cases = list(csv.DictReader(file))
    scores = Hate(HateConfig())(Batch(captions=[normalised(case["test_case"]) for case in cases]))
    before = [h >= 0.12 or o >= 0.45 for h, o in zip(scores["hate"], scores["offensive"], strict=True)]
    for name, said in (("before", before), ("hateful", flagged(scores["hateful"]))):
        shares: dict[bool, dict[str, list[bool]]] = {True: {}, False: {}}
        for case, is_flagged in zip(cases, said, strict=True):
            shares[case["label_gold"] == "hateful"].setdefault(case["templ_id"], []).append(is_flagged)
        found = {is_hate: sum(sum(each) / len(each) for each in by.values()) for is_hate, by in shares.items()}
        ends = {is_hate: wilson(round(count), len(shares[is_hate])) for is_hate, count in found.items()}
        print(
            f"{table.stem:12}{name:8} of {len(shares[True])} hateful templates "
            f"{found[True] / len(shares[True]):.2f} ({ends[True][0]:.2f} to {ends[True][1]:.2f}) are flagged, of "
            f"{len(shares[False])} others {found[False] / len(shares[False]):.2f} "
            f"({ends[False][0]:.2f} to {ends[False][1]:.2f})"
        )


if __name__ == "__main__":
    main()
    for path in map(Path, sys.argv[1:]):
        (of_hatecheck if path.suffix == ".csv" else of_web)(path)
