"""The model card of a merged adapter: where it comes from, what the merge cost, how to load it."""

from collections.abc import Mapping
from typing import Any

import yaml

from leylora.adapters.picture import PICTURE_FILES
from leylora.adapters.report import REPORT_FILE, MergeReport

CARD_FILE = "README.md"

_METHODS = {
    "concat": "the exact weighted sum of the parents, their ranks added",
    "svd": "the weighted sum of the parents, cut to the best adapter of the rank (Eckart–Young)",
    "ties": "TIES (arXiv 2306.01708) in core space (arXiv 2509.17786)",
    "dare": "DARE (arXiv 2311.03099) in core space (arXiv 2509.17786)",
    "compress": "compress then merge (arXiv 2606.03723) in core space (arXiv 2509.17786)",
    "depth": "the sum of the parents, the weights shifting from the first to the second over depth (arXiv 2606.05016)",
}


def merged_card(name: str, report: MergeReport, config: Mapping[str, Any]) -> str:
    """The Markdown of the card, with the metadata the Hugging Face Hub reads."""
    head = {
        "base_model": report.base_model,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "merge", "leylora"],
    }
    rows = [
        f"| `{parent.name}` | {parent.weight:g} | {_overrides(parent.overrides)} | {parent.scaled_norm:.4g} "
        f"| `{parent.sha256[:16]}` |"
        for parent in report.parents
    ]
    patterns = "" if "rank_pattern" not in config else f" (other ranks for {len(config['rank_pattern'])} patterns)"
    exact = all(module.sum_error == 0 for module in report.modules)
    cost = (
        "Nothing was cut: apart from rounding, the merged delta is the weighted sum."
        if exact
        else f"Against the exact weighted sum the merged deltas differ by {report.mean('sum_error'):.2%} on average."
    )
    if report.mean("truncation_error") > 0:
        cost += f" The cut to the rank kept {report.mean('energy_kept'):.2%} of their energy."
    if report.mean("rounding") > 0:
        cost += f" Rounding to {report.dtype} moved the factors by {report.mean('rounding'):.1e}."
    base = f"`{report.base_model}`" if report.base_model else "a base model its parents do not name"
    warnings = [f"- {warning}" for warning in report.warnings]
    picture = [f"![Heat strips of the merge]({PICTURE_FILES[0]})", ""] if report.picture else []
    return "\n".join(
        [
            "---",
            yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
            "---",
            "",
            f"# {name}",
            "",
            f"A LoRA adapter for {base}, merged from {len(report.parents)} adapters without the base "
            f"model: {_METHODS[report.method]}.",
            "",
            "| parent | weight | by layer or module | norm of its part | SHA-256 |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Rank {config['r']}{patterns}, lora_alpha = r, {report.dtype}. {cost} Every figure, by module, is in "
            f"`{REPORT_FILE}`.",
            "",
            *picture,
            *(["## Warnings", "", *warnings, ""] if warnings else []),
            "## Use",
            "",
            "```python",
            "from peft import PeftModel",
            "",
            f'model = PeftModel.from_pretrained(base_model, "{name}")',
            "```",
            "",
            "In text-generation-webui copy the folder into the LoRA folder and load it from the Model tab. A merge is "
            "no training: measure both skills before relying on it. The licences and limits of the parents and of the "
            "base model apply.",
            "",
        ]
    )


def _overrides(overrides: list[tuple[str, float]]) -> str:
    return ", ".join(f"`{pattern}` {weight:g}" for pattern, weight in overrides) or "-"
