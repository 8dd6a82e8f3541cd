import unicodedata
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from leylora.errors import LeyloraError
from leylora.evaluation import grading
from leylora.evaluation.grading import KnownArticles, citations, grade, passes, same_figures, score_text
from leylora.evaluation.items import choice_messages, rotations
from leylora.evaluation.results import Answer, Item, OptionText
from leylora.laws.law import Law, Numeral

from .made_up_results import make_law

NAME = "Ley de Molinos"
NOTHING = KnownArticles()


def law() -> Law:
    return make_law("molinos", NAME, "LM", range(1, 11), date(2022, 3, 4))


def question(**keys: Any) -> Item:
    given: dict[str, Any] = {"suite": "law", "id": "q", "task": "sanction", "ask": "generate", "cluster": "c"}
    given |= {"setting": "closed-book", "law_id": "molinos", "article": "3", "edition": "2022-03-04"}
    given |= {"messages": [{"role": "user", "content": "¿Qué pena?"}], "reference": "De 3 a 5 años."}
    return Item(**(given | {"accepted": ["3 a 5 años"]} | keys))


def answer(text: str = "", **keys: Any) -> Answer:
    given: dict[str, Any] = {"key": "k", "model": "m", "variant": "v", "suite": "law", "item": "q", "tokens": 5}
    return Answer(**(given | {"prompt_sha256": "", "settings_sha256": "", "text": text} | keys))


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Según el artículo 79, de tres a cinco años.", True),
        ("3 a 5 años, y multa de 10 salarios", True),
        ("De tres a seis años.", False),
        ("De 3 a 5 meses", False),
        ("De 3 a 5 años o de 7 a 10 años", False),  # naming everything is not knowing
        ("cinco años", False),
        ("", False),
    ],
)
def test_figures_are_right_whole_and_alone(said: str, right: bool) -> None:
    assert same_figures(said, ["3 a 5 años"]) is right


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (f"(Art. 3, {NAME}, ed. 2022-03-04)", ["right"]),
        ("Según el artículo 3.", ["right"]),
        (f"Art. 3 de la {NAME} y artículo 7", ["right", "wrong"]),
        ("artículo 99 de la LM", ["invented"]),
        (f"(Art. 3, {NAME}, ed. 2011-01-01)", ["wrong"]),  # the edition that was not asked
        ("artículo 140 del Código Orgánico Integral Penal", ["unknown"]),  # a law nobody gave
        ("artículo 3, artículo 3 y art. 3", ["right"]),
        ("No lo sé.", []),
    ],
)
def test_citations_are_right_wrong_invented_or_unknown(text: str, verdicts: list[str]) -> None:
    item = question()
    found = citations(text, item, KnownArticles([item], [law()]))
    assert [one.verdict for one in found] == verdicts
    assert all(text[slice(*one.span)] == one.text for one in found)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("El artículo 3 del Código Penal de Colombia lo dice.", "unknown"),  # another country's
        (f"Art. 3, num. 99, {NAME}", "invented"),  # the article exists, its numeral does not
        (f"Art. 3, num. 1, {NAME}", "right"),
        ("artículo 3 de la Declaración Universal", "unknown"),
        ("artículo 9999 del **Código Civil**", "unknown"),  # not of the law that was asked about
    ],
)
def test_a_law_that_is_not_ours_and_a_part_that_is_not_there_are_never_right(text: str, verdict: str) -> None:
    whole = law()
    third = whole.article("3").model_copy(update={"numerals": (Numeral(label="1", text="Uno."),)})
    articles = tuple(third if one.number == "3" else one for one in whole.articles)
    item = question()
    (found,) = citations(text, item, KnownArticles([item], [replace(whole, articles=articles)]))
    assert found.verdict == verdict


def test_without_laws_only_what_the_questions_know_is_known() -> None:
    missing = question(
        id="n",
        abstain=True,
        article="",
        reference="Ese artículo no existe.",
        messages=[{"role": "user", "content": "¿Qué dice el artículo 512?"}],
    )
    inventory = KnownArticles([question(), question(id="r", article="8"), missing], [])
    verdicts = {number: citations(f"artículo {number}", question(), inventory)[0].verdict for number in ("3", "8", "9")}
    assert verdicts == {"3": "right", "8": "wrong", "9": "unknown"}
    assert citations("artículo 512", question(), inventory)[0].verdict == "invented"


def test_counts_of_citations() -> None:
    item, inventory = question(), KnownArticles([], [law()])
    found = grade(item, answer("artículos 3, 7 y 99"), inventory)
    assert (found.cited, found.cited_right, found.expected_citations) == (3, 1, 1)
    assert (found.cited_known, found.cited_invented) == (3, 1)
    declined = grade(question(abstain=True), answer("Ese artículo no existe. (artículo 99)"), inventory)
    assert declined.expected_citations is None
    assert declined.cited_invented == 0
    assert declined.score == 1
    wrongly = grade(question(abstain=True), answer("El artículo 99 dice que sí."), inventory)
    assert wrongly.score == 0
    assert "invented-citation" in wrongly.flags
    assert "should-abstain" in wrongly.reasons
    assert grade(item, answer("No consta en estos artículos."), inventory).score == 0


