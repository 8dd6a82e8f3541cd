"""The report of a comparison, from a folder of results: a page, the same in Markdown, and the terminal's tables."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import StrictUndefined
from jinja2.loaders import FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from pydantic import ValidationError
from rich import box
from rich.markup import escape
from rich.table import Table

from leylora import console
from leylora.errors import LeyloraError, first_fault
from leylora.evaluation.report.texts import Language, Texts
from leylora.evaluation.report.view import Cell, View, make_view
from leylora.evaluation.results import JUDGE_FILE, JudgeSummary, Results, load_results
from leylora.files import read_json, write_text

__all__ = ["Language", "print_report", "write_report"]

HERE = Path(__file__).parent
SIGNS = {"better": "▲", "worse": "▼", "same": "≈", "": ""}
CITED = {"right": "✓", "wrong": "≠", "invented": "✗", "unknown": "?"}


def write_report(folder: Path, language: Language = "es") -> list[Path]:
    """Write ``report.html`` and ``report.md`` into a folder of results; the same results give the same bytes.

    ``judge.json``, where the folder has one, becomes a section. An earlier report of the folder is replaced.

    Returns:
        The files written, the page first.

    Raises:
        LeyloraError: the folder holds no finished comparison, or a file of another version.
    """
    results, judge, texts = load_results(folder), None, Texts(language)
    if (path := folder / JUDGE_FILE).is_file():
        try:
            judge = JudgeSummary.model_validate(read_json(path))
        except ValidationError as error:
            key, why = first_fault(error)
            raise LeyloraError(f"{path}, {key or 'the file'}: {why}; make it again or remove it.") from None
    view = make_view(results, judge, texts)
    style, script = ((HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    page = _render("page.html.jinja", view, texts, style=Markup(style), script=Markup(script), script_hash=digest)
    write_text(folder / "report.html", page)
    write_text(folder / "report.md", re.sub(r"\n{3,}", "\n\n", _render("report.md.jinja", view, texts)))
    return [folder / "report.html", folder / "report.md"]


def _render(template: str, view: View, texts: Texts, **more: str) -> str:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(HERE),
        autoescape=template.startswith("page.html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    return environment.get_template(template).render(view=view, t=texts, SIGNS=SIGNS, CITED=CITED, **more)


def plain(text: str) -> str:
    """``text`` as one line that Markdown shows as it is: no tags, no links, no broken tables."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", line)


def print_report(results: Results, language: Language = "es") -> None:
    """A table a model (measures by variants), what the merge keeps, and what the reader must know."""
    texts = Texts(language)
    sections = {section.name: section for section in make_view(results, None, texts).sections}
    heat = sections["table"].tables if "table" in sections else []
    variants = list(dict.fromkeys(name for table in heat for name in table.head[1:]))
    for model in dict.fromkeys(row[0].text for table in heat for row in table.rows):
        head = map(escape, ["", *variants])
        shown = Table(*head, title=escape(model), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for table in heat:
            for row in (row for row in table.rows if row[0].text == model):
                cells = dict(zip(table.head[1:], row[1:], strict=True))
                said = (cells.get(name, Cell("")) for name in variants)
                shown.add_row(escape(table.title), *(f"{one.text} {SIGNS[one.sign]}\n{one.note}" for one in said))
        console.out.print(shown)
    for table in sections["retention"].tables if "retention" in sections else []:
        for cell, value in table.rows:
            console.say(f"{table.title}. {cell.text}: {value.text}")
    for line in sections["summary"].lines if "summary" in sections else []:
        console.say(line)
    for name, lines in sections["findings"].facts.items():
        for line, _ in lines:
            console.say(f"{name}: {line}".removeprefix(": "))
    seconds = texts.duration(results.provenance.seconds)
    console.say(texts("terminal.done", answers=len(results.answers), seconds=seconds, folder=results.folder))
