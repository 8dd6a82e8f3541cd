"""From one item (a question in several wordings, its answer, its article) to one row.

`Item` is what the families of `leylora.data.questions` give. `LawLookup` answers what they ask about the laws of a
build, `DistractorPool` chooses wrong articles for the prompt, `roughen` writes a question as people type it, and
`compose` puts wording, articles, answer and citation together.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Literal

from leylora.data.conversation import Conversation, Message
from leylora.data.law_text import subject
from leylora.grounding.citations import Named
from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage
from leylora.grounding.quantities import references
from leylora.laws.law import Article, Law
from leylora.text import fold

LICENSE = "public-domain"  # official texts of law; the questions are this project's
LONGEST_TITLE = 110  # characters; a longer rubric is a sentence that opens a list
MASCULINE = {
    "código",
    "codigo",
    "reglamento",
    "estatuto",
    "decreto",
    "acuerdo",
    "texto",
    "convenio",
    "pacto",
    "mandato",
}
MASCULINE |= {"tratado", "protocolo", "instructivo"}
TOO_LONG = "longer than max_characters"

Kind = Literal["grounded", "closed", "abstain"]


@dataclass(frozen=True)
class Item:
    """One thing that can be asked about one article.

    Attributes:
        kind: the share of the mixture the item counts for.
        article: the one that answers, and to which the row belongs.
        phrasings: wordings with ``{slots}``; ``{law}``, ``{of_law}``, ``{the_law}`` and ``{number}`` are always filled.
        answer: complete but for the citation, which is added when ``cites`` is set.
        supplied: whether the prompt carries articles; a closed-book item never has any.
        also_given: articles the prompt must carry besides ``article``.
        other_edition: an article of another edition that the prompt must carry.
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
    law: Law,
    item: Item,
    pool: "DistractorPool",
    chance: Random,
    *,
    number: int,
    distractors: tuple[int, int],
    max_characters: int,
    rough: float,
) -> tuple[str, Conversation]:
    """The row of ``item`` and the name of its wording.

    Args:
        pool: the articles of ``law`` that distractors may come from.
        number: running number of the row within its article, for the id.
        distractors: fewest and most wrong articles in the prompt; there is always at least one.
        rough: share of questions typed in haste (`roughen`).

    Raises:
        Unfit: it is longer than ``max_characters``, or needs an article that the pool does not hold.
    """
    template = chance.randrange(len(item.phrasings))
    name = chance.choice(names_of(law))
    slots = {"law": name, "of_law": of_law(law, name), "the_law": the_law(law, name)}
    slots["number"] = spelled(item.article.number)
    question = item.phrasings[template].format(**(slots | item.slots))
    question = question.replace(" a el ", " al ").replace(" de el ", " del ")
    question = roughen(question, chance, rough)
    question = question[:1].upper() + question[1:]
    answer = f"{item.answer} ({law.cite(item.article.number)})" if item.cites else item.answer
    laws = [law] if item.other_edition is None else [law, item.other_edition[0]]
    system = law_system_prompt(laws)
    room = max_characters - len(system) - len(answer)
    prompt = question
    if item.supplied and item.kind != "closed":
        prompt = _with_articles(law, item, pool, distractors, question, room, chance)
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
    law: Law, item: Item, pool: "DistractorPool", distractors: tuple[int, int], question: str, room: int, chance: Random
) -> str:
    """The grounded prompt: as many wrong articles as fit, and the item's own unless it abstains for lack of it."""
    own: list[Passage] = [] if item.kind == "abstain" and not item.cites else [passage(law, item.article)]
    own += [passage(law, row) for row in item.also_given]
    if item.other_edition is not None:
        own.append(passage(*item.other_edition))
    if not all(pool.holds(row) for row in item.also_given):
        raise Unfit("needs an article of another split")
    wanted = chance.randint(*distractors) - len(item.also_given) + (0 if own else 1)
    given = list(own)
    room -= len(grounded_prompt(question, given)) if given else len(grounded_prompt(question, [Passage("", "", "")]))
    told = [item.article.rubric or "", *(item.slots.get(key, "") for key in ("topic", "term", "words", "conduct"))]
    told = [fold(words) for words in told if words]
    for row in pool.distractors(item.article, chance):
        if len(given) - len(own) >= wanted:
            break
        # A wrong article that speaks of the same topic or holds the same words could be taken for a right one.
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


