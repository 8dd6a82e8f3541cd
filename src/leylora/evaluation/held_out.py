"""Loss of a base model and of its adapters on held-out rows: one base in memory, adapters switched on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leylora import console
from leylora.errors import LeyloraError
from leylora.training.rows import IGNORED, Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RESAMPLES = 10_000


@dataclass(frozen=True)
class Variant:
    """The base (``adapter`` is None) or the base with one adapter."""

    name: str
    adapter: Path | None


@dataclass(frozen=True)
class RowLosses:
    """One variant on one held-out set.

    Attributes:
        nll: ``(N,)`` summed negative log-likelihood of each row's answer, in nats.
        tokens: ``(N,)`` trained tokens of each row.
    """

    nll: np.ndarray
    tokens: np.ndarray

    @property
    def mean(self) -> float:
        """Mean loss in nats per answer token over all rows."""
        return float(self.nll.sum() / self.tokens.sum())


def row_losses(model: "PreTrainedModel", rows: Rows) -> RowLosses:
    """Score every row by itself, without packing and padding, so that nothing but the variant can differ."""
    import torch

    nll: list[float] = []
    tokens: list[int] = []
    model.eval()
    with torch.inference_mode():
        for row in rows.dataset:
            ids = torch.tensor([row["input_ids"]], device=model.device)  # (1, T)
            labels = torch.tensor(row["labels"][1:], device=model.device)  # (T - 1,): what follows each token
            wanted = labels != IGNORED
            logits = model(input_ids=ids).logits[0, :-1][wanted].float()  # (answer tokens, vocabulary)
            nll.append(torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum").item())
            tokens.append(int(wanted.sum()))
    return RowLosses(np.array(nll), np.array(tokens))


def compare(
    base: "PreTrainedModel", variants: Sequence[Variant], sets: dict[str, Rows]
) -> dict[str, dict[str, RowLosses]]:
    """Losses by variant and by held-out set, with one copy of the base in memory.

    Raises:
        LeyloraError: an adapter is missing or does not fit the base.
    """
    from peft import PeftModel

    losses: dict[str, dict[str, RowLosses]] = {}
    with console.progress() as bar:
        task = bar.add_task("held-out rows", total=len(variants) * len(sets))
        for variant in variants:
            model = base
            if variant.adapter is not None:
                try:
                    model = PeftModel.from_pretrained(base, str(variant.adapter))
                except (OSError, ValueError, RuntimeError, KeyError) as error:
                    reason = " ".join(str(error).split())[:200]
                    raise LeyloraError(
                        f"{variant.adapter} does not load on this base as an adapter ({reason})."
                    ) from None
            losses[variant.name] = {}
            for name, rows in sets.items():
                bar.update(task, description=f"held-out rows  {variant.name}, {name}")
                losses[variant.name][name] = row_losses(model, rows)
                bar.advance(task)
            if isinstance(model, PeftModel):
                base = model.unload()
    return losses


def interval(losses: RowLosses, *, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean loss, rows resampled."""
    means = _resampled(losses.nll, losses, seed) / _resampled(losses.tokens, losses, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def retention(base: RowLosses, single: RowLosses, combined: RowLosses) -> float:
    """Share of the single adapter's gain over the base that a combined adapter keeps: 1 is all of it.

    Not meaningful, and NaN, when the single adapter gained nothing.
    """
    gain = base.mean - single.mean
    return (base.mean - combined.mean) / gain if gain > 0 else float("nan")


def retention_interval(
    base: RowLosses, single: RowLosses, combined: RowLosses, *, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of `retention`, the same rows resampled for all three (paired)."""
    sums = [_resampled(losses.nll, losses, seed) for losses in (base, single, combined)]
    gain = sums[0] - sums[1]
    kept = np.where(gain > 0, (sums[0] - sums[2]) / np.where(gain > 0, gain, 1.0), np.nan)
    low, high = np.nanpercentile(kept, [2.5, 97.5])
    return float(low), float(high)


def _resampled(values: np.ndarray, losses: RowLosses, seed: int) -> np.ndarray:
    """``(RESAMPLES,)`` sums of ``values`` over rows drawn with replacement; the same rows for the same seed."""
    count = len(losses.nll)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)  # (R, N)
    return draws @ values
