"""What a comparison is going to ask of whom, settled before the first model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.endpoint import EndpointModel
from leylora.evaluation.results import Finding, Variant
from leylora.evaluation.suites import Sources
from leylora.evaluation.variants import find_variants
from leylora.models.bases import Load
from leylora.models.families import family_of
from leylora.models.load import load_config
from leylora.models.templates import instruction_template


@dataclass(frozen=True)
class Settings:
    """How to ask.

    Attributes:
        load: precision of the base.
        max_new_tokens: bound of a generated answer.
        limit: most items of a suite.
        template: name in INSTRUCTION-TEMPLATES; by default the one the adapters were trained with.
        batch_size: most rows asked at once.
        seed: of the draw of items and of the bootstrap.
    """

    load: Load = "4bit"
    max_new_tokens: int = 192
    limit: int | None = None
    template: str | None = None
    batch_size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """One model of a comparison before it is loaded."""

    label: str
    source: str
    endpoint: str
    variants: list[Variant]
    template: str
    family: str


def make_plans(
    models: Sequence[str], adapters: str | Sequence[str], endpoints: Sequence[str], settings: Settings, lora: Path
) -> tuple[list[Plan], list[Finding]]:
    """What will be compared, every folder looked at before anything is loaded; and what is to be said about it.

    Args:
        adapters: one word for all models, or one for each.

    Raises:
        UsageError: no model, two of the same name, or endpoints or adapters that do not go with the models.
        LeyloraError: a model or an adapter cannot be used, or a server does not answer.
    """
    if settings.template is not None:
        instruction_template(settings.template)  # that it is there
    if not models:
        raise UsageError("Name at least one base model, such as: --models data/build/models/tiny-mistral")
    if len(endpoints) not in (0, 1, len(models)):
        raise UsageError(
            f"{len(models)} models and {len(endpoints)} endpoints: give one endpoint for all, or one each."
        )
    addresses = list(endpoints) * (len(models) if len(endpoints) == 1 else 1) or [""] * len(models)
    wanted = [adapters] * len(models) if isinstance(adapters, str) else list(adapters)
    if len(wanted) != len(models):
        raise UsageError(f"{len(models)} models and {len(wanted)} lists of adapters: give one for all, or one each.")
    labels = [model.rstrip("/").rpartition("/")[2] or model for model in models]
    if len(set(labels)) < len(labels):
        raise UsageError(f"Two models are called '{max(labels, key=labels.count)}'; name each once.")
    plans, findings = [], []
    for model, label, address, names in zip(models, labels, addresses, wanted, strict=True):
        if address:
            server = EndpointModel(address, model)
            plans.append(Plan(label, model, server.url, server.variants(names), settings.template or "", ""))
            findings.append(Finding(
                kind="note", model=label, detail=f"Asked at {server.url}, which gives no likelihoods: multiple choice "
                "is answered by letter, bits per byte are left out, and the weights are not hashed.",
            ))  # fmt: skip
            continue
        config = load_config(model)
        if config.is_encoder_decoder:
            raise UsageError(f"{model} is an encoder-decoder model such as T5; compare it with --suite summary.")
        family = family_of(config)
        variants, notes = find_variants(model, names, lora)
        findings += [Finding(kind="note", model=label, detail=note) for note in notes]
        plans.append(Plan(label, model, "", variants, _template(variants, settings, family.instruction_template),
                          family.name))  # fmt: skip
    return plans, findings


def _template(variants: Sequence[Variant], settings: Settings, family: str) -> str:
    """The template the adapters were trained with, else the family's.

    Raises:
        LeyloraError: adapters of one base were trained with different ones, so that no prompt is fair to all.
    """
    trained = sorted({str(variant.run["instruction_template"]) for variant in variants
                      if variant.run and variant.run.get("instruction_template")})  # fmt: skip
    if settings.template is None and len(trained) > 1:
        raise LeyloraError(
            f"The adapters were trained with different templates ({', '.join(trained)}); give --template."
        )
    return settings.template or (trained[0] if trained else family)


def filled(sources: Sources, plans: Sequence[Plan]) -> Sources:
    """Sources with the test rows of the datasets that the adapters' records name, where none were given."""

    def rows(role: str) -> tuple[Path, ...]:
        named = [str(variant.run["dataset"]) for plan in plans for variant in plan.variants
                 if variant.role == role and variant.run and variant.run.get("dataset")]  # fmt: skip
        return tuple(Path(name) for name in dict.fromkeys(named) if (Path(name) / "test.jsonl").is_file())

    return replace(
        sources,
        law_rows=sources.law_rows or rows("law"),
        instruction_rows=sources.instruction_rows or rows("instructions"),
    )
