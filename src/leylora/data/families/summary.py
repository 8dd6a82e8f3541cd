"""In short, what does the article say? Summary by extraction: the sentence that carries most of the article's words."""

import re
from collections import Counter
from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.data.law_text import is_deictic, sentences
from leylora.laws.law import Article, Law

PHRASINGS = (
    "Resuma el artículo {number} {of_law}.",
    "¿Cuál es la idea central del Art. {number} {of_law}?",
    "En una frase del propio texto, ¿qué dice el artículo {number} {of_law}?",
    "Dame lo esencial del art. {number} {of_law}.",
    "Extraiga la regla principal del artículo {number} {of_law}.",
    "Sintetiza el artículo {number} {of_law} con sus palabras textuales.",
    "¿Qué es lo más importante del artículo {number} {of_law}?",
)
LONG_BODY = 400  # characters
WORD = re.compile(r"[^\W\d_]{4,}")


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """Articles of three sentences or more; the answer is marked as an extract."""
    if not article.in_force or len(article.body) < LONG_BODY:
        return
    parts = sentences(article.body)
    if len(parts) >= 3:
        best = central(parts)
        if not is_deictic(best):
            yield Item("summary", "grounded", article, PHRASINGS, f"Extracto: «{best}»")


def central(parts: list[str]) -> str:
    """The sentence of 40 to 400 characters whose words recur most in all sentences; the first one among equals."""
    words = [[word.lower() for word in WORD.findall(part)] for part in parts]
    often = Counter(word for mine in words for word in set(mine))

    def weight(at: int) -> float:
        mine = set(words[at])
        first = 1 if at == 0 else 0  # statutes put the rule first
        return sum(often[word] for word in mine) / max(8, len(mine)) + first

    fitting = [at for at, part in enumerate(parts) if 40 <= len(part) <= 400] or [0]
    return parts[max(fitting, key=lambda at: (weight(at), -at))]
