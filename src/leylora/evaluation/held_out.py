"""Loss of a base model and of its adapters on held-out rows: one base in memory, adapters switched on it."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leylora import console
from leylora.errors import LeyloraError, flattened
from leylora.files import read_json, sha256_file
from leylora.models.cards import GIB
from leylora.models.families import family_of
from leylora.models.load import load_base, load_config, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import IGNORED, TokenizedDataset, load_conversations, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RESAMPLES = 10_000
BATCH_TOKENS = 2048  # scored at once, padding included
LONGEST = 4096  # tokens: what a row may have at most where nothing else is said


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


def load_for_scoring(base: str, revision: str | None = None, *, load_in_4bit: bool = True) -> "PreTrainedModel":
    """The base as adapters are trained beside it: in 4 bits; float32 sums on CPU, the card's 16-bit type on a GPU."""
    return load_base(
        base,
        revision=revision,
        load="4bit" if load_in_4bit else "16bit",
    )


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
    """Tokenised rows of each dataset folder, by the names in ``folders``.

    Args:
        template: a name in INSTRUCTION-TEMPLATES; by default the family's.
        max_length: longer rows are left out; by default `LONGEST`, or the base's context where that is shorter.
        most: take this many rows of each, drawn the same way every time.

    Raises:
        LeyloraError: the base, a folder or a split is missing, or a row is faulty.
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


def template_of(adapters: Sequence[Path]) -> str | None:
    """The instruction template that the adapters' ``run.json`` name; None where none of them has one.

    Raises:
        LeyloraError: they were trained with different templates.
    """
    names = {
        str(name): folder
        for folder in adapters
        if (folder / "run.json").is_file() and (name := read_json(folder / "run.json").get("instruction_template"))
    }
    if len(names) > 1:
        told = " and ".join(f"{folder} with {name}" for name, folder in names.items())
        raise LeyloraError(f"The adapters were trained with different templates, {told}; train both with one.")
    return next(iter(names), None)


def base_identity(name: str, revision: str | None = None) -> str:
    """What tells one base from another: name and revision of a Hub model, a hash of a local one.

    Weight files of a GiB or more count by name and size: hashing a 7B base would take longer than some uses of it.
    """
    folder = Path(name)
    if not folder.is_dir():
        return f"{name}@{revision or 'main'}"
    parts = [sha256_file(folder / "config.json")] if (folder / "config.json").is_file() else []
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        parts.append(f"{file.name} {size if size >= GIB else sha256_file(file)}")
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def row_losses(model: "PreTrainedModel", rows: TokenizedDataset) -> RowLosses:
    """Score rows of about one length together, padded on the right.

    Attention is causal, so that no token sees the padding behind it: a row scores as it would by itself, and nothing
    but the variant can differ between two calls.
    """
    import torch

    ids, labels = rows.dataset["input_ids"], rows.dataset["labels"]
    nll, tokens = np.zeros(len(ids)), np.zeros(len(ids), dtype=int)
    model.eval()
    with torch.inference_mode():
        for batch in batches([len(row) for row in ids], BATCH_TOKENS):
            longest = len(ids[batch[0]])
            padded = torch.tensor([ids[at] + [0] * (longest - len(ids[at])) for at in batch])  # (B, T)
            target = torch.tensor([labels[at][1:] + [IGNORED] * (longest - len(ids[at])) for at in batch])  # (B, T - 1)
            target = target.to(model.device)
            wanted = target != IGNORED
            logits = model(input_ids=padded.to(model.device)).logits[:, :-1][wanted].float()  # (answer tokens, V)
            each = torch.nn.functional.cross_entropy(logits, target[wanted], reduction="none")
            of_row = torch.nonzero(wanted)[:, 0]
            sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, of_row.cpu(), each.double().cpu())
            nll[batch], tokens[batch] = sums.numpy(), wanted.sum(1).cpu().numpy()
    return RowLosses(nll, tokens)


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of rows in batches, longest first: each at most ``budget`` tokens with its padding, or one row."""
    grouped: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if grouped and lengths[grouped[-1][0]] * (len(grouped[-1]) + 1) <= budget:
            grouped[-1].append(at)
        else:
            grouped.append([at])
    return grouped


def compare(
    base: "PreTrainedModel", variants: Sequence[Variant], sets: dict[str, TokenizedDataset]
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
                    raise LeyloraError(
                        f"{variant.adapter} does not load on this base as an adapter ({flattened(error)})."
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