def test_an_answer_that_the_cited_article_contradicts_is_flagged() -> None:
    item, inventory = question(), KnownArticles([], [law()])
    said = (law()["3"].body.rstrip("."), "Son cuarenta días de cárcel")
    fine, wrong = (grade(item, answer(f"{one} (artículo 3)."), inventory) for one in said)
    assert "contradicted" not in fine.flags
    assert "contradicted" in wrong.flags
    assert "contradicted" in wrong.reasons


@pytest.mark.parametrize(
    ("keys", "text", "score"),
    [
        ({"task": "topic-to-number"}, "Es el artículo 3.", 1),
        ({"task": "topic-to-number"}, "3", 1),
        ({"task": "topic-to-number"}, "Los artículos 3 y 4", 0),
        ({"task": "topic-to-number"}, "13", 0),
        ({"task": "number-to-topic", "accepted": ["el hurto"]}, "Del hurto. (Art. 3, Ley de Molinos, ed. s. f.)", 1),
        ({"task": "number-to-topic", "accepted": ["el hurto"]}, "el robo " * 40 + "y el hurto", 0),
        ({"task": "number-to-topic", "accepted": ["el hurto"]}, "Describe el hurto y su pena", 1),
        ({"suite": "spanish", "task": "qa", "accepted": ["tres días"]}, "tres días", 1),
    ],
)
def test_score_by_task(keys: dict[str, Any], text: str, score: float) -> None:
    got = score_text(question(**keys), text)["score"]
    assert got == score if score else got < 1


@pytest.mark.parametrize(
    ("task", "measure"), [("deadline", "number_exact"), ("held-out", "token_f1"), ("held-out", "chrf")]
)
def test_declining_counts_against_every_measure_of_the_task(task: str, measure: str) -> None:
    found = grade(question(task=task), answer("No consta en estos artículos."), KnownArticles([], [law()]))
    assert (getattr(found, measure), found.score) == (0, 0)
    assert found.reasons == ["should-not-abstain"]


OPTIONS = {
    "ask": "choose",
    "task": "multiple-choice",
    "options": ["uno", "dos", "tres", "cuatro"],
    "correct": 2,
    "reference": "tres",
    "orders": rotations(4),
}


def test_rotations_show_each_option_in_each_place_once() -> None:
    assert sorted(order.index(2) for order in rotations(4)) == [0, 1, 2, 3]
    shown = choice_messages(question(**OPTIONS), rotations(4)[1])[-1]["content"].split("\n")
    assert shown[1:5] == ["A) dos", "B) tres", "C) cuatro", "D) uno"]


def by_letter(right: str) -> list[list[float]]:
    """Log-probabilities by order and option of a model that always wants the option at one place."""
    place = "ABCD".index(right)
    return [[0.0 if order[place] == option else -9.0 for option in range(4)] for order in rotations(4)]


@pytest.mark.parametrize("letter", "ABCD")
def test_a_love_for_one_letter_is_worth_chance_and_no_more(letter: str) -> None:
    found = grade(question(**OPTIONS), answer(option_logprobs=by_letter(letter)), NOTHING)
    assert found.accuracy == found.score == 0.25
    assert found.brier == pytest.approx(0.75)
    assert found.places["ABCD".index(letter)] == 1.0


def test_knowing_the_answer_is_right_in_every_order() -> None:
    known = [[-5.0, -4.0, -0.1, -6.0]] * 4
    texts = [OptionText(logprob=lp, tokens=1, bytes=b) for lp, b in ((-2.0, 3), (-1.5, 3), (-1.4, 4), (-9.0, 6))]
    found = grade(question(**OPTIONS), answer(option_logprobs=known, option_texts=texts), NOTHING)
    assert found.accuracy == found.correct == found.published_order == found.other_orders == 1
    assert found.text_correct
    assert found.text_norm_correct


def test_a_key_off_by_one_stops_instead_of_scoring() -> None:
    for wrong in (1, 3, 4, None):
        with pytest.raises(LeyloraError, match="is not the place of its right option"):
            grade(question(**(OPTIONS | {"correct": wrong})), answer(option_logprobs=by_letter("A")), NOTHING)


@pytest.mark.parametrize(
    ("said", "right"), [("C", 1), ("c) tres", 1), ("La opción C.", 1), ("B", 0), ("No sé", 0), ("", 0)]
)
def test_letters_written_by_an_endpoint(said: str, right: int) -> None:
    item = question(**(OPTIONS | {"orders": [[0, 1, 2, 3]]}))
    found = grade(item, answer(letters=[said]), NOTHING)
    assert found.accuracy == right
    assert "letter-answer" in found.flags


