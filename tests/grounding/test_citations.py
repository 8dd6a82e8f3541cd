"""Citations: the ways people write them, the one way we do, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leylora.grounding.citations import Citation, CitationIndex, format_citation, parse_citations
from leylora.laws.catalog import catalog
from leylora.laws.law import Article, Law, Numeral


def law(law_id: str, name: str, siglas: str, numbers: list[str], aliases: tuple[str, ...] = ()) -> Law:
    item = Numeral(label="3", text="Tres.", literals=(Numeral(label="b", text="Be."),))
    articles = tuple(
        Article(
            law_id=law_id, kind="articulo", number=n, rubric=None, body="Texto.", status="vigente", numerals=(item,)
        )
        for n in numbers
    )
    return Law(law_id, name, siglas, aliases, "", None, None, "text", 1, "0" * 64, articles, (), {})


NUMBERS = [str(n) for n in range(1, 200)]
CRE = law("constitucion", "Constitución de la República del Ecuador", "CRE", NUMBERS, ("Constitución",))
COIP = law("coip", "Código Orgánico Integral Penal", "COIP", [*NUMBERS, "30.1", "208A", "12-bis"], ("Código Penal",))
CT = law("ct", "Código del Trabajo", "CT", [*NUMBERS, "152-innumerado-2"])
LAWS = [CRE, COIP, CT]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numeral 3 del artículo 76 de la Constitución", ("constitucion", "76", "3", None)),
        ("Art. 76.3 CRE", ("constitucion", "76", "3", None)),
        ("Art. 76.3.b CRE", ("constitucion", "76", "3", "b")),
        ("art 76 num 7 constitución", ("constitucion", "76", "7", None)),
        ("art. 140 COIP", ("coip", "140", None, None)),
        ("ART. 140 del código orgánico integral penal (COIP)", ("coip", "140", None, None)),
        ("Art. 30.1 COIP", ("coip", "30.1", None, None)),  # this law has such an article
        ("Art. 31.1 COIP", ("coip", "31", "1", None)),  # and no such one
        ("Art. 208A del COIP", ("coip", "208A", None, None)),
        ("artículo 208-a del COIP", ("coip", "208A", None, None)),
        ("artículo 12 bis del COIP", ("coip", "12-bis", None, None)),
        ("el COIP, en su artículo 140", ("coip", "140", None, None)),
        ("la Constitución, art. 88", ("constitucion", "88", None, None)),
        ("C.R.E., Art. 11", ("constitucion", "11", None, None)),
        ("literal b) del numeral 3 del artículo 66 de la Constitución", ("constitucion", "66", "3", "b")),
        ("artículo 66, numeral 3, literal b), de la Constitución", ("constitucion", "66", "3", "b")),
        ("numeral segundo del art. 11 de la Constitución", ("constitucion", "11", "2", None)),
        ("artículo 11, inciso segundo, de la Constitución", ("constitucion", "11", None, None)),
        ("(Art. 188, Código del Trabajo, ed. 2023-02-01)", ("ct", "188", None, None)),
        (
            "Art. innumerado 2 agregado a continuación del Art. 152, Código del Trabajo",
            ("ct", "152-innumerado-2", None, None),
        ),
        (
            "segundo artículo innumerado agregado después del artículo 152 del Código del Trabajo",
            ("ct", "152-innumerado-2", None, None),
        ),
        ("artículo 7", (None, "7", None, None)),
        ("artículo único", (None, "único", None, None)),
    ],
)
def test_reads_the_ways_people_write(text: str, expected: tuple[str | None, str, str | None, str | None]) -> None:
    found = parse_citations(f"Según {text}; y así.", LAWS)
    assert [(one.law_id, one.article, one.numeral, one.literal) for one in found] == [expected]


def test_lists_and_ranges_give_one_citation_each() -> None:
    assert [c.article for c in parse_citations("artículos 76 y 77 del COIP", LAWS)] == ["76", "77"]
    assert [c.article for c in parse_citations("arts. 5, 6 y 8 del COIP", LAWS)] == ["5", "6", "8"]
    assert [c.article for c in parse_citations("artículos 10 al 12 del COIP", LAWS)] == ["10", "11", "12"]
    assert {c.law_id for c in parse_citations("arts. 5, 6 y 8 del COIP", LAWS)} == {"coip"}


def test_each_citation_keeps_its_own_law_and_place() -> None:
    text = "Véanse el art. 11 de la Constitución y el artículo 5 del COIP."
    first, second = parse_citations(text, LAWS)
    assert (first.law_id, second.law_id) == ("constitucion", "coip")
    assert text[slice(*first.span)] == "art. 11 de la Constitución"
    assert text[slice(*second.span)] == "artículo 5 del COIP"


def test_a_law_we_do_not_know_is_named_not_guessed() -> None:
    (found,) = parse_citations("el artículo 5 de la Ley de Aguas", LAWS)
    assert found == Citation(None, "5", None, None, (3, 32), law_text="Ley de Aguas")
    assert CitationIndex.of([COIP]).find(found) is None


def test_the_index_finds_what_a_citation_names() -> None:
    index = CitationIndex.of(LAWS, catalog())
    (bare,) = parse_citations("el artículo 5 dispone", LAWS)
    assert index.find(bare) is None, "no law is named"
    (found,) = parse_citations("art. 30.1 del Código Penal", index.known)
    article = index.find(found)
    assert article is not None
    assert (article.law.id, article.number, article.citation) == ("coip", "30.1", COIP.cite("30.1"))
    assert [law.id for law in index.known].count("coip") == 1, "the catalogue has it too"
    (absent,) = parse_citations("art. 14 de la Ley de Tránsito", index.known)
    law = index.law(absent)
    assert law is not None
    assert not law.numbers
    assert index.find(absent) is None


def test_only_the_canonical_words_name_an_article_or_its_part() -> None:
    index = CitationIndex.of(LAWS)
    for number, part in (("76", ""), ("76", "3"), ("76", "3.b"), ("152-innumerado-2", "")):
        law = CT if "-" in number else CRE
        words = format_citation(law, number, *part.split(".")) if part else law.cite(number)
        found = index.canonical(words)
        assert found is not None
        assert (found[0].law.id, found[0].number, found[1]) == (law.id, number, part)
    for words in (
        "Art. 76 CRE",
        f"{CRE.cite('76')} ",
        CRE.cite("76").replace("s. f.", "2020-01-01"),
        "Art. 76, num. 9, CRE",
    ):
        found = index.canonical(words)
        assert (found is None) == (words.strip() != CRE.cite("76")), words


def test_what_is_no_citation_is_left_alone() -> None:
    assert parse_citations("Partió 76 panes, 3 por persona; véase la parte 5 y los artículos de aseo.", LAWS) == []


def test_the_canonical_form() -> None:
    assert format_citation(CT, "188") == "Art. 188, Código del Trabajo, ed. s. f."
    assert format_citation(CRE, "76", "3") == "Art. 76, num. 3, Constitución de la República del Ecuador, ed. s. f."
    assert format_citation(CRE, "76", 3, "b", long=True) == (
        "literal b) del numeral 3 del artículo 76 de la Constitución de la República del Ecuador"
    )
    assert COIP.cite("30.1") == "Art. 30.1, Código Orgánico Integral Penal, ed. s. f."


@given(
    st.sampled_from(LAWS).flatmap(
        lambda law: st.tuples(st.just(law), st.sampled_from([article.number for article in law]))
    ),
    st.one_of(st.none(), st.integers(1, 40).map(str)),
    st.one_of(st.none(), st.sampled_from("abcdeg")),
    st.booleans(),
)
def test_what_we_write_we_read_back(
    which: tuple[Law, str], numeral: str | None, literal: str | None, long: bool
) -> None:
    law, number = which
    literal = literal if numeral else None
    text = format_citation(law, number, numeral, literal, long=long)
    (found,) = parse_citations(f"Así lo manda ({text}).", LAWS)
    assert (found.law_id, found.article, found.numeral, found.literal) == (law.id, number, numeral, literal)


def test_the_catalogue_is_enough_to_recognise_laws() -> None:
    (found,) = parse_citations("art. 14 de la Ley de Tránsito", catalog())
    assert found.law_id == "lotttsv"


@given(st.text(max_size=300))
def test_any_text_can_be_searched(text: str) -> None:
    for found in parse_citations(text, LAWS):
        assert 0 <= found.span[0] < found.span[1] <= len(text)


@pytest.mark.parametrize(
    "link", ["y el Art. 2", "y los arts. 2", "o el artículo 2", "y en el art 2", "con el artículo 2"]
)
def test_a_law_we_do_not_know_does_not_swallow_the_next_citation(link: str) -> None:
    found = parse_citations(f"El artículo 5 de la Ley de Aguas y Riego {link} de la Constitución lo dicen.", [CRE])
    assert [(citation.article, citation.law_id) for citation in found] == [("5", None), ("2", CRE.id)]
    assert found[0].law_text == "Ley de Aguas y Riego"
