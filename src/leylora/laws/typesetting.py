"""A structured law as the lines a publisher would set, before they are drawn; the other half of `printing`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from leylora.grounding.ordinals import feminine_ordinal
from leylora.laws.printing import Layout, PrintedArticle, PrintedDivision, PrintedLaw
from leylora.text import fold

_MONTHS = "ene feb mar abr may jun jul ago sep oct nov dic".split()  # noqa: SIM905
_LONG_MONTHS = "Enero Febrero Marzo Abril Mayo Junio Julio Agosto Septiembre Octubre Noviembre Diciembre".split()  # noqa: SIM905
_ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()  # noqa: SIM905
_KINDS = {"libro": "Libro", "titulo": "Título", "capitulo": "Capítulo", "seccion": "Sección", "paragrafo": "Parágrafo"}
_PLURALS = {
    "general": "GENERALES", "transitoria": "TRANSITORIAS", "reformatoria": "REFORMATORIAS",
    "derogatoria": "DEROGATORIAS", "final": "FINALES",
}  # fmt: skip


@dataclass(frozen=True)
class Paragraph:
    """One paragraph to set; ``number`` is the part ("Art. 5") that some publishers draw in bold on its own."""

    text: str
    number: str = ""


def typeset(law: PrintedLaw, layout: Layout) -> list[Paragraph]:
    """The paragraphs of the whole document, front matter and traps included, page furniture excluded."""
    articles = [*law.articles, *(article for division in law.divisions for article in _all_articles(division))]
    paragraphs = [Paragraph(line) for line in _header(law, layout)]
    if "index" in law.traps:
        paragraphs += [Paragraph("ÍNDICE"), *(Paragraph(line) for line in _index(law, layout))]
        paragraphs += [
            Paragraph("Una comunidad que lee es una comunidad que conversa; por lo que se expide este texto.")
        ]
    body = list(_articles(law.articles, law, layout))
    for division in law.divisions:
        body += _division(division, law, layout)
    if "out-of-order" in law.traps and len(articles) > 4:
        body = _swap_last(body)
    return [*paragraphs, *body, *_provisions(law, layout)]


def printed_name(law: PrintedLaw, layout: Layout) -> str:
    """The title as the publisher prints it: capitals, in the older layouts without accents."""
    name = law.name.upper() if layout in ("lexis", "fielweb") else fold(law.name, keep_ñ=False).upper()
    return f"{name}, {law.siglas}" if layout == "lexis" and law.siglas else name


def _all_articles(division: PrintedDivision) -> Iterator[PrintedArticle]:
    yield from division.articles
    for inner in division.divisions:
        yield from _all_articles(inner)


def _header(law: PrintedLaw, layout: Layout) -> Iterator[str]:
    gazette, _, number = (law.registro_oficial or "Registro Oficial 1").rpartition(" ")
    published, reform = law.published, law.last_reform
    if layout == "lexis":
        yield "Este documento ha sido descargado con el único propósito de consulta."
        yield printed_name(law, layout)
        yield "Tipo norma: Ley Número de Norma: 0"
        yield f"Fecha de publicación: {published} Tipo publicación: {gazette}" if published else "Sin publicar"
        yield f"Estado: {'Reformado' if reform else 'Vigente'} Número de publicación: {number}"
        if reform:
            yield f"Fecha de última modificación: {reform}"
    elif layout == "fielweb":
        supplement = "Suplemento del " if gazette.endswith("Suplemento") else ""
        if published:
            day = f"{published.day} de {_LONG_MONTHS[published.month - 1]} {published.year}"
            yield f"{supplement}Registro Oficial No. {number} , {day}"
        yield "Normativa: Vigente"
        if reform:
            yield f"Última Reforma: Suplemento del Registro Oficial 900, {_roman_date(reform)}"
        yield printed_name(law, layout)
    else:
        yield printed_name(law, layout)
        yield "Ley 0"
        if published:
            yield f"{gazette} {number} de {_short_date(published)}"
        if reform:
            yield f"Ultima modificación: {_short_date(reform)}"
        yield f"Estado: {'Reformado' if reform else 'Vigente'}"
    yield "EL PLENO DE LA ASAMBLEA VECINAL"
    yield "Considerando:"
    yield "Que, leer en común es un derecho, según el Art. 5 de la Carta de los Barrios, y conviene ordenarlo;"
    yield "En ejercicio de sus facultades, expide la siguiente:"


def _short_date(day: date) -> str:
    return f"{day.day:02}-{_MONTHS[day.month - 1]}.-{day.year}"


def _roman_date(day: date) -> str:
    return f"{day.day}-{_ROMAN[day.month - 1]}-{day.year}"


def _index(law: PrintedLaw, layout: Layout) -> Iterator[str]:
    for division in law.divisions:
        yield from (paragraph.text for paragraph in _division_title(division, layout))
        for inner in division.divisions:
            yield from (paragraph.text for paragraph in _division_title(inner, layout))
        for article in _all_articles(division):
            yield f"Art. {article.number}.- {article.rubric or 'Texto'} ........ 3"


def _division(division: PrintedDivision, law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    yield from _division_title(division, layout)
    yield from _articles(division.articles, law, layout)
    for inner in division.divisions:
        yield from _division(inner, law, layout)


def _division_title(division: PrintedDivision, layout: Layout) -> Iterator[Paragraph]:
    kind = _KINDS[division.kind]
    yield Paragraph(f"{kind.upper() if layout == 'lexis' or division.kind == 'titulo' else kind} {division.number}")
    if division.name:
        yield Paragraph(division.name.upper() if layout == "fielweb" else division.name)


def _articles(articles: tuple[PrintedArticle, ...], law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    unnumbered = 0
    for article in articles:
        unnumbered = unnumbered % 2 + 1 if article.number == "..." else 0  # the count some publishers let restart
        yield from _article(article, unnumbered, law, layout)


def _article(article: PrintedArticle, unnumbered: int, law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    number = f"Art. {article.number}"
    if unnumbered:
        number = f"Art. ... ({unnumbered})" if layout == "fielweb" else "Art. (...)"
    notes = list(article.notes)
    body = [] if article.repealed else [line for line in article.body.splitlines() if line.strip()]
    opening = f"{article.rubric}.- " if article.rubric else ""
    if article.repealed and not (notes or article.reform_mark):
        notes = [
            "Artículo derogado por artículo 1 de Ley No. 0, publicada en Registro Oficial 901 de 1 de Marzo del 2022 ."
        ]
    if layout == "fielweb":
        if article.repealed:
            reason = article.reform_mark or notes.pop(0).removeprefix("Artículo d").rstrip(" .")
            opening += f"({reason if reason.startswith('D') else 'D' + reason})."
        elif article.reform_mark:
            opening += f"({article.reform_mark}).- "
    elif article.reform_mark:
        notes.insert(0, f"Artículo {article.reform_mark[0].lower()}{article.reform_mark[1:]} .")
    yield Paragraph(f"{number}.- {opening}{body[0] if body else ''}".rstrip(), number)
    yield from (Paragraph(line) for line in body[1:])
    yield from _additions(article, number, notes, law, layout)


def _additions(
    article: PrintedArticle, number: str, notes: list[str], law: PrintedLaw, layout: Layout
) -> Iterator[Paragraph]:
    if "quoted-article" in law.traps and article.number == "2":
        yield Paragraph("Nota: La sentencia transcribe una norma ajena, según la cual:")
        yield Paragraph('"Art. 3.- Los faroles de la plaza se encenderán al anochecer.')
        yield Paragraph('Art. 4.- Los faroles se apagarán al amanecer."')
    for note in notes:
        if layout == "fielweb":
            yield Paragraph("Nota:")
        yield Paragraph(note if layout == "fielweb" else f"Nota: {note}")
    if "second-version" in law.traps and article.number == "1":
        yield Paragraph(
            "Nota: Por votación popular se aprobó sustituir este artículo, cuyo texto se describe a continuación."
        )
        yield Paragraph(f"{number}.- {article.rubric}.- Este texto es el de la votación popular." if article.rubric
                        else f"{number}.- Este texto es el de la votación popular.", number)  # fmt: skip
    small = layout == "lexis-finder"
    if article.concordances:
        yield Paragraph("Concordancias:" if small else "CONCORDANCIAS:")
        yield from map(Paragraph, article.concordances)
    if article.case_law:
        yield Paragraph("Jurisprudencia:" if small else "JURISPRUDENCIA:")
        yield from map(Paragraph, article.case_law)


def _swap_last(body: list[Paragraph]) -> list[Paragraph]:
    """Put the last but one article behind the one before it, whole: ... 8, 10, 9, 11."""
    starts = [index for index, paragraph in enumerate(body) if paragraph.number and "." not in paragraph.number[5:]]
    third, second, last = starts[-3], starts[-2], starts[-1]
    return [*body[:third], *body[second:last], *body[third:second], *body[last:]]


def _provisions(law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    for kind, group in groupby(law.provisions, key=lambda provision: provision.kind):
        provisions = list(group)
        if len(provisions) == 1 and provisions[0].number == 1:
            title = f"DISPOSICIÓN {kind.upper()}"
            lines = provisions[0].body.splitlines()
            if layout in ("lexis", "lexis-finder"):
                lines[0] = f"{title}.- {lines[0]}"
            else:
                yield Paragraph(title)
                lines[0] = f"ÚNICA.- {lines[0]}"
            yield from (Paragraph(line) for line in lines if line.strip())
            continue
        yield Paragraph(f"DISPOSICIONES {_PLURALS[kind]}")
        for provision in provisions:
            word = feminine_ordinal(provision.number)
            word = word.capitalize() if layout == "fielweb" else word.upper()
            lines = [line for line in provision.body.splitlines() if line.strip()]
            yield Paragraph(f"{word}{':' if layout == 'lexis' else '.-'} {lines[0]}")
            yield from map(Paragraph, lines[1:])
    if "reform-annex" in law.traps:
        yield Paragraph("DISPOSICIONES REFORMATORIAS")
        yield Paragraph("PRIMERA.- En la Ordenanza de Faroles agréguense los siguientes artículos:")
        yield from (
            Paragraph(f"Art. {number}.- Los faroles llevarán el número {number}.", f"Art. {number}")
            for number in range(90, 96)
        )


def with_dashes(paragraph: Paragraph, dash: str) -> Paragraph:
    """The paragraph with another character for the dash that ends numbers."""
    return replace(paragraph, text=paragraph.text.replace(".-", f".{dash}"))
