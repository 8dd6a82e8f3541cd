"""The chat page: gradio's controls around `leylora.chat.dialogue`, for a browser on this machine."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from leylora import console
from leylora.chat import page_parts as parts
from leylora.chat.answer import Piece
from leylora.chat.conversation import TooLongError
from leylora.chat.dialogue import EXAMPLES, Notice, Settings, Turn, as_jsonl, ask, ended, too_long
from leylora.chat.sampling import Sampling, preset, preset_for, presets
from leylora.chat.sessions import Sessions
from leylora.chat.start import Started
from leylora.chat.variants import BASE
from leylora.errors import LeyloraError, UsageError

if TYPE_CHECKING:
    import gradio as gr

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
AT_ONCE = 8  # answers growing together; more wait their turn
REFRESH = 0.05  # seconds between two updates of the page
Shown = tuple[str, str, str]  # an answer so far, the line below it, its sources


class Page:
    """The handlers of one page. What differs between tabs is in their arguments; nothing of a tab is kept here."""

    def __init__(self, started: Started) -> None:
        self.engine, self.index = started.engine, started.index
        self.first, self.preset = started.settings, started.preset
        self.sessions = Sessions()

    def settings(self, variant: str, name: str, temperature: float, length: float, seed: str, system: str) -> Settings:
        """What the controls say; the slider's temperature replaces the preset's.

        Raises:
            UsageError: the seed is no number.
        """
        if seed.strip() and not seed.strip().isdecimal():
            raise UsageError("La semilla es un número entero, o nada.")
        whole = int(seed) if seed.strip() else None
        sampling, _ = preset(name, Sampling(max_new_tokens=int(length), seed=whole))
        sampling = replace(sampling, temperature=float(temperature), do_sample=temperature > 0)
        return Settings(variant, sampling, system.strip())

    def answer(
        self, session: str, turns: tuple[Turn, ...], question: str, controls: tuple[Any, ...], grounded: bool
    ) -> Iterator[tuple[Shown, Turn | None]]:
        """An answer as it grows; the turn comes with the last one, unless there was a fault, which is shown instead."""
        text, notice, last = "", "", 0.0
        index = self.index if grounded else None
        with self.sessions.answering(session) as stop:
            try:
                for event in ask(self.engine, index, turns, question, self.settings(*controls), stop):
                    if isinstance(event, Notice):
                        notice = event.text
                    elif isinstance(event, Turn):
                        yield (
                            (parts.with_marks(event), parts.status(ended(event.finish), notice), parts.sources(event)),
                            event,
                        )
                    elif isinstance(event, Piece):
                        text += event.text
                        if time.monotonic() - last >= REFRESH:
                            last = time.monotonic()
                            yield (text, parts.status("Escribiendo …", notice), ""), None
            except TooLongError as error:
                yield (text, parts.status("", too_long(error)), ""), None
            except LeyloraError as error:
                yield (text, parts.status("", str(error)), ""), None
            except Exception:  # a fault of ours must not leave the page waiting for ever
                log.exception("a question failed")
                yield (text, parts.status("", "Algo ha fallado; el terminal dice qué."), ""), None

    def respond(
        self, session: str, question: str, turns: tuple[Turn, ...], grounded: bool, *controls: Any
    ) -> Iterator[dict[str, Any]]:
        """One question of the conversation; yields what the page shows, by name."""
        question = question.strip()
        if not question:
            return
        before = [*parts.bubbles(turns), parts.said("user", question)]
        yield {"chat": before, "sources": "", "question": "", "running": True}
        turn = None
        for (text, line, cards), done in self.answer(session, turns, question, controls, grounded):
            turn = done
            chat = [*before, parts.said("assistant", text)] if text else before
            yield {"chat": chat, "status": line, "sources": cards}
        if turn is None:  # a fault: the question goes back to where it can be mended
            yield {"chat": before[:-1], "question": question, "running": False}
        else:
            yield {"turns": (*turns, turn), "running": False}

    def one_side(self, session: str, question: str, variant: str, grounded: bool, *controls: Any) -> Iterator[Shown]:
        """One of two answers to the same question, without a conversation before it."""
        if question.strip():
            for shown, _ in self.answer(session, (), question.strip(), (variant, *controls[1:]), grounded):
                yield shown


def build(page: Page) -> "gr.Blocks":
    """The page with its controls and what they do."""
    import gradio as gr

    variants, names = list(page.engine.variants), presets()
    laws = [law.siglas or law.name for law in page.index.laws if law] if page.index else []
    with gr.Blocks(title="leylora", analytics_enabled=False, fill_width=True) as demo:
        gr.HTML(parts.header(page.engine.name, laws))
        turns = gr.State(())
        with gr.Row():
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                with gr.Tab("Conversación"):
                    chat = gr.Chatbot(
                        height="58vh", show_label=False, render_markdown=False, buttons=["copy", "copy_all"],
                        placeholder="Escriba una pregunta o elija un ejemplo.", feedback_options=None,
                        allow_tags=False, latex_delimiters=[], elem_id="chat",
                        examples=[{"text": text} for text in EXAMPLES],
                    )  # fmt: skip
                    with gr.Row(equal_height=True):
                        question = gr.Textbox(
                            show_label=False, placeholder="Su pregunta", lines=1, max_lines=8, scale=5,
                            autofocus=True, container=False, elem_id="pregunta", min_width=180,
                        )  # fmt: skip
                        send = gr.Button("Enviar", variant="primary", scale=1, min_width=90, elem_id="enviar")
                        stop = gr.Button(
                            "Detener", variant="stop", scale=1, min_width=90, visible=False, elem_id="detener"
                        )
                    status = gr.HTML(parts.status(""), elem_id="estado")
                    cards = gr.HTML("", elem_id="fuentes")
                    with gr.Row():
                        reset = gr.Button("Nueva conversación", size="sm", elem_id="nueva")
                        export = gr.Button("Exportar", size="sm", elem_id="exportar")
                    exported = gr.Textbox(visible="hidden", elem_id="exportado")
                with gr.Tab("Lado a lado"):
                    both = gr.Textbox(label="La misma pregunta a dos variantes", lines=1, max_lines=8, elem_id="ambas")
                    gr.Examples([[text] for text in EXAMPLES], [both], label="Ejemplos")
                    with gr.Row():
                        compare = gr.Button("Comparar", variant="primary", elem_id="comparar")
                        stop_both = gr.Button("Detener", variant="stop", elem_id="detener-ambas")
                    with gr.Row():
                        sides = []
                        for name, chosen in zip("ab", (BASE, page.first.variant), strict=True):
                            with gr.Column(min_width=260):
                                variant = gr.Dropdown(
                                    variants, value=chosen, label="Variante", elem_id=f"variante-{name}"
                                )
                                text = gr.Textbox(
                                    show_label=False, lines=10, interactive=False, buttons=["copy"],
                                    elem_id=f"respuesta-{name}",
                                )  # fmt: skip
                                sides.append((variant, text, gr.HTML(parts.status("")), gr.HTML("")))
            with gr.Column(scale=1, min_width=260):
                adapter = gr.Dropdown(variants, value=page.first.variant, label="Variante", elem_id="variante")
                chosen_preset = gr.Dropdown(names, value=page.preset, label="Ajustes (preset)", elem_id="preset")
                temperature = gr.Slider(
                    0, 2, value=_temperature(page.first.sampling), step=0.05, label="Temperatura",
                    info="0: siempre el token más probable", elem_id="temperatura",
                )  # fmt: skip
                most = max(32, page.engine.window * 3 // 4)
                length = gr.Slider(
                    16, most, value=min(most, page.first.sampling.max_new_tokens), step=16,
                    label="Longitud máxima (tokens)", elem_id="longitud",
                )  # fmt: skip
                start = "" if page.first.sampling.seed is None else str(page.first.sampling.seed)
                seed = gr.Textbox(start, label="Semilla", info="vacía: otra cada vez", max_lines=1, elem_id="semilla")
                system = gr.Textbox(page.first.system, label="Instrucción de sistema", lines=2, elem_id="sistema")
                grounded = gr.Checkbox(
                    bool(page.index), label="Responder con los artículos de las leyes", visible=bool(page.index),
                    elem_id="con-leyes",
                )  # fmt: skip
        controls = [adapter, chosen_preset, temperature, length, seed, system]
        outputs = [chat, turns, status, cards, question, send, stop]

        def respond(
            request: gr.Request, question: str, turns: tuple[Turn, ...], grounded: bool, *controls: Any
        ) -> Iterator[list[Any]]:
            for change in page.respond(str(request.session_hash), question, turns, grounded, *controls):
                shown = [change.get(name, gr.skip()) for name in ("chat", "turns", "status", "sources", "question")]
                running = change.get("running")
                buttons = [gr.update(visible=not running), gr.update(visible=running)]
                yield [*shown, *(buttons if running is not None else [gr.skip(), gr.skip()])]

        def one_side(
            request: gr.Request, question: str, variant: str, grounded: bool, *controls: Any
        ) -> Iterator[Shown]:
            yield from page.one_side(str(request.session_hash), question, variant, grounded, *controls)

        def halt(request: gr.Request) -> None:
            page.sessions.stop(str(request.session_hash))

        def change_variant(variant: str, current: str) -> tuple[str, float]:
            own = preset_for(variant)
            name = own if own != "deterministic" else current
            return name, _temperature(preset(name)[0])

        def example(event: gr.SelectData) -> str:
            return str(event.value["text"])

        asked = {"inputs": [question, turns, grounded, *controls], "outputs": outputs, "show_progress": "hidden"}
        typed = gr.on([send.click, question.submit], respond, trigger_mode="once", **asked)
        picked = chat.example_select(example, None, question).then(respond, **asked)
        for button in (stop, stop_both):
            button.click(halt, queue=False)
        for variant, *side in sides:
            gr.on(
                [compare.click, both.submit], one_side, [both, variant, grounded, *controls], side,
                show_progress="hidden", trigger_mode="once",
            )  # fmt: skip
        gr.on([reset.click, chat.clear], halt, queue=False, cancels=[typed, picked]).then(
            lambda: [[], (), parts.status(""), "", "", gr.update(visible=True), gr.update(visible=False)],
            outputs=outputs,
        )
        export.click(
            lambda turns, system: as_jsonl(turns, system) if turns else "",
            [turns, system], exported,
        ).then(None, exported, js=parts.DOWNLOAD)  # fmt: skip
        adapter.input(change_variant, [adapter, chosen_preset], [chosen_preset, temperature])
        chosen_preset.input(lambda name: _temperature(preset(name)[0]), chosen_preset, temperature)
        demo.unload(halt)
    demo.queue(default_concurrency_limit=AT_ONCE, max_size=64, api_open=False)
    return demo


def _temperature(sampling: Sampling) -> float:
    return 0.0 if sampling.greedy else sampling.temperature


def bind(port: int) -> socket.socket:
    """A socket on this machine's port. Raises LeyloraError when another program has it."""
    listening = socket.socket()
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise LeyloraError(f"{HOST}:{port} cannot be used ({error.strerror or error}); try another --port.") from None
    listening.listen()
    return listening


