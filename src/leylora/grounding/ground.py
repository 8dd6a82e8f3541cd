"""From a question to a prompt with the articles it needs, in the form the law adapter was trained on.

When the laws have nothing on it, the model is not asked: `Grounded.reply` says so, in the words that training taught.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..text import fold, nfc
from .citations import COUNTRIES, IndexedArticle, IndexedLaw
from .prompt import (
    DEROGADO,
    NO_SUCH_ARTICLE,
    OTHER_COUNTRY,
    OTHER_EDITION,
    UNKNOWN_LAW,
    Passage,
    grounded_prompt,
    law_system_prompt,
)
from .search import Hit, LawIndex, excerpt, read_query
from .wording import concepts

NOTHING_FOUND = "No encuentro ningún artículo sobre eso."
PERHAPS = "Quizá sea esto:"
GREETED = "¡Hola! Cuénteme un caso o nombre un artículo, y respondo con la ley."
THANKED = "De nada. Si tiene otra pregunta sobre la ley, aquí estoy."
Outcome = Literal["grounded", "maybe", "nothing"]
# Logistic regressions on development questions, of what `chance` is given.
BY_WORDS = (-1.91, 0.122)
BY_VECTORS = (-9.92, 0.09, 17.9, 7.6)
BY_PHRASES = (-18.85, 0.074, 5.12, 2.76, 16.44, -52.12)
LIKELY, POSSIBLE = 0.45, 0.3  # chances from which on the model is asked, and the person
RELEVANT = 0.4  # by words alone an article of that score is handed over too: few words, all of them its own
BESIDE = 0.5  # least agreement on a further article, by words alone its least score, as a share of the best one's
LARGEST_SHARE = 0.6  # of the budget that one article may take while others wait
SMALLEST = 400  # characters below which an excerpt says too little

_ABROAD = re.compile(  # a law of another country, but not "a Colombian in Ecuador"
    rf"\b(?:[Cc]onstitución|[Cc]ódigo(?:\s+\w+){{1,3}}?|[Ll]ey(?:\s+\w+){{0,4}}?|[Dd]erecho|[Ll]egislación|[Ll]eyes)\s+"
    rf"(?:del?|en)\s+{COUNTRIES}|^\W*(?:[Ee]n|[Ss]egún el derecho de)\s+{COUNTRIES}"
)
_HELLO = (  # "buenas" and "qué tal" alone only before a stop: "buena fe" and "qué tal si" greet nobody
    r"(?:hola|saludos|buen(?:os|as|a)?\s+(?:dias?|tardes?|noches?)"
    r"|(?:buen[oa]s|que\s+tal|como\s+esta[sn]?)(?=\s*(?:[,.;:!?¿¡]|$)))"
)
_GREETING = re.compile(
    rf"\W*{_HELLO}(?:[\s,.!?¡¿]+(?:{_HELLO}|a\s+todos|doctora?|dr|licenciad[oa]|amig[oa]|abogad[oa]))*\b\W*"
)
_THANKS = re.compile(r"\W*(?:(?:muchas|mil)\s+)?gracias(?:\s+(?:por\s+(?:todo|su\s+ayuda|tu\s+ayuda)|doctora?))?\W*")
_LEANS = re.compile(  # what a question begins with, or has in it, that only the one before explains
    r"\W*(?:y|e|pero|entonces|tambien|ademas|o\s+sea|en\s+(?:ese|este|tal)\s+caso)\b"
    r"|.*\b(?:eso|esa|ese|esos|esas|ello|esto|esta|estos|estas|mism[oa]s?|dich[oa]s?|anterior|ahi)\b"
)
_SHORT = 3  # words of content up to which a question may lean on the one before without saying so
# What a chat template or tokenizer takes for a mark of its own has no place in the text of a law.
_MARKS = re.compile(r"<(?=\|)|<(?=/?s>)|\[(?=/?INST\])|<(?=<?/?SYS>)")


@dataclass(frozen=True)
class Grounded:
    """What to ask the model, and what it may cite.

    ``question`` is the user's own words; ``system`` the system turn of training, naming the editions; ``prompt`` the
    user turn: articles, then the question; ``sources`` the articles in it, in its order, the best first. ``reply`` is
    "" when the model is to be asked; else nothing relevant was found (``sources`` is empty), and this is the answer.
    """

    question: str
    system: str
    prompt: str
    sources: tuple[Hit, ...]
    reply: str = ""
    offered: tuple[Hit, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Whether the model is asked, the person is asked what she means, or nothing was found."""
        return "grounded" if self.sources else "maybe" if self.offered else "nothing"

    @property
    def articles(self) -> list[IndexedArticle]:
        return [hit.article for hit in self.sources]

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.prompt}]


def ground(
    question: str, index: LawIndex, *, budget: int = 6_000, limit: int = 4, previous: str = "", system: str = ""
) -> Grounded:
    """Search the articles for a question and put at most ``limit`` of them before the model.

    Args:
        budget: most characters of the user turn (Spanish law text: 3 to 4 characters a token). What does not fit is
            left out from the last; an article longer than its share is cut to the passages that matter.
        previous: the question before this one; searched together with it when it alone finds nothing and leans on it
            ("¿y la multa?").
        system: the user's own system prompt, put after the training's.
    """
    polite, sought = _courtesy(question)
    reply, hits, offered = (polite, [], []) if polite else _find(sought, index, limit)
    if not hits and previous and _leans(sought) and reply.startswith((NOTHING_FOUND, PERHAPS)):
        with_both = _find(f"{previous} {sought}", index, limit)
        if with_both[1] or not offered:
            reply, hits, offered = with_both
    if previous and reply.startswith(NOTHING_FOUND):
        reply = NOTHING_FOUND  # which laws are here was said the first time
    chosen, given = _fit(question, hits, budget)
    laws = list(dict.fromkeys(hit.article.law for hit in chosen)) or list(index.laws)
    turn = law_system_prompt(laws) + (f" {system}" if system else "")
    answer = "" if chosen else reply
    return Grounded(question, turn, grounded_prompt(question, given), tuple(chosen), answer, tuple(offered))


