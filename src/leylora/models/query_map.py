"""A linear map on the query side of the embedding model, learnt from our written questions.

    mapping = fit(index, embedder, load_questions(QUESTIONS / "train.jsonl"))
    mapping.save(QUERY_MAP)                       # data/questions/query-map.safetensors
    QueryMap.load(QUERY_MAP).apply(embedder.query("me botaron del trabajo"))

A person says what happened, the law what holds; the model knows neither's way of putting it. The map moves a question
towards the articles that answer it and is small on purpose: it learns how people ask, not which article they got. It is
fitted by contrast: the right article's best passage against the best of every other article of the six laws (InfoNCE,
van den Oord et al. 2018, arXiv:1807.03748), with a penalty on the map's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from leylora.errors import LeyloraError
from leylora.project import ROOT

if TYPE_CHECKING:
    from leylora.data.written import WrittenQuestion
    from leylora.grounding.search import LawIndex
    from leylora.models.embedding import Embedder

QUERY_MAP = ROOT / "data" / "questions" / "query-map.safetensors"
PENALTY, SHARPNESS, STEPS, RATE = 0.05, 40.0, 150, 2e-3  # chosen on the development part
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class QueryMap:
    """``q + q @ weight + shift``, made a unit vector; ``weight`` is (d, d), ``shift`` (d)."""

    weight: Vectors
    shift: Vectors

    def apply(self, query: Vectors) -> Vectors:
        """A unit vector (d) of a question, moved; of another length than d, as it was."""
        if query.shape != self.shift.shape:
            return query
        moved = query + query @ self.weight + self.shift
        return np.asarray(moved / np.linalg.norm(moved), dtype=np.float32)

    def save(self, path: Path) -> None:
        halves = {name: value.astype(np.float16) for name, value in vars(self).items()}
        save_file(halves, str(path), metadata={"model": "multilingual-e5-small"})

    @classmethod
    def load(cls, path: Path = QUERY_MAP) -> "QueryMap":
        """Raises LeyloraError when the file is missing or damaged."""
        try:
            with safe_open(path, framework="numpy") as file:
                parts = {name: np.asarray(file.get_tensor(name), np.float32) for name in ("weight", "shift")}
        except (OSError, SafetensorError) as error:
            raise LeyloraError(f"{path} cannot be read ({error}); install leylora again.") from None
        return cls(**parts)


def fit(index: "LawIndex", embedder: "Embedder", questions: Sequence["WrittenQuestion"], *, seed: int = 0) -> QueryMap:
    """Learn the map from questions whose main articles are in an embedded index.

    Raises:
        LeyloraError: the index has no vectors of this model, or none of the questions has its article there.
    """
    import torch

    from leylora.models.embedding import unpacked

    rows = index.vectors(embedder.name)
    if not rows:
        raise LeyloraError("These laws have no vectors; run scripts/search_laws.py --embed first.")
    keys = sorted({key for key, _ in rows})
    place = {_name(index, key): at for at, key in enumerate(keys)}
    of_key = {key: at for at, key in enumerate(keys)}
    owner = torch.tensor([of_key[key] for key, _ in rows])
    passages = torch.tensor(unpacked(blob for _, blob in rows))
    told, right = [], []
    for row in questions:
        answering = [place[one] for one in (row.articles or [[]])[0] if one in place]
        if answering:
            told.append(embedder.query(" ".join([*(turn.question for turn in row.previous), row.question])))
            right.append(answering)
    if not told:
        raise LeyloraError("None of the questions has its article in these laws.")
    asked = torch.tensor(np.stack(told))
    gold = torch.zeros(len(told), len(keys), dtype=torch.bool)
    for at, answering in enumerate(right):
        gold[at, answering] = True
    torch.manual_seed(seed)
    size = asked.shape[1]
    weight = torch.zeros(size, size, requires_grad=True)
    shift = torch.zeros(size, requires_grad=True)
    optimizer = torch.optim.Adam([weight, shift], lr=RATE)
    for _ in range(STEPS):
        moved = torch.nn.functional.normalize(asked + asked @ weight + shift, dim=1)
        best = torch.full(gold.shape, -1.0).scatter_reduce(1, owner.expand(len(told), -1), moved @ passages.T, "amax")
        sharp = SHARPNESS * best
        loss = (torch.logsumexp(sharp, 1) - torch.logsumexp(sharp.masked_fill(~gold, -1e9), 1)).mean()
        loss = loss + PENALTY * (weight.square().sum() + shift.square().sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return QueryMap(weight.detach().numpy(), shift.detach().numpy())


def _name(index: "LawIndex", key: int) -> str:
    article = index.article_of(key)
    return f"{article.law.id}:{article.number}"
