"""From an item to a row: links between articles, and questions as people type them."""

import re

from leylora.data.compose import LawLookup, roughen
from leylora.grounding.quantities import references
from leylora.laws.law import Law


def test_references_to_other_laws_lead_nowhere(muestra: Law) -> None:
    assert references(muestra, muestra["9"]) == [("artículo anterior", "8"), ("artículo 7", "7")]
    foreign = muestra["9"].model_copy(
        update={"body": "Según el artículo 7 de la Ley de Aguas, y el Art. 2 de esta Ley."}
    )
    assert references(muestra, foreign) == [("art. 2", "2")]


def test_rough_questions_keep_quotes_numbers_and_the_words_that_matter() -> None:
    question = "¿Qué dice el artículo 15 de la Ley de Huertos sobre «El Niño»?"
    seen = set()
    for draw in range(400):
        rough = roughen(question, LawLookup((), 1).random("rough", str(draw)), share=1.0)
        seen.add(rough)
        assert "«El Niño»" in rough
        assert re.search(r"art[ií]culo 15", rough)
    assert len(seen) > 10
    assert any("¿" not in one for one in seen)
    assert roughen(question, LawLookup((), 1).random("x"), share=0.0) == question
