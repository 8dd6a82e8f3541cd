"""One HTML page with the answers of a comparison side by side; nothing is loaded from anywhere."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leylora.webui.compare import Row

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #b3261e; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 100rem; }
h2 { font-size: 1.1rem; white-space: pre-wrap; border-top: 2px solid var(--line); padding-top: 1rem; }
.answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
article { border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
header { background: var(--soft); padding: .5rem .75rem; font-size: .85rem; }
header b { font-size: .95rem; }
article p { margin: 0; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { padding: 0 .75rem .5rem; font-size: .8rem; opacity: .7; }
.error p { color: var(--bad); }
@media (prefers-color-scheme: dark) { :root { --bad: #f2b8b5; } }
"""


def page(rows: "Sequence[Row]") -> str:
    """The page: a section for each prompt, in it a card for each combination, with its answer or its error."""
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    failed = sum(bool(row.error) for row in rows)
    sections = "\n".join(_section(prompt, [row for row in rows if row.prompt == prompt]) for prompt in prompts)
    count = f"{len(rows)} combinaciones" + (f", {failed} con error" if failed else "")
    return (
        '<!doctype html>\n<html lang="es">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparación</title>\n<style>{_STYLE}</style>\n"
        f"<h1>Comparación</h1>\n<p>{count}</p>\n{sections}\n</html>\n"
    )


def _section(prompt: str, rows: "Sequence[Row]") -> str:
    cards = "\n".join(map(_card, rows))
    return f'<h2>{html.escape(prompt)}</h2>\n<div class="answers">\n{cards}\n</div>'


def _card(row: "Row") -> str:
    settings = [row.preset or "sin preset"]
    if row.temperature is not None:
        settings.append(f"temperatura {row.temperature:g}")
    heading = f"<b>{html.escape(row.lora or row.model)}</b>"
    if row.lora:
        settings.insert(0, row.model)
    below = f"<br>{html.escape(' · '.join(settings))}"
    if row.error:
        return f'<article class="error"><header>{heading}{below}</header><p>{html.escape(row.error)}</p></article>'
    facts = []
    if row.tokens is not None and row.seconds:
        facts.append(f"{row.tokens} tokens en {row.seconds:.1f} s")
    if row.finish_reason == "length":
        facts.append(f"cortada a los {row.max_tokens} tokens")
    footer = f"<footer>{' · '.join(facts)}</footer>" if facts else ""
    return f"<article><header>{heading}{below}</header><p>{html.escape(row.text)}</p>{footer}</article>"
