import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from leylora import console
from leylora.errors import LeyloraError
from leylora.evaluation import results as r
from leylora.evaluation.report import plain, print_report, write_report
from leylora.evaluation.report.answers import EACH, LONGEST, chosen, cut_out
from leylora.evaluation.report.charts import Curve, heat_strip, loss_chart
from leylora.evaluation.report.texts import TEXTS, Language, Texts
from leylora.evaluation.report.view import Section, make_view, sentence
from leylora.evaluation.results import CitedArticle, Finding, Results, load_results
from leylora.evaluation.scoring import METRICS
from leylora.files import read_json, write_json

from .made_up_results import EVIL, MODELS, write_results

TWO_MB = 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_results(tmp_path_factory.mktemp("results"), free=True)
    write_report(out)
    return out


def section(results: Results, name: str, language: Language = "es") -> Section:
    return next(one for one in make_view(results, None, Texts(language)).sections if one.name == name)


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
    texts = Texts("es")
    for score in load_results(folder).scores.scores:
        assert texts.value(score.value, score.unit) in text
    for title in ("El veredicto", "La tabla", "Galería", "De dónde sale", "Costo", "Qué se perdió"):
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
    write_report(write_results(tmp_path, models=("mistral-7b",), planted=EVIL, free=True))
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
    spanish = Page((folder / "report.html").read_text("utf-8"))
    write_report(write_results(tmp_path, free=True), "en")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<html lang="en">' in text
    assert "Failures and wins" in text
    assert "Galería" not in text
    assert "cites an article that does not exist" in text
    assert Page(text).tags == spanish.tags


def test_every_text_is_there_in_both_languages() -> None:
    places = re.compile(r"{(\w*)}")
    for key, texts in TEXTS.items():
        assert set(texts) == {"es", "en"}, key
        assert sorted(places.findall(texts["es"])) == sorted(places.findall(texts["en"])), key


@pytest.mark.parametrize("language", get_args(Language))
def test_everything_that_results_can_hold_has_a_text(language: Language) -> None:
    texts = Texts(language)
    families = {"metric": [metric.name for metric in METRICS], "finding": get_args(r.FindingKind)}
    families |= {"reason": get_args(r.Reason), "flag": get_args(r.Flag), "cite": get_args(r.CitationVerdict)}
    families["undefined"] = get_args(r.Retention.model_fields["undefined"].annotation)[1:]
    assert not [
        f"{family}.{name}" for family, names in families.items() for name in names if not texts.get(f"{family}.{name}")
    ]


@pytest.mark.parametrize("language", get_args(Language))
def test_a_finding_is_a_sentence_with_its_facts(language: Language) -> None:
    facts: dict[str, Any] = {
        "names": ["uno", "dos"],
        "count": 31,
        "total": 47,
        "share": 0.83,
        "place": 2,
        "seed": 5,
        "source": "aquí",
    }
    facts |= {"edition": "2024-01-01", "adapter": "mío", "error": "{no}", "items": ["a"]}
    says = {"seen-in-training": "1 47", "memorised": "83", "position-bias": "C 83", "no-law-text": "31 aquí 2024-01-01"}
    says |= {"rows-drawn": "aquí 31 47 5", "endpoint": "aquí", "other-adapters": "mío uno, dos", "no-room": "1"}
    says |= {"duplicate-variant": "uno, dos", "not-answered": "{no}", "no-adapter": "aquí"}
    says |= {"stale-adapter": "mío", "unusable-adapter": "mío {no}", "no-merge-report": "mío", "no-laws": "--laws"}
    for kind in get_args(r.FindingKind):
        said = sentence(Finding(kind=kind, **facts), Texts(language))
        assert all(fact in said for fact in says.get(kind, "").split()), said
        assert "None" not in said


def test_signs_follow_the_corrected_test_and_the_direction(folder: Path) -> None:
    results = load_results(folder)
    tables = section(results, "table").tables
    for table in tables:
        for name, base, *others in table.rows:
            assert name.text in MODELS
            assert base.sign == ""
            assert all(cell.sign == "better" for cell in others if cell.best or cell.shade)
            assert not base.best
            assert not base.shade
    loss = next(table for table in tables if table.title == "Español: bits por byte")
    assert {cell.sign for row in loss.rows for cell in row} == {"", "better"}
    turned = results.scores.model_copy(
        update={"differences": [one.model_copy(update={"value": -one.value}) for one in results.scores.differences]}
    )
    signs = {
        cell.sign
        for table in section(replace(results, scores=turned), "table").tables
        for row in table.rows
        for cell in row
    }
    assert "worse" in signs
    assert "better" not in signs
    unsure = [one.model_copy(update={"p_holm": 0.05}) for one in results.scores.differences]
    same = replace(results, scores=results.scores.model_copy(update={"differences": unsure}))
    assert {cell.sign for table in section(same, "table").tables for row in table.rows for cell in row} == {"", "same"}


