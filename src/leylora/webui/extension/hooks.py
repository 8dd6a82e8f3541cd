"""The hooks text-generation-webui calls (its docs/07, "Extensions"; the same from v1.7 to v4.9).

- `custom_generate_chat_prompt` puts the articles a question needs before the model, in the form of training. Only
  the prompt changes: the chat's history keeps the question as it was typed.
- `output_modifier` marks the citations of the finished answer and adds the articles it cites, folded up. Over the
  API answers are grounded too, but not marked: the webui hands out the text before this hook.
- `ui` shows a switch, the number of articles, and the search.

Standard library only, but for what the webui itself brings (`modules`, `gradio`).
"""

import html
from collections import Counter
from pathlib import Path
from typing import Any

from ...grounding.checker import CheckedCitation, check_answer, explain, marked
from ...grounding.ground import GREETED, THANKED, Grounded, ground
from ...grounding.search import LawIndex

params: dict[str, Any] = {
    "display_name": "Leyes (leylora)",
    "is_tab": False,
    "activate": True,
    "articles": 4,
    "characters": 6000,  # of the articles and the question together; fewer where the context is small
}
CHARACTERS_PER_TOKEN = 2.5  # at least, of Spanish law text with the tokenizers of Mistral, Llama 2 and Falcon
STATE_KEY = "leylora_grounded"
_index: LawIndex | None = None


def open_index(path: Path) -> None:
    """Open the index of laws; everything else does nothing until then."""
    global _index
    _index = LawIndex(path)


def custom_generate_chat_prompt(user_input: str, state: dict[str, Any], **kwargs: Any) -> str:
    """The chat prompt, the user's last turn with its articles; the webui's own where there are none."""
    from modules import chat  # the webui's

    state.pop(STATE_KEY, None)
    if _index is None or not params["activate"] or kwargs.get("impersonate") or not user_input.strip():
        return str(chat.generate_chat_prompt(user_input, state, **kwargs))
    history = kwargs.get("history", state["history"])
    rows = history["internal"][:-1] if kwargs.get("_continue") else history["internal"]
    grounded = ground(
        user_input,
        _index,
        budget=_budget(state),
        limit=int(params["articles"]),
        previous=rows[-1][0] if rows else "",
        system=state.get("custom_system_message", "").strip(),
    )
    state[STATE_KEY] = grounded
    if not grounded.sources:
        return str(chat.generate_chat_prompt(user_input, state, **kwargs))
    if kwargs.get("_continue"):  # the turn to be continued is in the history already
        _question, *answer = history["internal"][-1]
        kwargs["history"] = {**history, "internal": [*rows, [grounded.prompt, *answer]]}
    return str(chat.generate_chat_prompt(grounded.prompt, state | {"custom_system_message": grounded.system}, **kwargs))


def output_modifier(string: str, state: dict[str, Any], is_chat: bool = False) -> str:
    """The answer with marks after its citations and, folded up, the articles they name."""
    grounded = state.pop(STATE_KEY, None)
    if _index is None or grounded is None or not is_chat:
        return string
    plain = html.unescape(string)
    escaped = html.escape(plain) == string  # the webui escapes a model's text; another extension may have added tags
    answer = plain if escaped else string
    checked = check_answer(answer, _index, given=grounded.articles, question=grounded.question)
    shown = marked(answer, checked)
    return f"{html.escape(shown) if escaped else shown}\n\n{_below(grounded, checked)}".rstrip()


def ui() -> None:
    """The extension's controls, below the chat."""
    import gradio as gr

    def search(query: str) -> str:
        hits = _index.search(query, 5) if _index and query.strip() else []
        shown = [f"**{one.article.citation}** {one.article.rubric}\n\n{html.escape(one.passage)}" for one in hits]
        return "\n\n".join(shown) or "Nada encontrado."

    laws = _index.laws if _index else ()
    listed = "; ".join(f"{law.name}, ed. {law.edition or 's. f.'}" for law in laws)

    with gr.Accordion(params["display_name"], open=False):
        active = gr.Checkbox(value=params["activate"], label="Responder con artículos de ley y comprobar las citas")
        count = gr.Slider(1, 8, value=params["articles"], step=1, label="Artículos por pregunta")
        query = gr.Textbox(label="Buscar en las leyes", placeholder="plazo para apelar; COIP 140")
        found = gr.Markdown()
        gr.Markdown(f"Leyes: {listed or 'ninguna'}. No es asesoría legal.")
    active.change(lambda value: params.update(activate=value), active, None)
    count.change(lambda value: params.update(articles=int(value)), count, None)
    query.submit(search, query, found)


def _budget(state: dict[str, Any]) -> int:
    """Characters for the user's turn: what the context leaves next to the answer, at most what `params` says."""
    tokens = int(state.get("truncation_length") or 0) - int(state.get("max_new_tokens") or 0)
    fits = int(tokens * CHARACTERS_PER_TOKEN) if tokens > 0 else params["characters"]
    return min(int(params["characters"]), max(fits, 600))


def _below(grounded: Grounded, checked: list[CheckedCitation]) -> str:
    """What is shown under an answer: the articles it cites with the verdicts, or those it was given, folded up."""
    if grounded.reply in (GREETED, THANKED):
        return ""
    if not grounded.sources:
        return f"<small>⚠ {html.escape(grounded.reply)} La respuesta no se apoya en ningún artículo.</small>"
    counts = Counter(one.mark for one in checked)
    total = " ".join(f"{mark}\u00a0{counts[mark]}" for mark in "✓⚠✗" if counts[mark])
    blocks = [_verdict(one) for one in checked]
    cited = {one.article.citation for one in checked if one.article}
    rest = [hit for hit in grounded.sources if hit.article.citation not in cited]
    if rest:
        blocks.append("<b>Artículos dados y no citados</b>")
        blocks += [_folded(hit.article.citation, hit.article.rubric, hit.passage) for hit in rest]
    head = f"Citas: {total}" if checked else "La respuesta no cita ningún artículo"
    return f"<details><summary>{head} · {len(grounded.sources)} artículos dados</summary>\n{''.join(blocks)}</details>"


def _verdict(one: CheckedCitation) -> str:
    article = _folded(one.article.citation, one.article.rubric, one.article.body) if one.article else ""
    return f"<div>{one.mark} <b>{html.escape(one.text)}</b>: {html.escape(explain(one))}{article}</div>"


def _folded(citation: str, rubric: str, body: str) -> str:
    # No blank line and no line end: the webui's Markdown would take them for paragraphs of its own.
    text = "<br>".join(html.escape(line) for line in body.split("\n") if line.strip())
    title = html.escape(f"{citation}. {rubric}".rstrip(". "))
    return f"<details><summary>{title}</summary>{text}</details>"
