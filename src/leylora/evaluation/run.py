"""The whole comparison: models and their adapters, asked the same questions, scored by paired statistics.

    results = compare(["data/build/models/tiny-mistral"], Path("data/build/comparison"))

plan    every folder and server is looked at before anything is loaded
ask     each base is loaded once and its adapters are switched on it; answers are appended to OUT as they come
        (`leylora.evaluation.asking`)
finish  `leylora.evaluation.scoring.tally` grades and scores; items, marks, provenance and scores are written

A run that was stopped continues with the same command, and one whose answers are all there loads no model: nothing
here imports torch until something must be asked.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leylora.adapters.discover import Note, common_template, find_variants
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.asking import Gathered, ask_models
from leylora.evaluation.backends import Backend, EndpointModel, LocalModel, sha256_of
from leylora.evaluation.items import Questions, Sources, questions
from leylora.evaluation.results import (
    Finding,
    FindingKind,
    Model,
    Provenance,
    Results,
    items_file,
    load_results,
    marks_file,
)
from leylora.evaluation.scoring import tally
from leylora.files import write_json, write_jsonl
from leylora.models.bases import Load, config_of
from leylora.models.families import FAMILIES
from leylora.models.templates import instruction_template
from leylora.project import LORA
from leylora.training.record import installed_versions

GRADED = ("law", "instructions", "spanish")
SCORING = ("numpy", "scipy", "sacrebleu", "rouge-score")  # packages, besides those of training


@dataclass(frozen=True)
class CompareSettings:
    """How to ask."""

    load: Load = "4bit"  # precision of the base
    max_new_tokens: int = 192
    limit: int | None = None  # most items of a suite
    template: str | None = None  # in INSTRUCTION-TEMPLATES; by default the one the adapters were trained with
    batch_size: int = 64  # most rows asked at once
    seed: int = 0  # of the draw of items, of the bootstrap, and of answers that are sampled


def compare(
    models: Sequence[str],
    out: Path,
    *,
    adapters: str | Sequence[str] = "auto",
    suites: Sequence[str] = GRADED,
    sources: Sources | None = None,
    settings: CompareSettings | None = None,
    endpoints: Sequence[str] = (),
    lora: Path = LORA,
    command: str = "",
) -> Results:
    """Ask every variant of every model every question, and write answers, marks, scores and provenance to ``out``.

    Of several models, one that cannot be loaded or asked is a finding with its reason, and the run goes on.

    Args:
        models: base models, as folders or Hub names; with ``endpoints``, their names at the server.
        adapters: ``auto``, ``none`` or names, for all models or one text each; see `find_variants`.
        sources: where questions come from; by default the benchmark, and the test rows of the datasets that the
            adapters' run.json name.
        endpoints: addresses to ask at instead of loading: one for all models, or one each.
        command: what the user typed, for the record.

    Raises:
        UsageError: arguments that exclude each other, or ``out`` holds something else.
        LeyloraError: no model, or a source, can be used; nothing that was answered is lost.
    """
    started = time.time()
    settings = settings or CompareSettings()
    check_out(out)
    planned, findings = plan(models, adapters, endpoints, settings, lora)
    asked = questions(suites, _with_rows(sources or Sources(), planned), limit=settings.limit, seed=settings.seed)
    how = {"load": settings.load, "max_new_tokens": settings.max_new_tokens}

    def open_backend(model: Model) -> Backend:
        common: dict[str, Any] = {**how, "seed": settings.seed}
        if model.endpoint:
            return EndpointModel(model.endpoint, model.source, template=model.template or None, **common)
        template = instruction_template(model.template)
        return LocalModel(model.source, template, batch_size=settings.batch_size, **common)

    gathered = ask_models(planned, asked, out, open_backend, how, findings)
    decoding = {"decoding": "greedy", **how}
    return finish(out, asked, gathered, decoding, command, started, settings.seed, settings.limit)


# Plan


def plan(
    models: Sequence[str],
    adapters: str | Sequence[str],
    endpoints: Sequence[str],
    settings: CompareSettings,
    lora: Path,
) -> tuple[list[Model], list[Finding]]:
    """What will be compared, every folder looked at before anything is loaded; and what is to be said about it."""
    if settings.template is not None:
        instruction_template(settings.template)  # that it is there
    if not models:
        raise UsageError("Name at least one base model, such as: --models data/build/models/tiny-mistral")
    if len(endpoints) not in (0, 1, len(models)):
        raise UsageError(
            f"{len(models)} models and {len(endpoints)} endpoints: give one endpoint for all, or one each."
        )
    addresses = endpoints if len(endpoints) == len(models) else [endpoints[0] if endpoints else ""] * len(models)
    wanted = [adapters] * len(models) if isinstance(adapters, str) else list(adapters)
    if len(wanted) != len(models):
        raise UsageError(f"{len(models)} models and {len(wanted)} lists of adapters: give one for all, or one each.")
    planned: list[Model] = []
    findings: list[Finding] = []
    errors: list[LeyloraError] = []
    for name, label, address, words in zip(models, labels_of(models), addresses, wanted, strict=True):
        try:
            model, noticed = _plan_model(name, label, address, words, settings, lora)
        except LeyloraError as error:
            if isinstance(error, UsageError):
                raise
            errors.append(error)
            findings.append(Finding(kind="not-answered", model=label, error=str(error)))
            continue
        planned.append(model)
        findings += noticed
    if not planned:
        raise errors[0]
    return planned, findings


def labels_of(models: Sequence[str]) -> list[str]:
    """The last part of each name. Raises UsageError when two are the same."""
    labels = [model.rstrip("/").rpartition("/")[2] or model for model in models]
    if len(set(labels)) < len(labels):
        raise UsageError(f"Two models are called '{max(labels, key=labels.count)}'; name each once.")
    return labels


def _plan_model(
    name: str, label: str, address: str, adapters: str, settings: CompareSettings, lora: Path
) -> tuple[Model, list[Finding]]:
    if address:
        server = EndpointModel(address, name)
        model = Model(
            label=label,
            source=name,
            endpoint=server.url,
            template=settings.template or "",
            template_sha256=sha256_of(instruction_template(settings.template)) if settings.template else "",
            variants=server.variants(adapters),
        )
        return model, [Finding(kind="endpoint", model=label, source=server.url)]
    config = config_of(name)
    kind = str(config["model_type"])
    if config.get("is_encoder_decoder"):
        raise UsageError(f"{name} has an encoder; train/seq2seq.py itself shows such a base against fine-tuned.")
    if kind not in FAMILIES:
        raise LeyloraError(
            f"{name} is of type '{kind}', which has no family here (known: {', '.join(FAMILIES)}); add one to "
            "src/leylora/models/families.py."
        )
    variants, notes = find_variants(name, adapters, lora)
    template = settings.template or common_template(variants) or FAMILIES[kind].instruction_template
    model = Model(
        label=label,
        source=name,
        family=FAMILIES[kind].name,
        load=settings.load,
        template=template,
        template_sha256=sha256_of(instruction_template(template)),
        variants=variants,
    )
    return model, [_finding(label, note) for note in notes]


def _finding(model: str, note: Note) -> Finding:
    match note.kind:
        case "left out":
            kind: FindingKind = "stale-adapter" if note.stale else "unusable-adapter"
            return Finding(kind=kind, model=model, adapter=note.adapter, error="" if note.stale else note.detail)
        case "several":
            names = list(note.others)
            return Finding(kind="other-adapters", model=model, variant=note.role, adapter=note.adapter, names=names)
        case "none":
            return Finding(kind="no-adapter", model=model, source=note.detail)
        case "not a merge":
            return Finding(kind="no-merge-report", model=model, adapter=note.adapter)


def _with_rows(sources: Sources, models: Sequence[Model]) -> Sources:
    """Sources with the test rows of the datasets that the adapters' records name, where none were given."""
    found: dict[str, list[Path]] = {"law": [], "instructions": []}
    for variant in (variant for model in models for variant in model.variants):
        folder = Path(str((variant.run or {}).get("dataset") or ""))
        if variant.role in found and (folder / "test.jsonl").is_file() and folder not in found[variant.role]:
            found[variant.role].append(folder)
    return replace(
        sources,
        law_rows=sources.law_rows or tuple(found["law"]),
        instruction_rows=sources.instruction_rows or tuple(found["instructions"]),
    )


