"""scripts/inspect_text.py "texto": load, read, show."""

import json
import sys
from pathlib import Path

from leylora import console
from leylora.chat.start import choose
from leylora.chat.variants import BASE, adapter_variant, find_adapter, shown_by_default
from leylora.errors import UsageError
from leylora.files import write_text
from leylora.models.bases import Load


def read_text_argument(text: str) -> str:
    """The text itself, or standard input for ``-``. Raises UsageError when it is empty."""
    text = sys.stdin.read() if text == "-" else text
    if not text.strip():
        raise UsageError("The text is empty.")
    return text


def run(
    text: str,
    model: str | None,
    adapters: list[str],
    load: Load,
    top: int,
    *,
    as_json: bool,
    page: Path | None,
    lora: Path,
) -> None:
    """Inspect and print; the base always comes first.

    Raises:
        UsageError: ``page`` exists, or there is no such adapter.
        LeyloraError: a model or adapter cannot be loaded.
    """
    if page is not None and page.exists():
        raise UsageError(f"{page} already exists; choose another name.")
    base, variants, _ = choose(model, adapters[0] if adapters else None, lora)
    names = shown_by_default(variants)
    if adapters:
        for name in adapters:
            if name != BASE and name not in variants:
                found = adapter_variant(find_adapter(name, lora))
                variants[found.name] = found
        names = [BASE, *(name if name in variants else Path(name).name for name in adapters)]

    from leylora.chat import inspection_views as views
    from leylora.chat.engine import Engine
    from leylora.chat.inspection import inspect
    from leylora.models.load import silence_libraries

    silence_libraries()
    inspection = inspect(Engine.load(base, variants, load), text, names, top)
    if as_json:
        console.say(json.dumps(inspection.as_json(), ensure_ascii=False, indent=2))
    else:
        for number, variant in enumerate(inspection.variants):
            console.out.print(variant.name, style="bold", markup=False)
            console.out.print(views.coloured_line(inspection, number))
        console.out.print()
        console.out.print(views.token_table(inspection))
        console.out.print()
        console.out.print(views.next_table(inspection))
        for line in views.summary(inspection):
            console.say(line)
    if page is not None:
        write_text(page, views.page(inspection))
        console.note(f"Wrote {page}.")
