"""From one item (a question in several wordings, its answer, its article) to one row.

The families of `leylora.data.questions` give an `LawItem`; `LawLookup` answers what they ask about the laws of a build.
`compose` picks a wording, roughens it, takes wrong articles from a `DistractorPool` into the prompt, and adds the
citation to the answer.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from leylora.data.conversation import Conversation, Message
from leylora.data.law_text import subject
from leylora.data.verify import whole_law_citation
from leylora.grounding.citations import Named
from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage
from leylora.grounding.quantities import references
from leylora.laws.law import Article, Law
from leylora.text import fold

LICENSE = "public-domain"  # official texts of law; the questions are this project's
MAX_PER_ARTICLE = 8
TOO_LONG = "longer than max_characters"

Kind = Literal["grounded", "closed", "abstain"]


class TaskSettings(BaseModel):
    """How many rows of which kind. Lengths are characters of a whole conversation."""

    model_config = ConfigDict(extra="forbid")

    families: list[str] | None = Field(default=None, description="of `leylora.data.questions`; None: all")
    grounded_per_article: int = Field(default=5, ge=0, le=MAX_PER_ARTICLE)
    closed_per_article: int = Field(default=1, ge=0, le=MAX_PER_ARTICLE)
    abstain_per_article: int = Field(default=2, ge=0, le=MAX_PER_ARTICLE)
    max_closed_share: float = Field(default=0.15, gt=0, le=1)
    max_abstain_share: float = Field(default=0.22, gt=0, le=1, description="temporal questions included")
    distractors: tuple[int, int] = Field(default=(2, 4), description="fewest and most wrong articles in a prompt")
    max_characters: int = Field(default=8_000, gt=200)
    max_template_share: float = Field(default=0.05, gt=0, le=1)
    rough_questions: float = Field(default=0.2, ge=0, le=1, description="share typed in haste")
    max_rows: int | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class LawItem:
    """One thing that can be asked about one article.

    Attributes:
        kind: the share of the mixture the item counts for.
        article: the one that answers, and to which the row belongs.
        phrasings: wordings with ``{slots}``; ``{law}``, ``{of_law}``, ``{the_law}`` and ``{number}`` are always filled.
        answer: without the citation that ends it: of the article when ``cites`` is set, else of the law.
        supplied: whether the prompt carries articles; a closed-book item never has any.
        also_given, other_edition: articles, and an article of another edition, that the prompt must carry too.
    """

    task: str
    kind: Kind
    article: Article
    phrasings: tuple[str, ...]
    answer: str
    slots: dict[str, str] = field(default_factory=dict)
    cites: bool = True
    supplied: bool = True
    also_given: tuple[Article, ...] = ()
    other_edition: tuple[Law, Article] | None = None


class Unfit(Exception):
    """An item that makes no row; ``str(error)`` is the reason."""


def compose(
    law: Law, item: LawItem, pool: "DistractorPool", chance: Random, settings: TaskSettings, number: int
) -> tuple[str, Conversation]:
    """The name of the wording that was picked, and the row; ``number`` counts the rows of an article, for the id.

    Raises:
        Unfit: it is longer than ``max_characters``, or needs an article that the pool does not hold.
    """
    template = chance.randrange(len(item.phrasings))
    name = chance.choice(list(dict.fromkeys(name for name in (law.name, law.siglas, *law.aliases) if name)))
    slots = {"law": name, "of_law": of_law(law, name), "the_law": the_law(law, name)}
    slots["number"] = spelled(item.article.number)
    question = item.phrasings[template].format(**(slots | item.slots))
    question = question.replace(" a el ", " al ").replace(" de el ", " del ")
    question = roughen(question, chance, settings.rough_questions)
    question = question[:1].upper() + question[1:]
    answer = f"{item.answer} ({law.cite(item.article.number) if item.cites else whole_law_citation(law)})"
    system = law_system_prompt([law] if item.other_edition is None else [law, item.other_edition[0]])
    room = settings.max_characters - len(system) - len(answer)
    prompt = question
    if item.supplied and item.kind != "closed":
        prompt = _with_articles(law, item, pool, settings.distractors, question, room, chance)
    if len(prompt) > room:
        raise Unfit(TOO_LONG)
    row = Conversation(
        id=f"{law.id}@{law.edition}:{item.article.number}:{number}:{item.task}/{template}",
        messages=[
            Message(role="system", content=system),
            Message(role="user", content=prompt),
            Message(role="assistant", content=answer),
        ],
        task=item.task,
        source=f"law:{law.id}",
        license=LICENSE,
        law_id=law.id,
        article=item.article.number,
        edition=law.edition,
        source_sha256=law.source_sha256,
    )
    return f"{item.task}/{template}", row


def _with_articles(
    law: Law,
    item: LawItem,
    pool: "DistractorPool",
    distractors: tuple[int, int],
    question: str,
    room: int,
    chance: Random,
) -> str:
    """The grounded prompt: as many wrong articles as fit, at least one, and the item's own unless it abstains."""
    own = [] if item.kind == "abstain" and not item.cites else [passage(law, item.article)]
    own += [passage(law, row) for row in item.also_given]
    if item.other_edition is not None:
        own.append(passage(*item.other_edition))
    if not all(row.number in pool.place for row in item.also_given):
        raise Unfit("needs an article of another split")
    wanted = chance.randint(*distractors) - len(item.also_given) + (0 if own else 1)
    given = list(own)
    room -= len(grounded_prompt(question, given or [Passage("", "", "")]))
    told = [item.article.rubric or "", *(item.slots.get(key, "") for key in ("topic", "term", "words", "conduct"))]
    told = [fold(words) for words in told if words]
    for row in pool.distractors(item.article, chance):
        if len(given) - len(own) >= wanted:
            break
        # A wrong article about the same topic or with the same words could be taken for a right one.
        if row in item.also_given or any(words in pool.folded(row) for words in told):
            continue
        block = passage(law, row)
        size = len(grounded_prompt("", [block, block])) - len(grounded_prompt("", [block]))
        if size <= room:
            given.append(block)
            room -= size
    if len(given) < 2 and (own or not given):
        raise Unfit(TOO_LONG if pool.articles[1:] else "has no other article to stand beside it")
    chance.shuffle(given)
    return grounded_prompt(question, given)


