"""What is read off an article's body: sentences, deadlines, penalties, fines, definitions, exceptions, subjects."""

from leylora.data.law_text import deadlines, defined, exceptions, fines, penalties, sentences, subject


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
