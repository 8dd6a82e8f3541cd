"""How much an answer says what a reference says, and whether it is an answer at all.

Overlap correlates weakly with what people prefer; it guards against regressions. Accents are kept, no stemmer is used
(rouge-score's is English), and sentences are scored one by one so that two variants can be compared pair by pair.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from leylora.data.gate import is_spanish

WORD = re.compile(r"\w+")
ARTICLES = frozenset("el la los las un una unos unas lo".split())  # noqa: SIM905
RUN = 4  # words; the length of the runs that a degenerate answer repeats
FEWEST_RUNS = 12
DISTINCT = 0.5


class SpanishWords:
    """rouge-score's tokenizer interface: words in lower case, accents and ñ kept (its own drops them)."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """The words without articles, as in SQuAD's normalisation, for Spanish."""
    return [word for word in words(text) if word not in ARTICLES]


def exact(answer: str, references: Sequence[str]) -> float:
    """1 when the answer's content words are those of a reference, in order; else 0."""
    return float(any(content_words(answer) == content_words(reference) for reference in references))


def contains(answer: str, references: Sequence[str]) -> bool:
    """Whether the content words of a reference stand in the answer one after another."""
    said = f" {' '.join(content_words(answer))} "
    return any(f" {' '.join(wanted)} " in said for wanted in map(content_words, references) if wanted)


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best F1 of the answer's content words, as a bag, with a reference (SQuAD)."""
    said = Counter(content_words(answer))
    best = 0.0
    for reference in references:
        wanted = Counter(content_words(reference))
        shared = (said & wanted).total()
        if shared:
            best = max(best, 2 * shared / (said.total() + wanted.total()))
    return best


def rouge_l(answer: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004)."""
    score: float = _rouge().score(reference, answer)["rougeL"].fmeasure
    return score


def chrf(answer: str, reference: str) -> float:
    """chrF++ of one answer, 0 to 1: character 6-grams and word bigrams (Popović 2017)."""
    score: float = _chrf().sentence_score(answer, [reference]).score / 100
    return score


def is_degenerate(text: str) -> bool:
    """Whether the answer goes round in circles: less than half of its runs of four words are different ones."""
    said = words(text)
    runs = [tuple(said[at : at + RUN]) for at in range(len(said) - RUN + 1)]
    if len(runs) < FEWEST_RUNS:
        return bool(re.search(r"(\S)\1{19}", text))  # one sign twenty times
    return len(set(runs)) < DISTINCT * len(runs)


def in_spanish(text: str) -> bool:
    """Whether a text that has words is Spanish; see `leylora.data.gate.is_spanish`."""
    return bool(words(text)) and is_spanish(text)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False, tokenizer=SpanishWords())


@cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=2)