# --- laws and their articles, looked up -------------------------------------------------------------------------

LONGEST_TITLE = 110  # characters; a longer rubric is a sentence that opens a list
MASCULINE = {"código", "codigo", "reglamento", "estatuto", "decreto", "acuerdo", "texto", "convenio", "pacto"}
MASCULINE |= {"mandato", "tratado", "protocolo", "instructivo"}


def draw(seed: int, *key: str) -> int:
    """A number that depends on the seed and the key only: the order in which things are picked."""
    return int.from_bytes(blake2b("\x1f".join([str(seed), *key]).encode(), digest_size=8).digest(), "big")


class LawLookup:
    """The laws of a build, with what families look up: which rubrics and subjects name one article only."""

    def __init__(self, laws: Iterable[Law], seed: int) -> None:
        self.laws = tuple(laws)
        self.seed = seed
        self._facts = {(law.id, law.edition): _Facts(law) for law in self.laws}

    def random(self, *key: str) -> Random:
        """A generator that depends on the seed and ``key`` only, never on what ran before."""
        return Random(draw(self.seed, *key))

    def facts(self, law: Law) -> "_Facts":
        return self._facts[law.id, law.edition]

    def title(self, law: Law, article: Article) -> str | None:
        """The rubric as it is said inside a sentence, when it is short and no other article of the law has it."""
        rubric = article.rubric or ""
        if not 0 < len(rubric) <= LONGEST_TITLE or ";" in rubric or self.facts(law).rubrics[rubric.lower()] != 1:
            return None
        return rubric if len(rubric) > 1 and rubric[1].isupper() else rubric[0].lower() + rubric[1:]

    def topic(self, law: Law, article: Article) -> str | None:
        """Words that name this article of the law only: its title, else the subject it opens with."""
        title = self.title(law, article)
        if title:
            return title
        opening = subject(article.body) if not article.rubric else None
        return opening if opening and self.facts(law).subjects[opening.lower()] == 1 else None


class _Facts:
    """Of one law: how often each rubric and subject occurs, its text in lower case, its highest article number."""

    def __init__(self, law: Law) -> None:
        self._law = law
        self.rubrics = Counter((row.rubric or "").lower() for row in law.articles)
        self.subjects = Counter((subject(row.body) or "").lower() for row in law.articles)
        self.text = "\n".join(f"{row.rubric} {row.body}" for row in law.articles).lower()
        self.last_number = max((int(row.number) for row in law.articles if row.number.isdigit()), default=0)

    @cached_property
    def referrers(self) -> dict[str, list[tuple[Article, str]]]:
        """By number of an article, the articles in force that point to it, each with the words it uses."""
        found: dict[str, list[tuple[Article, str]]] = {}
        for row in self._law.articles:
            for words, number in references(self._law, row) if row.in_force else ():
                found.setdefault(number, []).append((row, words))
        return found


def the_law(law: Named, name: str) -> str:
    """``name`` with its article, "el COIP", "la Constitución"; an abbreviation has the gender of the full name."""
    noun = (law.name if name.isupper() else name).split()[0].lower()
    return f"el {name}" if noun in MASCULINE else f"la {name}"


def of_law(law: Named, name: str) -> str:
    """``name`` of the law after "de": "del COIP", "de la Constitución"."""
    named = the_law(law, name)
    return f"d{named}" if named.startswith("el ") else f"de {named}"


