"""The quality gate catches every planted defect, counts it, keeps samples, and lets good rows through."""

import json
from pathlib import Path

import pytest

from leylora.data.duplicates import marks
from leylora.data.gate import GateReport, GateSettings, clean, is_cedula, normalise, personal_data, refusal
from leylora.data.readers import Draft, RecordFault

GOOD = [
    ("¿Cuál es la capital de Loja?", "La capital de la provincia de Loja es la ciudad de Loja."),
    ("Escriba un saludo para el abuelo.", "Querido abuelo: le envío un abrazo y espero verlo pronto."),
    ("¿Cómo se llama tu gato?", "Micifuz"),
    ("Convierta dos litros a mililitros.", "Dos litros equivalen a dos mil mililitros."),
    ("Escriba en Python una suma.", "```python\nprint(2 + 2)\n```"),
    ("Traduzca al inglés: buenos días a todos.", "Good morning to all of you, and welcome to the house of my friends."),
    ("¿Qué empresa creó ChatGPT?", "OpenAI, una empresa de los Estados Unidos, lo presentó en el año 2022."),
    ("¿En qué Registro Oficial salió la ley?", "En el Registro Oficial Suplemento 1710034065 de ese año."),
    ("Dé tres consejos para leer más.", "- Lleve un libro.\n- Apague el teléfono.\n- Lea antes de dormir."),
]


def run(rows: list[tuple[str, str]], **more: object) -> tuple[list[str], GateReport]:
    drafts = [
        Draft(f"rows, line {at}", [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}], "t", "")
        for at, (ask, answer) in enumerate(rows, start=1)
    ]
    kept, report = clean(drafts, source="s", license="mit", **more)  # type: ignore[arg-type]
    assert report.rows_in == len(rows)
    assert report.rows_out == len(kept) == report.rows_in - sum(step.dropped for step in report.steps)
    return [row.answer for row in kept], report


def test_good_rows_pass() -> None:
    kept, report = run(GOOD)
    assert kept == [answer for _, answer in GOOD], [step for step in report.steps if step.dropped]


LOOP = "La lectura es buena para todos. " * 30
PLANTED = [
    ("empty or placeholder", "¿Qué hora es?", ""),
    ("empty or placeholder", "¿Qué hora es?", "N/A"),
    ("empty or placeholder", "¿Qué hora es?", "  ...  "),
    ("empty or placeholder", "¿Qué hora es en Quito?", "¿Qué hora es en Quito?"),
    ("prompt markers", "Salude.", "Hola<|im_end|>"),
    ("prompt markers", "[INST] Salude.", "Hola"),
    ("length", "Cuente todo.", "La casa es grande. " * 1_000),
    ("not Spanish", "¿Qué es el sol?", "The sun is the star at the center of our planetary system, and is very hot."),
    ("not Spanish", "¿Qué es o sol?", "O sol é uma estrela muito grande que não está longe do nosso planeta e da lua."),
    ("not Spanish", "¿El sol?", "El sol és una estrella molt gran que no és lluny del nostre planeta amb la seva llum"),
    ("not Spanish", "¿El sol?", "Le soleil est une étoile très grande qui n'est pas loin de notre ciel."),
    ("not Spanish", "¿El sol?", "Il sole è una stella molto grande che non è lontana dal nostro pianeta e dalla luna."),
    ("not Spanish", "¿El sol?", "太阳是一颗非常大的恒星，它位于我们行星系统的中心，非常热。"),
    ("refusal or identity", "¿Quién eres?", "Como modelo de lenguaje, no tengo nombre."),
    ("refusal or identity", "¿Quién eres?", "Soy un asistente virtual creado por OpenAI."),
    ("refusal or identity", "¿Quién ganó ayer?", "Lo siento, pero no puedo saberlo."),
    ("refusal or identity", "¿Qué sabes?", "Mi fecha de corte es septiembre de 2021."),
    ("needs a missing input", "Describa la siguiente imagen.", "Se ve una casa con un árbol."),
    ("needs a missing input", "Resuma https://ejemplo.ec/nota por favor.", "La nota trata de la lluvia."),
    ("needs a missing input", "Genera una imagen de un gato.", "Aquí está el gato que me pidió."),
    ("repetition", "Hable de la lectura.", LOOP),
    ("repetition", "Haga una lista.", "\n".join(["Leer un libro cada mes."] * 8)),
    ("personal data", "Dé un contacto.", "Escriba a maria.perez@gmail.com y le responderán."),
    ("personal data", "¿Su cédula?", "La cédula de la señora es 1710034065 y la guarda en casa."),
    ("personal data", "¿Su teléfono?", "Puede llamarme al 099 123 4567 por la tarde."),
    ("personal data", "¿Su teléfono?", "El número de la oficina es +593 2 345 6789 desde ayer."),
    ("personal data", "¿Su tarjeta?", "La tarjeta es 4111 1111 1111 1111 y vence pronto."),
]


