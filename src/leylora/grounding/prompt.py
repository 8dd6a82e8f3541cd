"""The one form in which articles are put before a model, in training and in use.

A grounded user turn looks like this (one blank line between parts)::

    Artículos:

    (Art. 14, Ley de Muestra, ed. 2024-08-15) Plazo de devolución
    Todo libro prestado se devolverá en el plazo de quince días.

    (Art. 15, Ley de Muestra, ed. 2024-08-15) Multas
    ...

    Pregunta: ¿Cuántos días hay para devolver un libro?

Each passage opens with the citation that the answer has to end with, so that citing is copying.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .citations import ArticleText, Edition, format_citation

HEADING = "Artículos:"
QUESTION = "Pregunta: "
DEROGADO = "(Derogado.)"
EDITION = r"ed\. (?:\d{4}-\d{2}-\d{2}|s\. f\.)"
CANONICAL = re.compile(rf"\((Art\. [^\n]*?, {EDITION})\)")  # the citation that an answer ends in

# How a model is asked for the law's words for a person's question; its answer is searched, and shown.
REWRITE = "Diga con palabras de la ley, para buscarla, de qué trata esto: "

# How a model says that it cannot answer: fixed openings, so that an abstention can be recognised and scored. They are
# under eight words: no run of eight words is shared between training and test rows through them.
NOT_SUPPLIED = "No consta en estos artículos."
NO_SUCH_ARTICLE = "Ese artículo no existe."
REPEALED = "Ese artículo está derogado."
OTHER_COUNTRY = "Solo respondo sobre leyes del Ecuador."
UNKNOWN_LAW = "No tengo esa ley."
OTHER_EDITION = "No tengo esa edición."
OPENINGS = (NOT_SUPPLIED, NO_SUCH_ARTICLE, REPEALED, OTHER_COUNTRY, UNKNOWN_LAW, OTHER_EDITION)


class Passage(NamedTuple):
    """An article ready to be put into a prompt; ``citation`` is without brackets."""

    citation: str
    rubric: str
    body: str


def passage(law: Edition, article: ArticleText) -> Passage:
    """The passage of one article of ``law``; a repealed one shows that it is."""
    body = DEROGADO if article.status == "derogado" else article.body
    return Passage(format_citation(law, article.number), article.rubric or "", body)


def grounded_prompt(question: str, articles: Sequence[Passage]) -> str:
    """The user turn: every passage in the order given, then the question; the bare question without passages."""
    if not articles:
        return question
    blocks = [f"({item.citation}) {item.rubric}".rstrip() + f"\n{item.body}" for item in articles]
    return "\n\n".join([HEADING, *blocks, QUESTION + question])


def read_grounded_prompt(prompt: str) -> tuple[str, list[Passage]]:
    """Take a user turn apart again: the question and the passages (none when it is a bare question)."""
    if not prompt.startswith(HEADING + "\n\n") or f"\n\n{QUESTION}" not in prompt:
        return prompt, []
    middle, question = prompt[len(HEADING) + 2 :].rsplit(f"\n\n{QUESTION}", 1)
    passages = []
    for block in re.split(r"\n\n(?=\(Art\. )", middle):
        head, _, body = block.partition("\n")
        if match := re.match(rf"\((.*?, {EDITION})\) ?(.*)$", head):
            passages.append(Passage(match[1], match[2], body))
    return question, passages


def law_system_prompt(laws: Iterable[Edition]) -> str:
    """The system turn for questions on ``laws``: their editions, and that this is not legal advice."""
    editions = "; ".join(f"{law.name}, ed. {law.edition or 's. f.'}" for law in laws)
    return f"Responda con la ley y cite el artículo. {editions}. No es asesoría legal."


def is_abstention(answer: str) -> bool:
    """Whether an answer opens with one of the fixed sentences."""
    return answer.lstrip().startswith(OPENINGS)
