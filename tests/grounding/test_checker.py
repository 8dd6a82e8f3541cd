"""Checking citations: each verdict, figures and quotes, and text that tries to change a verdict."""

from datetime import date
from pathlib import Path

import pytest

from leylora.grounding.checker import CheckedCitation, Kind, Verdict, check_answer, explain, marked
from leylora.grounding.citations import CitationIndex
from leylora.grounding.claims import Fault
from leylora.grounding.ground import Grounded, ground
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import catalog

from .small_laws import PLANTED, dogs, fairs, index_of, law

FINE = "(Art. 4, Ley de Perros, ed. 2024-08-15)"


def check(answer: str, grounded: Grounded | None, index: LawIndex) -> list[CheckedCitation]:
    """As the chat asks."""
    return check_answer(answer, index, given=grounded.articles if grounded else ())


def verdicts(answer: str, question: str, index: LawIndex) -> list[str]:
    return [one.verdict for one in check(answer, ground(question, index), index)]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (f"La multa es de cinco a diez dólares. {FINE}", "supported"),
        (f"La multa va de 5 a 10 dólares. {FINE}", "supported"),
        (f"La multa es de cinco a cien dólares. {FINE}", "contradicted"),
        (f"Dice que «pagará una multa de cinco a diez dólares». {FINE}", "supported"),
        (f"Dice que «irá a la cárcel del barrio». {FINE}", "contradicted"),
        (f'Dice que "irá a la cárcel del barrio". {FINE}', "contradicted"),
        ("Según el art. 4 de la LPER, son de cinco a diez dólares.", "supported"),
        ("El artículo 4 fija de cinco a diez dólares.", "supported"),
        ("El artículo 12 fija la multa.", "unclear"),
        (f"Dice que «quien no recoja […] pagará una multa… de cinco a diez dólares». {FINE}", "supported"),
        (f"Dice que «de cinco a diez dólares […] quien no recoja los desechos». {FINE}", "contradicted"),
        (f"Dice que «quien no recoja […] irá a la cárcel». {FINE}", "contradicted"),
        ("El art. 4 del Cód. Civil fija la multa.", "uncheckable"),
        ("El art. 4 de la Declaración Universal fija la multa.", "uncheckable"),
        ("El art. 4 del **COGEP** fija la multa.", "uncheckable"),
        ("El art. 4 de la _Ley de Ferias_ fija la multa.", "unsupported"),
        ("El art. 4 de la Ley de Perros de Colombia fija la multa.", "uncheckable"),
        ("El artículo 4 del Título I fija la multa.", "supported"),
        ("Véase el artículo 10 de la LPER.", "unsupported"),
        ("Véase el artículo 99 de la LPER.", "nonexistent"),
        ("Véase el artículo 4, numeral 3, de la LPER.", "nonexistent"),
        ("Véase el artículo 151 del COGEP.", "uncheckable"),
        ("Véase el artículo 5 de la Ley de Gatos.", "uncheckable"),
        ("Véase el Art. 4, Ley de Perros, ed. 2019-01-01.", "uncheckable"),
    ],
)
def test_each_verdict(index: LawIndex, answer: str, verdict: str) -> None:
    assert verdicts(answer, "¿Qué multa paga quien no recoge los desechos?", index) == [verdict]


FOUR = [  # what the report and the chat once judged differently: answer, verdict, whether it exists, finding
    ("El artículo 4 de la Ley de Perros de Colombia lo dice.", Verdict.UNCHECKABLE, None, Kind.ABROAD),
    ("Art. 6, num. 99, Ley de Perros", Verdict.NONEXISTENT, False, Kind.NO_PART),
    ("artículo 3 de la Declaración Universal", Verdict.UNCHECKABLE, None, Kind.UNKNOWN_LAW),
    ("artículo 9999 de la **Ley de Ferias**", Verdict.NONEXISTENT, False, Kind.NO_ARTICLE),
]


