"""What the tests of several rooms share: small base models, made once per test process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.models.tiny_base import make_tiny_base
from leylora.project import SAMPLES

# No test may reach a network, and two test processes share two cores. Here and not in a fixture: the Hub's client reads
# this when it is imported, and test modules import it before the first fixture runs.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GRADIO_ANALYTICS_ENABLED": "False"}


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a barely trained small base model of a family (``tiny-mistral`` …)."""
    folder = tmp_path_factory.mktemp("bases")
    texts = (SAMPLES / "ley-de-muestra.yaml").read_text("utf-8").split("\n\n")

    def make(family: str) -> Path:
        make_tiny_base(family, texts, folder / family, steps=2)
        return folder / family

    return make
