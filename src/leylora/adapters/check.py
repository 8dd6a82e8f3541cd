"""What an adapter does to a model's output: next-token logits of two variants on the same texts, compared."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel

from leylora.adapters.files import adapter_sha256, open_adapter
from leylora.adapters.report import REPORT_FILE, MergeReport
from leylora.errors import LeyloraError
from leylora.files import read_json
from leylora.models.bases import Load
from leylora.models.generate import evaluating
from leylora.models.load import load_base, load_config, load_tokenizer

# Short texts in the two registers the adapters are for.
TEXTS = (
    "Explica en dos frases qué es una acción de protección y ante quién se presenta.",
    "Artículo 12.- Las personas tienen derecho a recibir una respuesta motivada dentro del plazo que fija la ley.",
    "Escribe una carta breve en la que una vecina pide al municipio que repare el alumbrado de su calle.",
    "¿Cuántos días tiene el empleador para pagar la liquidación cuando termina el contrato de trabajo?",
)

TOLERANCE = 0.05  # of the parents' effect: far above the rounding of an exact merge, far below a wrong scaling


class Comparison(NamedTuple):
    """Next-token logits of a variant against a reference, over every position of the texts."""

    gap: float  # root mean square of variant - reference
    worst: float  # its largest absolute value
    divergence: float  # mean Kullback-Leibler divergence from the reference's next-token distribution, in nats
    agreement: float  # share of positions with the same most likely token
    effect: float | None = None  # root mean square of reference - base: how much there is to reproduce


def compare_logits(
    reference: Sequence[Tensor], variant: Sequence[Tensor], base: Sequence[Tensor] | None = None
) -> Comparison:
    """Compare logits, one (length, vocabulary) tensor a text."""
    wanted, found = torch.cat(list(reference)), torch.cat(list(variant))
    log_wanted, log_found = wanted.double().log_softmax(-1), found.double().log_softmax(-1)
    return Comparison(
        gap=float((found - wanted).square().mean().sqrt()),
        worst=float((found - wanted).abs().max()),
        divergence=max(0.0, float((log_wanted.exp() * (log_wanted - log_found)).sum(-1).mean())),
        agreement=float((wanted.argmax(-1) == found.argmax(-1)).float().mean()),
        effect=None if base is None else float((wanted - torch.cat(list(base))).square().mean().sqrt()),
    )


def logits_of(model: PreTrainedModel, encoded: Sequence[Tensor]) -> list[Tensor]:
    """(length, vocabulary) in float32 on the CPU, for each text of token ids (length)."""
    with evaluating(model), torch.no_grad():
        return [model(input_ids=ids[None].to(model.device)).logits[0].float().cpu() for ids in encoded]


def encode(base: str, revision: str | None) -> list[Tensor]:
    """Token ids of `TEXTS` by the base model's tokenizer."""
    load_config(base, revision)  # says clearly what is wrong with a name or a path
    tokenizer = load_tokenizer(base, revision)
    return [tokenizer(text, return_tensors="pt").input_ids[0] for text in TEXTS]


def check_merge(merged: Path, base: str | None = None, *, load: Load = "4bit") -> Comparison:
    """Load the base once and compare base + parents, weighted as the merge weighted them, with base + merged.

    ``merge_report.json`` of the merged adapter says where the parents lie. The base is by default the one the adapter
    names; computation is in float32.

    Raises:
        LeyloraError: the report or a parent is missing, a parent has changed since, there are whole weights in
            addition to the factors, or an exact merge does not reproduce its parents.
    """
    report = MergeReport.model_validate(read_json(merged / REPORT_FILE))
    parents = []
    for parent in report.parents:
        folder = Path(os.path.normpath(merged.resolve() / parent.path))
        if not folder.is_dir():
            raise LeyloraError(f"The parent {folder} is not there any more; put it back, or merge again.")
        if adapter_sha256(folder) != parent.sha256:
            raise LeyloraError(f"The parent {folder} has changed since the merge; merge again.")
        parents.append(folder)
    adapter = open_adapter(merged)
    config = adapter.config
    if adapter.full_tensors:
        raise LeyloraError(f"{merged} holds whole weights, which PEFT cannot keep active for two parents at once.")
    name = adapter.base(base)
    encoded = encode(name, config.revision)
    model = load_base(name, load, revision=config.revision, compute_dtype=torch.float32)
    bare = logits_of(model, encoded)
    together, alone = _parents_and_merge(model, encoded, report, parents, merged)
    comparison = compare_logits(together, alone, bare)
    exact = all(module.sum_error == 0 for module in report.modules)
    if exact and comparison.gap > TOLERANCE * (comparison.effect or 0.0):
        raise LeyloraError(
            f"{merged} does not reproduce its parents on {name}: its logits are {comparison.gap:.3g} off where the "
            f"parents move them by {comparison.effect:.3g}; merge again, and check that this is the right base."
        )
    return comparison


def _parents_and_merge(
    model: PreTrainedModel, encoded: Sequence[Tensor], report: MergeReport, parents: Sequence[Path], merged: Path
) -> tuple[list[Tensor], list[Tensor]]:
    """Logits with all parents at once, and with the merged adapter."""
    names = [f"parent{at}" for at in range(len(parents))]
    adapted = PeftModel.from_pretrained(model, parents[0], adapter_name=names[0])
    for name, folder in zip(names[1:], parents[1:], strict=True):
        adapted.load_adapter(folder, adapter_name=name)
    weights = {module.module: module.weights for module in report.modules}
    for path, layer in adapted.base_model.model.named_modules():
        if isinstance(layer, LoraLayer):
            for name, weight in zip(names, weights.get(path, [0.0] * len(names)), strict=True):
                if name in layer.scaling:
                    layer.scaling[name] *= weight or 0.0
    adapted.base_model.set_adapter(names)
    together = logits_of(adapted, encoded)
    adapted.load_adapter(merged, adapter_name="merged")
    adapted.base_model.set_adapter("merged")
    return together, logits_of(adapted, encoded)


def comparison_table(columns: Mapping[str, Comparison]) -> Table:
    """Logit comparisons side by side, one named column each; see `Comparison`."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("logits, over every position", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Comparison], str]] = {
        "effect of the adapter, root mean square": lambda c: "" if c.effect is None else f"{c.effect:.3g}",
        "gap between the two, root mean square": lambda c: f"{c.gap:.3g}",
        "gap / effect": lambda c: f"{c.gap / c.effect:.2%}" if c.effect else "",
        "worst gap": lambda c: f"{c.worst:.3g}",
        "KL divergence, nats a token": lambda c: f"{c.divergence:.2e}",
        "same most likely token": lambda c: f"{c.agreement:.2%}",
    }
    for title, value in rows.items():
        table.add_row(title, *(value(comparison) for comparison in columns.values()))
    return table
