"""The chat page: gradio's controls around `leylora.chat.dialogue`, for a browser on this machine.

Takes an open `Chat`. What a model, an article or a user says is shown as text only; nothing is loaded from elsewhere.
"""

import html
import logging
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from leylora import console
from leylora.adapters.discover import BASE
from leylora.chat.dialogue import (
    EXAMPLES,
    NOTICE,
    Chat,
    ChatSettings,
    Notice,
    Turn,
    as_jsonl,
    ask,
    ended,
    sources_of,
    too_long,
    verdict,
)
from leylora.chat.guard import LocalOnly, bind, impatient
from leylora.errors import LeyloraError, UsageError
from leylora.grounding.checker import CheckedCitation, explain, marked
from leylora.grounding.citations import IndexedArticle
from leylora.laws.catalog import age_notes
from leylora.models.generate import TooLongError
from leylora.models.presets import Sampling, preset, preset_for, presets

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
try:
    import gradio as gr
    from starlette.middleware import Middleware
except ModuleNotFoundError:
    raise LeyloraError('The page needs gradio; in the checkout run: python -m pip install -e ".[chat]"') from None

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
UPLOADS = ("/gradio_api/upload", "/upload")  # the page takes no files
AT_ONCE = 8  # answers under way; the model gives them one after the other
REFRESH = 0.05  # seconds between two updates of the page
Shown = tuple[str, str, str]  # an answer so far, the line below it, its sources
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
}"""  # saves a text that a handler made, without a file on the server


class Page:
    """The handlers of one page. What differs between tabs is in their arguments, except the answers under way."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self._stops: defaultdict[str | None, set[threading.Event]] = defaultdict(set)  # by session

    def stop(self, request: gr.Request) -> None:
        """End every answer of a tab after the token that is being computed."""
        for event in tuple(self._stops[request.session_hash]):
            event.set()

    def answer(
        self, request: gr.Request, turns: tuple[Turn, ...], question: str, controls: tuple[Any, ...], grounded: bool
    ) -> Iterator[tuple[Shown, Turn | None]]:
        """An answer as it grows; the turn comes with the last one, unless there was a fault, which is shown instead."""
        text, notice, last = "", "", 0.0
        stop = threading.Event()
        self._stops[request.session_hash].add(stop)
        try:
            yield ("", status("Buscando y leyendo …"), ""), None
            for event in ask(self.chat, turns, question, _settings(*controls), stop, grounded=grounded):
                if isinstance(event, Notice):
                    notice = event.text
                elif isinstance(event, Turn):
                    yield (with_marks(event), status(ended(event.finish), notice), sources(event)), event
                else:
                    text += event.text
                    if time.monotonic() - last >= REFRESH:
                        last = time.monotonic()
                        yield (text, status("Escribiendo …", notice), ""), None
        except LeyloraError as error:
            fault = too_long(error) if isinstance(error, TooLongError) else str(error)
            yield (text, status("", fault), ""), None
        except Exception:  # a fault of ours must not leave the page waiting for ever
            log.exception("a question failed")
            yield (text, status("", "Algo ha fallado; el terminal dice qué."), ""), None
        finally:
            self._stops[request.session_hash].discard(stop)


def _settings(variant: str, name: str, temperature: float, length: float, seed: str, system: str) -> ChatSettings:
    """What the controls say; the slider's temperature replaces the preset's."""
    if seed.strip() and not seed.strip().isdecimal():
        raise UsageError("La semilla es un número entero, o nada.")
    start = Sampling(max_new_tokens=int(length), seed=int(seed) if seed.strip() else None)
    sampling = replace(preset(name, start)[0], temperature=float(temperature), do_sample=temperature > 0)
    return ChatSettings(variant, sampling, system.strip())


def _temperature(sampling: Sampling) -> float:
    return 0.0 if sampling.greedy else sampling.temperature


