"""The whole report as one HTML page, which loads nothing from anywhere."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.loaders import FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from leylora.evaluation.report import answers, runs, tables
from leylora.evaluation.report.extras import Extras
from leylora.evaluation.report.words import Words
from leylora.evaluation.results import Results

_HERE = Path(__file__).parent


def render(results: Results, words: Words, extras: Extras) -> str:
    """The page. Every value is escaped; a policy in its head forbids all scripts but its own, and all loading."""
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (_HERE / "page.js").read_text("utf-8")
    galleries = answers.galleries(results, words)
    first = [example.where for gallery in galleries for example in gallery.examples]
    questions = answers.questions(results, words, first)
    asked = {question.item.suite for question in questions}
    return environment.get_template("page.html.jinja").render(
        w=words,
        lang=words.language,
        results=results,
        provenance=results.provenance,
        variants=tables.variants_of(results),
        summary=tables.summary(results, words),
        heat_tables=tables.heat_tables(results, words),
        retention=tables.retention_rows(results, words),
        differences=tables.difference_rows(results, words),
        all_numbers=tables.all_numbers(results, words),
        loss_charts=runs.loss_charts(results, words),
        strips=runs.strips(results, words),
        judge=extras.judge,
        galleries=galleries,
        questions=questions,
        suites=[suite.name for suite in results.provenance.suites if suite.name in asked],
        tags=list(dict.fromkeys(tag for question in questions for answer in question.answers for tag in answer.tags)),
        anchors={question.anchor for question in questions},
        style=Markup((_HERE / "page.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )
