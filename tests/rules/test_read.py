"""Rules are read whole or not at all: every part of a penalty, who must what, one period, a definition, a list."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import pytest

from leylora.grounding.clauses import Modality
from leylora.laws.law import Article, Numeral
from leylora.rules.read import Rules, read_rules


def article(body: str, numerals: tuple[tuple[str, str], ...] = (), struck: tuple[tuple[int, int], ...] = ()) -> Article:
    return Article(
        law_id="invented",
        kind="articulo",
        number="1",
        rubric="Regla",
        body=body,
        status="vigente",
        numerals=tuple(Numeral(label=label, text=text) for label, text in numerals),
        struck=struck,
    )


def rules(body: str, *numerals: tuple[str, str]) -> Rules:
    return read_rules(article(body, numerals))


ROBS = "La persona que sustraiga semillas ajenas será sancionada con pena privativa de libertad de uno a tres años"


def test_an_offence_with_prison_alone() -> None:
    found = rules(f"{ROBS}.")
    (offence,) = found.offences
    assert found.text(offence.who) == "La persona"
    assert found.text(offence.conduct) == "que sustraiga semillas ajenas"
    assert found.text(offence.prison) == "de uno a tres años"
    assert offence.fine is None
    assert offence.others == ()


def test_prison_and_fine() -> None:
    found = rules(f"{ROBS} y multa de dos a cuatro salarios básicos unificados del trabajador en general.")
    (offence,) = found.offences
    assert found.text(offence.prison) == "de uno a tres años"
    assert found.text(offence.fine) == "de dos a cuatro salarios básicos unificados del trabajador en general"


@pytest.mark.parametrize(
    "more",
    [
        " y el comiso de las herramientas",
        ", multa de seis veces el valor de lo sustraído",
        " y suspensión de la licencia por el mismo plazo",
        ", o con trabajo comunitario de veinte horas",
        " e inhabilitación para el ejercicio de cargos públicos",
        ", siempre que el valor supere cien dólares",
    ],
)
def test_a_penalty_with_any_other_part_is_never_told_as_prison_alone(more: str) -> None:
    found = rules(f"{ROBS}{more}.")
    (offence,) = found.offences
    assert offence.prison is None
    assert found.text(offence.consequence).endswith(more.strip(" ,"))


def test_other_forms_and_the_legal_person_stand_apart() -> None:
    body = (
        f"{ROBS}.\nSi la sustracción se hace de noche, la pena será de tres a cinco años.\n"
        "Si se determina responsabilidad penal de una persona jurídica, será sancionada con multa de cincuenta a cien salarios básicos unificados."
    )
    found = rules(body)
    (offence,) = found.offences
    assert [found.text(one)[:14] for one in offence.others] == ["Si la sustracc", "Si se determin"]
    assert [found.text(one)[:14] for one in offence.legal_person] == ["Si se determin"]
    assert found.text(offence.prison) == "de uno a tres años"


@pytest.mark.parametrize(
    "body",
    [
        "La prisión preventiva caduca en los delitos sancionados con una pena privativa de libertad de hasta cinco años.",
        f"{ROBS.replace('uno a tres años', 'uno a tres años, en los siguientes casos')}:\n1. De noche.\n2. En cuadrilla.",
        "La persona que incumpla lo dispuesto en el artículo anterior será sancionada con pena privativa de libertad de uno a tres años.",
    ],
)
def test_what_is_no_base_penalty_gives_no_offence(body: str) -> None:
    assert rules(body).offences == ()


def test_struck_words_give_no_rule() -> None:
    body = f"{ROBS}."
    at = body.index("pena privativa")
    found = read_rules(article(body, struck=((at, len(body) - 1),)))
    assert found.offences == ()
    assert found.refused["struck words"] == 1


@pytest.mark.parametrize(
    ("body", "modality", "what"),
    [
        ("El juez podrá ordenar la entrega de las semillas.", Modality.MAY, "ordenar la entrega de las semillas"),
        ("Los dueños deberán cercar el huerto.", Modality.MUST, "cercar el huerto"),
        ("El guardián no podrá vender las semillas.", Modality.MUST_NOT, "vender las semillas"),
    ],
)
def test_who_may_must_and_must_not(body: str, modality: Modality, what: str) -> None:
    found = rules(body)
    (order,) = found.orders
    assert order.modality is modality
    assert found.text(order.what) == what
    assert found.text(order.who) == " ".join(body.split()[:2])


def test_orders_that_cannot_be_told_alone_are_counted_and_left() -> None:
    found = rules("Este juez podrá ordenar la entrega. En tal caso el dueño deberá cercar el huerto.")
    assert found.orders == ()
    assert found.refused["order: not to be understood alone"] == 2


def test_one_period_and_not_two() -> None:
    found = rules("La queja se presentará en el término de tres días hábiles ante la junta.")
    (term,) = found.terms
    assert found.text(term.period) == "en el término de tres días hábiles"
    assert rules("La queja se presentará en el término de tres días y se resolverá en diez días.").terms == ()


@pytest.mark.parametrize(
    ("body", "term"),
    [
        ("Se entiende por huerto el terreno que un barrio cultiva en común para comer.", "huerto"),
        ("Comodato es un contrato en que una parte entrega a la otra una cosa para que la use.", "Comodato"),
        ("El Ecuador es un territorio de paz y no se permitirán bases militares extranjeras.", None),
        ("Las reglas del secuestro son las mismas que las del depósito propiamente dicho.", None),
    ],
)
def test_definitions_say_what_a_thing_is(body: str, term: str | None) -> None:
    found = rules(body)
    assert [found.text(one.term) for one in found.definitions] == ([term] if term else [])


@pytest.mark.parametrize(
    ("body", "clause"),
    [
        (
            "El huerto se cerrará de noche, salvo que la asamblea decida otra cosa.",
            "salvo que la asamblea decida otra cosa",
        ),
        ("La sentencia se cumplirá y quedará a salvo la acción de quien perdió el juicio.", None),
    ],
)
def test_exceptions_and_what_is_none(body: str, clause: str | None) -> None:
    found = rules(body)
    assert [found.text(one.clause) for one in found.exemptions] == ([clause] if clause else [])


def test_sin_perjuicio_excepts_nothing() -> None:
    (one,) = rules("El dueño pagará la multa, sin perjuicio de reparar el daño que causó.").exemptions
    assert one.despite


def test_a_list_is_whole_and_its_items_are_no_rules() -> None:
    items = (("1", "Cuidar el agua en el plazo de tres días."), ("2", "El guardián podrá vender la cosecha sobrante."))
    body = "Son obligaciones de quien cultiva:\n" + "\n".join(f"{label}. {text}" for label, text in items)
    found = rules(body, *items)
    (listing,) = found.listings
    assert found.text(listing.lead) == "Son obligaciones de quien cultiva:"
    assert [label for label, _ in listing.items] == ["1", "2"]
    assert found.orders == found.terms == ()
    assert rules(body, items[1], items[0]).listings == ()


def test_a_repealed_article_orders_nothing() -> None:
    repealed = article("").model_copy(update={"status": "derogado"})
    assert read_rules(repealed).counts().total() == 0