@pytest.mark.parametrize(("step", "ask", "answer"), PLANTED)
def test_a_planted_defect_falls_at_its_step(step: str, ask: str, answer: str) -> None:
    kept, report = run([*GOOD[:3], (ask, answer)])
    assert len(kept) == 3
    found = report.step(step)
    assert found.dropped == 1
    assert found.samples[0].place == "rows, line 4"
    assert sum(found.reasons.values()) == 1


def test_personal_data_never_reaches_the_report() -> None:
    _, report = run([("¿Su cédula? Es 1710034065.", "Escriba a maria.perez@gmail.com hoy mismo.")])
    assert "1710034065" not in report.model_dump_json()
    assert "maria.perez" not in report.model_dump_json()


def test_damaged_text_is_mended_and_counted() -> None:
    kept, report = run([("¿QuÃ© es?", "La informaciÃ³n estÃ¡ en el aÃ±o anterior\u0000.\r\n"), GOOD[0]])
    assert kept[0] == "La información está en el año anterior."
    assert report.step("repair").mended == 1
    decomposed, _ = run([("¿Año?", "El an\u0303o pasado fue bueno y lluvioso.")])
    assert decomposed == ["El año pasado fue bueno y lluvioso."]


def test_law_quotes_dashes_and_marks_are_not_mended() -> None:
    text = "El artículo 5.º dice: “la ley” – «sin excepción» — y cuesta 3 €; véase la nota 2ª."
    kept, report = run([("¿Qué dice?", text)])
    assert kept == [text]
    assert report.step("repair").mended == 0


def test_exact_duplicates_ignore_case_accents_and_punctuation() -> None:
    ask, answer = GOOD[0]
    kept, report = run([(ask, answer), (ask.upper().replace("¿", ""), answer.upper())])
    assert len(kept) == 1
    assert report.step("exact duplicate").samples[0].reason == "like rows, line 1"


LONG = (
    "La lectura abre puertas a mundos distintos y nos permite conocer a personas que vivieron hace siglos. "
    "Quien lee aprende a mirar con otros ojos y a pensar con calma. Además, mejora la memoria y el vocabulario."
)


def test_near_duplicates_are_found_and_reading_questions_on_one_text_are_not() -> None:
    kept, report = run([("Escriba sobre la lectura.", LONG), ("Escriba algo de la lectura.", LONG + " Leer es vivir.")])
    assert len(kept) == 1
    assert report.step("near duplicate").dropped == 1
    text = f"Responda con base en el texto.\n\nTexto: {LONG}\n\nPregunta: "
    asked = [
        (text + "¿Qué mejora la lectura?", "la memoria"),
        (text + "¿Qué abre la lectura?", "puertas"),
        (text + "¿Con qué mira quien lee?", "con otros ojos"),
    ]
    kept, report = run(asked)
    assert len(kept) == 3


def test_rows_of_the_benchmark_are_taken_out() -> None:
    benchmark = marks("¿Cuál es la pena prevista para el robo de libros en una biblioteca?") | marks("¿Qué es un ave?")
    rows = [
        ("Una duda: cuál es la pena prevista para el robo de libros en una biblioteca", "Una multa de dos salarios."),
        ("¿que es un ave?", "Un animal con plumas y alas."),
        ("¿Qué es un ave marina?", "Un animal con plumas que vive en el mar."),
    ]
    kept, report = run(rows, benchmark=benchmark)
    assert len(kept) == 1
    assert report.step("benchmark overlap").dropped == 2