def check_page(port: int) -> None:
    """Say what would keep the page from being served, before a model is loaded for it.

    Raises:
        LeyloraError: gradio is not installed, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise LeyloraError('The page needs gradio; in the checkout run: python -m pip install -e ".[chat]"')
    bind(port).close()


def launch(page: Page, port: int = 0) -> "gr.Blocks":
    """Serve the page on this machine only, in threads of its own; ``local_url`` says where, ``close()`` ends it.

    Raises:
        LeyloraError: the port is taken.
    """
    import gradio as gr

    with bind(port) as free:
        port = free.getsockname()[1]
    demo = build(page)
    text, code = ["system-ui", "Segoe UI", "sans-serif"], ["ui-monospace", "monospace"]  # none is fetched from anywhere
    demo.launch(
        server_name=HOST, server_port=port, share=False, quiet=True, prevent_thread_lock=True, ssr_mode=False,
        footer_links=[], enable_monitoring=False, max_file_size="1mb", css=parts.CSS,
        theme=gr.themes.Soft(primary_hue="teal", neutral_hue="slate", font=text, font_mono=code).set(
            block_title_background_fill="none", block_title_text_color="*body_text_color", block_title_padding="0",
            block_title_text_weight="500",
        ),
    )  # fmt: skip
    return demo


def serve_page(started: Started, port: int) -> None:
    """Serve the page until Ctrl-C."""
    demo = launch(Page(started), port)
    console.note(f"Open {demo.local_url} in a browser; Ctrl-C ends it.")
    try:
        demo.block_thread()
    except KeyboardInterrupt:
        pass
    finally:
        demo.close(verbose=False)
