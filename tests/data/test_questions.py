"""Every family asks what it should of the article made for it, in enough wordings."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import re
from dataclasses import replace

import pytest

from leylora.data.compose import Item, LawLookup, roughen
from leylora.data.law_text import deadlines, defined, exceptions, fines, penalties, sentences, subject
from leylora.data.questions import FAMILIES, ask
from leylora.grounding.quantities import references
from leylora.laws.law import Law


def items(family: str, law: Law, number: str, lookup: LawLookup) -> list[Item]:
    return list(ask([family], law, law[number], lookup))


@pytest.fixture(scope="module")
def lookup(laws: list[Law]) -> LawLookup:
    return LawLookup(tuple(laws), 1)


@pytest.mark.parametrize(
    ("family", "number", "answer"),
    [
        ("topic", "1", "«Esta Ley regula los huertos vecinales y protege las semillas que se guardan en cada barrio.»"),
        (
            "topic",
            "10",
            "«Los animales del huerto serán atendidos por turnos que aprobará la asamblea cada lunes de luna nueva.»",
        ),
        (
            "verbatim",
            "11",
            "«La directiva durará dos años en sus funciones y podrá ser reelegida hasta por un período más.»",
        ),
        ("governing-article", "5", "Lo regula el artículo 5: «Robo de semillas»."),
        ("sanction", "5", "La sanción es «pena privativa de libertad de seis meses a dos años»."),
        (
            "sanction",
            "6",
            "La sanción es «multa de dos a cuatro salarios básicos unificados del trabajador en general».",
        ),
        (
            "deadline",
            "4",
            "«en el término de tres días hábiles»: «Contra la negativa se podrá apelar en el término de tres días "
            "hábiles, salvo que la negativa se deba a la falta de agua.»",
        ),
        (
            "definition",
            "2",
            "«Se entiende por huerto vecinal el terreno que un barrio cultiva en común, sin fines de lucro.»",
        ),
        (
            "list-items",
            "7",
            "Son 3:\n1. «Cuidar el agua y las acequias.»\n2. «Devolver las herramientas limpias.»\n"
            "3. «Guardar semillas para la siguiente siembra.»",
        ),
        ("location", "5", "Está en «Título I, De los huertos», «Capítulo Primero»."),
        (
            "exception",
            "4",
            "La salvedad es «salvo que la negativa se deba a la falta de agua». El texto: «Contra la negativa se "
            "podrá apelar en el término de tres días hábiles, salvo que la negativa se deba a la falta de agua.»",
        ),
        (
            "cross-reference",
            "7",
            "Remite al artículo 7: «Son obligaciones de quienes cultivan:\n1. Cuidar el agua y las acequias."
            "\n2. Devolver las herramientas limpias.\n3. Guardar semillas para la siguiente siembra.»",
        ),
        (
            "summary",
            "4",
            "Extracto: «Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa "
            "se deba a la falta de agua.»",
        ),
        (
            "syllogism",
            "5",
            "Norma: «La persona que sustraiga semillas de un banco vecinal será sancionada con pena privativa de "
            "libertad de seis meses a dos años.»\nHechos: «sustraiga semillas de un banco vecinal».\nConclusión: corresponde «pena "
            "privativa de libertad de seis meses a dos años».",
        ),
        (
            "temporal",
            "12",
            "Según la edición citada: «El fondo del huerto recibirá el diez por ciento de las ventas y se usará en "
            "semillas y herramientas.» Verifique reformas posteriores.",
        ),
    ],
)
def test_an_article_made_for_the_family(family: str, number: str, answer: str, muestra: Law, lookup: LawLookup) -> None:
    assert answer in [item.answer for item in items(family, muestra, number, lookup)]


@pytest.mark.parametrize(
    ("family", "number"),
    [
        ("sanction", "3"),
        ("deadline", "5"),
        ("definition", "3"),
        ("list-items", "1"),
        ("exception", "1"),
        ("cross-reference", "1"),
        ("summary", "1"),
        ("syllogism", "3"),
        *[(family, "8") for family in FAMILIES if family != "abstain"],  # repealed
        *[(family, "31") for family in FAMILIES],  # two versions printed
    ],
)
def test_an_article_that_gives_a_family_nothing(family: str, number: str, muestra: Law, lookup: LawLookup) -> None:
    assert items(family, muestra, number, lookup) == []


def test_reasons_to_abstain(muestra: Law, lookup: LawLookup) -> None:
    found = {item.task for row in muestra for item in ask(["abstain", "temporal"], muestra, row, lookup)}
    assert found >= {
        "abstain-repealed",
        "abstain-not-supplied",
        "abstain-no-such-article",
        "abstain-unknown-law",
        "abstain-wrong-law",
        "abstain-other-edition",
        "temporal-editions",
    }
    civil = replace(muestra, name="Código Civil")
    abroad = {item.task for row in civil for item in ask(["abstain"], civil, row, LawLookup((civil,), 1))}
    assert "abstain-other-country" in abroad


def test_every_wording_can_be_filled_and_there_are_enough(laws: list[Law], lookup: LawLookup) -> None:
    wordings: dict[str, set[str]] = {}
    for law in laws:
        for row in law:
            for item in ask(FAMILIES, law, row, lookup):
                wordings.setdefault(item.task, set()).update(item.phrasings)
                for phrasing in item.phrasings:
                    filled = phrasing.format(
                        **{"number": "1", "law": "L", "of_law": "de L", "the_law": "L"} | item.slots
                    )
                    assert "{" not in filled
    assert all(len(found) >= 6 for found in wordings.values()), {task: len(found) for task, found in wordings.items()}
    every = " ".join(wording for found in wordings.values() for wording in found)
    assert re.search(r"\b(?:Dime|Cítame|Explícame|Necesito)\b", every)  # tú
    assert re.search(r"\b(?:Indique|Transcriba|Defina)\b", every)  # usted


def test_a_law_known_here_is_not_called_unknown(muestra: Law) -> None:
    mining = replace(muestra, name="Ley de Minería", siglas="")
    every = [item for row in mining for item in ask(["abstain"], mining, row, LawLookup((mining,), 3))]
    unknown = [item for item in every if item.task == "abstain-unknown-law"]
    assert unknown
    assert all(item.slots["law"] != "Ley de Minería" for item in unknown)


def test_reading_of_bodies() -> None:
    body = "Se aplicará el Art. 3 de la Ley. El juez resolverá dentro de los cinco días; la parte apelará. Fin."
    assert sentences(body) == [
        "Se aplicará el Art. 3 de la Ley.",
        "El juez resolverá dentro de los cinco días; la parte apelará.",
        "Fin.",
    ]
    assert deadlines(body) == [(sentences(body)[1], "dentro de los cinco días")]
    assert penalties(
        "pena privativa de libertad de uno a tres años; en otro caso, pena privativa de libertad de cinco a siete años"
    ) == ["pena privativa de libertad de uno a tres años", "pena privativa de libertad de cinco a siete años"]
    assert fines("multa de hasta veinte salarios básicos unificados") == [
        "multa de hasta veinte salarios básicos unificados"
    ]
    assert fines("multa de acuerdo con los dólares") == []
    assert defined("Llámase minga el trabajo que un barrio hace en común para provecho de todos.") == (
        "minga",
        "Llámase minga el trabajo que un barrio hace en común para provecho de todos.",
    )
    assert defined("No es un huerto el que nace del abandono de otro huerto vecino.") is None
    assert exceptions(
        "Nadie entrará, salvo los vecinos del barrio. Nadie saldrá, excepto el guardia de turno, salvo "
        "que llueva con fuerza."
    ) == [("Nadie entrará, salvo los vecinos del barrio.", "salvo los vecinos del barrio")]
    assert subject("Las familias del barrio bajo recibirán abono.") == "las familias del barrio bajo"
    assert subject("En todo caso se oirá a las partes.") is None


def test_references_to_other_laws_lead_nowhere(muestra: Law) -> None:
    assert references(muestra, muestra["9"]) == [("artículo anterior", "8"), ("artículo 7", "7")]
    foreign = muestra["9"].model_copy(
        update={"body": "Según el artículo 7 de la Ley de Aguas, y el Art. 2 de esta Ley."}
    )
    assert references(muestra, foreign) == [("art. 2", "2")]


def test_rough_questions_keep_quotes_numbers_and_the_words_that_matter(lookup: LawLookup) -> None:
    question = "¿Qué dice el artículo 15 de la Ley de Huertos sobre «El Niño»?"
    seen = set()
    for draw in range(400):
        rough = roughen(question, lookup.random("rough", str(draw)), share=1.0)
        seen.add(rough)
        assert "«El Niño»" in rough
        assert re.search(r"art[ií]culo 15", rough)
    assert len(seen) > 10
    assert any("¿" not in one for one in seen)
    assert roughen(question, lookup.random("x"), share=0.0) == question
