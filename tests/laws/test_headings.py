"""Which lines open an article: the traps real files set, one test each."""

import pytest

from leylora.grounding.citations import ordinal, roman
from leylora.laws.headings import Headings, choose_headings, find_candidates

from .pdf_printer import feminine_ordinal


def choose(text: str, zones: list[tuple[int, bool]] | None = None) -> Headings:
    lines = text.strip().split("\n")
    candidates, refused = find_candidates(lines)
    return choose_headings(candidates, refused, len(lines), zones or [])


def numbers(text: str, zones: list[tuple[int, bool]] | None = None) -> list[str]:
    return [heading.number for heading in choose(text, zones).accepted]


def reasons(text: str) -> list[tuple[str, str]]:
    return [(refusal.number, refusal.reason) for refusal in choose(text).refused]


FORMS = """
Art. {}.- Texto|Art. {}.-Texto|Art. {} .- Texto|Art {}.- Texto|ART. {}.- Texto|ARTÍCULO {}.- Texto|Artículo {}.- Texto
Artículo {}. Texto|Artículo {}|Artículo {}º.- Texto|Art. {}o.- Texto|Art. {}.– Texto|Artículo {}: Texto
"""


@pytest.mark.parametrize("form", FORMS.strip().replace("\n", "|").split("|"))
def test_the_forms_publishers_use(form: str) -> None:
    assert numbers("\n".join(form.format(n) for n in range(1, 8))) == [str(n) for n in range(1, 8)]


def test_decimals_letters_and_latin() -> None:
    text = "Art. 1.- a\nArt. 1.1.- b\nArt. 1.10.- c\nArt. 2.- d\nArt. 2A.- e\nArt. 2-B.- f\nArt. 3 bis.- g\nArt. 4.- h"
    assert numbers(text) == ["1", "1.1", "1.10", "2", "2A", "2B", "3-bis", "4"]


def test_a_single_article_and_ordinal_words() -> None:
    assert numbers("Artículo Único.- Apruébase el plan.") == ["único"]
    assert numbers("Artículo Primero.- Uno\nArtículo Segundo.- Dos\nArtículo Décimo Primero.- Once") == ["1", "2", "11"]


def test_unnumbered_articles_are_counted_after_the_one_they_follow() -> None:
    text = (
        "Art. 1.- a\nArt. ... (1).- b\nArt. ... (2).- c\nArt. ... (1).- d\n"
        "Art. 2.- e\nArt. (...).- f\nArt. …  .- g\nArt ...- h"
    )
    expected = ["1", "1-innumerado-1", "1-innumerado-2", "1-innumerado-3"]
    assert numbers(text) == [*expected, "2", "2-innumerado-1", "2-innumerado-2", "2-innumerado-3"]


def test_references_wrapped_to_a_line_start_are_no_headings() -> None:
    text = "Art. 1.- Se aplica el\nArt. 24 de la Ley s/n, R.O. 234-S\ny el\nArt. 3.- de la misma ley.\nArt. 2.- Fin"
    assert numbers(text) == ["1", "2"]
    assert ("3", "reference to an article") in reasons(text)


def test_quoted_articles_are_refused() -> None:
    text = 'Art. 1.- a\n"Art. 2.- De otra ley."\nArt. 2.- b\nArt. 3.- c'
    assert numbers(text) == ["1", "2", "3"]
    assert reasons(text) == [("2", "quoted")]


def test_articles_quoted_without_marks_lose_against_the_count() -> None:
    text = "Art. 1.- a\nArt. 2.- b\nArt. 9.- ajeno\nArt. 10.- ajeno\nArt. 3.- c\nArt. 4.- d\nArt. 5.- e"
    assert numbers(text) == ["1", "2", "3", "4", "5"]
    assert {reason for _, reason in reasons(text)} == {"does not fit the count"}


