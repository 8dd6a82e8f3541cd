"""From one item (a question in several wordings, its answers, its article) to one row.

The families of `leylora.data.families` give an `LawItem`; `LawLookup` answers what they ask about the laws of a build.
`compose` picks a wording and an answer, roughens the question, takes wrong articles from `Distractors` into the prompt,
of other laws too, as the assistant does, and puts the citations in.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from leylora.data.conversation import Conversation, Message
from leylora.data.verify import whole_law_citation
from leylora.data.written import WrittenCase, written_cases
from leylora.grounding.citations import Named
from leylora.grounding.clauses import of, sentences
from leylora.grounding.index import everyday_words
from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage
from leylora.grounding.quantities import quantities, references
from leylora.grounding.wording import concepts
from leylora.laws.law import Article, Law
from leylora.rules.read import Offence, Rules, read_rules
from leylora.text import fold, one_line

LICENSE = "public-domain"  # official texts of law; the questions are this project's
MAX_PER_ARTICLE = 8
TOO_LONG = "longer than max_characters"

Kind = Literal["grounded", "closed", "abstain", "rewrite", "followed"]  # followed: only as a second turn


class TaskSettings(BaseModel):
    """How many rows of which kind. Lengths are characters of a whole conversation."""

    model_config = ConfigDict(extra="forbid")

    families: list[str] | None = Field(default=None, description="of `leylora.data.families`; None: all")
    grounded_per_article: int = Field(default=6, ge=0, le=MAX_PER_ARTICLE)
    closed_per_article: int = Field(default=1, ge=0, le=MAX_PER_ARTICLE)
    abstain_per_article: int = Field(default=1, ge=0, le=MAX_PER_ARTICLE)
    max_closed_share: float = Field(default=0.03, gt=0, le=1)
    max_abstain_share: float = Field(default=0.15, gt=0, le=1, description="temporal questions included")
    max_rewrite_share: float = Field(default=0.05, gt=0, le=1, description="a person's words in those of the law")
    dialogue_share: float = Field(default=1.0, ge=0, le=1, description="of articles, those with a follow-up question")
    other_law_share: float = Field(
        default=0.5, ge=0, le=1, description="of prompts, those with an article of another law"
    )
    distractors: tuple[int, int] = Field(default=(2, 4), description="fewest and most wrong articles in a prompt")
    max_characters: int = Field(default=8_000, gt=200)
    max_template_share: float = Field(default=0.03, gt=0, le=1, description="of one wording, and of one form of answer")
    rough_questions: float = Field(default=0.2, ge=0, le=1, description="share typed in haste")
    written_questions: bool = Field(default=True, description="use the train part of data/questions as well")
    written_variants: int = Field(default=3, ge=1, le=4, description="rows of each, among other articles")
    max_rows: int | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class LawItem:
    """One thing that can be asked about one article.

    Attributes:
        kind: the share of the mixture the item counts for.
        article: the one that answers, and to which the row belongs.
        phrasings: wordings with ``{slots}``; ``{law}``, ``{of_law}``, ``{the_law}`` and ``{number}`` are always filled.
        answers: ways to say it; ``{c}`` cites the article, ``{c2}`` and on the ``others``. One that cites none ends in
            the law that was looked at. ``{near}`` is what the given articles are about.
        after: wordings for when the question follows another on the same article.
        others: further articles that the answer rests on, of this law or of another one.
        supplied: whether the prompt carries articles; a closed-book item never has any.
        other_edition: an article of another edition, that the prompt must carry too.
        rule: the kind of rule that the answer was read off, "" for none; ``facts``: a person tells of herself.
        before: the item of the turn before.
    """

    task: str
    kind: Kind
    article: Article
    phrasings: tuple[str, ...]
    answers: tuple[str, ...]
    slots: dict[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    others: tuple[tuple[Law, Article], ...] = ()
    cites: bool = True
    supplied: bool = True
    other_edition: tuple[Law, Article] | None = None
    rule: str = ""
    facts: bool = False
    before: "LawItem | None" = None


class Unfit(Exception):
    """An item that makes no row; ``str(error)`` is the reason."""


class Composed(NamedTuple):
    """``template`` and ``form`` name the wording and the answer that were picked."""

    template: str
    form: str
    row: Conversation


def compose(
    law: Law, item: LawItem, pools: "Distractors", chance: Random, settings: TaskSettings, number: int
) -> Composed:
    """A row; ``number`` counts the rows of an article, for the id.

    Raises:
        Unfit: it is longer than ``max_characters``, or needs an article that the pools do not hold.
    """
    earlier: list[Message] = []
    task = item.task
    if item.before is not None:
        first, _ = _asked(law, item.before, chance, settings)
        told, _ = _answered(law, item.before, chance, [])
        earlier = [Message(role="user", content=first), Message(role="assistant", content=told)]
        item, task = replace(item, phrasings=item.after, before=None), "dialogue"
    question, template = _asked(law, item, chance, settings)
    room = settings.max_characters - sum(len(turn.content) for turn in earlier)
    room -= len(law_system_prompt([law])) + max(map(len, item.answers)) + 60 * (1 + len(item.others))
    given: list[tuple[Law, Article]] = []
    prompt = question
    if item.supplied and item.kind in ("grounded", "abstain", "followed"):
        given = _given(law, item, pools, settings, question, room, chance)
        prompt = grounded_prompt(question, [passage(*one) for one in given])
    answer, form = _answered(law, item, chance, given)
    system = law_system_prompt({(one.id, one.edition): one for one, _ in [*given, (law, item.article)]}.values())
    row = Conversation(
        id=f"{law.id}@{law.edition}:{item.article.number}:{number}:{task}/{template}",
        messages=[
            Message(role="system", content=system),
            *earlier,
            Message(role="user", content=prompt),
            Message(role="assistant", content=answer),
        ],
        task=task,
        source=f"law:{law.id}",
        license=LICENSE,
        law_id=law.id,
        article=item.article.number,
        edition=law.edition,
        source_sha256=law.source_sha256,
        articles=[f"{one.id}:{row.number}" for one, row in ((law, item.article), *item.others)] if item.cites else [],
        rule=item.rule,
    )
    if row.characters > settings.max_characters:
        raise Unfit(TOO_LONG)
    return Composed(f"{task}:{item.task}/{template}", f"{item.task}/{form}", row)


def _asked(law: Law, item: LawItem, chance: Random, settings: TaskSettings) -> tuple[str, int]:
    """The question in one of its wordings, and which one."""
    template = chance.randrange(len(item.phrasings))
    name = chance.choice(list(dict.fromkeys(name for name in (law.name, law.siglas, *law.aliases) if name)))
    slots = {"law": name, "of_law": of_law(law, name), "the_law": the_law(law, name)}
    slots["number"] = spelled(item.article.number)
    slots |= item.slots
    question = item.phrasings[template].format(**slots)
    question = question.replace(" a el ", " al ").replace(" de el ", " del ")
    question = roughen(question, chance, settings.rough_questions)
    return question[:1].upper() + question[1:], template


def _answered(law: Law, item: LawItem, chance: Random, given: Sequence[tuple[Law, Article]]) -> tuple[str, int]:
    """One of the answers with its citations, and which one."""
    near = [one.rubric for _, one in given if one.rubric and len(one.rubric) <= 80][:2]
    fitting = [at for at, one in enumerate(item.answers) if "{near}" not in one or near]
    form = chance.choice(fitting)
    answer = item.answers[form].replace("{near}", " y de ".join(f"«{one}»" for one in near))
    cited = (law.cite(item.article.number), *(one.cite(row.number) for one, row in item.others))
    for place, words in enumerate(cited, 1):
        answer = answer.replace("{c}" if place == 1 else f"{{c{place}}}", f"({words})")
    if not item.cites:
        answer = f"{answer} ({whole_law_citation(law)})"
    return answer.strip(), form


def _given(
    law: Law,
    item: LawItem,
    pools: "Distractors",
    settings: TaskSettings,
    question: str,
    room: int,
    chance: Random,
) -> list[tuple[Law, Article]]:
    """The articles of a prompt: as many wrong ones as fit, at least one, and the item's own unless it abstains."""
    own = [] if item.kind == "abstain" and not item.cites else [(law, item.article)]
    own += item.others
    if not all(pools.holds(*one) for one in own if one[1].in_force):
        raise Unfit("needs an article of another split")
    own += [item.other_edition] if item.other_edition is not None else []
    wanted = max(1, chance.randint(*settings.distractors) - len(item.others) + (0 if own else 1))
    given = list(own)
    room -= len(grounded_prompt(question, [passage(*one) for one in given] or [Passage("", "", "")]))
    told = [
        item.article.rubric or "",
        *(item.slots.get(key, "") for key in ("topic", "other", "term", "words", "conduct")),
    ]
    told = [fold(words) for words in told if words]
    topic = set(concepts(item.slots.get("topic", ""))) if not own else set()
    abroad = chance.random() < settings.other_law_share
    for one in pools.of(law, item.article, chance, abroad=abroad):
        if len(given) - len(own) >= wanted:
            break
        # A wrong article about the same topic or with the same words could be taken for a right one.
        if any(one[1] is row for _, row in own) or any(words in pools.folded(*one) for words in told):
            continue
        if topic and topic <= set(concepts(pools.folded(*one))):
            continue
        block = passage(*one)
        size = len(grounded_prompt("", [block, block])) - len(grounded_prompt("", [block]))
        if size <= room:
            given.append(one)
            room -= size
    if len(given) < 2 and (own or not given):
        raise Unfit(TOO_LONG if pools.size > 1 else "has no other article to stand beside it")
    chance.shuffle(given)
    return given


