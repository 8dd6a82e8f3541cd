"""Any law we can invent, printed by any publisher and parsed, gives the same articles back."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leylora.laws.parse import parse_file

from .pdf_printer import (
    Layout,
    PrintedArticle,
    PrintedDivision,
    PrintedLaw,
    PrintedProvision,
    Trap,
    print_law,
)

WORDS = """
la biblioteca el barrio una lectora quien preste devolverá cada tarde sin costo alguno mediante registro público
otro libro mapas de plazos bajo cuidado común según criterio del consejo para las niñas y los jóvenes año señal
""".split()  # noqa: SIM905
TRAPS: tuple[Trap, ...] = (
    "number-after-text",
    "glued-watermark",
    "soft-hyphens",
    "hard-spaces",
    "index",
    "reform-annex",
)

word = st.sampled_from(WORDS)
phrase = st.lists(word, min_size=2, max_size=6).map(lambda words: " ".join(words).capitalize())
sentence = st.lists(word, min_size=3, max_size=40).map(lambda words: " ".join(words).capitalize() + ".")
inciso = st.lists(sentence, min_size=1, max_size=3).map(" ".join)


@st.composite
def bodies(draw: st.DrawFn) -> str:
    paragraphs = draw(st.lists(inciso, min_size=1, max_size=3))
    if draw(st.booleans()):
        items = draw(st.lists(sentence, min_size=2, max_size=4))
        paragraphs += [draw(phrase) + ":", *(f"{number}. {item}" for number, item in enumerate(items, 1))]
    return "\n".join(paragraphs)


@st.composite
def laws(draw: st.DrawFn) -> PrintedLaw:
    with_rubrics = draw(st.booleans())
    number, decimal = 0, 0
    divisions = []
    for title in range(draw(st.integers(1, 3))):
        articles = []
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(["next"] * 5 + ["decimal", "unnumbered"])) if number else "next"
            if kind == "next":
                number, decimal = number + 1, 0
            elif kind == "decimal":
                decimal += 1
            label = {"next": str(number), "decimal": f"{number}.{decimal}", "unnumbered": "..."}[kind]
            repealed = draw(st.integers(0, 9)) == 0
            articles.append(
                PrintedArticle(
                    number=label,
                    rubric=draw(phrase) if with_rubrics else None,
                    body="" if repealed else draw(bodies()),
                    repealed=repealed,
                    notes=() if repealed else draw(st.sampled_from([(), ("Artículo agregado por Ley No. 0 .",)])),
                    concordances=draw(st.sampled_from([(), ("LEY DE MAPAS, Arts. 3, 26",)])),
                )
            )
        divisions.append(
            PrintedDivision(
                kind="titulo", number=("I", "II", "III")[title], name=draw(phrase), articles=tuple(articles)
            )
        )
    transitory = draw(st.lists(sentence, max_size=2))
    return PrintedLaw(
        name="Ley de " + draw(phrase),
        divisions=tuple(divisions),
        provisions=tuple(
            PrintedProvision(kind="transitoria", number=number, body=text) for number, text in enumerate(transitory, 1)
        ),
        traps=tuple(draw(st.sets(st.sampled_from(TRAPS), max_size=3))),
    )


def expected_numbers(law: PrintedLaw) -> Iterator[str]:
    base, count = "0", 0
    for division in law.divisions:
        for article in division.articles:
            if article.number == "...":
                count += 1
                yield f"{base}-innumerado-{count}"
            else:
                base, count = article.number, 0
                yield base


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(laws(), st.sampled_from(get_args(Layout)))
def test_the_articles_come_back(law: PrintedLaw, layout: Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ley.pdf"
        print_law(law, layout, file)
        parsed = parse_file(file)
    assert [article.number for article in parsed] == list(expected_numbers(law))
    originals = [(division, article) for division in law.divisions for article in division.articles]
    for (division, original), found in zip(originals, parsed, strict=True):
        assert found.rubric == original.rubric
        assert found.body.split() == original.body.split()
        assert found.status == ("derogado" if original.repealed else "vigente")
        assert found.concordances == original.concordances
        assert [(step.number, step.name.lower()) for step in found.path] == [(division.number, division.name.lower())]
        assert len(found.numerals) == sum(line[:1].isdigit() for line in original.body.split("\n"))
    provisions = [found for found in parsed.provisions if found.number.startswith("transitoria")]
    assert [found.body.split() for found in provisions] == [one.body.split() for one in law.provisions]
