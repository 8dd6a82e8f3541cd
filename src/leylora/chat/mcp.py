"""The laws for any chat program that speaks MCP: search, one article, a text checked, what changed between editions.

    leylora mcp --laws data/build/laws            # over standard input and output, as these programs start it

Nothing is written and nothing is fetched. Tools answer with objects; a request that cannot be met is a sentence in
Spanish with what to do, which the program hands to its model.
"""

from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from leylora import __version__
from leylora.chat.document import LONGEST, Document, as_json, check_document
from leylora.errors import LeyloraError
from leylora.files import read_json_object
from leylora.grounding.citations import Citation, IndexedArticle, IndexedLaw
from leylora.grounding.index import default_laws, law_folders, open_laws
from leylora.grounding.search import LawIndex, read_query
from leylora.laws.catalog import age_notes, catalog
from leylora.laws.diff import compare, shortened, word_diff
from leylora.laws.law import Law
from leylora.models.embedding import attach
from leylora.text import fold

ABOUT = (
    "Leyes del Ecuador en el texto exacto que está en esta máquina. Busca con buscar_leyes, lee el artículo entero con "
    "articulo antes de citarlo, y pasa tu respuesta por verificar_texto: si una afirmación no consta, corrígela. Cita "
    "siempre artículo, ley y edición, y di el aviso de un artículo si lo tiene."
)
MOST = 20  # articles a search gives at most


def server(folder: Path | None) -> MCPServer:
    """The server over the parsed laws of a folder.

    Raises:
        LeyloraError: the folder holds no parsed law.
    """
    index = open_laws(folder, catalog())
    attach(index)
    mcp = MCPServer("leylora", instructions=ABOUT, version=__version__, log_level="WARNING")

    @mcp.tool()
    def buscar_leyes(pregunta: str, cuantos: int = 5) -> dict[str, Any]:
        """Busca los artículos que tratan de una pregunta: por sus palabras, por número o por el nombre de la ley.

        Args:
            pregunta: como "plazo para apelar", "COIP 140" o "art 76 num 7 constitución".
            cuantos: cuántos artículos, de 1 a 20.
        """
        if not pregunta.strip():
            raise ToolError('Diga qué buscar, por ejemplo "plazo para apelar" o "COIP 140".')
        hits = index.search(pregunta, max(1, min(cuantos, MOST)))
        absent = [law.name for law in index.absent(pregunta)]
        return {"articulos": [_article(hit.article) for hit in hits], "leyes_que_no_estan": absent}

    @mcp.tool()
    def articulo(ley: str, numero: str, edicion: str = "") -> dict[str, Any]:
        """El texto entero de un artículo, con su edición y su estado.

        Args:
            ley: nombre, siglas o alias: "COIP", "Código Civil", "Constitución".
            numero: como "140", "195.1" o "43-innumerado-1".
            edicion: fecha ISO de una edición que esté aquí; sin ella, la más nueva.
        """
        law = _law(index, ley, edicion)
        found = index.find(Citation(law.id, numero.strip(), None, None, (0, 0), edition=law.edition))
        if found is None:
            raise ToolError(f"{law.name}, ed. {law.edition or 's. f.'}, no tiene artículo {numero}.")
        return _article(found)

    @mcp.tool()
    def verificar_texto(texto: str) -> dict[str, Any]:
        """Compara cada cita y cada afirmación de un texto con el texto de las leyes.

        Da por afirmación: verdict (supported, contradicted, unsupported, nonexistent, repealed, struck, unclear,
        uncheckable), why (por qué, en una frase), against (la parte de la ley) y citations.
        """
        if not texto.strip():
            raise ToolError("El texto está vacío; mande el texto que hay que comprobar.")
        if len(texto) > LONGEST:
            raise ToolError(f"El texto pasa de {LONGEST:,} caracteres; mándelo por partes.")
        return as_json(check_document(Document("texto", texto), index))

    @mcp.tool()
    def que_cambio(ley: str, antes: str, despues: str) -> dict[str, Any]:
        """Qué artículos se agregaron, derogaron y reformaron entre dos ediciones de una ley que están aquí.

        Args:
            ley: nombre, siglas o alias.
            antes: fecha ISO de la edición anterior.
            despues: fecha ISO de la posterior.
        """
        old, new = (_edition(folder, index, ley, day) for day in (antes, despues))
        changes = compare(old, new)
        marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
        reformed = [
            {
                "articulo": after.number,
                "cambios": " ".join(
                    marks[run.kind].format(run.text) for run in shortened(word_diff(before.text, after.text))
                ),
            }
            for before, after in changes.reformed
        ]
        return {
            "ley": new.name,
            "antes": old.edition,
            "despues": new.edition,
            "agregados": [one.number for one in changes.added],
            "derogados": [one.number for one in changes.repealed],
            "reformados": reformed,
            "sin_cambio": changes.unchanged,
        }

    return mcp


def _article(article: IndexedArticle) -> dict[str, Any]:
    return {
        "ley": article.law.name,
        "law_id": article.law.id,
        "edicion": article.law.edition or None,
        "articulo": article.number,
        "titulo": article.rubric or None,
        "ubicacion": article.path or None,
        "estado": article.status,
        "aviso": " ".join(age_notes([article.law])) or None,
        "texto": article.body,
        "cita": article.citation,
        "inconstitucional": [article.body[first:last] for first, last in article.struck],
    }


def _law(index: LawIndex, name: str, edition: str = "") -> IndexedLaw:
    asked = read_query(name, index.known).law_ids
    named = [law for law in index.laws if law.id in asked or fold(law.id) == fold(name.strip())]
    if not named:
        here = "; ".join(f"{law.siglas or law.name} ({law.edition or 's. f.'})" for law in index.laws)
        raise ToolError(f"No tengo «{name}». Las leyes que están aquí: {here}.")
    same = [law for law in index.laws if law.name == named[0].name]
    wanted = [law for law in same if law.edition == edition] if edition else same
    if not wanted:
        days = ", ".join(law.edition or "s. f." for law in same)
        raise ToolError(f"De {named[0].name} no tengo la edición {edition}; tengo: {days}.")
    return wanted[0]


def _edition(folder: Path | None, index: LawIndex, name: str, day: str) -> Law:
    law = _law(index, name, day)
    for one in law_folders(folder or default_laws()):
        facts = read_json_object(one / "law.json")
        if facts.get("name") == law.name and (facts.get("edition") or "") == law.edition:
            try:
                return Law.load(one)
            except LeyloraError as error:
                raise ToolError(str(error)) from None
    raise ToolError(f"De {law.name} no encuentro los archivos de la edición {day}.")
