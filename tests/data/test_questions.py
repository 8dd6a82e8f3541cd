"""Every family asks what it should of the article made for it, in enough wordings, and answers in plain Spanish."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import re
from dataclasses import replace

import pytest

from leylora.data.compose import LawItem, LawLookup
from leylora.data.families import FAMILIES, ask
from leylora.data.families.wording import quotable
from leylora.data.written import WrittenCase
from leylora.laws.law import Law


def items(family: str, law: Law, number: str, lookup: LawLookup) -> list[LawItem]:
    return list(ask([family], law, law[number], lookup))


@pytest.fixture(scope="module")
def lookup(laws: list[Law]) -> LawLookup:
    return LawLookup(tuple(laws), 1)


@pytest.mark.parametrize(
    ("family", "number", "answer"),
    [
        (
            "topic",
            "1",
            "La regla principal es esta: «Esta Ley regula los huertos vecinales y protege las semillas que se guardan en cada barrio.» {c}.",
        ),
        (
            "verbatim",
            "11",
            "«La directiva durará dos años en sus funciones y podrá ser reelegida hasta por un período más.» {c}.",
        ),
        ("penalty", "5", "La respuesta corta: prisión de seis meses a dos años {c}."),
        (
            "penalty",
            "6",
            "La respuesta corta: multa de dos a cuatro salarios básicos unificados del trabajador en general {c}.",
        ),
        (
            "term",
            "4",
            "En el término de tres días hábiles. La frase completa: «Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa se deba a la falta de agua.» {c}.",
        ),
        (
            "steps",
            "3",
            "Por partes, y cada uno con su artículo:\n1. Plazo de inscripción: en el plazo de treinta días. «El huerto se inscribirá en el plazo de treinta días contados desde la primera siembra.» {c}\n2. Recurso: en el término de tres días hábiles. «Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa se deba a la falta de agua.» {c2}\n3. Siembra de maíz: en el plazo de cinco días. «La siembra de maíz se hará en el plazo de cinco días desde la primera lluvia y se anotará en el libro.» {c3}",
        ),
        (
            "definition",
            "2",
            "La ley lo define así: «Se entiende por huerto vecinal el terreno que un barrio cultiva en común, sin fines de lucro.» {c}.",
        ),
        (
            "list",
            "7",
            "El artículo dice «Son obligaciones de quienes cultivan:» y enumera tres:\n1. «Cuidar el agua y las acequias»\n2. «Devolver las herramientas limpias»\n3. «Guardar semillas para la siguiente siembra»\n{c}",
        ),
        (
            "exception",
            "4",
            "Tiene una excepción: «salvo que la negativa se deba a la falta de agua». La regla entera es «Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa se deba a la falta de agua.» {c}.",
        ),
        ("partial", "5", None),
    ],
)
def test_an_article_made_for_the_family(
    family: str, number: str, answer: str | None, muestra: Law, lookup: LawLookup
) -> None:
    answers = {one for item in items(family, muestra, number, lookup) for one in item.answers}
    assert answers
    if answer is not None:
        assert answer in {re.sub(r"(?<=\w)\.»\n", "»\n", one) for one in answers}


@pytest.mark.parametrize(
    ("family", "number"),
    [
        ("penalty", "3"),
        ("term", "5"),
        ("definition", "3"),
        ("list", "1"),
        ("exception", "1"),
        ("reference", "1"),
        ("case", "5"),  # nobody wrote facts for it
        *[(family, "8") for family in FAMILIES if family != "abstain"],  # repealed
        *[(family, "31") for family in FAMILIES],  # two versions printed
    ],
)
def test_an_article_that_gives_a_family_nothing(family: str, number: str, muestra: Law, lookup: LawLookup) -> None:
    assert items(family, muestra, number, lookup) == []


def test_a_case_fits_or_lacks_an_element(muestra: Law) -> None:
    lookup = LawLookup((muestra,), 1)
    lookup.__dict__["cases"] = {
        "huertos:5": WrittenCase(
            "Alguien se llevó semillas del banco.", "las sustrajo", "Alguien compró semillas.", "la sustracción"
        )
    }
    found = items("case", muestra, "5", lookup)
    assert {item.task for item in found} == {"case", "case-missing"}
    assert all(item.facts and item.rule == "offence" for item in found)
    assert "Los hechos encajan porque las sustrajo." in " ".join(found[0].answers)
    assert "falta la sustracción" in " ".join(next(item for item in found if item.task == "case-missing").answers)


def test_two_articles_and_two_laws(laws: list[Law], muestra: Law, lookup: LawLookup) -> None:
    both = items("two-matters", muestra, "13", lookup)
    assert both
    assert all("{c2}" in one for item in both for one in item.answers)
    assert all(len(item.others) == 1 for item in both)
    nine = muestra["9"].model_copy(update={"body": "Quien incumpla lo señalado en el artículo 11 repondrá lo perdido."})
    law = replace(muestra, articles=tuple(nine if row.number == "9" else row for row in muestra.articles))
    (reference,) = items("reference", law, "9", LawLookup((law,), 1))
    assert [row.number for _, row in reference.others] == ["11"]


def test_reasons_to_abstain(muestra: Law) -> None:
    found = set()
    for seed in range(8):
        lookup = LawLookup((muestra,), seed)
        found |= {item.task for row in muestra for item in ask(["abstain", "temporal"], muestra, row, lookup)}
    assert found >= {
        "abstain-repealed",
        "abstain-not-supplied",
        "abstain-no-such-article",
        "abstain-unknown-law",
        "abstain-other-edition",
        "temporal",
    }
    civil = replace(muestra, name="Código Civil")
    abroad = {
        item.task
        for seed in range(8)
        for row in civil
        for item in ask(["abstain"], civil, row, LawLookup((civil,), seed))
    }
    assert "abstain-other-country" in abroad


def test_the_topic_of_another_law_is_declined(laws: list[Law], muestra: Law) -> None:
    found = {
        item.task
        for seed in range(8)
        for row in muestra
        for item in ask(["abstain"], muestra, row, LawLookup(tuple(laws), seed))
    }
    assert "abstain-wrong-law" in found


def test_two_editions(laws: list[Law], lookup: LawLookup) -> None:
    tasks = {item.task for item in ask(["temporal"], laws[0], laws[0]["3"], lookup)}
    assert "temporal-editions" in tasks


def test_every_wording_can_be_filled_and_there_are_enough(laws: list[Law], lookup: LawLookup) -> None:
    wordings: dict[str, set[str]] = {}
    forms: dict[str, set[str]] = {}
    for law in laws:
        for row in law:
            for item in ask(FAMILIES, law, row, lookup):
                wordings.setdefault(item.task, set()).update(item.phrasings)
                forms.setdefault(item.task, set()).update(re.sub("«[^«»]*»", "«»", one) for one in item.answers)
                for phrasing in (*item.phrasings, *item.after):
                    filled = phrasing.format(
                        **{"number": "1", "law": "L", "of_law": "de L", "the_law": "L"} | item.slots
                    )
                    assert "{" not in filled
                for answer in item.answers:
                    marks = set(re.findall(r"\{(\w+)\}", answer)) - {"near"}
                    assert marks <= {"c", "c2", "c3"}, answer
    few = {
        task: len(found)
        for task, found in wordings.items()
        if len(found) < 4 and task not in ("rewrite", "exception-none")
    }
    assert not few
    assert not {task: found for task, found in forms.items() if len(found) < 2 and task != "rewrite"}
    every = " ".join(wording for found in wordings.values() for wording in found)
    assert re.search(r"\b(?:Dime|Dame|Confírmame)\b", every)  # tú
    assert re.search(r"\b(?:Indique|Transcriba|Infórmeme)\b", every)  # usted


def test_a_law_known_here_is_not_called_unknown(muestra: Law) -> None:
    mining = replace(muestra, name="Ley de Minería", siglas="")
    every = [
        item
        for seed in range(9)
        for row in mining
        for item in ask(["abstain"], mining, row, LawLookup((mining,), seed))
    ]
    unknown = [item for item in every if item.task == "abstain-unknown-law"]
    assert unknown
    assert all("Ley de Minería" not in item.slots["the_law"] for item in unknown)


def test_what_is_quoted_stands_alone(muestra: Law) -> None:
    assert quotable(muestra["1"]).startswith("Esta Ley") or quotable(muestra["1"]) == ""
    assert quotable(muestra["7"]) == ""  # its first sentence opens a list
    assert quotable(muestra["9"]) == ""  # points to "el artículo anterior"
    assert quotable(muestra["4"]).startswith("Contra la negativa")
    assert quotable(muestra["4"], "la decisión del concejo se publica en la cartelera") == (
        "La decisión del concejo se publicará en la cartelera del barrio y no requiere abogado."
    )
