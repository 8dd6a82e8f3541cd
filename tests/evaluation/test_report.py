import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leylora.errors import LeyloraError
from leylora.evaluation.report import write_report
from leylora.evaluation.report.answers import LONGEST, chosen, pieces, questions
from leylora.evaluation.report.charts import Curve, heat_strip, loss_chart
from leylora.evaluation.report.markdown import escaped
from leylora.evaluation.report.tables import heat_tables, retention_rows, summary
from leylora.evaluation.report.words import Words, dictionary
from leylora.evaluation.results import Citation, load_results
from leylora.files import read_json, write_json

from .made_up_results import EVIL, MODELS, VARIANTS, write_results

TWO_MB = 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("results"))
    write_report(out)
    return out


class Page(HTMLParser):
    """What a browser would find: tags, attributes that could run or load something, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.dangerous: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "srcset", "action", "formaction", "data", "xlink:href"):
                self.dangerous.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")


def test_the_page_holds_every_headline_number(folder: Path) -> None:
    text = (folder / "report.html").read_text("utf-8")
    words = Words("es")
    for score in load_results(folder).scores.scores:
        assert words.value(score.value, score.unit) in text
    for title in ("En pocas palabras", "La tabla", "Galería", "De dónde sale", "Costo", "Qué se perdió"):
        assert title in text
    assert "sin medir" in text  # falcon's memory was not measured, and is not shown as zero


def test_the_page_stands_alone(folder: Path) -> None:
    text = (folder / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.dangerous
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert len(text.encode()) < TWO_MB


def test_what_models_and_users_wrote_is_text_and_nothing_else(tmp_path: Path) -> None:
    write_report(write_results(tmp_path, models=("mistral-7b",), planted=EVIL))
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Page(text)
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not page.dangerous
    assert "&lt;script&gt;document.title" in text
    markdown = (tmp_path / "report.md").read_text("utf-8")
    outside_code = "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))
    assert "<script" not in outside_code


def test_a_template_in_an_answer_is_not_run(tmp_path: Path) -> None:
    write_report(write_results(tmp_path, models=("mistral-7b",), planted="{{ 7 * 191 }} {% raw %}"))
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "{{ 7 * 191 }} {% raw %}" in text
    assert "1337" not in text


def test_the_same_results_give_the_same_bytes(folder: Path) -> None:
    files = [folder / "report.html", folder / "report.md"]
    before = [file.read_bytes() for file in files]
    assert write_report(folder)[0] == files[0]
    assert [file.read_bytes() for file in files] == before


def test_english_says_the_same_in_english(folder: Path, tmp_path: Path) -> None:
    out = write_results(tmp_path)
    write_report(out, "en")
    text = (out / "report.html").read_text("utf-8")
    assert '<html lang="en">' in text
    assert "Failures and wins" in text
    assert "Galería" not in text
    assert "cites an article that does not exist" in text
    spanish = (folder / "report.html").read_text("utf-8")
    assert Page(text).tags.count("article") == Page(spanish).tags.count("article")


def test_every_text_is_there_in_both_languages() -> None:
    places = re.compile(r"{(\w*)}")
    for key, texts in dictionary().items():
        assert set(texts) == {"es", "en"}, key
        assert sorted(places.findall(texts["es"])) == sorted(places.findall(texts["en"])), key


def test_every_metric_has_a_name() -> None:
    from leylora.evaluation.scoring import METRICS

    assert not [metric.name for metric in METRICS if f"metric.{metric.name}" not in dictionary()]


def test_signs_follow_the_corrected_test_and_the_direction(folder: Path) -> None:
    results = load_results(folder)
    for table in heat_tables(results, Words("es")):
        for model, cells in table.rows:
            assert model in MODELS
            assert cells[0] is not None
            assert cells[0].mark == ""
            assert sum(cell.best for cell in cells if cell) == 1
    loss = next(table for table in heat_tables(results, Words("es")) if table.metric == "bits por byte")
    assert {cell.mark for _, cells in loss.rows for cell in cells if cell} <= {"", "same", "better"}
    turned = results.scores.model_copy(
        update={"differences": [one.model_copy(update={"value": -one.value}) for one in results.scores.differences]}
    )
    from dataclasses import replace

    worse = heat_tables(replace(results, scores=turned), Words("es"))
    assert "worse" in {cell.mark for table in worse for _, cells in table.rows for cell in cells if cell}
    assert "better" not in {cell.mark for table in worse for _, cells in table.rows for cell in cells if cell}


def test_an_unknown_retention_says_why(folder: Path) -> None:
    rows = retention_rows(load_results(folder), Words("es"))["Español: aciertos"]
    assert all(row.drawing is None and "no se distingue del azar" in row.value for row in rows)


def test_citations_are_cut_out_at_their_spans() -> None:
    def cite(start: int, end: int) -> Citation:
        return Citation(text="", span=(start, end), law_id="x", article="1", verdict="wrong")

    found, cut = pieces("según el art. 1, vea", [cite(9, 15), cite(12, 18), cite(40, 50)])
    assert [(piece.text, piece.verdict) for piece in found] == [("según el ", ""), ("art. 1", "wrong"), (", vea", "")]
    assert not cut
    found, cut = pieces("x" * (LONGEST + 5), [cite(LONGEST - 2, LONGEST + 2)])
    assert cut
    assert [(len(piece.text), piece.verdict) for piece in found] == [(LONGEST, "")]


def test_a_choice_is_the_likeliest_over_all_orders(folder: Path) -> None:
    results = load_results(folder)
    item = next(item for item in results.items.values() if item.ask == "choose")
    answer = results.answers["mistral-7b", "base", item.suite, item.id]
    one_sided = answer.model_copy(update={"option_logprobs": [[0.0, -9.0, -9.0, -1.0], [-9.0, -9.0, -9.0, -1.0]]})
    assert chosen(item, one_sided) == item.options[3]
    assert chosen(item, answer.model_copy(update={"option_logprobs": None, "letters": ["B", ""]})) == "B, —"


def test_a_large_comparison_stays_light_and_says_what_it_left_out(tmp_path: Path) -> None:
    out = write_results(tmp_path, models=("mistral-7b",), items=120, planted="palabra " * 150)
    write_report(out)
    text = (out / "report.html").read_text("utf-8")
    assert len(text.encode()) < TWO_MB
    shown = len(questions(load_results(out), Words("es")))
    assert 0 < shown < 360
    assert f"Se muestran {text.count('<details class=')} de 360 preguntas" in text


def test_a_folder_without_results_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="no finished comparison"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_foreign_judge_file_is_one_sentence(tmp_path: Path) -> None:
    out = write_results(tmp_path, models=("mistral-7b",))
    write_json(out / "judge.json", {"judge": "x"})
    with pytest.raises(LeyloraError, match=r"judge\.json"):
        write_report(out)
    assert not (out / "report.html").exists()


def test_a_comparison_without_adapters_has_a_report_too(tmp_path: Path) -> None:
    out = write_results(tmp_path, models=("mistral-7b",))
    scores = read_json(out / "scores.json")
    scores["scores"] = [one for one in scores["scores"] if one["variant"] == "base"]
    write_json(out / "scores.json", scores | {"differences": [], "retention": [], "costs": [], "findings": []})
    write_report(out)
    assert "no encontraron nada" in (out / "report.html").read_text("utf-8")


def test_numbers_are_written_as_each_language_does() -> None:
    spanish, english = Words("es"), Words("en")
    assert (spanish.value(0.1234, "share"), english.value(0.1234, "share")) == ("12,3\u00a0%", "12.3\u00a0%")
    assert (spanish.change(0.04, "share"), english.change(-0.04, "share")) == ("+4,0\u00a0puntos", "−4.0\u00a0points")
    assert (spanish.number(12345.6), english.number(12345.6)) == ("12\u202f345,6", "12,345.6")
    assert spanish.number(-0.001, 1) == "0,0"
    assert spanish.measured(None) == "sin medir"
    assert (spanish.probability(0.0), english.probability(0.04)) == ("p < 0,001", "p = 0.040")


def test_markdown_shows_text_as_it_is() -> None:
    assert escaped("a|b *c* <i>\n[x](y)") == r"a\|b \*c\* &lt;i&gt; \[x\](y)"


def test_drawings_have_titles_and_keep_their_axes() -> None:
    strip = heat_strip("título <b>", {("q_proj", 0): 0.0, ("q_proj", 1): 0.4}, 0.4, "capa")
    assert "<title>título &lt;b&gt;</title>" in strip
    assert strip.count('class="heat"') == 2
    curve = Curve("ley", [(step, 2.0) for step in range(1000)], [(999, 1.0)])
    chart = loss_chart("t", [curve], 1000, 4.0, ("paso", "pérdida"), str)
    points = re.search(r'points="([^"]*)"', chart)
    assert points is not None
    assert len(points[1].split()) <= 201
    assert len(VARIANTS) == 4


def test_warnings_are_said_in_spanish_with_their_figures(tmp_path: Path) -> None:
    """On warnings as the comparison really words them; those it gains later are shown in English, marked as such."""
    from leylora.evaluation.contamination import duplicate_variants
    from leylora.evaluation.items import Sources, questions
    from leylora.evaluation.results import Model, Variant

    twin = Variant(name="law", role="law", adapter="x", same_as="instructions")
    model = Model(label="m", source="m", variants=[Variant(name="base", role="base"), twin])
    asked = questions(["law", "instructions"], Sources(), limit=8)
    details = [one.detail for one in duplicate_variants(model)] + [
        note for suite in asked.suites for note in suite.notes
    ]
    assert len(details) >= 4
    for detail in details:
        said, language = Words("es").warning(detail)
        assert language == "es", detail
        assert re.findall(r"\d+", detail.partition("SHA-256")[0]) == re.findall(r"\d+", said)
        assert Words("en").warning(detail) == (detail, "en")
    assert Words("es").warning("Something new.") == ("Something new.", "en")


def test_alike_is_not_called_best_and_the_span_of_detectable_differences_is_said(folder: Path) -> None:
    results, words = load_results(folder), Words("es")
    alike = [score.model_copy(update={"value": 0.5}) for score in results.scores.scores]
    flat = replace(results, scores=results.scores.model_copy(update={"scores": alike}))
    cells = [cell for table in heat_tables(flat, words) for _, row in table.rows for cell in row if cell]
    assert cells
    assert not any(cell.best for cell in cells)
    gaps = results.scores.differences
    spread = [gap.model_copy(update={"detectable": 0.02 + 0.01 * at}) for at, gap in enumerate(gaps)]
    wide = replace(results, scores=results.scores.model_copy(update={"differences": spread}))
    said = next(line for line in summary(wide, words) if line.startswith("Menor diferencia"))
    assert said.startswith("Menor diferencia que esta prueba suele descubrir: 2,0 a ")


def test_times_and_notes_are_written_in_the_pages_language(folder: Path) -> None:
    assert (Words("es").duration(59.34), Words("en").duration(59.34)) == ("59,3\u00a0s", "59.3\u00a0s")
    record = json.loads((folder / "provenance.json").read_text("utf-8"))
    record["suites"][0]["notes"] = ["No laws given (--laws): the grounded half is skipped."]
    copy = folder.with_name("notes")
    shutil.copytree(folder, copy)
    (copy / "provenance.json").write_text(json.dumps(record), "utf-8")
    text = write_report(copy)[0].read_text("utf-8")
    assert "grounded half is skipped" not in text
    assert "Sin textos de leyes (--laws)" in text
