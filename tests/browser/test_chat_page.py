"""The chat page in a real browser, with a real model behind it: what a person sees when they press the buttons."""
# ruff: noqa: F811 - the model of the chat tests is a fixture here too

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import adapters_of
from leylora.chat.dialogue import NOTICE, Chat, ChatSettings
from leylora.chat.guard import impatient
from leylora.grounding.index import open_laws
from leylora.laws.catalog import catalog
from leylora.laws.law import Article, Law
from leylora.models.generate import Finish, Piece
from leylora.models.presets import Sampling

from ..chat.conftest import model  # noqa: F401

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("gradio", reason="gradio is not installed")

PLAIN = "Cuenta algo."
GREEDY = Sampling(do_sample=False, max_new_tokens=24)
DONE = re.compile(r"tokens/s")


def sample_law() -> Law:
    rows = {
        "1": ("Objeto", "Esta Ley regula los huertos <script>document.title='mal'</script> vecinales."),
        "2": ("Inscripción", "El huerto se inscribirá en el plazo de treinta días contados desde la siembra."),
    }
    articles = tuple(
        Article(law_id="huertos", kind="articulo", number=number, rubric=rubric, body=body, status="vigente", path=())
        for number, (rubric, body) in rows.items()
    )
    days: dict[str, Any] = {"published": date(2019, 1, 1), "last_reform": date(2020, 2, 3)}
    facts: dict[str, Any] = {"registro_oficial": "Registro Oficial 1", "layout": "none", "pages": 1}
    facts |= {"aliases": (), "source_sha256": "0" * 64, "provisions": (), "audit": {}}
    return Law(id="huertos", name="Ley de Huertos", siglas="LH", articles=articles, **days, **facts)


@pytest.fixture(scope="module")
def chat(model: AdaptedModel, lora: Path, tmp_path_factory: pytest.TempPathFactory) -> Chat:
    """The small base with its adapters and a law of two articles."""
    folder = tmp_path_factory.mktemp("laws")
    sample_law().save(folder / "huertos")
    variants = {one.name: one for one in adapters_of(model.name, lora)[0]}
    return Chat(
        model, variants, open_laws(folder, catalog()), ChatSettings("tiny-mistral-law", GREEDY), "deterministic"
    )


@pytest.fixture(scope="module")
def address(chat: Chat) -> Iterator[str]:
    """The page, served in this process."""
    from leylora.chat.page import Page, launch

    demo = launch(Page(chat))
    yield str(demo.local_url)
    demo.close(verbose=False)


