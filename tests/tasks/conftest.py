"""An invented law with one article of every kind, in two editions, and a second law beside it."""
# ruff: noqa: E501 - sentences of the invented law stay whole

from collections.abc import Sequence
from datetime import date

import pytest

from leylora.laws.law import Article, Division, Law, Numeral
from leylora.tasks import Shelf

PATH = (Division(kind="titulo", number="I", name="De los huertos"), Division(kind="capitulo", number="Primero"))

HAND_WRITTEN: list[tuple[str, str | None, str]] = [
    ("1", "Objeto", "Esta Ley regula los huertos vecinales y protege las semillas que se guardan en cada barrio."),
    ("2", "Huerto vecinal", "Se entiende por huerto vecinal el terreno que un barrio cultiva en común, sin fines de lucro."),
    ("3", "Plazo de inscripción", "El huerto se inscribirá en el plazo de treinta días contados desde la primera siembra. "
     "La municipalidad no cobrará tasa alguna por la inscripción."),
    ("4", "Recurso", "Contra la negativa se podrá apelar en el término de tres días hábiles, salvo que la negativa se deba "
     "a la falta de agua. La apelación la resolverá el concejo. El concejo oirá a las partes en audiencia pública y "
     "decidirá en la misma sesión, con los votos de la mayoría de sus integrantes presentes en la sala. La decisión del "
     "concejo se publicará en la cartelera del barrio y no requiere abogado. Quien apele podrá acompañar planos, fotografías y testimonios de las familias del huerto."),
    ("5", "Robo de semillas", "La persona que sustraiga semillas de un banco vecinal será sancionada con pena privativa de "
     "libertad de seis meses a dos años."),
    ("6", "Daño al huerto", "La persona que destruya un cultivo ajeno será sancionada con multa de dos a cuatro salarios "
     "básicos unificados del trabajador en general."),
    ("7", "Obligaciones", "Son obligaciones de quienes cultivan:\n1. Cuidar el agua y las acequias.\n2. Devolver las "
     "herramientas limpias.\n3. Guardar semillas para la siguiente siembra."),
    ("8", "Tasa de riego", ""),
    ("9", "Reposición", "Quien incumpla lo señalado en el artículo 7 repondrá lo perdido, sin perjuicio de lo dispuesto en "
     "el artículo anterior."),
    ("10", None, "Los animales del huerto serán atendidos por turnos que aprobará la asamblea cada lunes de luna nueva."),
    ("10.1", "Abejas", "Las colmenas se instalarán a una distancia mínima de cien metros de las viviendas habitadas."),
    ("11", "Período", "La directiva durará dos años en sus funciones y podrá ser reelegida hasta por un período más."),
    ("12", "Fondo", "El fondo del huerto recibirá el diez por ciento de las ventas y se usará en semillas y herramientas."),
]  # fmt: skip
CROPS = [
    "maíz",
    "papa",
    "quinua",
    "haba",
    "melloco",
    "oca",
    "zambo",
    "tomate",
    "ají",
    "fréjol",
    "chocho",
    "mashua",
    "camote",
    "yuca",
    "arroz",
    "cacao",
    "café",
    "naranja",
]
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
            "law_id": law_id, "kind": "articulo", "number": number, "rubric": rubric, "body": body,
            "status": status or ("vigente" if body else "derogado"), "path": PATH, "numerals": numerals,
        }
    )  # fmt: skip


def law(law_id: str, name: str, siglas: str, edition: str, articles: Sequence[Article]) -> Law:
    """A law made of ``articles``."""
    return Law(
        id=law_id, name=name, siglas=siglas, aliases=(), registro_oficial="Registro Oficial 1",
        published=date(2019, 1, 1), last_reform=date.fromisoformat(edition), layout="none", pages=1,
        source_sha256=edition.replace("-", "") * 8, articles=tuple(articles), provisions=(), audit={},
    )  # fmt: skip


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
def shelf(laws: list[Law]) -> Shelf:
    return Shelf(laws)