# --- laws and their articles, looked up -------------------------------------------------------------------------

LONGEST_TITLE = 110  # characters; a longer rubric is a sentence that opens a list
MASCULINE = {"código", "codigo", "reglamento", "estatuto", "decreto", "acuerdo", "texto", "convenio", "pacto"}
MASCULINE |= {"mandato", "tratado", "protocolo", "instructivo"}


def draw(seed: int, *key: str) -> int:
    """A number that depends on the seed and the key only: the order in which things are picked."""
    return int.from_bytes(blake2b("\x1f".join([str(seed), *key]).encode(), digest_size=8).digest(), "big")


class LawLookup:
    """The laws of a build, with what families look up: which rubrics name one article only, what an article orders,
    which others stand by it. Other articles come from ``members`` only, pairs of law id and number; None are all.
    ``facts`` are those of the laws, `law_facts`, where several lookups share them."""

    def __init__(
        self,
        laws: Iterable[Law],
        seed: int,
        members: set[tuple[str, str]] | None = None,
        facts: "LawFactsByEdition | None" = None,
    ) -> None:
        self.laws = tuple(laws)
        self.seed = seed
        self._facts = law_facts(self.laws) if facts is None else facts
        self._members = members

    def random(self, *key: str) -> Random:
        """A generator that depends on the seed and ``key`` only, never on what ran before."""
        return Random(draw(self.seed, *key))

    def facts(self, law: Law) -> "LawFacts":
        return self._facts[law.id, law.edition]

    def title(self, law: Law, article: Article) -> str | None:
        """The rubric as it is said inside a sentence, when it is short and no other article of the law has it."""
        rubric = article.rubric or ""
        if not 0 < len(rubric) <= LONGEST_TITLE or ";" in rubric or self.facts(law).rubrics[rubric.lower()] != 1:
            return None
        return lower_first(rubric)

    def topic(self, law: Law, article: Article) -> str | None:
        """Words that name this article of the law only: its title, else the subject it opens with."""
        title = self.title(law, article)
        if title:
            return title
        opening = subject(article.body) if not article.rubric else None
        return opening if opening and self.facts(law).subjects[opening.lower()] == 1 else None

    def rules(self, law: Law, article: Article) -> Rules:
        return self.facts(law).rules(article)

    @cached_property
    def everyday(self) -> dict[str, tuple[str, ...]]:
        """How people call what an article is about, by ``law_id:number``."""
        return everyday_words()

    @cached_property
    def cases(self) -> dict[str, WrittenCase]:
        return written_cases()

    def plain_offence(self, law: Law, article: Article) -> "PlainOffence | None":
        """An offence whose base penalty is prison, a fine or both, and which has a title of its own."""
        rules, title = self.rules(law, article), self.title(law, article)
        for offence in rules.offences if title else ():
            prison = one_line(rules.text(offence.prison))
            if prison.startswith("de ") and " a " in prison:
                (term, *_) = quantities(f"pena {prison}")
                days = DAYS[term.unit.split()[0]] if term.unit else 1
                years = (term.low * days, (term.high or term.low) * days)
                whole = one_line(rules.text(offence.consequence))
                return PlainOffence(offence, title or "", plain_penalty(rules, offence), prison, years, whole)
        return None

    def prison_terms(self, law: Law) -> set[str]:
        """The prison terms of a law's offences: "de uno a tres años"."""
        facts = self.facts(law)
        if facts.prison_terms is None:
            found = (self.plain_offence(law, row) for row in law.articles)
            facts.prison_terms = {one.prison for one in found if one is not None}
        return facts.prison_terms

    def in_split(self, law: Law, article: Article) -> bool:
        return article.in_force and (self._members is None or (law.id, article.number) in self._members)

    def near(self, law: Law, article: Article, count: int) -> list[Article]:
        """The articles that stand nearest, of the same split, nearest first."""
        place = self.facts(law).place[article.number]
        window = range(max(0, place - 4 * count), min(len(law.articles), place + 4 * count + 1))
        around = sorted(window, key=lambda at: (abs(at - place), at))[1 : 4 * count]
        return [law.articles[at] for at in around if self.in_split(law, law.articles[at])][:count]

    def mates(self, law: Law, article: Article) -> list[Article]:
        """The articles of the split under the same heading, in order."""
        return [row for row in self.facts(law).by_path[article.path] if self.in_split(law, row)]

    def twin(self, law: Law, article: Article) -> tuple[Law, Article] | None:
        """An article of another law whose title says the same."""
        key = frozenset(concepts(self.title(law, article) or ""))
        return next((one for one in self._titled.get(key, ()) if one[0].id != law.id), None) if len(key) > 1 else None

    def elsewhere(self, law: Law, chance: Random) -> tuple[Law, Article] | None:
        """Any article of another law, of the same split."""
        others = [other for other in self.laws if other.id != law.id]
        for _ in range(10 if others else 0):
            other = chance.choice(others)
            article = chance.choice(other.articles)
            if self.in_split(other, article):
                return other, article
        return None

    @cached_property
    def _titled(self) -> dict[frozenset[str], list[tuple[Law, Article]]]:
        found: dict[frozenset[str], list[tuple[Law, Article]]] = {}
        for law in self.laws:
            for row in law.articles:
                title = self.title(law, row) if self.in_split(law, row) else None
                if title:
                    found.setdefault(frozenset(concepts(title)), []).append((law, row))
        return found

    def points_to(self, law: Law, article: Article) -> list[tuple[Article, str, str]]:
        """The articles of the split that an article names: each with the words and the sentence that name it."""
        found = []
        for words, number in references(law, article):
            target = law[number]
            lines = [of(article.body, span) for span in sentences(article.body)]
            sentence = next((line for line in lines if words in line and not line.endswith((":", ";"))), "")
            if sentence and number != article.number and self.in_split(law, target):
                found.append((target, words, sentence))
        return found

    def concepts_of(self, law: Law) -> set[str]:
        """All that a law speaks of."""
        facts = self.facts(law)
        if facts.concepts is None:
            facts.concepts = {one for row in law.articles for one in concepts(f"{row.rubric} {row.body}")}
        return facts.concepts


