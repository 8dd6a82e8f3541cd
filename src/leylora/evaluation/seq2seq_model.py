"""An encoder-decoder base (T5, Flan-T5, mT5) and what was fine-tuned from it, asked for summaries."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.discover import BASE, Variant
from leylora.evaluation.backends import Continuation
from leylora.evaluation.results import Item
from leylora.models.generate import Generated, Likelihood, Row
from leylora.models.load import silence_libraries
from leylora.models.presets import GREEDY


class Seq2SeqModel:
    """A `leylora.evaluation.backends.Backend`. A variant is an adapter on the base or a whole model in its place.

    Everything is computed in float32 (T5 overflows in float16), without sampling or beams. Articles are cut at
    ``max_source_length`` tokens, as in training.
    """

    def __init__(
        self, name: str, *, max_source_length: int = 512, max_new_tokens: int = 128, batch_size: int = 8
    ) -> None:
        silence_libraries()
        self._base = self._load(name)
        self.tokenizer = self._base.tokenizer
        self._model, self._variant = self._base, BASE
        self._source, self._batch_size = max_source_length, batch_size
        self._sampling = replace(GREEDY, max_new_tokens=max_new_tokens)
        self.identity = self._base.identity
        self.parameters: int | None = int(self._base.model.num_parameters())
        self.settings: dict[str, Any] = {
            "decoding": "greedy",
            "max_source_length": max_source_length,
            "max_new_tokens": max_new_tokens,
            "dtype": "float32",
        }

    def use(self, variant: Variant) -> None:
        """Switch to the base, to an adapter on it, or to a whole fine-tuned model, which is loaded anew.

        Raises:
            LeyloraError: the folder is neither, or does not fit the base.
        """
        whole = variant.adapter and not (Path(variant.adapter) / CONFIG_FILE).is_file()
        self._model = self._load(variant.adapter) if whole else self._base
        self._variant = BASE if whole else variant
        with self._model.using(self._variant):
            pass

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """Batches of articles of like length."""
        ordered = sorted(items, key=lambda item: (-len(item.messages[-1]["content"]), item.id))
        return [ordered[at : at + self._batch_size] for at in range(0, len(ordered), self._batch_size)]

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[Generated]:
        """A summary of each article."""
        sources = [self._article(messages) for messages in conversations]
        return self._model.generate(self._variant, sources, self._sampling, plain=True)

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[Likelihood | None]:
        """Log-likelihood of each summary with its end mark."""
        rows = []
        for one in continuations:
            target = self.tokenizer(text_target=one.text)["input_ids"]
            rows.append(Row(tuple(self._article(one.messages)), tuple(target)))
        return [*self._model.score(self._variant, rows)]

    def _article(self, messages: Sequence[dict[str, str]]) -> list[int]:
        encoded = self.tokenizer(messages[-1]["content"], truncation=True, max_length=self._source)
        return list(encoded["input_ids"])

    def _load(self, name: str) -> AdaptedModel:
        return AdaptedModel(name, "16bit", compute_dtype=torch.float32)
