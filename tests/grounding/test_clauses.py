"""Reading sentences of law: who, must or may, no, figures, conditions. The sentences are invented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leylora.grounding.clauses import Clause, Modality, of, read_clauses, sentences

CASES = [  # sentence, modality, who, verb, what
    (
        "El huerto se inscribirá en el plazo de treinta días contados desde la siembra.",
        ("must", "El huerto", "se inscribirá", "en el plazo de treinta días contados desde la siembra"),
    ),
    ("La dueña deberá vacunar al perro.", ("must", "La dueña", "deberá", "vacunar al perro")),
    ("Los vecinos tienen que barrer la acera.", ("must", "Los vecinos", "tienen que", "barrer la acera")),
    ("La junta está obligada a rendir cuentas.", ("must", "La junta", "está obligada a", "rendir cuentas")),
    ("Es obligación de los dueños vacunar al perro.", ("must", "los dueños", "Es obligación", "vacunar al perro")),
    ("Corresponde al juez resolver la queja.", ("must", "juez", "Corresponde", "resolver la queja")),
    ("Los puestos serán sorteados cada año.", ("must", "Los puestos", "serán sorteados", "cada año")),
    ("El concejo podrá reducir la tasa.", ("may", "El concejo", "podrá", "reducir la tasa")),
    ("Las familias tienen derecho a usar el agua.", ("may", "Las familias", "tienen derecho a", "usar el agua")),
    (
        "La alcaldesa está facultada para cerrar la feria.",
        ("may", "La alcaldesa", "está facultada para", "cerrar la feria"),
    ),
    ("El dueño no podrá ceder el puesto.", ("must not", "El dueño", "no podrá", "ceder el puesto")),
    ("No se podrá cobrar tasa alguna.", ("must not", "", "No se podrá", "cobrar tasa alguna")),
    ("Nadie podrá ser obligado a sembrar.", ("must not", "Nadie", "podrá", "ser obligado a sembrar")),
    ("Ningún vecino pescará en el canal.", ("must not", "Ningún vecino", "pescará", "en el canal")),
    ("La junta no admitirá pagos en especie.", ("must not", "La junta", "no admitirá", "pagos en especie")),
    ("En ningún caso podrá cerrarse el canal.", ("must not", "", "En ningún caso podrá", "cerrarse el canal")),
    ("Se prohíbe a los guardias recibir regalos.", ("must not", "los guardias", "Se prohíbe", "recibir regalos")),
    ("Queda prohibida la venta de semillas.", ("must not", "", "Queda prohibida", "la venta de semillas")),
    ("No es lícito desviar el canal.", ("must not", "", "No es lícito", "desviar el canal")),
    ("La queja no requiere abogado.", ("need not", "La queja", "no requiere", "abogado")),
    ("El dueño no está obligado a cercar.", ("need not", "El dueño", "no está obligado a", "cercar")),
    (
        "La persona que robe semillas será sancionada con multa de dos a cuatro salarios.",
        ("punishes", "La persona que robe semillas", "será sancionada", "con multa de dos a cuatro salarios"),
    ),
    (
        "Quien no recoja los desechos pagará una multa de cinco dólares.",
        ("punishes", "Quien no recoja los desechos", "pagará una multa", "de cinco dólares"),
    ),
    ("Se impondrá multa de diez dólares.", ("punishes", "", "Se impondrá multa", "de diez dólares")),
    ("Usufructo es el derecho de gozar del huerto.", ("defines", "Usufructo", "es el", "derecho de gozar del huerto")),
    (
        "Se entiende por huerto el terreno que se cultiva en común.",
        ("defines", "huerto", "Se entiende por", "el terreno que se cultiva en común"),
    ),
    ("Los canales son de uso común.", ("states", "Los canales", "son", "de uso común")),
    ("El juez que debe resolver no asistirá.", ("must not", "El juez que debe resolver", "no asistirá", "")),
    ("En la feria, se guardará silencio.", ("must", "", "se guardará", "silencio")),
    ("Sabido el precio se hará el pago.", ("must", "", "se hará", "el pago")),
]


def parts(text: str, clause: Clause) -> tuple[str, str, str, str]:
    return clause.modality.value, of(text, clause.who), of(text, clause.verb), of(text, clause.what)


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_who_must_or_may_do_what(text: str, expected: tuple[str, str, str, str]) -> None:
    (clause,) = read_clauses(text)
    assert parts(text, clause) == expected
    assert clause.negated == (expected[0] in ("must not", "need not") and not expected[2].startswith(("Se p", "Queda")))


@pytest.mark.parametrize(
    ("text", "who", "conditions"),
    [
        (
            "Si la multa supera cien dólares, el dueño podrá apelar.",
            "el dueño",
            [("if", "Si la multa supera cien dólares")],
        ),
        (
            "El dueño podrá apelar cuando la multa supere cien dólares, salvo que haya pagado.",
            "El dueño",
            [("if", "cuando la multa supere cien dólares"), ("unless", "salvo que haya pagado")],
        ),
        (
            "La jueza, si hay mérito, dictará la orden, sin perjuicio de la multa.",
            "La jueza",
            [("if", "si hay mérito"), ("despite", "sin perjuicio de la multa")],
        ),
        (
            "Los vecinos podrán regar siempre que paguen la tasa.",
            "Los vecinos",
            [("only if", "siempre que paguen la tasa")],
        ),
        (
            "En caso de sequía, incendio o plaga, la junta, de oficio, reducirá el riego.",
            "la junta, de oficio",
            [("if", "En caso de sequía, incendio o plaga")],
        ),
        (
            "Si el canal estuviere roto por descuido, por lluvia, u otra causa, se reparará.",
            "",
            [("if", "Si el canal estuviere roto por descuido, por lluvia, u otra causa")],
        ),
        ("El agua se repartirá por turnos, excepto en la fiesta.", "El agua", [("unless", "excepto en la fiesta")]),
    ],
)
def test_conditions(text: str, who: str, conditions: list[tuple[str, str]]) -> None:
    (clause,) = read_clauses(text)
    assert [(one.kind.value, of(text, one.span)) for one in clause.conditions] == conditions
    assert of(text, clause.who) == who


def test_each_main_verb_is_a_clause_and_shares_its_subject() -> None:
    text = "El concejo oirá a las partes y decidirá en tres días; la secretaria publicará el acta."
    found = [parts(text, clause) for clause in read_clauses(text)]
    assert found == [
        ("must", "El concejo", "oirá", "a las partes"),
        ("must", "El concejo", "decidirá", "en tres días"),
        ("must", "la secretaria", "publicará", "el acta"),
    ]


def test_figures_keep_their_places_in_the_text() -> None:
    text = "Esto rige hoy.\nLa persona que deba más de cien dólares pagará el diez por ciento en treinta días."
    (clause,) = read_clauses(text)[-1:]
    assert [(one.low, one.unit, one.bound) for one in clause.figures] == [
        (100, "dólares", "min"),
        (10, "por ciento", ""),
        (30, "días", ""),
    ]
    assert [text[one.start : one.end] for one in clause.figures] == ["cien dólares", "diez por ciento", "treinta días"]


def test_sentences_are_not_cut_at_abbreviations() -> None:
    text = "Rige el Art. 5 de la Ley. Véase el num. 3; Otra cosa:\nSigue."
    assert [of(text, span) for span in sentences(text)] == [
        "Rige el Art. 5 de la Ley.",
        "Véase el num. 3;",
        "Otra cosa:",
        "Sigue.",
    ]


def test_where_no_rule_fits_there_is_no_clause() -> None:
    assert read_clauses("Sanción.") == []
    assert read_clauses("1. Obtenga las semillas sin permiso.") == []


@given(st.text(alphabet=st.sampled_from(list("aeirá sndc,.;:\n")) | st.characters(), max_size=200))
def test_any_text_is_read_and_every_range_is_inside(text: str) -> None:
    for clause in read_clauses(text):
        for first, last in filter(None, (clause.span, clause.verb, clause.who, clause.what)):
            assert 0 <= first <= last <= len(text)
        assert isinstance(clause.modality, Modality)