def plain_penalty(rules: Rules, offence: Offence) -> str:
    """ "prisión de uno a tres años y multa de ...", or "" where the penalty has other parts."""
    prison, fine = rules.text(offence.prison), rules.text(offence.fine)
    parts = [f"prisión {lower_first(prison)}" if prison else "", f"multa {lower_first(fine)}" if fine else ""]
    return one_line(" y ".join(filter(None, parts)))


class PlainOffence(NamedTuple):
    """``plain`` is the base penalty in plain words, ``prison`` its "de uno a tres años", ``years`` both ends in days,
    ``whole`` the penalty as the law says it."""

    offence: Offence
    title: str
    plain: str
    prison: str
    years: tuple[float, float]
    whole: str


DAYS = {"años": 365, "meses": 30, "semanas": 7, "días": 1, "horas": 1 / 24}


class LawFacts:
    """Of one law, whatever the split: how often each rubric occurs, where articles stand, under which heading, and what
    they order."""

    def __init__(self, law: Law) -> None:
        self.rubrics = Counter((row.rubric or "").lower() for row in law.articles)
        self.subjects = Counter((subject(row.body) or "").lower() for row in law.articles)
        self.place = {row.number: at for at, row in enumerate(law.articles)}
        self.by_path: dict[tuple[object, ...], list[Article]] = {}
        for row in law.articles:
            self.by_path.setdefault(row.path, []).append(row)
        self.prison_terms: set[str] | None = None
        self.concepts: set[str] | None = None
        self._rules: dict[str, Rules] = {}

    def rules(self, article: Article) -> Rules:
        """What an article of the law orders."""
        if article.number not in self._rules:
            self._rules[article.number] = read_rules(article)
        return self._rules[article.number]