def test_form_is_flagged() -> None:
    found = grade(question(), answer("the law says that you must pay the fine " * 6, finished=False), NOTHING)
    assert {"unfinished", "degenerate", "not-spanish"} <= set(found.flags)
    assert "empty" in grade(question(), answer(""), NOTHING).flags


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"rule": "words", "at_most": 3}, "Tres palabras justas.", "Ahora ya son cuatro."),
    ({"rule": "sentences", "exactly": 2}, "Llueve. ¿Hace frío?", "Llueve y hace frío."),
    ({"rule": "bullets", "exactly": 2}, "- uno\n- dos", "- uno\n- dos\n- tres"),
    ({"rule": "numbered", "exactly": 2}, "1. uno\n2. dos", "- uno\n- dos"),
    ({"rule": "paragraphs", "exactly": 2}, "Uno.\n\nDos.", "Uno.\nDos."),
    ({"rule": "figures", "at_least": 2}, "3 tazas y 1,5 litros", "tres tazas y 1,5 litros"),
    ({"rule": "contains", "words": ["luz"], "at_least": 2}, "Luz sobre luz.", "La luz y las luces."),
    ({"rule": "contains", "words": ["césped"]}, "NO PISE EL CESPED", "No pise"),
    ({"rule": "contains", "words": ["carta"], "exactly": 1}, "Lleva una carta.", "Carta tras carta."),
    ({"rule": "excludes", "words": ["muy"]}, "Es bueno.", "Es MUY bueno."),
    ({"rule": "without", "characters": ","}, "Uno y dos", "Uno, dos"),
    ({"rule": "starts", "text": "Querida"}, "Querida Ana:", "Hola, querida"),
    ({"rule": "ends", "text": "abrazo."}, "Un abrazo.", "Un abrazo"),
    ({"rule": "case", "is": "upper"}, "NO PASE", "No PASE"),
    ({"rule": "case", "is": "lower"}, "no pase", "No pase"),
    ({"rule": "one of", "options": ["sí"]}, "Sí.", "Sí, porque es un mamífero."),
    ({"rule": "json", "keys": ["a", "b"]}, '```json\n{"b": 1, "a": 2}\n```', '{"a": 1}'),
    ({"rule": "quoted"}, "«Leer es vivir»", "Lema: «Leer es vivir»"),
]


@pytest.mark.parametrize(("check", "kept", "broken"), CASES, ids=lambda case: str(case)[:40])
def test_each_rule_passes_what_keeps_it_and_nothing_else(check: dict[str, Any], kept: str, broken: str) -> None:
    assert passes(check, kept)
    assert not passes(check, broken)
    assert not passes(check, "  \n ")


@pytest.mark.parametrize("check", [{"rule": "rhymes"}, {"rule": "json"}])
def test_a_rule_that_does_not_exist_is_said(check: dict[str, Any]) -> None:
    with pytest.raises(LeyloraError, match=r"rule 'rhymes'|no key 'keys'"):
        passes(check, "texto")


def test_overlap_on_worked_examples() -> None:
    assert grading.token_f1("la pena es de cinco años", ["cinco años"]) == pytest.approx(2 * 2 / (5 + 2))
    assert grading.token_f1("El dominio", ["dominio"]) == 1.0
    assert grading.exact("¡Los alisos!", ["alisos"])
    assert grading.contains("Se trata de la culpa, en fin", ["la culpa"])
    assert not grading.contains("Se trata de la disculpa", ["la culpa"])
    assert grading.rouge("el año pasado llovió", "el año pasado no llovió")["rougeL"] == pytest.approx(2 * 4 / (4 + 5))
    assert grading.rouge("el ano", "el año")["rougeL"] < 0.6  # accents and ñ are letters of their own
    apart = unicodedata.normalize("NFD", "El niño leyó más")  # letters and accents as two characters each
    assert grading.rouge(apart, "El niño leyó más")["rougeL"] == grading.token_f1(apart, ["El niño leyó más"]) == 1.0
    assert grading.chrf("igual", "igual") == pytest.approx(1.0)
    assert grading.chrf("igual", "xyz") == 0.0


def test_going_round_in_circles_is_seen() -> None:
    assert grading.is_degenerate("el plazo de treinta días " * 8)
    assert grading.is_degenerate("a" * 40)
    assert not grading.is_degenerate(
        "La junta abrirá la biblioteca cada mañana y cerrará sus puertas el sábado por la tarde."
    )
    assert not grading.is_degenerate("Sí, sí, sí.")


def test_what_is_not_spanish_is_seen() -> None:
    def in_spanish(text: str) -> bool | None:
        return grade(question(), answer(text), NOTHING).spanish

    assert in_spanish("La biblioteca abre a las nueve de la mañana.")
    assert not in_spanish("The library opens at nine in the morning on all days.")
    assert not in_spanish(" ... ")
