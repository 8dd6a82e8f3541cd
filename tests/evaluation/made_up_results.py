"""A folder of results as a comparison leaves it: made-up items and answers, graded and scored by the real scorer."""

import random
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from leylora.adapters.discover import Role
from leylora.evaluation import results as r
from leylora.evaluation.scoring import tally
from leylora.files import write_json, write_jsonl
from leylora.laws.law import Article, Law

MODELS = ("mistral-7b", "llama-2-7b", "falcon-7b")
VARIANTS: tuple[Role, ...] = ("base", "instructions", "law", "merged")
RIGHT = {"base": 0.15, "instructions": 0.35, "law": 1.0, "merged": 0.9}  # chance that an answer is right
EVIL = "<script>document.title='planted'</script><img src=x onerror=\"document.title='planted'\">"
HASHES: dict[str, Any] = {"key": "k" * 64, "prompt_sha256": "p" * 64, "settings_sha256": "s" * 64}
LOG: list[dict[str, Any]] = [{"step": step, "loss": 2.6 / (1 + step / 40)} for step in range(5, 200, 5)]
RUN = {"log": [*LOG, {"step": 100, "eval_loss": 1.2}, {"step": 195, "eval_loss": 0.9}]}
CUT = [
    {"module": f"layers.{at}.{name}_proj", "truncation_error": 0.01 * at} for at in range(32) for name in ("q", "up")
]
MERGE = {"method": "svd", "rank": 16, "modules": CUT, "parents": [{"name": "law", "weight": 0.8, "path": "-"}]}
RECORDS: dict[str, dict[str, Any]] = {"instructions": {"run": RUN}, "law": {"run": RUN}, "merged": {"merge": MERGE}}
COST: dict[str, Any] = {"load": "4bit", "load_seconds": 41.0, "generated_tokens": 4000, "seconds": 120.0}
COST |= {"tokens_per_second": 33.3, "adapter_mib": 80.1, "training_seconds": 7200.0, "training_device": "Tesla T4"}
MACHINE: dict[str, Any] = {"started": "2026-01-10T10:00:00Z", "finished": "2026-01-10T11:02:00Z", "seconds": 3720.0}
MACHINE |= {"seed": 0, "device": "Tesla T4", "versions": {"leylora": "0.1.0"}, "settings": {"max_new_tokens": 128}}


def write_results(
    out: Path, *, models: tuple[str, ...] = MODELS, items: int = 12, planted: str = "", free: bool = False
) -> Path:
    """Write a whole folder. ``planted`` goes into questions, answers, names and the command; ``free`` adds prompts."""
    draw = random.Random(7)
    asked = {suite: [_item(suite, at, planted) for at in range(items)] for suite in ("law", "instructions", "spanish")}
    if free:
        asked["prompts"] = [_prompt(at, heat, planted) for at in range(2) for heat in (None, 0.7)]
    variants = [
        r.Variant(name=role, role=role, adapter="" if role == "base" else f"LORA/{role}", **RECORDS.get(role, {}))
        for role in VARIANTS
    ]
    known = [
        r.Model(label=name, source=f"example/{name} {planted}", sha256="b" * 64, variants=variants) for name in models
    ]
    answers: dict[tuple[str, str, str], list[r.Answer]] = {
        (model, role, suite): [_answer(draw, model, role, item, planted) for item in found]
        for model in models
        for role in VARIANTS
        for suite, found in asked.items()
    }
    memory = {model: None if model == "falcon-7b" else 5.1 for model in models}
    costs = [r.Cost(model=one, variant=role, memory_gib=memory[one], **COST) for one in models for role in VARIANTS]
    law = make_law("muestra", "Ley de Muestra", "LM", range(items), date(2024, 1, 1))
    failed = r.Finding(kind="not-answered", model="ausente-7b", error=f"no such model {planted}")
    marks, scores = tally(known, asked, answers, laws=[law], costs=costs, findings=[failed])
    for suite, found in asked.items():
        write_jsonl(r.items_file(out, suite), [one.model_dump(mode="json") for one in found])
    for model in models:
        for role in VARIANTS:
            mine = [(model, role, suite) for suite in asked]
            write_jsonl(r.answers_file(out, model, role), [a.model_dump() for place in mine for a in answers[place]])
            write_jsonl(r.marks_file(out, model, role), [m.model_dump() for place in mine for m in marks[place]])
    write_json(out / "scores.json", scores.model_dump(mode="json"))
    suites = [
        r.Suite(name=suite, sources=[f"{suite}.jsonl"], sha256="c" * 64, items=len(found), tasks={"all": items})
        for suite, found in asked.items()
    ]
    command = f"python scripts/compare.py --models {' '.join(models)} {planted}"
    provenance = r.Provenance(command=command, limit=items, models=known, suites=suites, **MACHINE)
    write_json(out / "provenance.json", provenance.model_dump(mode="json"))
    return out


