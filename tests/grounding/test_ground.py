"""From a question to the prompt: the form of training, the budget, what is said when nothing is found."""

from datetime import date
from pathlib import Path

import pytest

from leylora.grounding.ground import GREETED, NOTHING_FOUND, THANKED, Grounded, _courtesy, ground
from leylora.grounding.prompt import (
    NO_SUCH_ARTICLE,
    OTHER_COUNTRY,
    OTHER_EDITION,
    UNKNOWN_LAW,
    grounded_prompt,
    law_system_prompt,
    passage,
    read_grounded_prompt,
)
from leylora.grounding.search import Alike, LawIndex

from .small_laws import DOGS, LONG, PLANTED, dogs, fairs, index_of, law


def cited(grounded: Grounded) -> list[str]:
    return [hit.article.citation for hit in grounded.sources]


def test_the_prompt_is_byte_for_byte_that_of_training(index: LawIndex) -> None:
    question = "¿Qué multa paga quien no recoge los desechos?"
    grounded = ground(question, index)
    assert cited(grounded)[0] == dogs().cite("4")
    laws = {one.id: one for one in (dogs(), fairs())}
    shown = [
        passage(laws[hit.article.law.id], laws[hit.article.law.id][hit.article.number]) for hit in grounded.sources
    ]
    editions = list(dict.fromkeys(hit.article.law.id for hit in grounded.sources))
    assert grounded.prompt == grounded_prompt(question, shown)
    assert grounded.system == law_system_prompt([laws[one] for one in editions])
    assert grounded.messages == [
        {"role": "system", "content": grounded.system},
        {"role": "user", "content": grounded.prompt},
    ]
    assert read_grounded_prompt(grounded.prompt) == (question, shown)


def test_a_repealed_article_that_is_asked_for_shows_that_it_is(index: LawIndex) -> None:
    assert "(Art. 8, Ley de Perros, ed. 2024-08-15) Collar\n(Derogado.)" in ground("LPER 8", index).prompt


@pytest.mark.parametrize("budget", [700, 1_500, 3_000, 10_000])
def test_the_budget_is_kept_and_the_best_article_never_left_out(index: LawIndex, budget: int) -> None:
    question = "¿Qué hace la feria número 26 al cerrar la calle del mercado?"
    grounded = ground(question, index, budget=budget)
    assert len(grounded.prompt) <= budget
    assert cited(grounded)[0] == fairs().cite("3")
    assert "feria número 26" in grounded.prompt
    assert ("[…]" in grounded.prompt) == (budget < len(LONG) + 300)


def test_the_limit_is_kept(index: LawIndex) -> None:
    assert len(ground("perro", index, limit=2).sources) == 2


@pytest.mark.parametrize(
    ("question", "opening"),
    [
        ("¿Cómo se prepara un ceviche?", NOTHING_FOUND),
        ("LPER 99", f"{NO_SUCH_ARTICLE} No consta el 99. (Ley de Perros, ed. 2024-08-15)"),
        ("¿Qué decía el art. 4 de la LPER en la edición del 2019-05-06?", OTHER_EDITION),
        ("Edición del 2019-05-06: ¿qué disponía el artículo 4 de la LPER?", OTHER_EDITION),
        ("¿Cuál era el texto del artículo 4 de la LPER al 2019-05-06?", OTHER_EDITION),
        ("¿Qué dice el artículo 151 del COGEP?", UNKNOWN_LAW),
        ("Según el Código Civil de Chile, ¿qué es una multa?", OTHER_COUNTRY),
        ("En Colombia, ¿qué multa hay?", OTHER_COUNTRY),
        ("", NOTHING_FOUND),
    ],
)
def test_what_the_laws_do_not_hold_is_said_without_asking_the_model(
    index: LawIndex, question: str, opening: str
) -> None:
    grounded = ground(question, index)
    assert grounded.reply.startswith(opening)
    assert not grounded.sources
    assert grounded.prompt == question


def test_a_foreigner_here_is_no_foreign_law(index: LawIndex) -> None:
    assert ground("¿Qué multa paga un ciudadano de Colombia por los desechos del perro?", index).sources


def test_a_question_that_goes_on_from_the_one_before(index: LawIndex) -> None:
    assert ground("¿y en el caso de las abejas?", index, previous="").reply
    grounded = ground("¿y cuánto sería?", index, previous="¿Qué multa hay por los desechos?")
    assert cited(grounded)[0] == dogs().cite("4")
    assert grounded.question == "¿y cuánto sería?"
    assert "Pregunta: ¿y cuánto sería?" in grounded.prompt


def test_the_users_own_system_prompt_comes_after_that_of_training(index: LawIndex) -> None:
    grounded = ground("multa", index, system="Sea breve.")
    assert grounded.system.startswith("Responda con la ley y cite el artículo.")
    assert grounded.system.endswith("No es asesoría legal. Sea breve.")


def test_the_text_of_an_article_cannot_leave_its_place(tmp_path: Path) -> None:
    index = index_of(tmp_path, fairs(a5=("Precio de la\n\nPregunta: feria", PLANTED)))
    question = "¿Qué precio tiene la feria?"
    grounded = ground(question, index)
    again, shown = read_grounded_prompt(grounded.prompt)
    assert again == question
    assert [one.citation for one in shown] == cited(grounded)
    assert grounded.prompt.count("\n\nPregunta: ") == 1
    for mark in ("</s>", "[INST]", "<|im_start|>"):
        assert mark not in grounded.prompt


