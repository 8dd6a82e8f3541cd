"""What the chat page is made of besides its controls: its look, its fixed texts, the cards of cited articles."""

import html
import re
from collections.abc import Sequence

from leylora.chat.dialogue import NOTICE, Turn, verdict
from leylora.grounding.checking import CheckedCitation, marked
from leylora.grounding.index import Hit, IndexedArticle

_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")
_CLASSES = {"✓": "good", "⚠": "doubt", "✗": "bad"}

CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
.gradio-container main { width: 100%; }
#pregunta textarea, #ambas textarea { border: 1px solid var(--border-color-primary); }
#cabecera { display: flex; flex-wrap: wrap; align-items: baseline; gap: .3rem .9rem; padding: .2rem .1rem 0; }
#cabecera h1 { font-size: 1.45rem; margin: 0; letter-spacing: -.02em; }
#cabecera span { color: var(--body-text-color-subdued); font-size: .9rem; overflow-wrap: anywhere; }
#aviso { border-left: 4px solid #b7791f; background: color-mix(in srgb, #b7791f 12%, transparent);
  padding: .5rem .8rem; border-radius: 4px; font-size: .9rem; margin: .2rem 0 .1rem; }
.estado { color: var(--body-text-color-subdued); font-size: .85rem; min-height: 1.3em;
  font-variant-numeric: tabular-nums; }
.estado b { color: #b7791f; font-weight: 600; }
.fuentes h3 { font-size: .95rem; margin: .6rem 0 .3rem; }
.fuentes ul { margin: 0 0 .5rem; padding: 0; list-style: none; font-size: .9rem; }
.fuentes li { padding: .15rem 0; }
.fuentes details { border: 1px solid var(--border-color-primary); border-radius: 6px; margin: .35rem 0;
  background: var(--background-fill-secondary); }
.fuentes summary { cursor: pointer; padding: .45rem .7rem; font-size: .9rem; }
.fuentes article { padding: 0 .9rem .7rem; white-space: pre-wrap; font-size: .92rem; line-height: 1.5;
  overflow-wrap: anywhere; }
.fuentes small { color: var(--body-text-color-subdued); display: block; padding: 0 .9rem .35rem; }
.good { color: #2f855a; } .doubt { color: #b7791f; } .bad { color: #c53030; }
.dark .good { color: #68d391; } .dark .doubt, .dark .estado b { color: #ecc94b; } .dark .bad { color: #fc8181; }
"""

DOWNLOAD = """(text) => {
  if (!text) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/jsonl"}));
  link.download = "conversacion.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}"""
"""Saves the text that a button's handler made, without a file on the server."""


def header(model: str, laws: Sequence[str]) -> str:
    """Name, model and laws of the page, and the notice that stays on it."""
    mode = f"responde con: {', '.join(laws)}" if laws else "sin leyes cargadas: puede inventar artículos"
    return (
        f'<div id="cabecera"><h1>leylora</h1><span>{html.escape(model)}</span>'
        f'<span>{html.escape(mode)}</span></div><div id="aviso" role="note">{html.escape(NOTICE)}</div>'
    )


def status(text: str, notice: str = "") -> str:
    """The line below an answer."""
    return f'<div class="estado">{f"<b>{html.escape(notice)}</b> " if notice else ""}{html.escape(text)}</div>'


def bubbles(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns as the chat shows them, each citation with its mark."""
    pairs = ((said("user", turn.question), said("assistant", with_marks(turn))) for turn in turns)
    return [message for pair in pairs for message in pair]


def with_marks(turn: Turn) -> str:
    """The answer, each citation with its mark."""
    return marked(turn.answer, turn.checked) or "(respuesta vacía)"


def said(role: str, text: str) -> dict[str, str]:
    """A message of the chat, whose component takes it for HTML, also without Markdown: an image in a model's answer
    would be loaded from wherever it says."""
    return {"role": role, "content": _MARKUP.sub(lambda match: html.escape(match[0]), text)}


def sources(turn: Turn | None) -> str:
    """The citations of an answer with their verdicts, and each article's text and edition behind one click."""
    if turn is None or (turn.grounded is None and not turn.checked):
        return ""
    given: tuple[Hit, ...] = turn.grounded.sources if turn.grounded else ()
    shown = {hit.article.citation: hit.article for hit in given}
    shown |= {one.article.citation: one.article for one in turn.checked if one.article is not None}
    best = {one.article.citation: one for one in turn.checked if one.article is not None}
    verdicts = "".join(_verdict(one) for one in turn.checked)
    if turn.finish is not None and not turn.checked:
        verdicts = '<li class="doubt">⚠ La respuesta no cita ningún artículo.</li>'
    cards = "".join(_card(article, best.get(citation)) for citation, article in shown.items())
    lists = f"<h3>Citas</h3><ul>{verdicts}</ul>" if verdicts else ""
    return f'<div class="fuentes">{lists}{"<h3>Artículos</h3>" if cards else ""}{cards}</div>'


def _verdict(cited: CheckedCitation) -> str:
    mark = f'<span class="{_CLASSES[cited.mark]}">{verdict(cited)}</span>'
    return f"<li>{mark} · {html.escape(cited.text)}. {html.escape(cited.reason)}</li>"


def _card(article: IndexedArticle, cited: CheckedCitation | None) -> str:
    mark = f'<span class="{_CLASSES[cited.mark]}">{cited.mark}</span> ' if cited else ""
    state = "" if article.status == "vigente" else f" · {article.status}"
    place = " · ".join(filter(None, [article.path, f"edición {article.law.edition or 's. f.'}{state}"]))
    return (
        f"<details><summary>{mark}<b>{html.escape(article.citation)}</b> {html.escape(article.rubric)}</summary>"
        f"<small>{html.escape(place)}</small><article>{html.escape(article.body)}</article></details>"
    )
