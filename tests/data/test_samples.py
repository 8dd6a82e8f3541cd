"""The sample instructions and the sample law: well formed, without repeats, true where truth can be computed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import ftfy
import pytest

from leylora.data.gate import clean
from leylora.data.readers import Draft, Fault, Record, convert, detect, read_records
from leylora.files import read_json, read_jsonl
from leylora.laws.law import Law

from ..laws.pdf_printer import Layout, PrintedArticle, PrintedDivision, PrintedLaw, print_law

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
INSTRUCTIONS = SAMPLES / "instructions"
FILES = {"alpaca.jsonl": "alpaca", "messages.jsonl": "messages", "sharegpt.jsonl": "sharegpt", "squad.json": "squad"}

# fmt: off
ONES = [
    "cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce", "trece",
    "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve", "veinte", "veintiuno", "veintidós",
    "veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve",
]
# fmt: on
TENS = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
HUNDREDS = ["doscient", "trescient", "cuatrocient", "quinient", "seiscient", "setecient", "ochocient", "novecient"]
WORDS = {
    **{word: number for number, word in enumerate(ONES)},
    **{word: 10 * number for number, word in enumerate(TENS, start=3)},
    **{f"{stem}{end}": 100 * number for number, stem in enumerate(HUNDREDS, start=2) for end in ("os", "as")},
    **{"un": 1, "una": 1, "veintiún": 21, "veintiuna": 21, "cien": 100, "ciento": 100},
}
NUMBER = rf"((?:(?:{'|'.join([*WORDS, 'mil', 'y'])})\b ?)+)"
SUM = re.compile(rf"\b{NUMBER}(más|menos|por|dividido entre) {NUMBER}es igual a {NUMBER}", re.IGNORECASE)
SHARE = re.compile(rf"\bel {NUMBER}por ciento de {NUMBER}es {NUMBER}", re.IGNORECASE)
CONVERSION = re.compile(
    rf"^{NUMBER}(\w+) equivalen a {NUMBER}(\w+), porque cada (\w+) tiene {NUMBER}(\w+)", re.IGNORECASE
)
FACTORS = {
    ("kilómetro", "metros"): 1000, ("metro", "centímetros"): 100, ("centímetro", "milímetros"): 10,
    ("kilogramo", "gramos"): 1000, ("tonelada", "kilogramos"): 1000, ("litro", "mililitros"): 1000,
    ("hora", "minutos"): 60, ("minuto", "segundos"): 60, ("día", "horas"): 24, ("semana", "días"): 7,
    ("docena", "unidades"): 12, ("año", "meses"): 12, ("siglo", "años"): 100,
}  # fmt: skip


def in_figures(words: str) -> int:
    """The number, under a million, that Spanish words name."""
    thousands, units = 0, 0
    for word in words.lower().replace(" y ", " ").split():
        if word == "mil":
            thousands, units = max(units, 1), 0
        else:
            units += WORDS[word]
    return 1000 * thousands + units


def drafts(name: str) -> list[Draft]:
    """The rows of a file, read by the project's own loader."""
    read = list(convert(read_records(INSTRUCTIONS / name), FILES[name]))
    assert not [draft for draft in read if isinstance(draft, Fault)]
    return [draft for draft in read if isinstance(draft, Draft)]


def turns() -> Iterator[tuple[str, str]]:
    """Every (role, text) of the four files."""
    for name in FILES:
        for draft in drafts(name):
            yield from ((turn["role"], turn["content"]) for turn in draft.turns)


def answers() -> list[str]:
    return [text for role, text in turns() if role == "assistant"]


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_read_in_its_format(name: str) -> None:
    records = [record for record in read_records(INSTRUCTIONS / name) if isinstance(record, Record)]
    assert {detect(record.value) for record in records} == {FILES[name]}
    assert all(turn["content"].strip() for draft in drafts(name) for turn in draft.turns)


def test_there_are_as_many_pairs_as_the_readme_says() -> None:
    said = {
        name: int(pairs)
        for name, pairs in re.findall(r"^\| `instructions/(\S+)` .*\| (\d+) \|$", readme(), re.MULTILINE)
    }
    counted = {
        name: sum(turn["role"] == "assistant" for draft in drafts(name) for turn in draft.turns) for name in FILES
    }
    assert said == counted
    assert 650 <= sum(counted.values()) <= 800