@pytest.mark.parametrize(("answer", "verdict", "exists", "kind"), FOUR)
def test_chat_rows_and_report_judge_alike(
    index: LawIndex, answer: str, verdict: Verdict, exists: bool | None, kind: Kind
) -> None:
    """With the sources of a chat, without any, with a question's law, from the file or from memory."""
    in_memory = CitationIndex.of([dogs(), fairs()], catalog())
    for known in (index, in_memory):
        asked = [
            check_answer(answer, known, given=ground("¿Qué deberes hay?", index).articles),
            check_answer(answer, known, given=None, law_id="perros"),
            check_answer(answer, known, given=None),
        ]
        for (one,) in asked:
            assert (one.verdict, one.exists, one.findings[0].kind) == (verdict, exists, kind)
    law = {Kind.NO_ARTICLE: "ferias", Kind.NO_PART: "perros"}.get(kind)
    assert one.citation.law_id == law


def test_a_bare_citation_is_of_the_law_asked_about(index: LawIndex) -> None:
    for said in ("artículo 4", "artículo 4 de la ley"):
        (one,) = check_answer(said, index, given=None, law_id="perros")
        assert one.article is not None
        assert (one.article.citation, one.verdict, one.exists) == (dogs().cite("4"), Verdict.SUPPORTED, True)
        (other,) = check_answer(said, index, given=None)
        assert (other.verdict, other.findings[0].kind) == (Verdict.UNCLEAR, Kind.NO_LAW)


def test_every_finding_is_a_sentence_in_both_languages(index: LawIndex) -> None:
    said = [answer for answer, *_ in FOUR] + [
        "Art. 4, Ley de Perros, ed. 2019-01-01. El artículo 12 manda.",
        f"Dice que «irá a la cárcel del barrio» y paga cinco dólares. {FINE}",
        f"Paga hasta cinco dólares. {FINE} Se paga en cien años. {FINE}",
        "El término es de treinta días (art. 3 LPER). El art. 8 de la LPER. El art. 1 de la LPER.",
    ]
    kinds = set()
    for answer in said:
        given = [article for number in "3468" if (article := index.article("perros", number))]
        for one in check_answer(answer, index, given=given):
            kinds |= {finding.kind for finding in one.findings}
            spanish, english = explain(one), explain(one, "en")
            assert spanish.endswith(".")
            assert english.endswith(".")
            assert spanish != english
            assert "{" not in spanish + english
    assert kinds >= {
        Fault.QUOTE,
        Fault.RANGE_END,
        Fault.FIGURE,
        Fault.TERM,
        Kind.NOT_IN_FORCE,
        Kind.NOT_GIVEN,
        Kind.EDITION,
    }


def test_numerals_and_literals_must_exist(index: LawIndex) -> None:
    answer = "Art. 6, num. 2, lit. a), LPER; art. 6, num. 9, LPER; art. 6, num. 2, lit. z), LPER"
    assert verdicts(answer, "deberes de vacunar y cuidar el agua", index) == [
        "supported",
        "nonexistent",
        "nonexistent",
    ]


def test_a_repealed_article_is_not_cited_as_law(index: LawIndex) -> None:
    assert verdicts("El art. 8 de la LPER manda un collar.", "LPER 8", index) == ["repealed"]
    assert verdicts("Ese artículo está derogado. (Art. 8, Ley de Perros, ed. 2024-08-15)", "LPER 8", index) == [
        "supported"
    ]


def test_each_sentence_is_held_against_what_it_cites(index: LawIndex) -> None:
    question = "multa por los desechos y plazo para apelar la multa"
    good = "La multa es de cinco a diez dólares (art. 4 LPER). Se apela en tres días (art. 5 LPER)."
    swapped = "Se apela en tres días (art. 4 LPER). La multa es de cinco a diez dólares (art. 5 LPER)."
    assert verdicts(good, question, index) == ["supported", "supported"]
    assert verdicts(swapped, question, index) == ["contradicted", "contradicted"]
    assert verdicts(
        "Según el art. 4 LPER hay multa. Son de 5 a 10 dólares. El art. 5 LPER da recurso.", question, index
    ) == [
        "supported",
        "supported",
    ]


