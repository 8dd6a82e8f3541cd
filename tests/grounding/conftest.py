"""The index of the two invented laws, built once."""

from pathlib import Path

import pytest

from leylora.grounding.search import LawIndex

from .small_laws import dogs, fairs, index_of, saved


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("laws"), dogs(), fairs())


@pytest.fixture(scope="session")
def index(folder: Path) -> LawIndex:
    return index_of(folder)
