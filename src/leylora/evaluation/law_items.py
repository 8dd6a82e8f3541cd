"""The `law` suite: benchmark items and held-out training rows as questions, closed-book and grounded apart.

Questions are put exactly as in training: the same system turn, the same form of supplied articles. An item whose
article is at hand is asked twice, from memory and with the article among its neighbours.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from leylora.data.benchmark import BenchmarkItem
from leylora.data.conversation import Conversation
from leylora.data.verify import CANONICAL
from leylora.errors import LeyloraError
from leylora.evaluation.results import Item
from leylora.grounding.citations import format_citation
from leylora.grounding.prompt import (
    NO_SUCH_ARTICLE,
    NOT_SUPPLIED,
    OTHER_COUNTRY,
    REPEALED,
    UNKNOWN_LAW,
    grounded_prompt,
    is_abstention,
    law_system_prompt,
    passage,
    read_grounded_prompt,
)
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.law import Article, Law

LETTERS = "ABCDEFGH"
ASK_LETTER = "Responda solo con la letra de la opción correcta."
ALSO_GROUNDED = ("multiple-choice", "sanction", "deadline", "definition")
TEMPORAL = ("temporal", "abstain-other-edition")
DECLINED = {
    "no existe": NO_SUCH_ARTICLE,
    "derogado": REPEALED,
    "otro país": OTHER_COUNTRY,
}


def benchmark_items(benchmark: Sequence[BenchmarkItem], laws: Sequence[Law]) -> tuple[list[Item], list[str]]:
    """The benchmark as questions, and notes on what had to be left out for want of a law's text.

    Raises:
        LeyloraError: an item names a law that is neither parsed nor in the catalogue.
    """
    items: list[Item] = []
    missing: dict[str, int] = {}
    for entry in benchmark:
        law = law_of(entry, laws)
        if law is None and entry.supplied:
            place = f"{entry.law_id}, ed. {entry.edition}"
            missing[place] = missing.get(place, 0) + 1
            continue
        items.append(_item(entry, law or bare_law(entry.law_id, entry.edition), entry.supplied))
        if law is not None and entry.kind in ALSO_GROUNDED and entry.article in law:
            twin = _item(entry, law, neighbours(law, entry.article))
            items.append(twin.model_copy(update={"id": f"{entry.id}-grounded"}))
    notes = [f"{count} grounded items skipped: {place} is not among the laws given (--laws)."
             for place, count in sorted(missing.items())]  # fmt: skip
    if not laws:
        notes.append("No laws given (--laws): the grounded half is skipped.")
    return items, notes


def law_of(entry: BenchmarkItem, laws: Sequence[Law]) -> Law | None:
    """The law an item asks about, in its edition: by id, else by its name in the catalogue.

    A law parsed without --law-id may have got its file's name as its id (``logjcc-2020``); its printed name still says
    which it is, and its edition still has to be the one asked.
    """
    same = [law for law in laws if law.edition == entry.edition]
    by_id = (law for law in same if law.id == entry.law_id)
    by_name = (law for law in same if (known := find_in_catalog(law.name)) and known.id == entry.law_id)
    return next(by_id, None) or next(by_name, None)


def bare_law(law_id: str, edition: str) -> Law:
    """A law of the catalogue without its text, to be named in a prompt.

    Raises:
        LeyloraError: the catalogue has no such law.
    """
    entry = next((entry for entry in catalog() if entry.id == law_id), None)
    if entry is None:
        raise LeyloraError(f"The benchmark asks about '{law_id}'; data/catalog.yaml lacks it, so give --laws.")
    return Law(
        id=law_id, name=entry.name, siglas=entry.siglas, aliases=entry.aliases,
        registro_oficial=entry.registro_oficial, published=entry.published,
        last_reform=date.fromisoformat(edition) if edition else None,
        layout="", pages=0, source_sha256="", articles=(), provisions=(), audit={},
    )  # fmt: skip


def neighbours(law: Law, number: str) -> list[str]:
    """The article with the one in force before and the one after it, in printed order."""
    numbers = [article.number for article in law if article.in_force or article.number == number]
    at = numbers.index(law.article(number).number)
    return numbers[max(0, at - 1) : at + 2]


def choice_messages(item: Item, order: Sequence[int]) -> list[dict[str, str]]:
    """A ``choose`` item's conversation with its options under letters, in ``order``."""
    lines = [f"{LETTERS[place]}) {item.options[index]}" for place, index in enumerate(order)]
    *before, last = item.messages
    return [*before, {**last, "content": "\n".join([last["content"], *lines, ASK_LETTER])}]


def rotations(count: int) -> list[list[int]]:
    """``count`` orders in which each option stands in each place once."""
    return [[(place + shift) % count for place in range(count)] for shift in range(count)]


def _item(entry: BenchmarkItem, law: Law, supplied: Sequence[str]) -> Item:
    articles: list[Article] = [law.article(number) for number in supplied]
    prompt = grounded_prompt(entry.question, [passage(law, article) for article in articles])
    messages = [{"role": "system", "content": law_system_prompt([law])}, {"role": "user", "content": prompt}]
    cite = f" ({format_citation(law, entry.article)})" if entry.article else ""
    choose = entry.kind == "multiple-choice"
    if choose:
        reference = entry.answer
    elif entry.abstain:
        reference = NOT_SUPPLIED if supplied else DECLINED.get(entry.answer, UNKNOWN_LAW)
    else:
        said = f"El artículo {entry.answer}" if entry.kind == "topic-to-number" else entry.answer
        reference = f"{said[:1].upper()}{said[1:]}.{cite}"
    return Item(
        suite="law", id=entry.id, task=entry.kind, ask="choose" if choose else "generate",
        setting="grounded" if supplied else "closed-book",
        cluster=f"{law.id}@{entry.edition}:{entry.article}" if entry.article else entry.id,
        messages=messages, reference=reference, accepted=[entry.answer, *entry.accept],
        options=entry.options, correct=entry.correct, orders=rotations(len(entry.options)) if choose else [],
        law_id=law.id, article=entry.article, edition=entry.edition,
        supplied=[law.cite(number) for number in supplied], abstain=entry.abstain,
    )  # fmt: skip


def held_out_law_items(rows: Sequence[Conversation]) -> Iterator[Item]:
    """Held-out rows of a law dataset, asked as they would have been trained."""
    for row in rows:
        if not row.law_id:
            continue
        prompt = next(turn.content for turn in reversed(row.messages) if turn.role == "user")
        _, passages = read_grounded_prompt(prompt)
        yield Item(
            suite="law", id=row.id, task="temporal" if row.task in TEMPORAL else "held-out", ask="generate",
            setting="grounded" if passages else "closed-book",
            cluster=f"{row.law_id}@{row.edition}:{row.article}",
            messages=[turn.model_dump() for turn in row.messages[:-1]], reference=row.answer,
            accepted=[CANONICAL.sub("", row.answer).strip()],
            law_id=row.law_id, article=row.article if CANONICAL.search(row.answer) else "", edition=row.edition,
            supplied=[given.citation for given in passages], abstain=is_abstention(row.answer),
        )  # fmt: skip