def test_first_prompts_are_not_repeated() -> None:
    prompts = []
    for name in FILES:
        for draft in drafts(name):
            first = next(turn["content"] for turn in draft.turns if turn["role"] == "user")
            prompts.append(re.sub(r"\W+", " ", first.lower()).strip())
    repeated = {prompt for prompt in prompts if prompts.count(prompt) > 1}
    assert not repeated


def test_texts_are_clean_spanish_text() -> None:
    for _, text in turns():
        assert text == text.strip()
        assert text == ftfy.fix_text(text, uncurl_quotes=False)
        assert not re.search(r"[\ufffd\u00ad\u00a0]|  |Ã|modelo de lenguaje|ChatGPT|OpenAI", text)
        if not re.search("inglés|Welcome", text):  # English opens no question mark
            assert text.count("¿") == text.count("?"), text
            assert text.count("¡") == text.count("!"), text


def test_the_gate_keeps_nearly_every_row() -> None:
    _, report = clean((draft for name in FILES for draft in drafts(name)), source="samples", license="CC0-1.0")
    assert report.rows_out >= 0.97 * report.rows_in
    assert report.step("near duplicate").dropped == 0
    assert report.step("personal data").dropped == 0


def test_numbers_in_words_are_read() -> None:
    read = {"cero": 0, "veintiún": 21, "ciento treinta y una": 131, "dos mil quinientas": 2500, "mil cien": 1100}
    assert {words: in_figures(words) for words in read} == read


def test_sums_are_right() -> None:
    found = [match.groups() for text in answers() for match in SUM.finditer(text)]
    assert len(found) >= 60
    for left, operation, right, result in found:
        a, b, c = in_figures(left), in_figures(right), in_figures(result)
        expected = {"más": a + b, "menos": a - b, "por": a * b, "dividido entre": a / b}[operation]
        assert c == expected, f"{left}{operation} {right}"


def test_the_result_of_a_word_problem_opens_its_answer() -> None:
    for text in answers():
        match = SUM.search(text)
        if match and match.start() > 0 and "equivalen" not in text:
            opening = text[: match.start()]
            named = [in_figures(number) for number in re.findall(rf"(?<!\w){NUMBER}", opening, re.IGNORECASE)]
            assert in_figures(match.group(4)) in named, text


def test_percentages_are_right() -> None:
    found = [match.groups() for text in answers() for match in SHARE.finditer(text)]
    assert len(found) >= 12
    for percent, whole, part in found:
        assert in_figures(percent) * in_figures(whole) == 100 * in_figures(part)


def test_conversions_are_right() -> None:
    found = [match.groups() for text in answers() for match in CONVERSION.finditer(text)]
    assert len(found) == sum(" equivalen a " in text for text in answers())
    assert len(found) >= 20
    for amount, _, result, target, unit, factor, target_again in found:
        assert target == target_again
        assert in_figures(factor) == FACTORS[unit, target]
        assert in_figures(amount) * in_figures(factor) == in_figures(result)


def test_squad_answers_stand_where_they_say() -> None:
    for entry in read_json(INSTRUCTIONS / "squad.json")["data"]:
        for paragraph in entry["paragraphs"]:
            for question in paragraph["qas"]:
                assert question["is_impossible"] == (not question["answers"])
                for answer in question["answers"]:
                    start = answer["answer_start"]
                    assert paragraph["context"][start : start + len(answer["text"])] == answer["text"]


def test_ids_are_unique() -> None:
    ids = [row["id"] for _, row in read_jsonl(INSTRUCTIONS / "sharegpt.jsonl")]
    squad = read_json(INSTRUCTIONS / "squad.json")["data"]
    ids += [question["id"] for entry in squad for part in entry["paragraphs"] for question in part["qas"]]
    assert len(ids) == len(set(ids))


# The law


def readme() -> str:
    return (SAMPLES / "README.md").read_text(encoding="utf-8")


def sample_law() -> PrintedLaw:
    return PrintedLaw.load(SAMPLES / "ley-de-muestra.yaml")


def articles_of(divisions: tuple[PrintedDivision, ...]) -> Iterator[PrintedArticle]:
    for division in divisions:
        yield from division.articles
        yield from articles_of(division.divisions)


def test_the_law_says_that_it_is_invented() -> None:
    first = (SAMPLES / "ley-de-muestra.yaml").read_text(encoding="utf-8").split("\n", 1)[0]
    assert first.startswith("#")
    assert "INVENTADA" in first
    assert "ficticia" in readme()


