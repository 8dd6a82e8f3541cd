"""The second ranker: vectors in the index, kept over a rebuild, fused with words; and the model on a small stand-in."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from leylora.grounding.index import INDEX_FILE, open_laws
from leylora.grounding.search import fused
from leylora.laws.catalog import catalog
from leylora.models import embedding
from leylora.models.embedding import E5, Vectors, attach, embed, packed, unpacked
from tests.grounding.small_laws import dogs, fairs, saved

TOPICS = {"castigo": ("multa", "castigo", "platita"), "hora": ("horario", "abre", "madrugada"), "agua": ("agua", "río")}


class Topics:
    """Stands for a model: a text is the topics whose words it has."""

    name = "topics"

    def __init__(self) -> None:
        self.asked = 0

    def passages(self, texts: list[str]) -> Vectors:
        self.asked += len(texts)
        rows = [[0.05, *(any(word in text.lower() for word in topic) for topic in TOPICS.values())] for text in texts]
        made = np.array(rows, dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def query(self, text: str) -> Vectors:
        self.asked -= 1
        return self.passages([text])[0]


def test_a_question_without_the_laws_words_finds_its_article(tmp_path: Path) -> None:
    folder, model = saved(tmp_path, dogs(), fairs()), Topics()
    index = open_laws(folder, catalog())
    assert index.search("¿cuánta platita me cobran?") == []
    assert not attach(index, model)  # nothing is embedded yet
    ticks: list[tuple[int, int]] = []
    made = embed(folder / INDEX_FILE, model, lambda done, whole: ticks.append((done, whole)))
    assert made == model.asked == ticks[-1][0] == ticks[-1][1]
    assert embed(folder / INDEX_FILE, model) == 0

    index = open_laws(folder, catalog())
    assert attach(index, model)
    found = index.search("¿cuánta platita me cobran?", 2)
    assert "4" in [hit.article.number for hit in found if hit.article.law.id == "perros"]
    assert found[0].similarity > 0.9
    assert index.search("LPER 3", 1)[0].article.number == "3"  # a number comes first whatever the vectors say


def test_a_law_that_changed_is_embedded_alone(tmp_path: Path) -> None:
    folder, model = saved(tmp_path, dogs(), fairs()), Topics()
    open_laws(folder, catalog())
    whole = embed(folder / INDEX_FILE, model)
    fairs(a2=("Horario", "La feria abre a las siete de la mañana.")).save(folder / "ferias")
    index = open_laws(folder, catalog())
    assert not attach(index, model)  # a part without vectors would lose
    assert embed(folder / INDEX_FILE, model) == 1 < whole
    assert attach(open_laws(folder, catalog()), model)


def test_an_interrupted_embedding_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, model = saved(tmp_path, dogs(), fairs()), Topics()
    open_laws(folder, catalog())
    monkeypatch.setattr(embedding, "BATCH", 4)

    def stop(done: int, whole: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(folder / INDEX_FILE, model, stop)
    with closing(sqlite3.connect(folder / INDEX_FILE)) as db:
        assert db.execute("SELECT count(*) FROM vectors").fetchone() == (8,)
    assert embed(folder / INDEX_FILE, model) > 0
    assert attach(open_laws(folder, catalog()), model)


def test_vectors_fit_a_byte_a_component() -> None:
    drawn = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    back = unpacked([packed(one) for one in unit])
    assert back.shape == unit.shape
    assert (back * unit).sum(1).min() > 0.999


def test_two_rankings_as_one() -> None:
    found = fused([[1, 2, 3], [3, 1], [3]])
    assert list(found) == [3, 1, 2]
    assert 0 < found[2] < found[3] < 1
    assert fused([[5], [5], [5], [5]]) == {5: pytest.approx(1.0)}
    assert list(fused([[], [5, 6]])) == [5, 6]


@pytest.fixture
def small_e5(tmp_path: Path) -> Path:
    """A model of e5's kind with random weights, and its tokenizer."""
    words = ["[UNK]", "[PAD]", *"query passage : la multa es de diez dólares el perro agua".split()]  # noqa: SIM905
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    return tmp_path


def test_the_model_through_transformers(small_e5: Path) -> None:
    model = E5(str(small_e5))
    texts = ["la multa es de diez dólares", "el perro"]
    together, alone = model.passages(texts), np.stack([model.passages([text])[0] for text in texts])
    assert together.shape == (2, 32)
    np.testing.assert_allclose(together, alone, atol=1e-5)  # padding changes nothing
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert not np.allclose(model.query(texts[0]), together[0])  # a question is embedded as one


def test_without_a_model_words_alone_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    assert embedding.open_embedder() is None
    index = open_laws(saved(tmp_path, dogs()), catalog())
    assert not attach(index)
    assert index.search("multa")