def make_law(law_id: str, name: str, siglas: str, numbers: Iterable[int], last_reform: date) -> Law:
    """A law whose article 7 has the rubric "Rubro 7" and the body "Texto 7."."""
    row: dict[str, Any] = {"law_id": law_id, "kind": "articulo", "status": "vigente"}
    articles = [Article(number=str(at), rubric=f"Rubro {at}", body=f"Texto {at}.", **row) for at in numbers]
    return Law(law_id, name, siglas, (), "", None, last_reform, "", 0, "", tuple(articles), (), {})


def _item(suite: str, at: int, planted: str) -> r.Item:
    facts: dict[str, Any] = {"suite": suite, "id": f"{suite}-{at:02}", "cluster": f"{suite}:{at}", "ask": "generate"}
    facts |= {"task": "qa" if suite == "spanish" else "held-out", "reference": "Quince días."}
    facts |= {"accepted": ["quince días"]}
    if suite == "law":
        facts |= {"task": "deadline", "law_id": "muestra", "article": str(at), "edition": "2024-01-01"}
        facts |= {"setting": "grounded" if at % 2 else "closed-book"}
    if suite == "law" and at % 3 == 0:
        facts |= {"task": "multiple-choice", "ask": "choose", "orders": [[0, 1, 2], [2, 0, 1], [1, 2, 0]], "correct": 1}
        facts |= {"options": ["Diez días.", "Quince días.", "Un mes."]}
    question = f"¿Qué plazo fija la ley de muestra para el trámite número {at}? {planted}"
    return r.Item(messages=[{"role": "user", "content": question}], **facts)


def _prompt(at: int, temperature: float | None, planted: str) -> r.Item:
    facts: dict[str, Any] = {"suite": "prompts", "id": f"p{at} {temperature}", "cluster": f"p{at}", "task": "prompt"}
    facts |= {"ask": "generate", "preset": "" if temperature is None else "Tibio", "temperature": temperature}
    return r.Item(messages=[{"role": "user", "content": f"Escriba un saludo, número {at}. {planted}"}], **facts)


def _answer(draw: random.Random, model: str, role: str, item: r.Item, planted: str) -> r.Answer:
    right = draw.random() < RIGHT[role]
    facts: dict[str, Any] = {"nll": draw.uniform(9, 10) - 5 * RIGHT[role], "reference_bytes": 13, "reference_tokens": 4}
    if item.suite == "prompts":
        facts = {"error": f"timed out {planted}"} if (model, role) == (MODELS[0], "law") else {"seconds": 3.4}
    if item.ask == "choose":
        facts |= {"option_logprobs": [[-2.0, -0.1, -3.0] if right else [-0.1, -2.0, -3.0]] * 3}
    elif "error" not in facts:
        article = item.article if right else draw.choice([str(int(item.article or 1) // 2), "999"])
        cited = f" según el artículo {article} de la Ley de Muestra" if item.suite == "law" else ""
        text = f"El plazo es de {'quince' if right else 'treinta'} días{cited}. {planted}"
        if draw.random() < 0.1:
            text = draw.choice(["Sí, sí, sí, sí, sí. " * 30, "The library opens at nine in the morning.", ""])
        facts |= {"text": text, "tokens": len(text.split()), "finished": draw.random() > 0.05}
    return r.Answer(model=model, variant=role, suite=item.suite, item=item.id, **HASHES, **facts)
