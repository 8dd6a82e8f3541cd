"""The articles of the same law that an article names: "artículo anterior", "Art. 116"."""

import re

from leylora.laws.law import Article, Law

RELATIVE = re.compile(r"\bartículo\s+(anterior|precedente|siguiente)\b", re.IGNORECASE)
EXPLICIT = re.compile(
    r"\b(?P<words>(?:artículo|art\.)\s+(?P<number>\d+(?:\.\d+)?))(?![\d.]*\d)(?P<after>[^.;\n]{0,60})", re.IGNORECASE
)
OF_ANOTHER_LAW = re.compile(
    r"\b(?:de\s+la|del|de\s+el)\s+(?:Ley|Código|Constitución|Reglamento|Convenio|Convención|Decreto|Codificación|Estatuto)"
    r"\b(?!\s+de\s+la\s+materia)",
    re.IGNORECASE,
)
OF_THIS_LAW = re.compile(r"^\s*,?\s*(?:de|del)\s+(?:esta|este|la\s+presente|presente)\b", re.IGNORECASE)


def references(law: Law, article: Article) -> list[tuple[str, str]]:
    """``(words used, number of the article meant)`` for each article of the same law that ``article`` points to.

    A reference to another law ("artículo 44 de la Ley ...") is left out; so is one that leads nowhere.
    """
    found: list[tuple[str, str]] = []
    for match in RELATIVE.finditer(article.body):
        numbers = [row.number for row in law.articles]
        place = numbers.index(article.number) + (1 if match.group(1).lower() == "siguiente" else -1)
        if 0 <= place < len(numbers):
            found.append((match.group(0).lower(), numbers[place]))
    for match in EXPLICIT.finditer(article.body):
        after = match.group("after")
        foreign = OF_ANOTHER_LAW.search(after) and not OF_THIS_LAW.match(after)
        if not foreign and match.group("number") in law and match.group("number") != article.number:
            found.append((match.group("words").lower(), match.group("number")))
    return list({number: (words, number) for words, number in reversed(found)}.values())[::-1]
