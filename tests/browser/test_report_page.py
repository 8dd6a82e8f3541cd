"""The report in a real browser: it runs nothing planted, loads nothing, filters, and fits a phone."""

from typing import TYPE_CHECKING

import pytest

from leylora.evaluation.report import write_report

from ..evaluation.made_up_results import EVIL, write_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def page(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> "Page":
    folder = write_results(tmp_path_factory.mktemp("page"), planted=EVIL, free=True)
    (report, *_) = write_report(folder)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.set_default_timeout(10_000)
    page.goto(report.as_uri())
    return page


@pytest.fixture(autouse=True)
def _fresh(page: "Page") -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(page.url.partition("#")[0])
    page.reload()


def shown(page: "Page") -> int:
    return page.locator("#answers details.question:visible").count()


def test_nothing_planted_runs_and_nothing_is_loaded(page: "Page") -> None:
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.reload()
    assert page.title() == "Qué vale cada adaptador"
    assert [url for url in asked if not url.startswith("file:")] == []
    assert faults == []


def test_filters_and_search_narrow_what_is_shown(page: "Page") -> None:
    everything = shown(page)
    page.select_option("select[name=suite]", "law")
    assert 0 < shown(page) < everything
    page.select_option("select[name=variant]", "merged")
    page.locator("#answers details.question:visible summary").nth(1).click()
    visible = page.locator("#answers details.question[open] .answer:visible")
    assert {visible.nth(at).get_attribute("data-variant") for at in range(visible.count())} == {"merged"}
    page.select_option("select[name=verdict]", "cite-invented")
    assert page.locator("#answers details.question[open] .answer:visible cite.wrong").count() == 0
    page.click("button[type=reset]")
    page.wait_for_function(f"document.querySelector('#count').textContent === '{everything}'")
    page.fill("input[type=search]", "TRAMITE numero 11")
    assert shown(page) == 3  # one of each suite; accents and case do not matter
    page.fill("input[type=search]", "nada de esto")
    assert shown(page) == 0
    assert page.locator("#nothing").is_visible()


def test_an_example_leads_to_its_question(page: "Page") -> None:
    link = page.locator("#gallery a[href^='#q-']").first
    target = link.get_attribute("href")
    link.click()
    page.wait_for_function(f"document.querySelector('{target}').open")
    assert page.locator(f"{target} .answers").is_visible()


@pytest.mark.parametrize("width", [380, 1280])
def test_the_page_fits_its_window(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = "[...document.querySelectorAll('.heat-table')].every(t => t.scrollWidth <= t.parentNode.clientWidth + 1)"
    assert page.evaluate(tables)


def test_paper_is_white_also_when_the_screen_prefers_dark(page: "Page") -> None:
    def luminance() -> float:
        colour = page.evaluate("getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3).map(Number)")
        return float(sum(colour))

    page.emulate_media(color_scheme="dark", media="screen")
    on_screen = luminance()
    page.emulate_media(color_scheme="dark", media="print")
    on_paper = luminance()
    page.emulate_media(color_scheme="light", media="screen")
    assert on_screen > 500
    assert on_paper < 200


def test_charts_and_signs_have_words_for_those_who_do_not_see_them(page: "Page") -> None:
    assert page.evaluate("[...document.querySelectorAll('svg[role=img]')].every(s => s.getAttribute('aria-label'))")
    assert page.evaluate("[...document.querySelectorAll('.sign')].every(s => s.getAttribute('aria-label'))")
    assert page.evaluate("[...document.querySelectorAll('input, select')].every(i => i.labels.length === 1)")
