"""The one prompt format: what is written can be read back."""

from hypothesis import given
from hypothesis import strategies as st

from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage, read_grounded_prompt
from leylora.laws.law import Law

LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=60)
BODIES = st.lists(LINES.map(str.strip).filter(bool), min_size=1, max_size=4).map("\n".join)
CITATIONS = st.builds(
    "Art. {}, Ley de {}, ed. 2024-05-06".format, st.integers(1, 999), st.sampled_from(["Riego", "Pan (y sal)"])
)


def test_the_documented_form(muestra: Law) -> None:
    prompt = grounded_prompt("¿Qué es un huerto?", [passage(muestra, muestra["2"]), passage(muestra, muestra["8"])])
    assert prompt == (
        "Artículos:\n\n"
        "(Art. 2, Ley de Huertos Vecinales, ed. 2024-05-06) Huerto vecinal\n"
        "Se entiende por huerto vecinal el terreno que un barrio cultiva en común, sin fines de lucro.\n\n"
        "(Art. 8, Ley de Huertos Vecinales, ed. 2024-05-06) Tasa de riego\n"
        "(Derogado.)\n\n"
        "Pregunta: ¿Qué es un huerto?"
    )
    assert grounded_prompt("¿Qué es?", []) == "¿Qué es?"


@given(
    st.lists(st.builds(Passage, CITATIONS, st.just("") | st.just("Objeto y ámbito"), BODIES), min_size=1, max_size=4),
    LINES,
)
def test_round_trip(passages: list[Passage], question: str) -> None:
    assert read_grounded_prompt(grounded_prompt(question, passages)) == (question, passages)


def test_a_bare_question_has_no_passages() -> None:
    assert read_grounded_prompt("Pregunta: ¿qué hora es?") == ("Pregunta: ¿qué hora es?", [])


def test_the_system_turn_names_every_edition(laws: list[Law]) -> None:
    said = law_system_prompt(laws)
    assert "Ley de Huertos Vecinales, ed. 2024-05-06" in said
    assert "Código de Ferias Libres, ed. 2021-02-03" in said
    assert "No es asesoría legal" in said
    assert len(law_system_prompt(laws[:1])) < 140
