"""Official multiple-choice banks (Consejo de la Judicatura, ANT, ...) that a user has as CSV or JSON.

Columns may be named in Spanish or English. Options stand in one column (a list, or one text with an option a line or
separated by "|") or in columns ``a`` to ``f`` / ``opcion_a`` ...; the answer is a letter, a number from 1, or the
option's own words. Keys of official banks have been disputed in public: treat them as such.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leylora.dataset.benchmark import BenchmarkItem
from leylora.instructions.records import Fault, Record, read_records
from leylora.text import words

NAMES = {
    "question": ("question", "pregunta", "enunciado", "texto"),
    "options": ("options", "opciones", "alternativas", "respuestas"),
    "answer": ("answer", "respuesta", "correcta", "respuesta_correcta", "clave", "key"),
    "law_id": ("law_id", "law", "ley", "norma", "materia"),
    "article": ("article", "articulo", "artículo", "art"),
    "edition": ("edition", "edicion", "edición", "year", "año", "anio"),
    "id": ("id", "codigo", "código", "numero", "número", "nro", "n"),
}
LETTERS = "abcdef"
LABEL = re.compile(r"^\s*\(?([a-f]|[1-6])[.)\-:]\s+", re.IGNORECASE)


def read_bank(path: Path, source: str) -> tuple[list[BenchmarkItem], list[Fault]]:
    """The items of a bank, and the rows that are no question with a key.

    Args:
        source: who published the bank, e.g. ``Consejo de la Judicatura 2022``; kept in every item.

    Raises:
        LeyloraError: the file cannot be read at all.
    """
    items: list[BenchmarkItem] = []
    faults: list[Fault] = []
    for row in read_records(path):
        if isinstance(row, Fault):
            faults.append(row)
            continue
        try:
            items.append(_item(row, source, len(items) + 1))
        except ValidationError as error:
            faults.append(Fault(row.place, error.errors()[0]["msg"].removeprefix("Value error, ")))
        except ValueError as error:
            faults.append(Fault(row.place, str(error)))
    return items, faults


def _item(row: Record, source: str, number: int) -> BenchmarkItem:
    fields = {str(key).strip().lower().replace(" ", "_"): value for key, value in row.value.items()}
    question = _first(fields, "question")
    if not question:
        raise ValueError(f"has no question; its columns are {', '.join(fields)}")
    options = _options(fields)
    if len(options) < 2:
        raise ValueError("has fewer than two options")
    correct = _correct(_first(fields, "answer"), options)
    return BenchmarkItem(
        id=f"{'-'.join(words(source))}-{_first(fields, 'id') or number}",
        kind="multiple-choice",
        law_id=_first(fields, "law_id"),
        article=_first(fields, "article").removesuffix(".0"),
        edition=_first(fields, "edition"),
        question=question,
        answer=options[correct],
        options=options,
        correct=correct,
        source=source,
    )


def _first(fields: dict[str, Any], wanted: str) -> str:
    value = next((fields[name] for name in NAMES[wanted] if fields.get(name) not in (None, "")), "")
    return str(value).strip()


def _options(fields: dict[str, Any]) -> list[str]:
    whole = next((fields[name] for name in NAMES["options"] if fields.get(name)), None)
    if isinstance(whole, str):
        text = whole.strip()
        try:
            whole = json.loads(text) if text.startswith(("[", "{")) else re.split(r"\s*\|\s*|\n+", text)
        except json.JSONDecodeError:
            raise ValueError("its options look like JSON and are not") from None
    if isinstance(whole, dict):
        whole = [whole[key] for key in sorted(whole)]
    if not isinstance(whole, list):
        prefixes = ("", "opcion_", "opción_", "option_", "alternativa_", "respuesta_")
        whole = [
            next((fields[f"{prefix}{letter}"] for prefix in prefixes if fields.get(f"{prefix}{letter}")), "")
            for letter in LETTERS
        ]
    return [LABEL.sub("", str(option)).strip() for option in whole if str(option or "").strip()]


def _correct(answer: str, options: list[str]) -> int:
    bare = answer.strip().strip("().").lower()
    if bare in LETTERS and bare and LETTERS.index(bare) < len(options):
        return LETTERS.index(bare)
    if bare.isdigit() and 1 <= int(bare) <= len(options) and answer.strip() not in options:
        return int(bare) - 1
    same = [at for at, option in enumerate(options) if words(option) == words(LABEL.sub("", answer))]
    if len(same) == 1:
        return same[0]
    raise ValueError(f"its answer {answer[:40]!r} names none of the {len(options)} options")