LawFactsByEdition = dict[tuple[str, str], LawFacts]  # by law id and edition


def law_facts(laws: Iterable[Law]) -> LawFactsByEdition:
    return {(law.id, law.edition): LawFacts(law) for law in laws}


def subject(body: str) -> str | None:
    """The short noun phrase a body opens with: "Las familias del barrio recibirán..." -> the first four words."""
    match = re.match(
        r"(?P<subject>(?:El|La|Los|Las)\s+(?:[a-záéíóúñA-ZÁÉÍÓÚÑ]+\s+){0,6}?[a-záéíóúñA-ZÁÉÍÓÚÑ]+)\s+"
        r"(?:no\s+|se\s+)*(?:es|son|será|serán|tiene|tienen|puede|pueden|debe|deben|consiste|corresponde|comprende|"
        r"[a-záéíóúñ]{3,}(?:rá|rán))\b",
        body,
    )
    if match is None:
        return None
    words = match.group("subject").split()
    return " ".join([words[0].lower(), *words[1:]]) if 2 <= len(words) <= 8 else None


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


MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()  # noqa: SIM905


def human_date(day: str) -> str:
    """An ISO date as people say it: "3 de mayo de 2019"."""
    one = date.fromisoformat(day)
    return f"{one.day} de {MONTHS[one.month - 1]} de {one.year}"


