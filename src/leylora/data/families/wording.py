"""What the families share: templates filled, and the sentence of an article that an answer may quote.

An answer says first what was asked, in words of our own, then quotes whole sentences; ``{c}`` is where the article is
cited, ``{c2}`` the second one.
"""

from collections.abc import Iterable

from leylora.grounding.clauses import of
from leylora.grounding.wording import concepts
from leylora.laws.law import Article
from leylora.rules.read import outside_list, says_one_thing
from leylora.text import one_line

LONGEST_QUOTE = 330  # characters of a sentence that supports an answer
MORE = (
    " El artículo dice más; esto es una parte.",
    " Es solo una parte del artículo, que sigue.",
    " Para el resto, lea el artículo completo.",
)
WHOLE_BODY = 280  # characters; a body up to this length is quoted whole


def said(templates: Iterable[str], **values: str) -> tuple[str, ...]:
    """Every template with its ``{names}`` filled; the marks of citations stay. A law's text is never a template."""
    found = []
    for one in templates:
        for name, value in values.items():
            one = one.replace("{" + name + "}", value)
        found.append(one)
    return tuple(one.replace(" de el ", " del ").replace(" a el ", " al ") for one in found)


def quotable(article: Article, words: str = "") -> str:
    """What is quoted of an article: a short body whole, else its first sentence, or another one that stands alone and
    shares clearly more with ``words``. "" where the first does not stand alone and none is about the words."""
    body = article.body.strip()
    if article.struck:
        return ""
    if len(body) <= WHOLE_BODY and "\n" not in body and says_one_thing(body):
        return body
    wanted = set(concepts(words))
    found = [of(body, span) for span in outside_list(article)]
    first = found[0] if found and body.startswith(found[0]) and _short(found[0]) else ""
    shared = {one: len(wanted & set(concepts(one))) for one in found if _short(one)}
    best = max(shared, key=lambda one: shared[one], default="")
    if best and shared[best] >= (shared[first] if first else 0) + 2:
        return best
    return first


def _short(sentence: str) -> bool:
    return says_one_thing(sentence) and len(sentence) <= LONGEST_QUOTE


def law_named(wordings: tuple[str, ...], title: str) -> tuple[str, ...]:
    """The wordings that fit a title: with one of a single word ("recursos") only those that name the law as well."""
    return wordings if " " in title else tuple(one for one in wordings if "{the_law}" in one or "{of_law}" in one)


def is_part(article: Article, quote: str) -> bool:
    """Whether the article says more than what is quoted."""
    return len(one_line(article.body)) > len(one_line(quote)) + 40


COUNTS = "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis".split()  # noqa: SIM905


def upper_first(words: str) -> str:
    return words[:1].upper() + words[1:]


def counted(number: int) -> str:
    """A count as a word, as far as words go."""
    return COUNTS[number] if number < len(COUNTS) else str(number)
