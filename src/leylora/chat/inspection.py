"""What a model makes of a text: how likely each token was, what comes next, and what an adapter changed in that."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from leylora.chat.conversation import TooLongError
from leylora.chat.ending import spelled
from leylora.chat.engine import Engine
from leylora.chat.variants import BASE
from leylora.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

TOP = 10


@dataclass(frozen=True)
class Candidate:
    """A token that may come next, and its probability."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True)
class Reading:
    """One token of the text as one variant sees it coming.

    Attributes:
        logprob: its natural log-probability after the tokens before it; None for the first, which follows nothing.
        entropy: of the distribution it was drawn from, in nats.
        rank: its place in that distribution, 1 is the likeliest.
    """

    logprob: float | None
    entropy: float | None
    rank: int | None

    @property
    def probability(self) -> float | None:
        """exp(logprob)."""
        return None if self.logprob is None else math.exp(self.logprob)


@dataclass(frozen=True)
class VariantReading:
    """A variant's view of a text: its tokens, what it expects next, the entropy of that, and the mean loss (nats)."""

    name: str
    tokens: tuple[Reading, ...]
    expected: tuple[Candidate, ...]
    entropy: float
    loss: float | None

    @property
    def perplexity(self) -> float | None:
        """exp(loss)."""
        return None if self.loss is None else math.exp(self.loss)


@dataclass(frozen=True)
class Inspection:
    """A text under one or more variants of a model.

    Attributes:
        ids, texts: the tokens, with the blanks they begin with.
        variants: in the order asked for; differences are taken against the first.
    """

    model: str
    text: str
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    variants: tuple[VariantReading, ...]

    def gain(self, variant: int, token: int) -> float | None:
        """What a variant adds to a token's log-probability over the first variant, in nats."""
        mine, first = (self.variants[at].tokens[token].logprob for at in (variant, 0))
        return None if mine is None or first is None else mine - first

    def as_json(self) -> dict[str, Any]:
        """Plain types: tokens with their ids, and under each variant the figures of each token and the next ones."""
        return {
            "model": self.model,
            "text": self.text,
            "tokens": [{"id": at, "text": text} for at, text in zip(self.ids, self.texts, strict=True)],
            "variants": [
                {
                    "name": one.name,
                    "loss": one.loss,
                    "perplexity": one.perplexity,
                    "tokens": [
                        asdict(reading) | {"probability": reading.probability, "gain": self.gain(number, at)}
                        for at, reading in enumerate(one.tokens)
                    ],
                    "next": {"entropy": one.entropy, "top": [asdict(candidate) for candidate in one.expected]},
                }
                for number, one in enumerate(self.variants)
            ],
        }


def inspect(engine: Engine, text: str, variants: Sequence[str] = (BASE,), top: int = TOP) -> Inspection:
    """Read a text with each variant: one forward pass each.

    Args:
        top: how many candidates for the next token.

    Raises:
        UsageError: the text is empty, or a variant does not exist.
        TooLongError: it does not fit the window.
    """
    if not text:
        raise UsageError("There is nothing to inspect; give a text.")
    ids = engine.plain_prompt(text)
    if len(ids) > engine.window:
        raise TooLongError(len(ids), engine.window)
    readings = tuple(read_logits(engine, name, ids, top) for name in dict.fromkeys(variants))
    texts = tuple(spelled(engine.tokenizer, token) for token in ids)
    return Inspection(engine.name, text, tuple(ids), texts, readings)


def read_logits(engine: Engine, variant: str, ids: Sequence[int], top: int) -> VariantReading:
    """One variant's reading of token ids (T)."""
    import torch

    logprobs = engine.logits(variant, ids).log_softmax(-1)  # (T, V): row t is about token t + 1
    targets = torch.tensor(list(ids[1:]))
    seen = logprobs[:-1].gather(1, targets[:, None])  # (T - 1, 1)
    ranks = 1 + (logprobs[:-1] > seen).sum(-1)
    spread = entropy(logprobs)
    rows = zip(seen[:, 0].tolist(), spread[:-1].tolist(), ranks.tolist(), strict=True)
    best = logprobs[-1].topk(min(top, logprobs.shape[-1]))
    expected = tuple(
        Candidate(at, spelled(engine.tokenizer, at), math.exp(value))
        for at, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
    loss = -float(seen.mean()) if len(ids) > 1 else None
    return VariantReading(
        variant, (Reading(None, None, None), *(Reading(*row) for row in rows)), expected, float(spread[-1]), loss
    )


def entropy(logprobs: "Tensor") -> "Tensor":
    """Entropy in nats of each row of log-probabilities, (T, V) to (T)."""
    return -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)
