"""The catalogue of laws, ``data/catalog.yaml``: names, siglas and aliases by which a law is known and cited."""

from datetime import date
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_yaml_mapping
from leylora.project import ROOT
from leylora.text import words

CATALOG = ROOT / "data" / "catalog.yaml"


class CatalogEntry(BaseModel):
    """A law worth having: how it is called, where it was published and where it is offered for download."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    siglas: str = ""
    aliases: tuple[str, ...] = ()
    registro_oficial: str = ""
    published: date | None = None
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