def spelled(number: str) -> str:
    """An article's number as it is said: "152-innumerado-2" is "innumerado 2 agregado a continuación del Art. 152"."""
    base, mark, count = number.partition("-innumerado-")
    return f"innumerado {count} agregado a continuación del Art. {base}" if mark else number


# --- wrong articles for a prompt --------------------------------------------------------------------------------

LONG_WORD = re.compile(r"[^\W\d_]{5,}")
RARE_WORDS = 8  # of an article, looked up in the others
COMMON = 60  # a word in more articles than this no longer tells them apart
NEAR = 6


class DistractorPool:
    """The articles in force of one law that a prompt may carry, in printed order."""

    def __init__(self, law: Law, numbers: Iterable[str]) -> None:
        wanted = set(numbers)
        self.articles = [row for row in law.articles if row.in_force and row.number in wanted]
        self.place = {row.number: at for at, row in enumerate(self.articles)}
        self._folded: dict[str, str] = {}
        self._printed = {row.number: at for at, row in enumerate(law.articles)}

    def folded(self, article: Article) -> str:
        """Rubric and body of one of the pool's articles, folded for comparing."""
        if article.number not in self._folded:
            self._folded[article.number] = fold(f"{article.rubric or ''} {article.body}")
        return self._folded[article.number]

    def distractors(self, article: Article, chance: Random) -> Iterator[Article]:
        """Articles other than ``article``, each once: near, similar and distant ones in random turns."""
        place = self.place.get(article.number)
        if place is None:
            after = self._printed.get(article.number, 0)
            place = sum(self._printed[row.number] < after for row in self.articles)
        near = [at for at in range(place - NEAR, place + NEAR + 1) if 0 <= at < len(self.articles)]
        chance.shuffle(near)
        distant = chance.sample(range(len(self.articles)), min(len(self.articles), 12))
        queues = [near, self._similar(article), distant]
        seen = {self.place[article.number]} if article.number in self.place else set()
        while any(queues):
            at = chance.choice([queue for queue in queues if queue]).pop(0)
            if at not in seen:
                seen.add(at)
                yield self.articles[at]

    def _similar(self, article: Article) -> list[int]:
        """Up to four articles with most of this one's rare words."""
        held = {word: self._holders.get(word, []) for word in _long_words(article)}
        rare = sorted((len(holders), word) for word, holders in held.items() if 1 < len(holders) <= COMMON)
        votes = Counter(at for _, word in rare[:RARE_WORDS] for at in held[word])
        votes.pop(self.place.get(article.number, -1), None)
        return [at for at, _ in sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))[:4]]

    @cached_property
    def _holders(self) -> dict[str, list[int]]:
        holders: dict[str, list[int]] = {}
        for at, row in enumerate(self.articles):
            for word in _long_words(row):
                holders.setdefault(word, []).append(at)
        return holders


def _long_words(article: Article) -> set[str]:
    return {word.lower() for word in LONG_WORD.findall(f"{article.rubric or ''} {article.body}")}


# --- how people type --------------------------------------------------------------------------------------------

# Names and the words that say what a number is stay legible, so that the question keeps its meaning.
PROTECTED = ("artículo", "numeral", "número", "edición", "innumerado", "agregado", "continuación")
SLIPS = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "s": "a", "r": "t", "t": "y", "c": "v", "l": "k"}


def roughen(question: str, chance: Random, share: float = 0.25) -> str:
    """``question``, or in ``share`` of the cases a version typed in haste. Quoted words (« ») stay as they are."""
    if chance.random() >= share:
        return question
    manner = chance.choice(("no opening mark", "no accents", "lower case", "slip"))
    pieces = re.split(r"(«[^»]*»)", question)
    changed = [piece if piece.startswith("«") else _typed(manner, piece, chance) for piece in pieces]
    return "".join(changed).strip()


def _typed(manner: str, text: str, chance: Random) -> str:
    match manner:
        case "no opening mark":
            return text.replace("¿", "").replace("¡", "")
        case "no accents":
            return _without_accents(text.replace("¿", ""))
        case "lower case":
            return _without_accents(text.replace("¿", "").replace("?", "")).lower()
    words = [match for match in re.finditer(r"[^\W\d_]{4,}", text) if match.group(0).islower()]
    words = [match for match in words if not match.group(0).startswith(PROTECTED)]
    if not words:
        return text
    word = chance.choice(words)
    at = chance.randrange(word.start() + 1, word.end() - 1)
    if chance.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]  # two letters swapped
    return text[:at] + SLIPS.get(text[at], text[at]) + text[at + 1 :]


def _without_accents(text: str) -> str:
    kept = text.replace("ñ", "\x00").replace("Ñ", "\x01")
    kept = "".join(char for char in unicodedata.normalize("NFD", kept) if unicodedata.category(char) != "Mn")
    return kept.replace("\x00", "ñ").replace("\x01", "Ñ")