def test_an_unknown_retention_says_why(folder: Path) -> None:
    tables = {table.title: table.rows for table in section(load_results(folder), "retention").tables}
    rows = tables["Español: aciertos"]
    assert all(value.drawing is None and "no se distingue del azar" in value.text for _, value in rows)
    assert all(value.drawing for _, value in tables["Español: bits por byte"])


def test_citations_are_cut_out_at_their_spans() -> None:
    def cite(start: int, end: int) -> CitedArticle:
        return CitedArticle(text="", span=(start, end), law_id="x", article="1", verdict="wrong")

    found, cut = cut_out("según el art. 1, vea", [cite(9, 15), cite(12, 18), cite(40, 50)])
    assert found == [("según el ", ""), ("art. 1", "wrong"), (", vea", "")]
    assert not cut
    found, cut = cut_out("x" * (LONGEST + 5), [cite(LONGEST - 2, LONGEST + 2)])
    assert cut
    assert [(len(text), verdict) for text, verdict in found] == [(LONGEST, "")]


def test_a_choice_is_the_likeliest_over_all_orders(folder: Path) -> None:
    results = load_results(folder)
    item = next(item for item in results.items.values() if item.ask == "choose")
    answer = results.answers["mistral-7b", "base", item.suite, item.id]
    one_sided = answer.model_copy(update={"option_logprobs": [[0.0, -9.0, -1.0], [-9.0, -9.0, -1.0]]})
    assert chosen(item, one_sided) == item.options[2]
    assert chosen(item, answer.model_copy(update={"option_logprobs": None, "letters": ["B", ""]})) == "B, —"


def test_a_large_comparison_stays_light_and_says_what_it_left_out(tmp_path: Path) -> None:
    out = write_results(tmp_path, models=("mistral-7b",), items=120, planted="palabra " * 150)
    write_report(out)
    text = (out / "report.html").read_text("utf-8")
    assert len(text.encode()) < TWO_MB
    shown = len(section(load_results(out), "answers").questions)
    assert 0 < shown < 360
    assert f"Se muestran {shown} de 360 preguntas" in text
    assert text.count("<details class=") == shown


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
    spanish, english = Texts("es"), Texts("en")
    assert (spanish.value(0.1234, "share"), english.value(0.1234, "share")) == ("12,3\u00a0%", "12.3\u00a0%")
    assert (spanish.change(0.04, "share"), english.change(-0.04, "share")) == ("+4,0\u00a0puntos", "−4.0\u00a0points")
    assert (spanish.number(12345.6), english.number(12345.6)) == ("12\u202f345,6", "12,345.6")
    assert spanish.number(-0.001, 1) == "0,0"
    assert spanish.measured(None) == "sin medir"
    assert (spanish.probability(0.0), english.probability(0.04)) == ("p < 0,001", "p = 0.040")


def test_markdown_shows_text_as_it_is() -> None:
    assert plain("a|b *c* <i>\n[x](y)") == r"a\|b \*c\* &lt;i&gt; \[x\](y)"


def test_drawings_have_titles_and_keep_their_axes() -> None:
    strip = heat_strip("título <b>", {("q_proj", 0): 0.0, ("q_proj", 1): 0.4}, 0.4, "capa")
    assert "<title>título &lt;b&gt;</title>" in strip
    assert strip.count('class="heat"') == 2
    curve = Curve([(step, 2.0) for step in range(1000)], [(999, 1.0)])
    chart = loss_chart("t", [curve], 1000, 4.0, ("paso", "pérdida"), str)
    points = re.search(r'points="([^"]*)"', chart)
    assert points is not None
    assert len(points[1].split()) <= 201


def test_alike_is_not_called_best_and_the_span_of_detectable_differences_is_said(folder: Path) -> None:
    results = load_results(folder)
    alike = [score.model_copy(update={"value": 0.5}) for score in results.scores.scores]
    flat = replace(results, scores=results.scores.model_copy(update={"scores": alike}))
    cells = [cell for table in section(flat, "table").tables for row in table.rows for cell in row[1:]]
    assert cells
    assert not any(cell.best for cell in cells)
    gaps = results.scores.differences
    spread = [gap.model_copy(update={"detectable": 0.02 + 0.01 * at}) for at, gap in enumerate(gaps)]
    wide = replace(results, scores=results.scores.model_copy(update={"differences": spread}))
    said = next(line for line in section(wide, "summary").lines if line.startswith("Menor diferencia"))
    assert said.startswith("Menor diferencia que esta prueba suele descubrir: 2,0 a ")


