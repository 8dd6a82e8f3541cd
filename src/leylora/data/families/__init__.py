"""What can be asked of an article: families of questions with their wordings and, in plain Spanish, their answers.

A family takes a law, one of its articles and the lookup of the build, and yields an `LawItem` for every question the
article answers, or nothing: prefer no question over a wrong one. What an answer states comes from the rules of
`leylora.rules.read`, field by field, and from whole sentences of the article.
"""

from collections.abc import Callable, Iterable, Iterator

from leylora.data.compose import LawItem, LawLookup
from leylora.data.families import declines, matters, orders, penal
from leylora.laws.law import Article, Law

FAMILIES: dict[str, Callable[[Law, Article, LawLookup], Iterator[LawItem]]] = {
    "penalty": penal.penalty,
    "legal-person": penal.legal_person,
    "other-forms": penal.graver,
    "compare": penal.compare_penalties,
    "case": penal.case,
    "correction": penal.correction,
    "exam": penal.exam,
    "partial": penal.partial,
    "order": orders.order,
    "term": orders.term,
    "steps": orders.steps,
    "definition": orders.definition,
    "list": orders.listing,
    "exception": orders.exception,
    "topic": matters.topic,
    "everyday": matters.everyday,
    "two-matters": matters.two_matters,
    "rewrite": matters.rewrite,
    "verbatim": matters.verbatim,
    "section": matters.section,
    "reference": matters.reference,
    "two-laws": matters.two_laws,
    "draft": matters.draft,
    "temporal": declines.temporal,
    "abstain": declines.abstain,
}


def ask(families: Iterable[str], law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What the named families ask: reasons not to answer of any article, everything else of one in force."""
    for name in families:
        if article.in_force or name == "abstain":
            yield from FAMILIES[name](law, article, lookup)
