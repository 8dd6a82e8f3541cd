"""Sources of a mixture: licences, renamed columns, Hub sets, offline, missing files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from leylora.data.licenses import normalise, refusal
from leylora.data.personal_data import is_cedula, personal_data
from leylora.data.source import Source
from leylora.errors import LeyloraError


@pytest.mark.parametrize(
    ("license", "allowed"),
    [
        ("apache-2.0", True), ("Apache License 2.0", True), ("CC BY-SA 4.0", True), ("MIT", True), ("cc0-1.0", True),
        ("cc-by-nc-4.0", False), ("CC BY-NC-SA 4.0", False), ("", False), ("unknown", False), ("openrail", False),
    ],
)  # fmt: skip
def test_licences(license: str, allowed: bool) -> None:
    assert (refusal(license, []) is None) == allowed
    assert refusal(license, [license]) is None


def test_a_refusal_says_why() -> None:
    assert refusal("cc-by-nc-4.0", []) == "its licence cc-by-nc-4.0 forbids commercial use"
    assert refusal("", []) == "its licence is not stated"
    assert normalise("CC_BY 4.0") == "cc-by-4.0"


def test_exactly_one_place() -> None:
    for extra in ({}, {"path": "a.jsonl", "hub": "a/b"}):
        with pytest.raises(ValidationError, match="exactly one of `path` and `hub`"):
            Source.model_validate({"name": "x", "license": "mit", **extra})


def test_columns_are_renamed_rows_filtered_and_the_task_set(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"p": "¿Qué es el sol?", "r": "Es la estrella más cercana.", "lang": "es"},
            {"p": "What?", "r": "It is the sun.", "lang": "en"}]  # fmt: skip
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    source = Source(name="x", license="mit", path=path, columns={"prompt": "p", "completion": "r"},
                    where={"lang": "es"}, task="ciencia")  # fmt: skip
    found, report = source.load()
    assert [(row.prompt, row.task, row.source, row.license) for row in found] == [
        ("¿Qué es el sol?", "ciencia", "x", "mit")
    ]
    assert report.rows_in == 1


def test_a_missing_file_stops_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="The source 'x' of the mixture is missing"):
        Source(name="x", license="mit", path=tmp_path / "no.jsonl").check()


def test_hub_rows_through_the_real_library_from_a_local_folder(tmp_path: Path) -> None:
    rows = [{"inputs": f"¿Cuánto es {n} más {n}?", "targets": f"Son {2 * n} en total."} for n in range(10)]
    marked = [{**row, "language_code": "spa" if n % 2 else "eng"} for n, row in enumerate(rows)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, marked)), encoding="utf-8")
    source = Source(name="aya", license="apache-2.0", hub=str(tmp_path), where={"language_code": "spa"})
    found, _ = source.load()
    assert [row.answer for row in found] == [f"Son {2 * n} en total." for n in (1, 3, 5, 7, 9)]
    with pytest.raises(LeyloraError, match="has no column idioma; it has inputs, targets"):
        Source(name="aya", license="apache-2.0", hub=str(tmp_path), where={"idioma": "es"}).load()


def test_offline_without_a_cached_copy_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "from leylora.data.source import Source\n"
        "try:\n    Source(name='a', license='mit', hub='owner/not-cached').load(offline=True)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    env = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout.startswith("LeyloraError The dataset owner/not-cached could not be loaded"), done.stderr
    assert "set `path:` instead of `hub:`" in done.stdout


def test_cedula_check_digit() -> None:
    assert is_cedula("1710034065")
    for wrong in ("1710034066", "9910034065", "1780034065", "171003406", "17100340AB"):
        assert not is_cedula(wrong)


@pytest.mark.parametrize(
    "harmless",
    [
        "Registro Oficial Suplemento 1710034065 de 2014",
        "El plazo es de 180 días y la multa de 1.000 dólares.",
        "Resolución No. 0992-2020-CC publicada en el R.O. 449 de 20-X-2008",
        "Escriba a nombre@ejemplo.com",
        "El artículo 1561, numeral 3, de 24-06-2005",
    ],
)
def test_official_numbers_are_no_personal_data(harmless: str) -> None:
    assert personal_data(harmless) is None


def test_a_ruc_is_personal_data() -> None:
    assert personal_data("Su RUC es 1710034065001.") == "a RUC"
