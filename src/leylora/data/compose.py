"""One item becomes one row: wording, the articles in the prompt, the citation, the origin."""

from random import Random

from leylora.data.conversation import Conversation, Message
from leylora.data.item import Item, names_of, of_law, spelled, the_law
from leylora.data.neighbours import Pool
from leylora.data.wording import roughen
from leylora.grounding.prompt import Passage, bracketed, grounded_prompt, law_system_prompt, passage
from leylora.laws.law import Law
from leylora.text import fold

LICENSE = "public-domain"  # official texts of law; the questions are this project's


TOO_LONG = "longer than max_characters"


class Unfit(Exception):
    """An item that makes no row; ``str(error)`` is the reason."""


def compose(
    law: Law,
    item: Item,
    pool: Pool,
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
        distractors: fewest and most wrong articles beside the right one; at least one always stands there.
        rough: share of questions typed in haste (`wording.roughen`).

    Raises:
        Unfit: it is longer than ``max_characters``, or needs an article that the pool does not hold.
    """
    template = chance.randrange(len(item.phrasings))
    name = chance.choice(names_of(law))
    slots = {"law": name, "of_law": of_law(law, name), "the_law": the_law(law, name)}
    slots["number"] = spelled(item.article.number)
    question = contract(item.phrasings[template].format(**(slots | item.slots)))
    question = roughen(question, chance, rough)
    question = question[:1].upper() + question[1:]
    answer = f"{item.answer} {bracketed(law.cite(item.article.number))}" if item.cites else item.answer
    laws = [law] if item.beside_other is None else [law, item.beside_other[0]]
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


def contract(question: str) -> str:
    """ "a el" and "de el" as Spanish writes them."""
    return question.replace(" a el ", " al ").replace(" de el ", " del ")


def _with_articles(
    law: Law, item: Item, pool: Pool, distractors: tuple[int, int], question: str, room: int, chance: Random
) -> str:
    """The grounded prompt, its own article (unless the item abstains for want of it) among as many as fit."""
    own: list[Passage] = [] if item.kind == "abstain" and not item.cites else [passage(law, item.article)]
    own += [passage(law, row) for row in item.beside]
    if item.beside_other is not None:
        own.append(passage(*item.beside_other))
    if not all(pool.holds(row) for row in item.beside):
        raise Unfit("needs an article of another split")
    wanted = chance.randint(*distractors) - len(item.beside) + (0 if own else 1)
    given = list(own)
    room -= len(grounded_prompt(question, given)) if given else len(grounded_prompt(question, [Passage("", "", "")]))
    for row in pool.distractors(item.article, chance):
        if len(given) - len(own) >= wanted:
            break
        if row in item.beside or _answers_too(pool.words_of(row), item):
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


def _answers_too(text: str, item: Item) -> bool:
    """Whether a wrong article could be taken for a right one: it speaks of the same topic or holds the same words."""
    told = [item.article.rubric or "", *(item.slots.get(key, "") for key in ("topic", "term", "words", "conduct"))]
    return any(words and fold(words) in text for words in told)
