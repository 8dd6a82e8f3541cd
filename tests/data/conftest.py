"""Invented laws: one with an article of every kind in two editions, a second one, two of a plain pattern; a mixture."""
# ruff: noqa: E501 - sentences of the invented law stay whole

import functools
import json
import random
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest
import yaml

from leylora.data.build import build
from leylora.data.mixture import Mixture
from leylora.data.verify import CitableLaws
from leylora.laws.law import Article, Division, Law, Numeral

PATH = (Division(kind="titulo", number="I", name="De los huertos"), Division(kind="capitulo", number="Primero"))

HAND_WRITTEN: list[tuple[str, str | None, str]] = [
    ("1", "Objeto", "Esta Ley regula los huertos vecinales y protege las semillas que se guardan en cada barrio."),
    (
        "2",
        "Huerto vecinal",
        "Se entiende por huerto vecinal el terreno que un barrio cultiva en común, sin fines de lucro.",
    ),
    (
        "3",
        "Plazo de inscripción",
        "El huerto se inscribirá en el plazo de treinta días contados desde la primera siembra. "
        "La municipalidad no cobrará tasa alguna por la inscripción.",
    ),
    (
        "4",
        "Recurso",
        "Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa se deba "
        "a la falta de agua. La apelación la resolverá el concejo. El concejo oirá a las partes en audiencia pública y "
        "decidirá en la misma sesión, con los votos de la mayoría de sus integrantes presentes en la sala. La decisión del "
        "concejo se publicará en la cartelera del barrio y no requiere abogado. Quien apele podrá acompañar planos, fotografías y testimonios de las familias del huerto.",
    ),
    (
        "5",
        "Robo de semillas",
        "La persona que sustraiga semillas de un banco vecinal será sancionada con pena privativa de "
        "libertad de seis meses a dos años.",
    ),
    (
        "6",
        "Daño al huerto",
        "La persona que destruya un cultivo ajeno será sancionada con multa de dos a cuatro salarios "
        "básicos unificados del trabajador en general.",
    ),
    (
        "7",
        "Obligaciones",
        "Son obligaciones de quienes cultivan:\n1. Cuidar el agua y las acequias.\n2. Devolver las "
        "herramientas limpias.\n3. Guardar semillas para la siguiente siembra.",
    ),
    ("8", "Tasa de riego", ""),
    (
        "9",
        "Reposición",
        "Quien incumpla lo señalado en el artículo 7 repondrá lo perdido, sin perjuicio de lo dispuesto en "
        "el artículo anterior.",
    ),
    (
        "10",
        None,
        "Los animales del huerto serán atendidos por turnos que aprobará la asamblea cada lunes de luna nueva.",
    ),
    ("10.1", "Abejas", "Las colmenas se instalarán a una distancia mínima de cien metros de las viviendas habitadas."),
    ("11", "Período", "La directiva durará dos años en sus funciones y podrá ser reelegida hasta por un período más."),
    (
        "12",
        "Fondo",
        "El fondo del huerto recibirá el diez por ciento de las ventas y se usará en semillas y herramientas.",
    ),
]
CROPS = "maíz papa quinua haba melloco oca zambo tomate ají fréjol chocho mashua camote yuca arroz cacao café naranja".split()  # noqa: SIM905
DAYS = ["cinco", "ocho", "diez", "doce", "quince", "veinte", "treinta", "cuarenta", "sesenta", "noventa"]


def article(number: str, rubric: str | None, body: str, status: str | None = None, law_id: str = "huertos") -> Article:
    """An article in force (repealed when it has no body), its numbered lines read as numerals."""
    numerals = tuple(
        Numeral(label=line.split(".")[0], text=line.split(". ", 1)[1])
        for line in body.split("\n")
        if line[:1].isdigit()
    )
    return Article.model_validate(
        {
            "law_id": law_id,
            "kind": "articulo",
            "number": number,
            "rubric": rubric,
            "body": body,
            "status": status or ("vigente" if body else "derogado"),
            "path": PATH,
            "numerals": numerals,
        }
    )


