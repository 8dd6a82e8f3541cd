"""The map learnt from questions: it brings a way of asking nearer to its article, also in questions it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from leylora.data.written import WrittenQuestion, question_split
from leylora.errors import LeyloraError
from leylora.grounding.index import INDEX_FILE, open_laws
from leylora.laws.catalog import catalog
from leylora.models.embedding import Vectors, embed
from leylora.models.query_map import QUERY_MAP, QueryMap, fit
from tests.grounding.small_laws import dogs, fairs, saved

WORDS = ("multa", "registr", "feria", "bozal", "plata", "anotar")  # people say plata for multa, anotar for registrar


class Bags:
    """Stands for a model: a text is the words of `WORDS` that it has, and "plata" is nothing like "multa" to it."""

    name = "bags"

    def passages(self, texts: list[str]) -> Vectors:
        rows = [[0.1, *(word in text.lower() for word in WORDS)] for text in texts]
        made = np.array(rows, dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def query(self, text: str) -> Vectors:
        return self.passages([text])[0]


def question(number: int, text: str, article: str) -> WrittenQuestion:
    return WrittenQuestion(
        id=f"q{number}",
        question=text,
        articles=[[article]],
        answer=f"Eso está en la ley ({{cita {article}}}).",
        theme="other",
        style="plain",
        split=question_split(article),
    )


def test_the_map_learns_how_people_ask(tmp_path: Path) -> None:
    folder, model = saved(tmp_path, dogs(), fairs()), Bags()
    open_laws(folder, catalog())
    with pytest.raises(LeyloraError, match="no vectors"):
        fit(open_laws(folder, catalog()), model, [])
    embed(folder / INDEX_FILE, model)
    index = open_laws(folder, catalog())
    rows = {
        f"{article.law.id}:{article.number}": article.body.lower() for article in map(index.article_of, range(1, 8))
    }
    fined = next(name for name, body in rows.items() if "multa" in body)
    learnt = fit(index, model, [question(1, "¿Cuánta plata me cobran?", fined), question(2, "¿Qué plata pago?", fined)])
    asked, target = model.query("¿La plata es mucha?"), model.query("multa")
    assert learnt.apply(asked) @ target > asked @ target + 0.02
    assert np.linalg.norm(learnt.apply(asked)) == pytest.approx(1, abs=1e-5)
    again = fit(index, model, [question(1, "¿Cuánta plata me cobran?", fined), question(2, "¿Qué plata pago?", fined)])
    assert np.array_equal(learnt.weight, again.weight)
    learnt.save(tmp_path / "map.safetensors")
    assert QueryMap.load(tmp_path / "map.safetensors").apply(asked) == pytest.approx(learnt.apply(asked), abs=1e-3)
    with pytest.raises(LeyloraError, match="None of the questions"):
        fit(index, model, [question(3, "¿Y en otra ley?", "otra:1")])


def test_the_shipped_map_moves_a_question_a_little_and_leaves_other_models_alone() -> None:
    learnt = QueryMap.load(QUERY_MAP)
    torch.manual_seed(0)
    asked = torch.nn.functional.normalize(torch.randn(384), dim=0).numpy()
    moved = learnt.apply(asked)
    assert 0.2 < moved @ asked < 0.999
    other = np.ones(7, np.float32)
    assert learnt.apply(other) is other


def test_a_damaged_map_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "map.safetensors").write_bytes(b"nothing")
    with pytest.raises(LeyloraError, match="cannot be read"):
        QueryMap.load(tmp_path / "map.safetensors")
