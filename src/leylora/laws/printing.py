"""Print a structured law as the publishers of Ecuadorian law print theirs, to test the parser and to show it.

The input is a `PrintedLaw`, readable from YAML:

    name: Ley de Muestra de las Bibliotecas Barriales
    siglas: LMBB                        # optional
    aliases: [Ley de Bibliotecas]       # optional
    registro_oficial: Registro Oficial Suplemento 901     # optional
    published: 2019-03-04               # optional, ISO dates
    last_reform: 2024-08-15             # optional
    divisions:
      - kind: titulo                    # libro, titulo, capitulo, seccion, paragrafo
        number: I                       # as printed: I, PRIMERO, 1o.
        name: Normas generales
        articles:
          - number: "1"                 # "1", "30.1" or "..." for an unnumbered article
            rubric: Objeto              # optional
            body: |                     # a paragraph a line or separated by blank lines; numerals are paragraphs
              Esta ley regula las bibliotecas de barrio:

              1. El préstamo de libros.

              2. La lectura en voz alta:

              a) En la plaza; y,

              b) En la escuela.
            notes: ["Artículo sustituido por artículo 4 de Ley No. 0, publicada en Registro Oficial ..."]
            concordances: ["CONSTITUCIÓN DE LA REPÚBLICA DEL ECUADOR, Arts. 3, 26"]
            case_law: ["Gaceta Judicial, DEVOLUCION TARDIA, 02-mar-1999"]
            reform_mark: "Sustituido por el Art. 4 de la Ley s/n, R.O. 901-S, 4-III-2019"   # FielWeb's way
          - {number: "2", rubric: Tasa, body: "", repealed: true, notes: [Artículo derogado por ...]}
        divisions: []                   # nested: capítulos inside a título, and so on
    articles: []                        # articles that stand before any division
    provisions:
      - {kind: transitoria, number: 1, body: "En el plazo de noventa días ..."}
        # general, transitoria, reformatoria, derogatoria, final
    traps: []                           # what makes real files hard to read, see Trap

``print_law(law, layout, path)`` writes the PDF. Needs the extra ``demo`` (fpdf2).
"""

from datetime import date
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_text
from leylora.laws.law import DivisionKind

Layout = Literal["lexis", "lexis-finder", "esilec", "fielweb"]
Trap = Literal[
    "number-after-text",  # the bold number of a heading is drawn after the text beside it
    "glued-watermark",  # a watermark is drawn right after the last word of a page
    "soft-hyphens",  # U+00AD stands for the dash of headings and numerals
    "hard-spaces",  # U+00A0 stands for every space
    "broken-words",  # words are broken at line ends
    "index",  # an index of titles and articles comes first
    "quoted-article",  # a note quotes an article of another law
    "second-version",  # a note is followed by the article in another wording
    "reform-annex",  # a final provision sets out articles of another law
    "out-of-order",  # the last article is printed before the one that precedes it
    "two-columns",  # left column, then right
    "interleaved-columns",  # left and right column line by line: unreadable
    "scanned",  # pages are pictures
    "encrypted",  # the file asks for a password
]
ProvisionKind = Literal["general", "transitoria", "reformatoria", "derogatoria", "final"]


class _Printed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrintedArticle(_Printed):
    """An article as it is to appear; see the module's docstring for what each field looks like."""

    number: str
    rubric: str | None = None
    body: str = ""
    notes: tuple[str, ...] = ()
    concordances: tuple[str, ...] = ()
    case_law: tuple[str, ...] = ()
    reform_mark: str | None = None
    repealed: bool = False


class PrintedDivision(_Printed):
    """A Libro, Título, Capítulo, Sección or Parágrafo with its articles and the divisions inside it."""

    kind: DivisionKind
    number: str
    name: str = ""
    articles: tuple[PrintedArticle, ...] = ()
    divisions: tuple["PrintedDivision", ...] = ()


class PrintedProvision(_Printed):
    """A final provision; ``number`` counts within its kind."""

    kind: ProvisionKind
    number: int = Field(ge=1, le=99)
    body: str


class PrintedLaw(_Printed):
    """A whole law; see the module's docstring for an example in YAML."""

    name: str
    siglas: str = ""
    aliases: tuple[str, ...] = ()
    registro_oficial: str = ""
    published: date | None = None
    last_reform: date | None = None
    articles: tuple[PrintedArticle, ...] = ()
    divisions: tuple[PrintedDivision, ...] = ()
    provisions: tuple[PrintedProvision, ...] = ()
    traps: tuple[Trap, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "PrintedLaw":
        """Read a law from YAML. Raises LeyloraError, naming the key, when it is not as described above."""
        try:
            return cls.model_validate(yaml.safe_load(read_text(path)))
        except yaml.YAMLError as error:
            raise LeyloraError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise LeyloraError(
                f"{path}, key {where}: {fault['msg']}; see leylora.laws.printing for the keys."
            ) from None


def print_law(law: PrintedLaw, layout: Layout, path: Path) -> None:
    """Write ``law`` to ``path`` as a PDF in the manner of ``layout``, with its traps.

    Raises:
        LeyloraError: fpdf2 is not installed.
    """
    from leylora.laws.press import press
    from leylora.laws.typesetting import typeset

    press(typeset(law, layout), law, layout, path)