class LawLookup:
    """The laws of a build, with what families look up: which rubrics and subjects name one article only."""

    def __init__(self, laws: Iterable[Law], seed: int) -> None:
        self.laws = tuple(laws)
        self.seed = seed
        self._facts: dict[tuple[str, str], _Facts] = {}

    def random(self, *key: str) -> Random:
        """A generator that depends on the seed and ``key`` only, never on what ran before."""
        digest = blake2b("\x1f".join([str(self.seed), *key]).encode(), digest_size=8).digest()
        return Random(int.from_bytes(digest, "big"))

    def facts(self, law: Law) -> "_Facts":
        """What is looked up in ``law``, read once."""
        key = law.id, law.edition
        if key not in self._facts:
            self._facts[key] = _Facts(law)
        return self._facts[key]

    def has_unique_rubric(self, law: Law, article: Article) -> bool:
        """Whether the rubric is a short title and names only this article in its law."""
        rubric = article.rubric or ""
        return 0 < len(rubric) <= LONGEST_TITLE and ";" not in rubric and self.facts(law).rubrics[rubric.lower()] == 1

    def topic(self, law: Law, article: Article) -> str | None:
        """Words that name the article and no other one of its law: its rubric, else the subject it opens with."""
        if self.has_unique_rubric(law, article):
            return lowered(article.rubric or "")
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


def names_of(law: Law) -> Sequence[str]:
    """The names a person may call the law by, its full name first."""
    return tuple(dict.fromkeys(name for name in (law.name, law.siglas, *law.aliases) if name))


def of_law(law: Named, name: str) -> str:
    """``name`` of the law after "de", with the article its gender asks for: "del COIP", "de la Constitución"."""
    return f"del {name}" if _is_masculine(law, name) else f"de la {name}"


def the_law(law: Named, name: str) -> str:
    """``name`` with its article: "el COIP", "la Constitución"."""
    return f"el {name}" if _is_masculine(law, name) else f"la {name}"


def _is_masculine(law: Named, name: str) -> bool:
    """Whether the name takes "el". An abbreviation has the gender of the law's full name."""
    return (law.name if name.isupper() else name).split()[0].lower() in MASCULINE


def lowered(rubric: str) -> str:
    """A rubric inside a sentence: first letter small, unless it begins with an abbreviation."""
    return rubric if len(rubric) > 1 and rubric[1].isupper() else rubric[:1].lower() + rubric[1:]


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

    def __init__(self, law: Law, numbers: Iterable[str] | None = None) -> None:
        wanted = None if numbers is None else set(numbers)
        self.articles = [row for row in law.articles if row.in_force and (wanted is None or row.number in wanted)]
        self._place = {row.number: at for at, row in enumerate(self.articles)}
        self._folded: dict[str, str] = {}
        self._printed = {row.number: at for at, row in enumerate(law.articles)}

    def holds(self, article: Article) -> bool:
        """Whether the article is one of the pool's."""
        return article.number in self._place

    def folded(self, article: Article) -> str:
        """Rubric and body of one of the pool's articles, folded for comparing."""
        if article.number not in self._folded:
            self._folded[article.number] = fold(f"{article.rubric or ''} {article.body}")
        return self._folded[article.number]

    def distractors(self, article: Article, chance: Random) -> Iterator[Article]:
        """Articles other than ``article``, each once: near, similar and distant ones in random turns."""
        place = self._place.get(article.number)
        if place is None:
            after = self._printed.get(article.number, 0)
            place = sum(self._printed[row.number] < after for row in self.articles)
        near = [at for at in range(place - NEAR, place + NEAR + 1) if 0 <= at < len(self.articles)]
        chance.shuffle(near)
        similar = self._similar(article)
        distant = chance.sample(range(len(self.articles)), min(len(self.articles), 12))
        queues = [near, similar, distant]
        seen: set[int] = {self._place[article.number]} if article.number in self._place else set()
        while any(queues):
            queue = chance.choice([queue for queue in queues if queue])
            at = queue.pop(0)
            if at not in seen:
                seen.add(at)
                yield self.articles[at]

    def _similar(self, article: Article) -> list[int]:
        """Up to four articles with most of this one's rare words."""
        words = sorted(set(_long_words(article)), key=lambda word: (len(self._holders.get(word, ())), word))
        votes: Counter[int] = Counter()
        for word in [word for word in words if 1 < len(self._holders.get(word, ())) <= COMMON][:RARE_WORDS]:
            votes.update(self._holders[word])
        votes.pop(self._place.get(article.number, -1), None)
        return [at for at, _ in sorted(votes.items(), key=lambda pair: (-pair[1], pair[0]))[:4]]

    @cached_property
    def _holders(self) -> dict[str, list[int]]:
        holders: dict[str, list[int]] = {}
        for at, row in enumerate(self.articles):
            for word in set(_long_words(row)):
                holders.setdefault(word, []).append(at)
        return holders


def _long_words(article: Article) -> list[str]:
    return [word.lower() for word in LONG_WORD.findall(f"{article.rubric or ''} {article.body}")]


# --- how people type --------------------------------------------------------------------------------------------

# Names and the words that say what a number is stay legible, so that the question keeps its meaning.
PROTECTED = ("artículo", "numeral", "número", "edición", "innumerado", "agregado", "continuación")
SLIPS = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "s": "a", "r": "t", "t": "y", "c": "v", "l": "k"}


def roughen(question: str, chance: Random, share: float = 0.25) -> str:
    """``question``, or in ``share`` of the cases a version as typed in haste: without accents or opening mark, in lower
    case, with a slip of the finger. Quoted words (« ») stay as they are."""
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
