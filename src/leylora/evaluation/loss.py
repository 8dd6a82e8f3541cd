"""Loss of a base model and of its adapters on held-out rows: one base in memory, adapters switched on it.

sets = held_out_rows(base, {"law": Path("data/build/law")}, ["test"])
losses = compare_losses(AdaptedModel(base), variants, sets)       # by variant's name and by set
losses["law"]["law"].mean, ratio_interval(losses["law"]["law"].sums)
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import Variant
from leylora.evaluation.statistics import Sums
from leylora.models.families import family_of
from leylora.models.generate import Row, score
from leylora.models.load import load_config, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import TokenizedDataset, load_conversations, tokenize

BATCH_TOKENS = 2048  # scored at once, padding included
LONGEST = 4096  # tokens: what a row may have at most where nothing else is said


@dataclass(frozen=True)
class RowLosses:
    """One variant on one held-out set."""

    nll: np.ndarray  # (N,) summed negative log-likelihood of each row's answer, in nats
    tokens: np.ndarray  # (N,) trained tokens of each row

    @property
    def sums(self) -> Sums:
        """For `leylora.evaluation.statistics`: nats per answer token, each row a cluster of its own."""
        names = tuple(f"{at:07}" for at in range(len(self.nll)))
        return Sums(names, self.nll, self.tokens.astype(float), len(names))

    @property
    def mean(self) -> float:
        """Mean loss in nats per answer token over all rows."""
        return self.sums.value


def held_out_rows(
    base: str,
    folders: Mapping[str, Path],
    splits: Sequence[str],
    *,
    revision: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
    most: int | None = None,
) -> dict[str, TokenizedDataset]:
    """Tokenised rows of each dataset folder, by the names in ``folders``; at most ``most``, always the same.

    ``template`` is a name in INSTRUCTION-TEMPLATES, by default the family's. Rows longer than ``max_length`` are left
    out; by default `LONGEST`, or the base's context where that is shorter.
    """
    config = load_config(base, revision)
    tokenizer = load_tokenizer(base, revision)
    marked = training_template(instruction_template(template or family_of(config).instruction_template))
    length = max_length or min(LONGEST, getattr(config, "max_position_embeddings", None) or LONGEST)
    sets = {}
    for name, folder in folders.items():
        rows = [row for split in splits for row in load_conversations(str(folder), split)]
        if most is not None and len(rows) > most:
            rows = [rows[at] for at in sorted(random.Random(0).sample(range(len(rows)), most))]
        sets[name] = tokenize(rows, tokenizer, marked, length)
    return sets


def row_losses(
    model: AdaptedModel, variant: Variant, rows: TokenizedDataset, weights: Sequence[float] | None = None
) -> RowLosses:
    """Losses of a variant's rows; ``weights`` as in `AdaptedModel.using`."""
    columns = zip(rows.dataset["input_ids"], rows.dataset["labels"], strict=True)
    with model.using(variant, weights) as active:
        found = score(active, [Row.of_labels(ids, labels) for ids, labels in columns], batch_tokens=BATCH_TOKENS)
    return RowLosses(np.array([-one.logprob for one in found]), np.array([one.tokens for one in found], dtype=int))


def compare_losses(
    model: AdaptedModel, variants: Sequence[Variant], sets: Mapping[str, TokenizedDataset]
) -> dict[str, dict[str, RowLosses]]:
    """Losses by variant and by held-out set. LeyloraError where an adapter is missing or does not fit the base."""
    losses: dict[str, dict[str, RowLosses]] = {}
    with console.progress() as bar:
        task = bar.add_task("held-out rows", total=len(variants) * len(sets))
        for variant in variants:
            losses[variant.name] = {}
            for name, rows in sets.items():
                bar.update(task, description=f"held-out rows  {variant.name}, {name}")
                losses[variant.name][name] = row_losses(model, variant, rows)
                bar.advance(task)
    return losses