def heading(name: str) -> str:
    """A division's name as it is said inside a sentence: "DE LAS PENAS" is "de las penas"."""
    return lower_first(name.capitalize() if name.isupper() else name)


def lower_first(words: str) -> str:
    """For the middle of a sentence; an abbreviation and a name of several words keep their capitals."""
    first, *others = words.split() or [""]
    name = (len(first) > 1 and first[1].isupper()) or any(word[0].isupper() for word in others)
    return words if name else words[:1].lower() + words[1:]


# --- wrong articles for a prompt --------------------------------------------------------------------------------

LONG_WORD = re.compile(r"[^\W\d_]{5,}")
RARE_WORDS = 8  # of an article, looked up in the others
COMMON = 60  # a word in more articles than this no longer tells them apart
NEAR = 6


class Distractors:
    """The articles that prompts may carry, of all laws of a build."""

    def __init__(self, laws: Iterable[Law], members: set[tuple[str, str]] | None = None) -> None:
        self._laws = {(law.id, law.edition): law for law in laws}
        self._pools = {
            key: DistractorPool(
                law, [row.number for row in law.articles if members is None or (law.id, row.number) in members]
            )
            for key, law in self._laws.items()
        }

    @property
    def size(self) -> int:
        return sum(len(pool.articles) for pool in self._pools.values())

    def holds(self, law: Law, article: Article) -> bool:
        return article.number in self._pools[law.id, law.edition].place

    def any(self, chance: Random) -> tuple[Law, Article]:
        """Some article. Raises Unfit when there is none."""
        full = [key for key, pool in self._pools.items() if pool.articles]
        if not full:
            raise Unfit("has no article to show")
        key = chance.choice(full)
        return self._laws[key], chance.choice(self._pools[key].articles)

    def folded(self, law: Law, article: Article) -> str:
        return self._pools[law.id, law.edition].folded(article)

    def of(self, law: Law, article: Article, chance: Random, *, abroad: bool) -> Iterator[tuple[Law, Article]]:
        """Articles other than ``article`` of its law, and with ``abroad`` the first or second of another law."""
        own = ((law, row) for row in self._pools[law.id, law.edition].distractors(article, chance))
        others = [key for key, one in self._laws.items() if one.id != law.id and self._pools[key].articles]
        if abroad and others:
            key = chance.choice(others)
            pool = self._pools[key]
            alike = [pool.articles[at] for at in pool.similar(article)[:2]] or [chance.choice(pool.articles)]
            yield self._laws[key], chance.choice(alike)
        yield from own


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
        queues = [near, self.similar(article), distant]
        seen = {self.place[article.number]} if article.number in self.place else set()
        while any(queues):
            at = chance.choice([queue for queue in queues if queue]).pop(0)
            if at not in seen:
                seen.add(at)
                yield self.articles[at]

    def similar(self, article: Article) -> list[int]:
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
PROTECTED = (*MONTHS, "artículo", "numeral", "número", "edición", "innumerado", "agregado", "continuación")
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