def _courtesy(question: str) -> tuple[str, str]:
    """The answer to a greeting or to thanks alone, else ""; and the question without the greeting before it, which
    tells nothing of what is asked."""
    sought = nfc(question)
    said = fold(sought)
    if _THANKS.fullmatch(said):
        return THANKED, question
    greeted = _GREETING.match(said)
    if greeted is None:
        return "", question
    rest = sought[greeted.end() :]
    return ("", rest) if rest else (GREETED, question)


def _leans(question: str) -> bool:
    """Whether a question is understood only with the one before it."""
    return bool(_LEANS.match(fold(question).strip())) or len(concepts(question)) <= _SHORT


def _find(question: str, index: LawIndex, limit: int) -> tuple[str, list[Hit], list[Hit]]:
    """Why there is no article worth showing, or "", the articles, and those that may only be meant."""
    asked = read_query(question, index.known)
    here = {law.id: law for law in index.laws}
    if _ABROAD.search(question):
        return f"{OTHER_COUNTRY} {_editions(index.laws)}", [], []
    if asked.law_ids and not asked.law_ids & here.keys():
        return f"{UNKNOWN_LAW} Tengo: {_editions(index.laws)}", [], []
    hits = index.search(question, limit)
    for cited in asked.citations:
        law = index.law(cited)
        if law and law.numbers and cited.edition and law.edition != cited.edition:
            return f"{OTHER_EDITION} Tengo esta: {_editions([law])}", [], []
    direct = any(hit.direct for hit in hits)
    missing = next((cited for cited in asked.citations if cited.law_id in here), None)
    if missing and not direct:
        law = here[missing.law_id or ""]
        return f"{NO_SUCH_ARTICLE} No consta el {missing.article}. {_editions([law])}", [], []
    share = "agreed" if any(hit.similarity for hit in hits) else "score"  # the agreement of one ranking is its order
    best = max((getattr(hit, share) for hit in hits), default=0.0)
    beside = [hit for hit in hits if getattr(hit, share) >= BESIDE * best > 0]
    if direct:
        near = [hit for hit in beside if hit.score >= RELEVANT]
        return "", [hit for hit in hits if hit.direct or hit in near], []
    near_phrase, outside, elsewhere = index.strangeness(question, hits[0].article.law) if hits else (0.0, 0.0, None)
    sure = chance(hits, near_phrase, outside)
    if beside and sure >= LIKELY:
        return "", beside, []
    if beside and sure >= POSSIBLE:
        named = "; ".join(
            f"{hit.article.citation}{f' ({hit.article.rubric})' if hit.article.rubric else ''}" for hit in beside[:2]
        )
        return f"{PERHAPS} {named}. ¿Es eso? Pregunte por el artículo, o dígalo de otra manera.", [], beside[:2]
    told = f" Parece materia de otra ley que no está aquí: {elsewhere.name}." if elsewhere and outside > 0 else ""
    return f"{NOTHING_FOUND}{told} Tengo: {_editions(index.laws)}", [], []


def chance(hits: Sequence[Hit], near: float = 0.0, outside: float = 0.0) -> float:
    """How likely one of the first articles answers: by words; with vectors also by cosine and agreement; for laws with
    everyday phrases also by ``near`` and ``outside``, as `LawIndex.strangeness` gives them. Measured by
    benchmarks/retrieval.py."""
    if not hits:
        return 0.0
    score, strength, similarity = (
        max(getattr(hit, one) for hit in hits) for one in ("score", "strength", "similarity")
    )
    if near:
        return _logistic(BY_PHRASES, strength, similarity, hits[0].agreed, near, outside)
    if similarity:
        return _logistic(BY_VECTORS, min(score, 2.0), similarity, hits[0].agreed)
    return max(_logistic(BY_WORDS, strength), 1.0 if score >= RELEVANT else 0.0)


def _logistic(weights: Sequence[float], *found: float) -> float:
    return 1 / (1 + math.exp(-weights[0] - sum(map(math.prod, zip(weights[1:], found, strict=True)))))


def _editions(laws: Sequence[IndexedLaw]) -> str:
    return "(" + "; ".join(f"{law.name}, ed. {law.edition or 's. f.'}" for law in laws) + ")"


def _fit(question: str, hits: Sequence[Hit], budget: int) -> tuple[list[Hit], list[Passage]]:
    """As many of the articles as the budget holds, with what is shown of each."""
    chosen: list[Hit] = []
    given: list[Passage] = []
    for place, hit in enumerate(hits):
        frame = len(grounded_prompt(question, [*given, Passage(hit.article.citation, hit.article.rubric, "")]))
        room = budget - frame
        if place + 1 < len(hits):
            room = min(room, max(int(budget * LARGEST_SHARE), room - SMALLEST * (len(hits) - place - 1)))
        if room < min(SMALLEST, len(hit.article.body)) and chosen:
            break
        article = hit.article
        body = DEROGADO if article.status == "derogado" else excerpt(article.body, hit.passage, max(room, SMALLEST))
        chosen.append(hit)
        given.append(Passage(article.citation, _plain(article.rubric).replace("\n", " "), _plain(body)))
    return chosen, given


def _plain(text: str) -> str:
    """Without blank lines and the marks of chat templates, which no parsed law has: the text of an article cannot end
    it or begin another one."""
    return _MARKS.sub(lambda match: match[0] + " ", re.sub(r"\n\s*\n+", "\n", text))