def test_the_law_counts_its_articles_in_order() -> None:
    numbers = [article.number for article in articles_of(sample_law().divisions)]
    plain = [int(number) for number in numbers if number.isdigit()]
    assert plain == [number for number in range(1, 131) if not 88 <= number <= 91]
    assert numbers[numbers.index("30") + 1] == "30.1"
    assert numbers[numbers.index("64") + 1 : numbers.index("65")] == ["...", "..."]


def test_the_law_has_what_the_parser_must_meet() -> None:
    law = sample_law()
    articles = {article.number: article for article in articles_of(law.divisions)}
    notes = [note for article in articles.values() for note in article.notes]
    assert {number for number, article in articles.items() if article.repealed} == {"49", "72"}
    assert all("derogado" in articles[number].notes[0] for number in ("49", "72"))
    assert any(note.startswith("Inciso segundo derogado") for note in notes)
    assert any("artículos del 88 al 91 derogado" in note for note in notes)
    assert sum(bool(article.concordances) for article in articles.values()) >= 8
    quoting = [case for article in articles.values() for case in article.case_law if '"Art. ' in case]
    assert len(quoting) >= 4
    assert {provision.kind for provision in law.provisions} == {
        "general", "transitoria", "reformatoria", "derogatoria", "final",
    }  # fmt: skip


def test_the_law_gives_every_kind_of_question_its_matter() -> None:
    bodies = [article.body for article in articles_of(sample_law().divisions)]
    pools = {
        r"\bSe entiende por\b": 10,
        r"\b(plazo|término)( máximo)? de \w+": 45,
        r"\bmulta de \w+ a \w+ salarios": 12,
        r"\bsuspensión .* por un plazo de \w+ a \w+ (días|meses)": 4,
        r"(?m)^1\. ": 20,
        r"(?m)^a\) ": 1,
        r"\b(salvo|excepto|sin perjuicio)\b": 25,
        r"\bartículos? (anterior|\d+)": 12,
    }
    found = {pattern: sum(bool(re.search(pattern, body)) for body in bodies) for pattern in pools}
    assert all(found[pattern] >= least for pattern, least in pools.items()), json.dumps(found, indent=1)


def test_cross_references_lead_to_articles_in_force() -> None:
    articles = {article.number: article for article in articles_of(sample_law().divisions)}
    for article in articles.values():
        for number in re.findall(r"\bartículos? (\d+)", article.body):
            assert not articles[number].repealed, f"article {article.number} refers to {number}"


def test_rubrics_are_unique_and_bodies_of_a_fair_length() -> None:
    articles = list(articles_of(sample_law().divisions))
    rubrics = [article.rubric for article in articles]
    assert len(rubrics) == len(set(rubrics))
    assert all(25 <= len(article.body.split()) <= 110 for article in articles if not article.repealed)


@pytest.mark.parametrize("layout", ["lexis", "lexis-finder", "esilec", "fielweb"])
def test_printed_and_parsed_the_law_gives_every_article(layout: Layout, tmp_path: Path) -> None:
    printed = sample_law()
    assert len(printed.traps) >= 8
    print_law(printed, layout, tmp_path / "ley.pdf")
    law = Law.from_file(tmp_path / "ley.pdf")

    expected = {article.number: article for article in articles_of(printed.divisions) if article.number != "..."}
    inserted = [article for article in articles_of(printed.divisions) if article.number == "..."]
    expected |= {f"64-innumerado-{place}": article for place, article in enumerate(inserted, start=1)}
    parsed = {article.number: article for article in law.articles}
    assert parsed.keys() == expected.keys()
    for number, article in expected.items():
        assert parsed[number].rubric == article.rubric
        assert parsed[number].body.split() == article.body.split()
    statuses = {number: article.status for number, article in parsed.items() if article.status != "vigente"}
    assert statuses == {"49": "derogado", "72": "derogado", "60": "derogado_parcial"}
    assert [entry["number"] for entry in law.audit["ausente"]] == ["88", "89", "90", "91"]
    assert law.audit["missing"] == []
    assert {"Reformatoria", "Transitoria", "Final"} <= {p.number.split("-")[0].title() for p in law.provisions}
    assert (law.published, law.last_reform) == (printed.published, printed.last_reform)
