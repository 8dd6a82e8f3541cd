"""The report of a comparison: one page, and the same in Markdown."""

from pathlib import Path

from leylora.evaluation.report.extras import load_extras
from leylora.evaluation.report.markdown import markdown
from leylora.evaluation.report.page import render
from leylora.evaluation.report.words import Language, Words
from leylora.evaluation.results import load_results
from leylora.files import write_text

__all__ = ["Language", "write_report"]


def write_report(folder: Path, language: Language = "es") -> list[Path]:
    """Write ``report.html`` and ``report.md`` into a folder of results.

    The same results give the same bytes. ``judge.json``, where it lies in the folder, becomes a section of the
    report. An earlier report of the folder is replaced.

    Returns:
        The files written, the page first.

    Raises:
        LeyloraError: the folder holds no finished comparison, or a file of another version.
    """
    results, words = load_results(folder), Words(language)
    extras = load_extras(folder)
    page, text = folder / "report.html", folder / "report.md"
    write_text(page, render(results, words, extras))
    write_text(text, markdown(results, words, extras))
    return [page, text]
