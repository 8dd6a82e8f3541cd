"""The catalogue of laws, ``data/catalog.yaml``: names, siglas and aliases by which a law is known and cited."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_yaml_mapping
from leylora.project import ROOT
from leylora.text import words

CATALOG = ROOT / "data" / "catalog.yaml"
FRESH = timedelta(days=365)  # an edition older than that is worth a look at what was reformed since


class Dated(Protocol):
    """A law in one edition: `Law` and `IndexedLaw` both fit."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def siglas(self) -> str: ...
    @property
    def edition(self) -> str: ...


class CatalogEntry(BaseModel):
    """A law worth having: how it is called, where it was published and where it is offered for download.

    ``reformed`` is the newest reform that we know of, no promise that there is none after it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    siglas: str = ""
    aliases: tuple[str, ...] = ()
    registro_oficial: str = ""
    published: date | None = None
    reformed: date | None = None
    url: str = ""


@cache
def catalog(path: Path = CATALOG) -> tuple[CatalogEntry, ...]:
    """The entries of a catalogue; none when leylora is installed without its ``data`` folder.

    Raises:
        LeyloraError: the file is not the YAML it should be.
    """
    if path == CATALOG and not path.exists():
        return ()
    try:
        # ten times as fast, where PyYAML was built with libyaml
        rows = read_yaml_mapping(path, getattr(yaml, "CSafeLoader", None))["laws"]
        return tuple(CatalogEntry.model_validate(row) for row in rows)
    except ValidationError as error:
        fault = error.errors()[0]
        raise LeyloraError(
            f"{path}, law {fault['input']!r}, key {'.'.join(map(str, fault['loc']))}: {fault['msg']}."
        ) from None
    except (KeyError, TypeError) as error:
        raise LeyloraError(f"{path} is not a catalogue of laws ({error}); it needs a list under `laws:`.") from None


def find_in_catalog(title: str) -> CatalogEntry | None:
    """The entry whose name or alias a printed title is, case, accents, commas and a year apart."""
    named = [(name, entry) for entry in catalog() for name in (entry.name, *entry.aliases)]
    named += [(f"{entry.name} {entry.siglas}", entry) for entry in catalog() if entry.siglas]
    wanted = _comparable(title)
    return next((entry for name, entry in named if _comparable(name) == wanted), None)


def _comparable(title: str) -> list[str]:
    return [word for word in words(title, keep_ñ=False) if not word.isdigit()]


_AGE = {
    "en": (
        "Reformed after the edition that is here: {}; get the newer text.",
        "More than a year old: {}; look for reforms since.",
        "Without a date: {}; look for reforms.",
    ),
    "es": (
        "Hay reformas posteriores a la edición que está aquí: {}; consiga el texto nuevo.",
        "Ediciones de hace más de un año: {}; compruebe si hubo reformas.",
        "Sin fecha de edición: {}; compruebe si hubo reformas.",
    ),
}


def age_notes(laws: Iterable[Dated], language: Literal["en", "es"] = "es", today: date | None = None) -> list[str]:
    """What a person should know of the editions she relies on: a sentence for those that the catalogue knows to be
    reformed since, one for those older than a year, one for those without a date."""
    reforms = {entry.id: entry.reformed for entry in catalog() if entry.reformed}
    named: tuple[list[str], ...] = ([], [], [])
    for law in {(law.id, law.edition): law for law in laws}.values():
        short, later = law.siglas or law.name, reforms.get(law.id)
        if not law.edition:
            named[2].append(short)
        elif later and later > date.fromisoformat(law.edition):
            named[0].append(f"{short} {law.edition} ({later})")
        elif (today or date.today()) - date.fromisoformat(law.edition) > FRESH:
            named[1].append(f"{short} {law.edition}")
    return [said.format(", ".join(found)) for said, found in zip(_AGE[language], named, strict=True) if found]
