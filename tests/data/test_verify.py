"""The verifier catches every planted fault, by kind, and none of several hundred right rows."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leylora.data.compose import TaskSettings
from leylora.data.conversation import Conversation
from leylora.data.generate import generate
from leylora.data.verify import CitableLaws, verify_answer, verify_row
from leylora.grounding.prompt import Passage, grounded_prompt, is_abstention, passage, read_grounded_prompt
from leylora.laws.law import Law

LHV = "Ley de Huertos Vecinales, ed. 2024-05-06"


def cite(number: str) -> str:
    return f"(Art. {number}, {LHV})"


RIGHT_ANSWERS = [
    f"La pena va de seis meses a dos años. {cite('5')}",
    f"Se castiga con pena privativa de libertad de 6 meses a 2 años. {cite('5')}",
    f"Entre seis (6) meses y dos (2) años de prisión. {cite('5')}",
    f"La multa es de entre dos y cuatro salarios básicos unificados. {cite('6')}",
    f"La multa es de 2 a 4 SBU. {cite('6')}",
    f"El mínimo son dos salarios y el máximo son cuatro salarios. {cite('6')}",
    f"Hay un término de 3 días hábiles para apelar. {cite('4')}",
    f"Treinta días desde la primera siembra. {cite('3')}",
    f"El artículo 7 enumera tres obligaciones; la segunda es «Devolver las herramientas limpias.» {cite('7')}",
    f"El numeral 3 manda guardar semillas. {cite('7')}",
    f"«Devolver las herramientas limpias.» (Art. 7, num. 2, {LHV})",
    f"El artículo 9 de la Ley de Huertos Vecinales remite al artículo 7 y al artículo 8. {cite('9')}",
    f"El 10 % de las ventas. {cite('12')}",
    f"A cien metros como mínimo, según la LHV. {cite('10.1')}",
    f"Dos años; la reelección es hasta por un período. En la edición de 2024-05-06. {cite('11')}",
    f"No se cobra tasa por la inscripción. {cite('3')}",
    f"«El trueque de semillas entre huertos vecinales no paga impuestos.» (Art. innumerado 1 agregado a continuación del Art. 12, {LHV})",
    f"Ese artículo está derogado. {cite('8')}",
    "Ese artículo no existe. No consta el 900.",
    f"No consta en estos artículos. ({LHV})",
]


@pytest.mark.parametrize("answer", RIGHT_ANSWERS)
def test_a_right_answer_has_no_fault(answer: str, shelf: CitableLaws) -> None:
    assert verify_answer(answer, shelf) == []


WRONG_ANSWERS = [
    ("number is not in the article", f"La pena es de seis meses a tres años. {cite('5')}"),
    ("number is not in the article", f"La pena es de 6 a 12 meses. {cite('5')}"),
    ("number is not in the article", f"La multa es de cuatro a dos salarios. {cite('6')}"),
    ("number is not in the article", f"Treinta meses. {cite('3')}"),
    ("number is not in the article", f"Treinta y un días. {cite('3')}"),
    ("number is not in the article", f"El término es de tres días. {cite('4')}"),
    ("number is not in the article", f"El once por ciento. {cite('12')}"),
    ("gives one end of a range as the whole", f"La multa es de cuatro salarios. {cite('6')}"),
    ("calls a number a limit that it is not", f"Hasta treinta días. {cite('3')}"),
    ("calls a number a limit that it is not", f"A cien metros como máximo hasta cien metros. {cite('10.1')}"),
    ("mistakes plazo and término", f"El término es de treinta días. {cite('3')}"),
    ("mistakes plazo and término", f"El plazo es de tres días hábiles. {cite('4')}"),
    ("names a consequence that the article does not", f"Se sanciona con multa. {cite('5')}"),
    ("names a consequence that the article does not", f"Se castiga con cadena perpetua. {cite('5')}"),
    ("quote is not in the article", f"«La persona que robe semillas de un banco vecinal» {cite('5')}"),
    ("quote is not in the article", f"«La municipalidad cobrará tasa alguna por la inscripción.» {cite('3')}"),
    ("quote is not in the article", f"«Devolver las herramientas limpias.» {cite('6')}"),
    ("quote is not in the article", f"«Devolver las herramientas limpias.» (Art. 7, num. 3, {LHV})"),
    (
        "list item is not that numeral",
        f"Son 3:\n1. «Devolver las herramientas limpias.»\n2. «Cuidar el agua y las acequias.»\n3. «Guardar semillas para la siguiente siembra.» {cite('7')}",
    ),
    (
        "list is not complete",
        f"Son 2:\n1. «Cuidar el agua y las acequias.»\n2. «Devolver las herramientas limpias.» {cite('7')}",
    ),
    ("names a numeral that the article does not have", f"El numeral 4 del artículo 7. {cite('7')}"),
    ("names an article that the cited one does not", f"Según el artículo 6, es delito. {cite('5')}"),
    ("unknown citation", f"Seis meses. {cite('99')}"),
    ("unknown citation", "Seis meses. (Art. 5, Código de Huertos, ed. 2024-05-06)"),
    ("unknown citation", "Seis meses. (Art. 5, Ley de Huertos Vecinales, ed. 2023-05-06)"),
    ("unknown citation", f"«Algo.» (Art. 7, num. 9, {LHV})"),
    ("no citation", "La pena es de seis meses a dos años."),
    ("no citation", "La pena es de seis meses a dos años, según el artículo 5 de la LHV."),
    ("several citations", f"La pena es de seis meses a dos años. {cite('5')} {cite('6')}"),
    ("citation is not last", f"{cite('5')} La pena es de seis meses a dos años."),
    ("cites an article that is not in force as law", f"Se paga una tasa. {cite('8')}"),
    ("cites an article that is not in force as law", f"Dice dos cosas. {cite('31')}"),
    ("calls an article in force repealed", f"Ese artículo está derogado. {cite('5')}"),
    ("names another law", f"Según el Código Penal, de seis meses a dos años. {cite('5')}"),
    ("names another law", f"Según el COIP, de seis meses a dos años. {cite('5')}"),
    ("date is neither the article's nor the edition's", f"Rige desde el 4 de julio de 2022. {cite('1')}"),
    ("date is neither the article's nor the edition's", f"Rige desde 2022-07-04. {cite('1')}"),
    ("denies where the article does not", f"No se protegen las semillas. {cite('1')}"),
    ("abstains and cites an article", f"Ese artículo no existe. {cite('5')}"),
    ("unknown law or edition", "No consta en estos artículos. (Ley de Huertos Vecinales, ed. 2019-01-01)"),
]


@pytest.mark.parametrize(("kind", "answer"), WRONG_ANSWERS)
def test_a_planted_wrong_answer_is_caught_for_its_reason(kind: str, answer: str, shelf: CitableLaws) -> None:
    assert kind in [fault.kind for fault in verify_answer(answer, shelf)]


def test_an_answer_must_cite_what_was_supplied(shelf: CitableLaws, muestra: Law) -> None:
    supplied = [passage(muestra, muestra["6"]), passage(muestra, muestra["5"])]
    answer = f"La pena va de seis meses a dos años. {cite('5')}"
    assert verify_answer(answer, shelf, supplied) == []
    assert [fault.kind for fault in verify_answer(answer, shelf, supplied[:1])] == [
        "cites an article that was not supplied"
    ]


def test_abstentions_are_recognised() -> None:
    assert is_abstention("No consta en estos artículos. Falta el 5.")
    assert is_abstention(" Ese artículo no existe. No consta el 900.")
    assert not is_abstention("La ley no lo dice.")


# --- whole rows ----------------------------------------------------------------------------------------------

LOOSE = TaskSettings(
    max_template_share=1.0, max_closed_share=1.0, max_abstain_share=1.0, rough_questions=0.0, written_questions=False
)


@pytest.fixture(scope="module")
def rows(laws: list[Law]) -> list[Conversation]:
    return [row for seed in range(3, 9) for row in generate(laws, LOOSE, seed)[0]]


def test_hundreds_of_right_rows_of_every_task_have_no_fault(rows: list[Conversation], shelf: CitableLaws) -> None:
    assert len(rows) > 300
    assert len({row.task for row in rows}) >= 20
    assert [(row.id, faults) for row in rows if (faults := verify_row(row, shelf))] == []


def last_prompt(row: Conversation) -> str:
    return row.messages[-2].content


def pick(
    rows: list[Conversation], task: str, number: str | None = None, grounded: bool | None = None, words: str = ""
) -> Conversation:
    """The first row of a task, of an article if named, with or without articles in the prompt, with ``words``."""
    for row in rows:
        given = bool(read_grounded_prompt(last_prompt(row))[1])
        right_article = number is None or row.article == number
        fits = row.task == task and row.edition == "2024-05-06" and right_article and grounded in (None, given)
        if fits and words in row.answer:
            return row
    raise AssertionError(f"no row {task} {number} with {words!r}")


def changed(
    row: Conversation, *, prompt: str | None = None, answer: str | None = None, **fields: object
) -> Conversation:
    data = row.model_dump() | fields
    if prompt is not None:
        data["messages"][-2]["content"] = prompt
    if answer is not None:
        data["messages"][-1]["content"] = answer
    return Conversation.model_validate(data)


def in_answer(task: str, number: str | None, old: str, new: str) -> Callable[[list[Conversation]], Conversation]:
    """Plant: words of the answer replaced."""

    def plant(rows: list[Conversation]) -> Conversation:
        row = pick(rows, task, number, words=old)
        return changed(row, answer=row.answer.replace(old, new, 1))

    return plant


def in_question(task: str, number: str | None, old: str, new: str) -> Callable[[list[Conversation]], Conversation]:
    """Plant: a word of the question replaced."""

    def plant(rows: list[Conversation]) -> Conversation:
        for row in rows:
            question, supplied = read_grounded_prompt(last_prompt(row))
            if row.task == task and row.edition == "2024-05-06" and number in (None, row.article) and old in question:
                return changed(row, prompt=grounded_prompt(question.replace(old, new), supplied))
        raise AssertionError(f"no {task} asks with {old!r}")

    return plant


def without_own_article(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "penalty", "5", grounded=True)
    question, supplied = read_grounded_prompt(last_prompt(row))
    return changed(row, prompt=grounded_prompt(question, [one for one in supplied if "Art. 5," not in one.citation]))


def altered_body(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "penalty", "5", grounded=True)
    return changed(row, prompt=last_prompt(row).replace("seis meses a dos años", "seis meses a diez años"))


def invented_passage(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "penalty", "5", grounded=True)
    question, supplied = read_grounded_prompt(last_prompt(row))
    return changed(row, prompt=grounded_prompt(question, [*supplied, Passage(f"Art. 77, {LHV}", "Nada", "Nada rige.")]))


def abstains_over_the_article(rows: list[Conversation]) -> Conversation:
    row = next(
        row
        for row in rows
        if row.task == "penalty" and "rtículo 5 " in last_prompt(row) and row.edition == "2024-05-06"
    )
    return changed(row, answer=f"No consta en estos artículos. ({LHV})")


def denies_an_existing_article(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "verbatim", grounded=False)
    return changed(row, answer=f"Ese artículo no existe. No consta el {row.article}. ({LHV})")


def abstains_without_need(rows: list[Conversation]) -> Conversation:
    return changed(pick(rows, "verbatim", grounded=False), answer=f"No consta en estos artículos. ({LHV})")


def calls_our_law_unknown(rows: list[Conversation]) -> Conversation:
    return changed(pick(rows, "verbatim", grounded=False), answer=f"No tengo esa ley. Tengo esta: ({LHV})")


def calls_our_edition_unknown(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "temporal-editions", "3")
    return changed(row, answer=f"No tengo esa edición. Tengo esta: ({LHV})")


def calls_our_country_foreign(rows: list[Conversation]) -> Conversation:
    return changed(pick(rows, "verbatim", grounded=False), answer=f"Solo respondo sobre leyes del Ecuador. ({LHV})")


def answers_the_other_edition(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "temporal-editions", "3")
    question, supplied = read_grounded_prompt(last_prompt(row))
    return changed(row, prompt=grounded_prompt(question.replace("6 de mayo de 2024", "2 de enero de 2020"), supplied))


def abstains_without_an_edition(rows: list[Conversation]) -> Conversation:
    row = pick(rows, "abstain-no-such-article")
    return changed(row, answer=row.answer.replace(f" ({LHV})", ""))


def half_of_the_article(rows: list[Conversation]) -> Conversation:
    row = next(row for row in rows if row.task == "verbatim" and re.search(r"«[^«»]*\. [^«»]*»", row.answer))
    return changed(row, answer=re.sub(r"(?<=\.) [^.«»]+\.»", "»", row.answer, count=1))


def numeral_of_another(rows: list[Conversation]) -> Conversation:
    row = next(row for row in rows if row.task == "list-one")
    question, supplied = read_grounded_prompt(last_prompt(row))
    label = next(label for label in "123" if f" {label} " in question or f" {label}," in question)
    other = "1" if label != "1" else "2"
    return changed(row, prompt=grounded_prompt(question.replace(f" {label}", f" {other}", 1), supplied))


def older_system_turn(rows: list[Conversation]) -> Conversation:
    data = pick(rows, "topic").model_dump()
    data["messages"][0]["content"] = data["messages"][0]["content"].replace("2024-05-06", "2014-05-06")
    return Conversation.model_validate(data)


def wrong_earlier_turn(rows: list[Conversation]) -> Conversation:
    row = next(row for row in rows if row.task == "dialogue" and "«" in row.messages[2].content)
    data = row.model_dump()
    data["messages"][2]["content"] = re.sub(
        "«[^«»]+»", "«Lo que sea que se diga aquí rige»", data["messages"][2]["content"]
    )
    return Conversation.model_validate(data)


PLANTED: list[tuple[str, Callable[[list[Conversation]], Conversation]]] = [
    ("quote is not in the article", in_answer("penalty", "5", "seis meses a dos años.»", "dos meses a seis años.»")),
    ("number is not in the article", in_answer("penalty", "5", "dos años", "tres años")),
    ("number is not in the article", in_answer("partial", "5", "dos años", "nueve años")),
    ("quote is not in the article", in_answer("term", "3", "treinta días contados", "trece días contados")),
    ("mistakes days and working days", in_answer("term", "4", "hábiles,", "corridos,")),
    ("quote is not in the article", in_answer("definition", "2", "sin fines", "con fines")),
    ("quote is not in the article", in_answer("verbatim", None, "«La ", "«Una ")),
    ("quote is not in the article", in_answer("topic", "1", "protege", "prohíbe")),
    ("quote is not in the article", in_answer("exception", "4", "«salvo que", "«siempre que")),
    ("quote is not in the article", in_answer("list", "7", "Cuidar", "Descuidar")),
    ("quote is not in the article", wrong_earlier_turn),
    ("cites not all that the row names", in_answer("topic", "1", "(Art. 1,", "(Art. 2,")),
    (
        "cites not all that the row names",
        lambda rows: changed(pick(rows, "topic", "1"), articles=["huertos:1", "huertos:2"]),
    ),
    ("unknown citation", in_answer("topic", "1", "ed. 2024", "ed. 2014")),
    ("unknown citation", in_answer("topic", "1", "(Art. 1, Ley", "(Art. 1, Código")),
    ("abstention does not end in the law and edition", in_answer("topic", "1", "(Art. 1, Ley", "(Ley")),
    ("answers about another article than asked", in_question("penalty", "5", " 5 ", " 6 ")),
    ("denies another article than asked", in_answer("abstain-no-such-article", None, "El ", "El 9")),
    ("is not the whole article", half_of_the_article),
    ("answers with another numeral than asked", numeral_of_another),
    ("cites an article that was not supplied", without_own_article),
    ("supplies an altered article", altered_body),
    ("supplies an unknown article", invented_passage),
    ("abstains although the article is supplied", abstains_over_the_article),
    ("denies an article that exists", denies_an_existing_article),
    ("misses articles where none were to be supplied", abstains_without_need),
    ("denies a law that is here", calls_our_law_unknown),
    ("denies an edition that is here, or none was asked for", calls_our_edition_unknown),
    ("nobody asked about another country", calls_our_country_foreign),
    ("answers from another edition than asked", answers_the_other_edition),
    ("abstention does not end in the law and edition", abstains_without_an_edition),
    ("the system turn names another edition", older_system_turn),
    ("unknown law or edition", lambda rows: changed(rows[0], edition="1999-01-01")),
    ("the row's article does not exist", lambda rows: changed(rows[0], article="999")),
    ("the row comes from another source file", lambda rows: changed(rows[0], source_sha256="0")),
]


@pytest.mark.parametrize(("kind", "plant"), PLANTED, ids=[f"{at}-{kind}" for at, (kind, _) in enumerate(PLANTED)])
def test_a_planted_wrong_row_is_caught_for_its_reason(
    kind: str, plant: Callable[[list[Conversation]], Conversation], rows: list[Conversation], shelf: CitableLaws
) -> None:
    assert kind in [fault.kind for fault in verify_row(plant(rows), shelf)]


def test_there_are_thirty_and_more_plants_of_different_kinds() -> None:
    assert len(PLANTED) >= 30
    assert len({kind for kind, _ in PLANTED} | {kind for kind, _ in WRONG_ANSWERS}) >= 30


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=200),
    st.sampled_from(["", f" {cite('5')}", f" {cite('7')}.", " (Art. 7, num. , x, ed. 2024-05-06)"]),
)
def test_any_answer_is_judged_without_an_error(shelf: CitableLaws, text: str, ending: str) -> None:
    faults = verify_answer(text + ending, shelf)
    assert all(fault.kind for fault in faults)