def law(law_id: str, name: str, siglas: str, edition: str, articles: Sequence[Article]) -> Law:
    """A law made of ``articles``."""
    return Law(
        id=law_id,
        name=name,
        siglas=siglas,
        aliases=(),
        registro_oficial="Registro Oficial 1",
        published=date(2019, 1, 1),
        last_reform=date.fromisoformat(edition),
        layout="none",
        pages=1,
        source_sha256=edition.replace("-", "") * 8,
        articles=tuple(articles),
        provisions=(),
        audit={},
    )


def huertos(edition: str = "2024-05-06", days: str = "treinta") -> Law:
    """The invented law: the hand-written articles, then one on each crop."""
    rows = [article(number, rubric, body.replace("treinta", days)) for number, rubric, body in HAND_WRITTEN]
    rows.append(
        article("12-innumerado-1", "Trueque", "El trueque de semillas entre huertos vecinales no paga impuestos.")
    )
    for at, crop in enumerate(CROPS):
        term = DAYS[at % len(DAYS)]
        body = (
            f"La siembra de {crop} se hará en el plazo de {term} días desde la primera lluvia y se anotará en el libro. "
            f"La cosecha de {crop} se repartirá entre las familias, salvo que la asamblea decida venderla en la feria."
        )
        rows.append(article(str(13 + at), f"Siembra de {crop}", body))
    rows.append(article("31", "Disputado", "El texto de esta regla tiene dos versiones impresas.", status="dudoso"))
    return law("huertos", "Ley de Huertos Vecinales", "LHV", edition, rows)


def ferias() -> Law:
    """A second law, to ask the wrong one."""
    things = [f"{thing} {kind}" for thing in ("pan", "queso", "ropa") for kind in ("nuevo", "dulce", "barato", "local")]
    rows = [
        article(
            str(at), f"Puesto de {thing}", f"El puesto de {thing} pagará {term} dólares por semana.", law_id="ferias"
        )
        for at, (thing, term) in enumerate(zip(things * 2, DAYS * 3, strict=False), start=1)
        if at <= len(things) or thing.startswith("pan")
    ] + [
        article(str(40 + at), f"Feria de {day}", f"La feria de {day} abrirá al alba.", law_id="ferias")
        for at, day in enumerate(DAYS)
    ]
    return law("ferias", "Código de Ferias Libres", "CFL", "2021-02-03", rows)


@pytest.fixture(scope="session")
def muestra() -> Law:
    return huertos()


@pytest.fixture(scope="session")
def laws() -> list[Law]:
    """The invented law, its earlier edition (article 3 said sixty days), and the second law."""
    return [huertos(), huertos("2020-01-02", "sesenta"), ferias()]


@pytest.fixture(scope="session")
def shelf(laws: list[Law]) -> CitableLaws:
    return CitableLaws(laws)


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
    return law(law_id, name, "", "2022-03-04", rows)


@pytest.fixture(scope="session")
def plain_laws() -> list[Law]:
    """Two laws of one plain pattern."""
    return [make_law("aguas", "Ley de Aguas de Barrio", 100), make_law("obras", "Código de Obras Menores", 40)]


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def make_mixture(folder: Path, **keys: object) -> Mixture:
    """Write 110 rows of chance words as ``dichos.jsonl`` and a mixture of ``keys`` next to it; load the mixture."""
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
def built(sayings: dict, plain_laws: list[Law], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of both kinds, one law held out."""
    folder = tmp_path_factory.mktemp("built")
    splits = {"validation": 0.1, "test": 0.2}
    part = {"sources": [sayings], "fraction": 0.15}
    build(
        make_mixture(folder, splits=splits, laws={"hold_out": ["obras"]}, instructions=part), plain_laws, folder / "out"
    )
    return folder / "out"