def build(page: Page) -> gr.Blocks:
    """The page with its controls and what they do."""
    variants, index = list(page.chat.variants), page.chat.index
    laws = [law.siglas or law.name for law in index.laws] if index else []
    with gr.Blocks(title="leylora", analytics_enabled=False, fill_width=True) as demo:
        gr.HTML(header(page.chat.model.name, laws, age_notes(index.laws) if index else ()))
        turns = gr.State(())
        with gr.Row():
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                with gr.Tab("Conversación"):
                    chat = gr.Chatbot(
                        height="58vh",
                        show_label=False,
                        render_markdown=False,
                        buttons=["copy", "copy_all"],
                        placeholder="Escriba una pregunta o elija un ejemplo.",
                        allow_tags=False,
                        latex_delimiters=[],
                        elem_id="chat",
                        examples=[{"text": text} for text in EXAMPLES],
                    )
                    with gr.Row(equal_height=True):
                        question = gr.Textbox(
                            placeholder="Su pregunta",
                            show_label=False,
                            container=False,
                            max_lines=8,
                            scale=5,
                            min_width=180,
                            autofocus=True,
                            elem_id="pregunta",
                        )
                        send = gr.Button("Enviar", variant="primary", scale=1, min_width=90, elem_id="enviar")
                        stop = gr.Button(
                            "Detener", variant="stop", scale=1, min_width=90, visible=False, elem_id="detener"
                        )
                    line = gr.HTML(status(""), elem_id="estado")
                    cards = gr.HTML("", elem_id="fuentes")
                    with gr.Row():
                        reset = gr.Button("Nueva conversación", size="sm", elem_id="nueva")
                        export = gr.Button("Exportar", size="sm", elem_id="exportar")
                    exported = gr.Textbox(visible="hidden", elem_id="exportado")
                with gr.Tab("Lado a lado"):
                    both = gr.Textbox(label="La misma pregunta a dos variantes", max_lines=8, elem_id="ambas")
                    gr.Examples([[text] for text in EXAMPLES], [both], label="Ejemplos")
                    with gr.Row():
                        compare = gr.Button("Comparar", variant="primary", elem_id="comparar")
                        stop_both = gr.Button("Detener", variant="stop", elem_id="detener-ambas")
                    with gr.Row():
                        sides = [_side("a", variants, BASE.name), _side("b", variants, page.chat.settings.variant)]
            with gr.Column(scale=1, min_width=260):
                *controls, grounded = _controls(page.chat)
        adapter, chosen_preset, temperature, _, _, system = controls
        outputs = [chat, turns, line, cards, question, send, stop]

        def respond(
            request: gr.Request, asked: str, before: tuple[Turn, ...], grounded: bool, *controls: Any
        ) -> Iterator[dict[Any, Any]]:
            if not (asked := asked.strip()):
                return
            told = [one for turn in before for one in bubbles(turn)]
            shown = [*told, said("user", asked)]
            yield {chat: shown, cards: "", question: "", send: gr.update(visible=False), stop: gr.update(visible=True)}
            turn = None
            for (text, below, cited), done in page.answer(request, before, asked, controls, grounded):
                turn = done
                yield {chat: [*shown, said("assistant", text)] if text else shown, line: below, cards: cited}
            # after a fault the question goes back to where it can be mended
            end = {turns: (*before, turn)} if turn else {chat: told, question: asked}
            yield end | {send: gr.update(visible=True), stop: gr.update(visible=False)}

        def one_side(request: gr.Request, asked: str, variant: str, grounded: bool, *controls: Any) -> Iterator[Shown]:
            if asked.strip():
                for shown, _ in page.answer(request, (), asked.strip(), (variant, *controls[1:]), grounded):
                    yield shown

        def change_variant(variant: str, current: str) -> tuple[str, float]:
            own = preset_for(variant)
            name = own if own != "deterministic" else current
            return name, _temperature(preset(name)[0])

        def example(event: gr.SelectData) -> str:  # gradio finds the event by the parameter's type
            return str(event.value["text"])

        asking = {"inputs": [question, turns, grounded, *controls], "outputs": outputs, "show_progress": "hidden"}
        typed = gr.on([send.click, question.submit], respond, trigger_mode="once", **asking)
        picked = chat.example_select(example, None, question).then(respond, **asking)
        for button in (stop, stop_both):
            button.click(page.stop, queue=False)
        for variant, *side in sides:
            inputs = [both, variant, grounded, *controls]
            gr.on([compare.click, both.submit], one_side, inputs, side, show_progress="hidden", trigger_mode="once")
        cleared = gr.on([reset.click, chat.clear], page.stop, queue=False, cancels=[typed, picked])
        empty = [[], (), status(""), "", "", gr.update(visible=True), gr.update(visible=False)]
        cleared.then(lambda: empty, outputs=outputs)
        saved = export.click(lambda turns, text: as_jsonl(turns, text) if turns else "", [turns, system], exported)
        saved.then(None, exported, js=DOWNLOAD)
        adapter.input(change_variant, [adapter, chosen_preset], [chosen_preset, temperature])
        chosen_preset.input(lambda name: _temperature(preset(name)[0]), chosen_preset, temperature)
        demo.unload(page.stop)
    demo.queue(default_concurrency_limit=AT_ONCE, max_size=64, api_open=False)
    return demo


def _side(name: str, variants: list[str], chosen: str) -> list[Any]:
    """One answer of two: its variant, its text, the line below it, its sources."""
    with gr.Column(min_width=260):
        return [
            gr.Dropdown(variants, value=chosen, label="Variante", elem_id=f"variante-{name}"),
            gr.Textbox(show_label=False, lines=10, interactive=False, buttons=["copy"], elem_id=f"respuesta-{name}"),
            gr.HTML(status("")),
            gr.HTML(""),
        ]