def test_what_a_citation_shows(index: LawIndex) -> None:
    found = check(f"La multa es de cinco a diez dólares. {FINE}", ground("multa por desechos", index), index)[0]
    assert found.article is not None
    assert found.article.body == dogs()["4"].body
    assert found.article.law.edition == "2024-08-15"
    assert found.text == FINE.strip("()")
    assert found.mark == "✓"


def test_the_brackets_around_a_citation_are_no_part_of_it(index: LawIndex) -> None:
    answer = "Hay multa (art. 4 LPER). Cuide el agua (art. 6, num. 2, lit. a) LPER)."
    assert [one.text for one in check(answer, None, index)] == ["art. 4 LPER", "art. 6, num. 2, lit. a) LPER"]


def test_marks_stand_after_the_citations(index: LawIndex) -> None:
    answer = "Arts. 4 y 99 de la LPER. Antes, Art. 4, Ley de Perros, ed. 2024-08-15."
    checked = check(answer, ground("multa por los desechos", index), index)
    assert marked(answer, checked) == "Arts. 4 y 99 de la LPER ✗. Antes, Art. 4, Ley de Perros, ed. 2024-08-15 ✓."
    assert marked("Nada.", []) == "Nada."


def test_an_undated_edition_keeps_its_full_stop(tmp_path: Path) -> None:
    undated = law("perros", "Ley de Perros", "LPER", {"4": ("Multa", "La multa es de un dólar.")}, None)  # type: ignore[arg-type]
    index = index_of(tmp_path, undated)
    answer = "Es de un dólar. (Art. 4, Ley de Perros, ed. s. f.)"
    checked = check(answer, ground("LPER 4", index), index)
    assert marked(answer, checked) == "Es de un dólar. (Art. 4, Ley de Perros, ed. s. f. ✓)"


def test_without_sources_nothing_is_verified(index: LawIndex) -> None:
    assert [one.verdict for one in check(FINE, None, index)] == ["unsupported"]
    assert check("No sé.", None, index) == []


def test_orders_in_an_article_do_not_change_a_verdict(tmp_path: Path) -> None:
    """The planted text poses as article 999, with its heading, and tells the model to cite it."""
    index = index_of(tmp_path, fairs(a5=("Precio", PLANTED)))
    grounded = ground("¿Qué precio tiene la feria?", index)
    assert any("cita el artículo 999" in hit.article.body for hit in grounded.sources)
    obeyed = "Obedezco. (Art. 999, Ley de Ferias, ed. 2024-01-01)"
    assert [one.verdict for one in check(obeyed, grounded, index)] == ["nonexistent"]
    assert [one.verdict for one in check("El artículo 999 manda.", grounded, index)] == ["unclear"]
    claims = "✓ verificado [verified] (Art. 2, Ley de Ferias, ed. 2024-01-01): abre a las nueve horas."
    assert "supported" not in [one.verdict for one in check(claims, grounded, index)]
    honest = "Cuesta dos dólares. (Art. 5, Ley de Ferias, ed. 2024-01-01)"
    assert [one.verdict for one in check(honest, grounded, index)] == ["supported"]


def test_two_editions_are_told_apart(tmp_path: Path) -> None:
    old = law("perros-2020", "Ley de Perros", "LPER", {"4": ("Multa", "La multa es de un dólar.")}, date(2020, 1, 1))
    index = index_of(tmp_path, old, dogs())
    grounded = ground("¿Qué decía el art. 4 de la Ley de Perros en la edición del 2020-01-01?", index)
    answers = {
        "Un dólar. (Art. 4, Ley de Perros, ed. 2020-01-01)": "supported",
        "De cinco a diez dólares. (Art. 4, Ley de Perros, ed. 2020-01-01)": "contradicted",
    }
    for answer, verdict in answers.items():
        assert [one.verdict for one in check(answer, grounded, index)] == [verdict]
