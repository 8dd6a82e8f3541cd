"""The articles of the same law that an article names: "artículo anterior", "Art. 116"."""

import re

from leylora.grounding.citations import parse_citations
from leylora.laws.law import Article, Law

RELATIVE = re.compile(r"\bartículo\s+(anterior|precedente|siguiente)\b", re.IGNORECASE)
SINGLE = re.compile(r"(?:artículo|art\.)\s+\d+(?:\.\d+)?(?=\W|$)", re.IGNORECASE)


def references(law: Law, article: Article) -> list[tuple[str, str]]:
    """``(words used, number of the article meant)`` for each article of the same law that ``article`` points to.

    A reference to another law ("artículo 44 de la Ley ...") is left out; so are lists, ranges and those that lead
    nowhere.
    """
    found: dict[str, str] = {}
    for match in RELATIVE.finditer(article.body):
        numbers = [row.number for row in law.articles]
        place = numbers.index(article.number) + (1 if match.group(1).lower() == "siguiente" else -1)
        if 0 <= place < len(numbers):
            found.setdefault(numbers[place], match.group(0).lower())
    for citation in parse_citations(article.body, [law]):
        words = SINGLE.search(article.body[slice(*citation.span)])
        here = citation.law_id == law.id or (citation.law_id is None and not citation.law_text)
        if words and here and citation.article in law and citation.article != article.number:
            found.setdefault(citation.article, words.group(0).lower())
    return [(words, number) for number, words in found.items()]