def test_schema_step_reports_faults_bad_turns_and_repeated_ids() -> None:
    def draft(place: str, own_id: str, *turns: tuple[str, str]) -> Draft:
        return Draft(place, [{"role": role, "content": text} for role, text in turns], "t", own_id)

    drafts: list[Draft | RecordFault] = [
        draft("line 1", "a", ("user", "¿Qué es el sol?"), ("assistant", "Es la estrella más cercana.")),
        RecordFault("line 2", "not JSON (x)"),
        draft("line 3", "b", ("user", "¿Y la luna?"), ("user", "¿Y?")),
        draft("line 4", "a", ("user", "¿Qué es la luna?"), ("assistant", "Es el satélite de la Tierra.")),
        draft("line 5", "c", ("system", ""), ("user", "¿Qué es Marte?"), ("assistant", "Es un planeta rojo.")),
    ]
    rows, report = clean(drafts, source="s", license="mit")
    assert [row.id for row in rows] == ["s:a", "s:c"]
    assert [message.role for message in rows[1].messages] == ["user", "assistant"]
    reasons = {sample.place: sample.reason for sample in report.step("schema").samples}
    assert reasons["line 2"] == "not JSON (x)"
    assert "found user, user" in reasons["line 3"]
    assert "'a' was already used (line 1)" in reasons["line 4"]


def test_a_huge_answer_falls_without_harm() -> None:
    kept, report = run([("Cuente.", "palabra distinta " * 600_000), GOOD[0]])
    assert len(kept) == 1
    assert report.step("length").dropped == 1
    assert len(report.model_dump_json()) < 5_000


def test_at_most_five_samples_and_bounds_from_the_settings() -> None:
    rows = [(f"Pregunta número {at} sobre el clima", f"Respuesta {at} sobre la lluvia en la Sierra") for at in range(9)]
    _, report = run(rows, settings=GateSettings(max_answer=10))
    assert report.step("length").dropped == 9
    assert len(report.step("length").samples) == 5


def test_a_sample_is_cut() -> None:
    _, report = run([("Cuente hasta mil " * 60, "N/A")])
    assert [len(sample.text) for sample in report.step("empty or placeholder").samples] == [160]


# --- rows of every kind of dirt, and good ones that look suspicious -------------------------------------------------

ROWS = [json.loads(line) for line in Path(__file__).with_name("gate_rows.jsonl").read_text("utf-8").splitlines()]


def _fates(part: str) -> tuple[list[bool], list[bool]]:
    """Which dirty rows of a part were stopped or mended, and which good ones were lost."""
    rows = [row for row in ROWS if row["part"] == part]
    turns = [
        [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}] for row in rows
    ]
    drafts = [Draft(f"row {at}", turn, "t", str(at)) for at, turn in enumerate(turns)]
    kept = {row.id: row for row in clean(drafts, source="s", license="mit")[0]}
    dirty, good = [], []
    for at, row in enumerate(rows):
        found = kept.get(f"s:{at}")
        if row["good"]:
            good.append(found is None)
        else:
            dirty.append(found is None or (found.prompt, found.answer) != (row["prompt"], row["answer"].strip()))
    return dirty, good


@pytest.mark.parametrize(("part", "at_least"), [("seen", 0.9), ("unseen", 0.15)])
def test_dirt_is_stopped_and_good_rows_are_not(part: str, at_least: float) -> None:
    """Floors under what the rules reach today. The author of the rules knew the seen rows; the others came later."""
    dirty, good = _fates(part)
    assert sum(dirty) >= at_least * len(dirty)
    assert not any(good)


def test_there_are_enough_rows_and_each_has_its_fields() -> None:
    assert len(ROWS) >= 300
    assert {tuple(row) for row in ROWS} == {("kind", "prompt", "answer", "good", "part")}