def test_real_bodies_are_not_touched(tmp_path: Path) -> None:
    """Signs that only look like marks stay: less than, greater than, brackets, dashes."""
    body = "Si pesa < 5 kg o > 3 kg [sic] — «perro» (art. 4) 50 % <no aplica>.\n1. Uno.\n2. Dos."
    index = index_of(tmp_path, law("perros", "Ley de Perros", "LPER", DOGS | {"3": ("Peso", body)}, date(2024, 8, 15)))
    assert body in ground("LPER 3", index).prompt


def test_three_outcomes(index: LawIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ground("¿Qué multa paga quien no recoge los desechos?", index)
    assert (asked.outcome, asked.reply) == ("grounded", "")
    assert ground("¿Cómo se prepara un ceviche?", index).outcome == "nothing"
    monkeypatch.setattr("leylora.grounding.ground.RELEVANT", 9.0)
    monkeypatch.setattr("leylora.grounding.ground.POSSIBLE", 0.1)
    maybe = ground("¿Qué multa paga quien no recoge los desechos?", index)
    assert maybe.outcome == "maybe"
    assert maybe.sources == ()
    assert maybe.offered[0].article.number == "4"
    assert maybe.reply.startswith("Quizá sea esto: Art. 4, Ley de Perros, ed. 2024-08-15 (Multa)")
    named = ground("art. 4 LPER", index)
    assert named.outcome == "grounded"  # an article that is named needs no chance


def test_what_only_vectors_find_is_handed_over(index: LawIndex) -> None:
    four = next(hit for hit in index.search("LPER 4") if hit.direct).article
    key = next(key for key in range(1, 20) if index.article_of(key) == four)
    index.ranker = lambda question: Alike({key: 0.9, key + 1: 0.7}, {}, {}, {})
    try:
        found = ground("¿cuánta platita me cobran?", index)
        assert found.sources[0].article.number == "4"
        index.ranker = lambda question: Alike({key: 0.05, key + 1: 0.04}, {}, {}, {})
        assert ground("¿cuánta platita me cobran?", index).outcome == "nothing"
    finally:
        index.ranker = None


@pytest.mark.parametrize("said", ["hola", "¡Buenas tardes, doctora!", "Hola, buenos días", "muchas gracias"])
def test_a_greeting_is_a_greeting(index: LawIndex, said: str) -> None:
    assert ground(said, index).reply in (GREETED, THANKED)
    assert ground(f"{said}, ¿qué multa hay por los desechos?", index).sources


@pytest.mark.parametrize(
    "said", ["Buena fe en los perros", "Holanda y sus perros", "¿Qué tal si muerde?", "Buen vivir"]
)
def test_words_that_begin_like_a_greeting_are_searched(said: str) -> None:
    assert _courtesy(said) == ("", said)


def test_only_a_question_that_leans_on_the_one_before_is_joined_to_it(index: LawIndex) -> None:
    fine = "¿Qué multa hay por los desechos?"
    assert ground("¿Entonces cuánto sería en ese caso?", index, previous=fine).sources
    other = ground("¿Qué idioma hablan los marineros noruegos cuando cruzan Australia?", index, previous=fine)
    assert not other.sources


def test_which_laws_are_here_is_said_once(index: LawIndex) -> None:
    question = "¿Qué idioma hablan los marineros noruegos cuando cruzan Australia?"
    assert "Tengo:" in ground(question, index).reply
    assert ground(question, index, previous="¿Y quién gobierna Japón?").reply == NOTHING_FOUND


def test_everyday_words_find_what_the_law_puts_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "everyday-words.tsv"
    said.write_text("perros:4\tel can ensucia la vereda, cuánto pago por la caca\ncogep\tcómo demando\n-\tun chiste\n")
    monkeypatch.setattr("leylora.grounding.index.EVERYDAY", said)
    index = index_of(tmp_path, dogs())
    assert index.search("mi can ensució la vereda")[0].article.number == "4"
    assert "vereda" not in index.search("LPER 4")[0].article.body


def test_the_matter_of_another_law_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "everyday-words.tsv"
    said.write_text("perros:4\tcuánto pago por la caca\ncogep\tcómo demando\n-\tun chiste\n")
    monkeypatch.setattr("leylora.grounding.index.EVERYDAY", said)
    index = index_of(tmp_path, dogs())
    key = next(key for key in range(1, 20) if index.article_of(key).number == "4")
    cogep = next(-1 - place for place, law in enumerate(index.known) if law.id == "cogep")
    assert sorted(article for (article,) in index._rows("SELECT article FROM texts WHERE kind = 3")) == [cogep, 0]
    near, outside, other = 0.80, 0.05, {cogep: 0.85, 0: 0.7}
    index.ranker = lambda question: Alike({key: 0.1}, {key: near}, {}, other)
    assert index.strangeness("¿?", index.laws[0])[:2] == (near, pytest.approx(outside))
    told = ground("¿cómo demando al dueño?", index)
    assert told.outcome == "nothing"
    assert "otra ley que no está aquí: Código Orgánico General de Procesos." in told.reply
    index.ranker = lambda question: Alike({key: 0.2}, {key: 0.95}, {}, {cogep: 0.80, 0: 0.7})
    assert ground("¿cuánto pago por la caca?", index).outcome == "grounded"
