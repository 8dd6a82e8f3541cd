"""Every family asks what it should of the article made for it, in enough wordings."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import re
from dataclasses import replace

import pytest

from leylora.data.compose import LawItem, LawLookup
from leylora.data.questions import FAMILIES, ask
from leylora.laws.law import Law


def items(family: str, law: Law, number: str, lookup: LawLookup) -> list[LawItem]:
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