def test_short_answers_are_capped_with_a_warning_and_the_same_ones_stay() -> None:
    long = [(f"Explique la palabra {at}.", f"La palabra {at} tiene una historia larga y curiosa.") for at in range(70)]
    short = [(f"¿Cuánto es {at} más {at}?", str(2 * at)) for at in range(300)]
    kept, report = run([*long, *short])
    assert len(kept) == 120  # fifty short answers are always allowed
    assert report.step("short answers").dropped == 250
    assert "300 of 370 answers" in report.warnings[0]
    assert run([*long, *short])[0] == kept
    kept, report = run([*long, *short], settings=GateSettings(max_short_answers=1))
    assert (len(kept), report.warnings) == (370, [])


def test_a_name_put_into_one_text_is_a_template_and_two_facts_are_not() -> None:
    text = "{0}, gracias por tu ayuda de estos días: sin ti la minga no habría salido tan bien. Un abrazo grande."
    rows = [(f"Agradezca a {name} por la minga.", text.format(name)) for name in ("Rosa", "Ana María", "Luis")]
    capitals = [("Azuay", "Cuenca"), ("Bolívar", "Guaranda")]
    fact = "La capital de la provincia de {0} es {1}, una ciudad de la Sierra con mercado, catedral y universidad."
    rows += [(f"¿Cuál es la capital de {a}?", fact.format(a, b)) for a, b in capitals]
    kept, report = run(rows)
    assert len(kept) == 3
    assert report.step("template row").samples[0].reason == "like rows, line 1"


def test_escapes_and_old_encodings_are_mended_but_not_in_rows_about_code() -> None:
    kept, _ = run(
        [
            ("¿Qué es la misión?", "La misi\\u00f3n es el fin de una escuela."),
            ("¿Qué es la nación?", "La naciÛn es una comunidad de personas."),
            ("¿Qué hace \\n en una cadena de Python?", "La secuencia \\n escribe un salto; \\u00f3 es una letra."),
        ]
    )
    assert kept[0] == "La misión es el fin de una escuela."
    assert kept[1] == "La nación es una comunidad de personas."
    assert "\\u00f3" in kept[2]


# --- licences and personal data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("license", "allowed"),
    [
        ("apache-2.0", True),
        ("Apache License 2.0", True),
        ("CC BY-SA 4.0", True),
        ("MIT", True),
        ("cc0-1.0", True),
        ("cc-by-nc-4.0", False),
        ("CC BY-NC-SA 4.0", False),
        ("", False),
        ("unknown", False),
        ("openrail", False),
    ],
)
def test_licences(license: str, allowed: bool) -> None:
    assert (refusal(license, []) is None) == allowed
    assert refusal(license, [license]) is None


def test_a_refusal_says_why() -> None:
    assert refusal("cc-by-nc-4.0", []) == "its licence cc-by-nc-4.0 forbids commercial use"
    assert refusal("", []) == "its licence is not stated"
    assert normalise("CC_BY 4.0") == "cc-by-4.0"


def test_cedula_check_digit() -> None:
    assert is_cedula("1710034065")
    for wrong in ("1710034066", "9910034065", "1780034065", "171003406", "17100340AB"):
        assert not is_cedula(wrong)


@pytest.mark.parametrize(
    "harmless",
    [
        "Registro Oficial Suplemento 1710034065 de 2014",
        "El plazo es de 180 días y la multa de 1.000 dólares.",
        "Resolución No. 0992-2020-CC publicada en el R.O. 449 de 20-X-2008",
        "Escriba a nombre@ejemplo.com",
        "Escriba a contacto@dpe.gob.ec",
        "La Defensoría del Pueblo atiende en el (02) 330 1112.",
        "Por ejemplo, un celular es 099 999 9999.",
        "El artículo 1561, numeral 3, de 24-06-2005",
    ],
)
def test_official_numbers_are_not_personal_data(harmless: str) -> None:
    assert personal_data(harmless) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Su cédula es 171003406-5.", "a cédula"),
        ("Pasaporte: A0234518", "a passport number"),
        ("la cuenta de ahorros No. 2203457781 del banco", "a bank account"),
        ("Llame a Carmen al 0991 234 567.", "a telephone number"),
    ],
)
def test_other_ways_to_write_personal_data(text: str, kind: str) -> None:
    assert personal_data(text) == kind


def test_a_ruc_is_personal_data() -> None:
    assert personal_data("Su RUC es 1710034065001.") == "a RUC"
