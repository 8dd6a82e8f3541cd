"""The one prompt format: what is written can be read back."""

from hypothesis import given
from hypothesis import strategies as st

from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage, read_grounded_prompt

from .small_laws import dogs, fairs

LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=60)
BODIES = st.lists(LINES.map(str.strip).filter(bool), min_size=1, max_size=4).map("\n".join)
CITATIONS = st.builds(
    "Art. {}, Ley de {}, ed. 2024-05-06".format, st.integers(1, 999), st.sampled_from(["Riego", "Pan (y sal)"])
)


def test_the_documented_form() -> None:
    prompt = grounded_prompt("¿Qué es un perro?", [passage(dogs(), dogs()["2"]), passage(dogs(), dogs()["8"])])
    assert prompt == (
        "Artículos:\n\n"
        "(Art. 2, Ley de Perros, ed. 2024-08-15) Definición\n"
        "Perro es un animal doméstico que acompaña a las personas.\n\n"
        "(Art. 8, Ley de Perros, ed. 2024-08-15) Collar\n"
        "(Derogado.)\n\n"
        "Pregunta: ¿Qué es un perro?"
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


def test_the_system_turn_names_every_edition() -> None:
    said = law_system_prompt([dogs(), fairs()])
    assert "Ley de Perros, ed. 2024-08-15" in said
    assert "Ley de Ferias, ed. 2024-01-01" in said
    assert "No es asesoría legal" in said
    assert len(law_system_prompt([dogs()])) < 140