@pytest.fixture
def computed(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments at which the model, slowed down, has computed a token."""
    moments: list[float] = []
    forward = chat.model.model.forward

    @wraps(forward)
    def slow(*args: object, **more: object) -> object:
        moments.append(time.monotonic())
        time.sleep(0.02)
        return forward(*args, **more)

    monkeypatch.setattr(chat.model.model, "forward", slow)
    return moments


@pytest.fixture
def tab(browser: "Browser", address: str) -> "Iterator[Callable[[], Page]]":
    """Opens browser tabs in sessions of their own; a request to another machine fails the test."""
    contexts, outside = [], []

    def open_tab() -> "Page":
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((address, "blob:", "data:")) else outside.append(request.url)
            ),
        )
        page.goto(address)
        page.wait_for_selector("#enviar")
        page.set_default_timeout(30_000)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert not outside


def ask(page: "Page", question: str, *, laws: bool = False) -> None:
    page.locator("#con-leyes input").set_checked(laws)
    page.fill("#pregunta textarea", question)
    page.click("#enviar")


def finished(page: "Page") -> str:
    """The last answer on the page, once it has ended."""
    page.wait_for_selector("#enviar:visible")
    page.locator("#estado", has_text=DONE).wait_for()
    return page.locator("#chat .bot.message").last.inner_text()


def choose(page: "Page", dropdown: str, name: str) -> None:
    page.click(f"{dropdown} input")
    page.get_by_role("option", name=name, exact=True).click()


def alone(chat: Chat, variant: str, question: str) -> str:
    chosen = chat.variant(variant)
    prompt = chat.model.prompt([{"role": "user", "content": question}], chosen)
    return words(chat.model.generate(chosen, [prompt], GREEDY)[0].text)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_question_is_answered_and_exported(tab: "Callable[[], Page]", chat: Chat) -> None:
    page = tab()
    assert NOTICE in page.inner_text("#aviso")
    ask(page, PLAIN)
    answer = words(finished(page))
    assert answer == alone(chat, "tiny-mistral-law", PLAIN)
    with page.expect_download() as download:
        page.click("#exportar")
    row = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    assert words(row["messages"][1]["content"]) == answer


def test_the_variant_changes_on_the_loaded_base(tab: "Callable[[], Page]", chat: Chat) -> None:
    page = tab()
    choose(page, "#variante", "tiny-mistral-instructions")
    ask(page, PLAIN)
    assert words(finished(page)) == alone(chat, "tiny-mistral-instructions", PLAIN)
    page.click("#nueva")
    page.wait_for_function("!document.querySelector('#chat .bot')")
    choose(page, "#variante", "base")
    ask(page, PLAIN)
    assert words(finished(page)) == alone(chat, "base", PLAIN)


def test_an_answer_streams_and_stop_ends_the_computing(tab: "Callable[[], Page]", computed: list[float]) -> None:
    page = tab()
    page.locator("#longitud input[type=number]").fill("720")
    ask(page, PLAIN)
    message = page.locator("#chat .bot.message").last
    message.wait_for()
    before = len(message.inner_text())
    page.wait_for_function("(n) => document.querySelector('#chat .bot.message').innerText.length > n + 20", arg=before)
    page.click("#detener")
    finished(page)
    assert "detenida" in page.inner_text("#estado")
    count = len(computed)
    assert count < 700
    time.sleep(0.3)
    assert len(computed) == count


def test_closing_a_tab_ends_its_answer(tab: "Callable[[], Page]", computed: list[float]) -> None:
    page = tab()
    page.locator("#longitud input[type=number]").fill("720")
    ask(page, PLAIN)
    page.locator("#chat .bot.message").last.wait_for()
    page.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        count = len(computed)
        time.sleep(0.3)
        if len(computed) == count:
            break
    assert count < 700


def test_two_variants_answer_side_by_side(tab: "Callable[[], Page]", chat: Chat) -> None:
    page = tab()
    page.locator("#con-leyes input").set_checked(False)
    page.get_by_role("tab", name="Lado a lado").click()
    choose(page, "#variante-b", "tiny-mistral-instructions")
    page.fill("#ambas textarea", PLAIN)
    page.click("#comparar")
    page.wait_for_function(
        "[...document.querySelectorAll('.estado')].filter(e => e.innerText.includes('tokens/s')).length == 2"
    )
    assert words(page.input_value("#respuesta-a textarea")) == alone(chat, "base", PLAIN)
    assert words(page.input_value("#respuesta-b textarea")) == alone(chat, "tiny-mistral-instructions", PLAIN)


def test_tabs_do_not_mix(tab: "Callable[[], Page]", chat: Chat) -> None:
    asked = {"base": "Primera cosa.", "tiny-mistral-instructions": "Otra cosa."}
    pages = {variant: tab() for variant in asked}
    for variant, page in pages.items():
        choose(page, "#variante", variant)
        page.locator("#con-leyes input").set_checked(False)
        page.fill("#pregunta textarea", asked[variant])
    for page in pages.values():
        page.click("#enviar")
    for variant, page in pages.items():
        assert words(finished(page)) == alone(chat, variant, asked[variant])
        assert page.locator("#chat .user.message").all_inner_texts() == [asked[variant]]


def test_articles_are_one_click_away_and_their_text_is_only_text(tab: "Callable[[], Page]") -> None:
    page = tab()
    ask(page, "¿Qué dice el art. 1 de la Ley de Huertos?", laws=True)
    finished(page)
    card = page.locator(".fuentes details").first
    assert "Art. 1, Ley de Huertos, ed. 2020-02-03" in card.inner_text()
    assert not card.locator("article").is_visible()
    card.locator("summary").click()
    assert "<script>document.title" in card.locator("article").inner_text()
    assert page.title() == "leylora"
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_said_is_text_and_loads_nothing(
    tab: "Callable[[], Page]", chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '<img src="http://127.0.0.1:9/x.png"> a < b &amp; c </s> **d** <x'
    answer = [Piece(text), Piece("", Finish("stop", 1, 2, 0.1))]
    monkeypatch.setattr(chat.model, "stream", lambda *_, **__: iter(answer))
    page = tab()  # which fails the test if another machine is asked
    ask(page, text)
    assert finished(page) == text
    assert page.locator("#chat .user.message").last.inner_text() == text


def test_nothing_relevant_is_said_without_asking_the_model(tab: "Callable[[], Page]") -> None:
    page = tab()
    ask(page, "xyzzy plugh", laws=True)
    page.locator("#estado", has_text="Sin consultar al modelo").wait_for()
    assert page.locator("#chat .bot.message").last.inner_text()


def test_a_question_that_is_too_long_comes_back(tab: "Callable[[], Page]") -> None:
    page = tab()
    ask(page, "artículo " * 2_000)
    page.locator("#estado", has_text="demasiado largo").wait_for()
    page.wait_for_selector("#enviar:visible")
    assert page.input_value("#pregunta textarea").startswith("artículo artículo")
    assert page.locator("#chat .user.message").count() == 0


def test_the_page_hangs_up_on_half_sent_headers(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    from leylora.chat import page

    monkeypatch.setattr(page, "impatient", lambda protocol: impatient(protocol, 0.3))
    demo = page.launch(page.Page(chat))
    try:
        place = urlsplit(str(demo.local_url))
        with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=10) as half:
            half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            with suppress(ConnectionResetError):
                assert half.recv(100) == b""
        assert httpx.get(f"{demo.local_url}config").status_code == 200
    finally:
        demo.close(verbose=False)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/config", {}, 200),
        ("/config", {"Host": "evil.example:7860"}, 403),
        ("/config", {"Origin": "https://evil.example"}, 403),
        ("/gradio_api/upload", {}, 403),
    ],
)
def test_only_this_machine_reaches_the_page_and_nothing_is_uploaded(
    address: str, path: str, headers: dict[str, str], status: int
) -> None:
    method = "POST" if path.endswith("upload") else "GET"
    assert httpx.request(method, address.rstrip("/") + path, headers=headers).status_code == status