def test_the_verdict_calls_better_only_what_is_significant_and_doubts_a_leak(folder: Path) -> None:
    results = load_results(folder)
    sure = [one.model_copy(update={"p_holm": 0.001}) for one in results.scores.differences]
    results = replace(results, scores=results.scores.model_copy(update={"differences": sure}))
    first = section(results, "summary").lines[0]
    assert first.startswith("mistral-7b: ")
    assert "«ley» responde mejor que la base en Ley" in first
    unsure = [one.model_copy(update={"p_holm": 0.05}) for one in results.scores.differences]
    doubtful = replace(results, scores=results.scores.model_copy(update={"differences": unsure}))
    said = " ".join(section(doubtful, "summary").lines)
    assert "Con estas 36 preguntas ninguna variante responde mejor que la base" in said
    assert "responde mejor que la base en" not in said
    leak = Finding(kind="seen-in-training", model="mistral-7b", variant="law", suite="law", items=["law-00"], total=12)
    tainted = replace(results, scores=results.scores.model_copy(update={"findings": [leak]}))
    assert "«ley» supera a la base en Ley" in section(tainted, "summary").lines[0]
    assert "no prueba nada" in section(tainted, "summary").lines[0]


def test_times_are_written_in_the_pages_language() -> None:
    assert (Texts("es").duration(59.34), Texts("en").duration(59.34)) == ("59,3\u00a0s", "59.3\u00a0s")


def test_the_gallery_shows_a_few_of_each_kind_and_counts_them_all(folder: Path) -> None:
    results = load_results(folder)
    shown = {gallery.title: gallery for gallery in section(results, "gallery", "en").galleries}
    invented = shown["Invented articles"]
    count = sum("invented-citation" in mark.flags for mark in results.marks.values())
    assert invented.count == f"{EACH} of {count}"
    assert len({(said.model, said.variant) for _, _, said in invented.examples}) == EACH
    assert all(said.verdict == "right" for _, _, said in shown["What the merge won: the base was wrong"].examples)


def test_free_prompts_are_side_by_side_and_a_failure_is_a_row_with_its_reason(folder: Path) -> None:
    first, second = section(load_results(folder), "prompts").questions
    assert (first.title, second.title) == ("Escriba un saludo, número 0.", "Escriba un saludo, número 1.")
    headings = [said.heading for said in first.answers]
    assert len(headings) == len(MODELS) * 4 * 2 + 1
    assert headings[:2] == ["mistral-7b, base", "mistral-7b, base, Tibio, temperatura 0,7"]
    failed = [said for said in first.answers if said.verdict == "failed"]
    assert [said.heading for said in failed] == [
        "mistral-7b, ley",
        "mistral-7b, ley, Tibio, temperatura 0,7",
        "ausente-7b",
    ]
    assert "no such model" in failed[2].pieces[0][0]
    assert {said.verdict for said in first.answers} == {"ungraded", "failed"}
    assert "- **mistral-7b, ley**: timed out" in (folder / "report.md").read_text("utf-8")


@pytest.mark.parametrize("language", get_args(Language))
def test_the_terminal_shows_every_headline_in_80_columns(
    folder: Path, language: Language, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = load_results(folder)
    monkeypatch.setattr(console.out, "width", 80)
    print_report(results, language)
    printed = capsys.readouterr().out
    said = [score for score in results.scores.scores if score.headline]
    assert all(Texts(language).value(score.value, score.unit) in printed for score in said)
    table, _, rest = printed.partition({"es": "Ley: aciertos.", "en": "Law: right answers."}[language])
    assert max(map(len, table.splitlines())) <= 80
    assert "no such model" in rest


def test_a_name_in_brackets_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(load_results(write_results(tmp_path, models=("m[red]x",), items=3)))
    assert capsys.readouterr().out.count("m[red]x") > 1


def test_a_report_is_made_without_torch_or_openai(folder: Path) -> None:
    made = f"""
import sys
from pathlib import Path
from leylora.evaluation.report import write_report
write_report(Path({str(folder)!r}))
print({{"torch", "transformers", "datasets", "openai"}} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True).stdout == "set()\n"