# Finish


def finish(
    out: Path,
    asked: Questions,
    gathered: Gathered,
    decoding: Mapping[str, Any],
    command: str,
    started: float,
    seed: int,
    limit: int | None,
) -> Results:
    """Score what was gathered, and write items, marks, provenance and, last, the scores, which say that all is there.

    Until then what an earlier run left in ``out`` stays whole: a run that is stopped adds answers and changes nothing.
    """
    marks, scores = tally(
        gathered.models, asked.items, gathered.answers, asked.laws, gathered.costs, gathered.findings, seed
    )
    (out / "scores.json").unlink(missing_ok=True)
    for name, items in asked.items.items():
        write_jsonl(items_file(out, name), (item.model_dump() for item in items))
    by_variant: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (model, variant, _), found in marks.items():
        by_variant.setdefault((model, variant), []).extend(mark.model_dump(exclude_none=True) for mark in found)
    for (model, variant), rows in by_variant.items():
        write_jsonl(marks_file(out, model, variant), rows)
    ended = time.time()
    provenance = Provenance(
        command=command or " ".join(sys.argv),
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        finished=datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        seconds=ended - started,
        seed=seed,
        limit=limit,
        device=gathered.device,
        versions=installed_versions() | {name: version(name) for name in SCORING},
        settings=dict(decoding),
        models=gathered.models,
        suites=asked.suites,
    )
    write_json(out / "provenance.json", provenance.model_dump())
    write_json(out / "scores.json", scores.model_dump())
    return load_results(out)


def check_out(out: Path) -> None:
    """Raise UsageError when ``out`` exists and is not a comparison's folder."""
    ours = {"items", "answers", "marks", "scores.json", "provenance.json"}
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not ours & {path.name for path in out.iterdir()}):
        raise UsageError(f"{out} exists and is not a comparison's folder; choose another name for --out.")
