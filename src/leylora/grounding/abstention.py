"""How a model says that it cannot answer: fixed openings, so that an abstention can be recognised and scored.

The openings are under eight words: no run of eight words is shared between training and test rows through them.
"""

NOT_SUPPLIED = "No consta en estos artículos."
NO_SUCH_ARTICLE = "Ese artículo no existe."
REPEALED = "Ese artículo está derogado."
OTHER_COUNTRY = "Solo respondo sobre leyes del Ecuador."
UNKNOWN_LAW = "No tengo esa ley."
OTHER_EDITION = "No tengo esa edición."
OPENINGS = (NOT_SUPPLIED, NO_SUCH_ARTICLE, REPEALED, OTHER_COUNTRY, UNKNOWN_LAW, OTHER_EDITION)


def is_abstention(answer: str) -> bool:
    """Whether an answer opens with one of the fixed sentences."""
    return answer.lstrip().startswith(OPENINGS)
