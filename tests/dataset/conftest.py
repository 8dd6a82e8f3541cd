"""Two small invented laws, parsed as it were, and a mixture folder with rows of every kind."""

import functools
import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from leylora.dataset import Mixture, build
from leylora.laws.law import Article, Law

THINGS = "pozos canales molinos hornos telares puentes faros muelles caminos graneros talleres huertas".split()  # noqa: SIM905
WORKS = "limpieza reparación pintura vigilancia medición apertura cierre registro alquiler préstamo".split()  # noqa: SIM905
TERMS = "tres cinco ocho diez quince veinte treinta cuarenta sesenta noventa".split()  # noqa: SIM905


def make_law(law_id: str, name: str, articles: int) -> Law:
    """A law whose article N speaks of one work on one thing, within one term."""
    rows = []
    for at in range(articles):
        thing, work, term = THINGS[at % len(THINGS)], WORKS[(at // len(THINGS)) % len(WORKS)], TERMS[at % len(TERMS)]
        body = (
            f"La {work} de {thing} se hará en el plazo de {term} días desde el aviso de la junta parroquial. Quien "
            f"descuide la {work} de {thing} pagará una multa de {term} dólares, salvo fuerza mayor comprobada."
        )
        rubric = f"{work.capitalize()} de {thing}"
        rows.append(
            Article(law_id=law_id, kind="articulo", number=str(at + 1), rubric=rubric, body=body, status="vigente")
        )
    return Law(
        id=law_id, name=name, siglas="", aliases=(), registro_oficial="", published=None, last_reform=date(2022, 3, 4),
        layout="none", pages=1, source_sha256="ab" * 32, articles=tuple(rows), provisions=(), audit={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def laws() -> list[Law]:
    return [make_law("aguas", "Ley de Aguas de Barrio", 100), make_law("obras", "Código de Obras Menores", 40)]


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def make_mixture(folder: Path, **keys: object) -> Mixture:
    """Write 110 rows of chance words as ``dichos.jsonl`` and a mixture of ``keys`` beside it; load the mixture."""
    chance = random.Random(5)
    words = [*THINGS, *WORKS, *TERMS, "casa", "río", "patio", "fiesta", "domingo", "vecina", "mercado", "lluvia"]
    rows = [
        {
            "id": f"d{at}",
            "instruction": f"¿Qué se hace con el objeto {at} de {chance.choice(words)} y de {chance.choice(words)}?",
            "output": f"Se usa así: {' '.join(chance.sample(words, 12))}; con cuidado.",
        }
        for at in range(110)
    ]
    write_jsonl(folder / "dichos.jsonl", rows)
    path = folder / "mezcla.yaml"
    path.write_text(yaml.safe_dump({"name": "mezcla", **keys}, allow_unicode=True), encoding="utf-8")
    return Mixture.load(path)


@pytest.fixture
def mixture_of(tmp_path: Path) -> Callable[..., Mixture]:
    """`make_mixture` in the test's own folder."""
    return functools.partial(make_mixture, tmp_path)


@pytest.fixture(scope="session")
def sayings() -> dict:
    """The key of the one instruction source."""
    return {"name": "dichos", "path": "dichos.jsonl", "license": "cc0-1.0"}


@pytest.fixture(scope="session")
def built(sayings: dict, laws: list[Law], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of both kinds, one law held out."""
    folder = tmp_path_factory.mktemp("built")
    splits = {"validation": 0.1, "test": 0.2}
    part = {"sources": [sayings], "fraction": 0.15}
    build(make_mixture(folder, splits=splits, laws={"hold_out": ["obras"]}, instructions=part), laws, folder / "out")
    return folder / "out"