def _controls(chat: Chat) -> list[Any]:
    """The settings: variant, preset, temperature, length, seed, system prompt, and whether to look into the laws."""
    first, most = chat.settings, max(32, chat.model.window * 3 // 4)
    length, seed = min(most, first.sampling.max_new_tokens), first.sampling.seed
    hot, laws = _temperature(first.sampling), chat.index is not None
    greedy = "0: siempre el token más probable"
    return [
        gr.Dropdown(list(chat.variants), value=first.variant, label="Variante", elem_id="variante"),
        gr.Dropdown(presets(), value=chat.preset, label="Ajustes (preset)", elem_id="preset"),
        gr.Slider(0, 2, hot, step=0.05, label="Temperatura", info=greedy, elem_id="temperatura"),
        gr.Slider(16, most, length, step=16, label="Longitud máxima (tokens)", elem_id="longitud"),
        gr.Textbox(
            "" if seed is None else str(seed),
            label="Semilla",
            info="vacía: otra cada vez",
            max_lines=1,
            elem_id="semilla",
        ),
        gr.Textbox(first.system, label="Instrucción de sistema", lines=2, elem_id="sistema"),
        gr.Checkbox(laws, label="Responder con los artículos de las leyes", visible=laws, elem_id="con-leyes"),
    ]


def launch(page: Page, port: int = 0) -> gr.Blocks:
    """Serve the page on this machine only, in threads of its own; ``local_url`` says where, ``close()`` ends it."""
    with bind(port) as free:
        port = free.getsockname()[1]
    demo = build(page)
    text, code = ["system-ui", "Segoe UI", "sans-serif"], ["ui-monospace", "monospace"]  # not fetched from anywhere
    theme = gr.themes.Soft(primary_hue="teal", neutral_hue="slate", font=text, font_mono=code)
    theme.set(block_title_background_fill="none", block_title_text_color="*body_text_color")
    theme.set(block_title_padding="0", block_title_text_weight="500")
    demo.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        footer_links=[],
        enable_monitoring=False,
        max_file_size="1mb",
        app_kwargs={"middleware": [Middleware(LocalOnly, closed=UPLOADS)]},
        css=CSS,
        theme=theme,
    )
    config = demo.server.config  # read for each new connection
    config.http_protocol_class = impatient(config.http_protocol_class)
    return demo


def serve_page(chat: Chat, port: int) -> None:
    """Serve the page until Ctrl-C."""
    demo = launch(Page(chat), port)
    console.note(f"Open {demo.local_url} in a browser; Ctrl-C ends it.")
    try:
        with suppress(KeyboardInterrupt):
            demo.block_thread()
    finally:
        demo.close(verbose=False)


def header(model: str, laws: Sequence[str], notes: Sequence[str] = ()) -> str:
    """Name, model and laws of the page, and the notice that stays on it, with what to know of the editions."""
    mode = f"responde con: {', '.join(laws)}" if laws else "sin leyes cargadas: puede inventar artículos"
    notice = html.escape(" ".join([NOTICE, *notes]))
    return (
        f'<div id="cabecera"><h1>leylora</h1><span>{html.escape(model)}</span>'
        f'<span>{html.escape(mode)}</span></div><div id="aviso" role="note">{notice}</div>'
    )


def status(text: str, notice: str = "") -> str:
    return f'<div class="estado">{f"<b>{html.escape(notice)}</b> " if notice else ""}{html.escape(text)}</div>'


def bubbles(turn: Turn) -> list[dict[str, str]]:
    return [said("user", turn.question), said("assistant", with_marks(turn))]


def with_marks(turn: Turn) -> str:
    return marked(turn.answer, turn.checked) or "(respuesta vacía)"


def said(role: str, text: str) -> dict[str, str]:
    """A message of the chat. The component reads it as HTML, also without Markdown, and would load an image in it."""
    return {"role": role, "content": _MARKUP.sub(lambda match: html.escape(match[0]), text)}


def sources(turn: Turn) -> str:
    """The citations of an answer with their verdicts, and each article's text and edition behind one click."""
    cited = {one.article.citation: one for one in turn.checked if one.article is not None}
    verdicts = "".join(
        f'<li><span class="{_CLASSES[one.mark]}">{verdict(one)}</span> · {html.escape(one.text)}. '
        f"{html.escape(explain(one))}</li>"
        for one in turn.checked
    )
    if turn.uncited:
        verdicts = '<li class="doubt">⚠ La respuesta no cita ningún artículo.</li>'
    cards = "".join(_card(article, cited.get(article.citation)) for article in sources_of(turn))
    if not verdicts and not cards:
        return ""
    lists = f"<h3>Citas</h3><ul>{verdicts}</ul>" if verdicts else ""
    return f'<div class="fuentes">{lists}{"<h3>Artículos</h3>" if cards else ""}{cards}</div>'


def _card(article: IndexedArticle, cited: CheckedCitation | None) -> str:
    mark = f'<span class="{_CLASSES[cited.mark]}">{cited.mark}</span> ' if cited else ""
    state = "" if article.status == "vigente" else f" · {article.status}"
    place = " · ".join(filter(None, [article.path, f"edición {article.law.edition or 's. f.'}{state}"]))
    return (
        f"<details><summary>{mark}<b>{html.escape(article.citation)}</b> {html.escape(article.rubric)}</summary>"
        f"<small>{html.escape(place)}</small><article>{html.escape(article.body)}</article></details>"
    )