def test_of_two_the_first_counts() -> None:
    headings = choose("Art. 1.- a\nArt. 2.- en vigor\nArt. 2.- otra redacción\nArt. 3.- c")
    assert [heading.rest for heading in headings.accepted] == ["a", "en vigor", "c"]
    assert headings.refused[0].reason == "number already taken"


def test_out_of_order_articles_come_back() -> None:
    text = "\n".join(f"Art. {n}.- x" for n in ("1", "2", "3", "30", "44", "45", "30.4", "30.5", "46", "47"))
    headings = choose(text)
    assert [heading.number for heading in headings.accepted][3:8] == ["30", "44", "45", "30.4", "30.5"]
    assert headings.out_of_order == ("30.4", "30.5") or headings.out_of_order == ("44", "45")


def test_an_index_at_the_front_is_left_out() -> None:
    index = "\n".join(f"Art. {n}.- Rubro" for n in range(1, 9))
    body = "\n".join(f"Art. {n}.- Rubro.- Texto\nque sigue\ny sigue\ny termina." for n in range(1, 9))
    headings = choose(f"{index}\n{body}")
    assert [heading.line for heading in headings.accepted] == list(range(8, 40, 4))
    assert numbers(f"Art. 1.- Uno ........ 3\nArt. 2.- Dos ........ 4\n{body}") == [str(n) for n in range(1, 9)]


def test_nothing_counts_after_the_final_provisions_unless_the_law_goes_on() -> None:
    law = "\n".join(f"Art. {n}.- x" for n in range(1, 6))
    text = f"{law}\nDISPOSICIONES REFORMATORIAS\nArt. 6.- de otro código\nArt. 7.- de otro código"
    assert numbers(text, [(5, False)]) == ["1", "2", "3", "4", "5"]
    assert numbers(text, [(5, True)]) == ["1", "2", "3", "4", "5", "6", "7"]


def test_far_numbers_at_the_end_are_another_law() -> None:
    text = "\n".join(f"Art. {n}.- x" for n in range(1, 7)) + "\nArt. 224.- ajeno"
    assert numbers(text) == [str(n) for n in range(1, 7)]


def test_far_numbers_after_a_declared_repeal_are_this_law() -> None:
    lines = [f"Art. {n}.- x" for n in (1, 2, 3, 4, 5, 60, 61)]
    candidates, refused = find_candidates(lines)
    found = choose_headings(candidates, refused, len(lines), (), range(6, 60))
    assert [heading.number for heading in found.accepted][-2:] == ["60", "61"]


def test_thousands_are_written_with_a_point_too() -> None:
    assert numbers("Art. 999.- x\nArt. 1.000.- x\nArt. 1.001.- x\nArt. 1001.1.- x") == ["999", "1000", "1001", "1001.1"]


def test_lines_without_a_dash_only_fill_gaps() -> None:
    text = "\n".join(f"Art. {n}.- x" for n in (1, 2, 3, 5, 6, 7))
    assert "4" in numbers(text.replace("Art. 5.-", "Art. 4. sin guion\nArt. 5.-"))
    assert numbers(text.replace("Art. 6.-", "Art. 99. referencia\nArt. 6.-")) == ["1", "2", "3", "5", "6", "7"]


@pytest.mark.parametrize("number", range(1, 60))
def test_ordinals_are_read_back(number: int) -> None:
    assert ordinal(feminine_ordinal(number)) == number
    assert ordinal(feminine_ordinal(number).upper()) == number


def test_ordinals_in_one_word_and_roman_numbers() -> None:
    words = {"UNDÉCIMA": 11, "DUODECIMA": 12, "Decimotercera": 13, "DECIMOCTAVA": 18, "DÉCIMO SÉPTIMA": 17, "única": 1}
    assert {word: ordinal(word) for word in words} == words
    assert ordinal("Disposición") is None
    assert ordinal("primera décima") is None
    assert [roman(text) for text in ("XIV", "IX", "IIII", "", "Z")] == [14, 9, None, None, None]
