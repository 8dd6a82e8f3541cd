"""A folder of results as a comparison leaves it, with numbers drawn at random: what the tests of the report read."""

import random
from pathlib import Path
from typing import Any

from leylora.evaluation import results as r
from leylora.evaluation.results import answers_file, items_file, marks_file
from leylora.files import write_json, write_jsonl

MODELS = ("mistral-7b", "llama-2-7b", "falcon-7b")
VARIANTS = ("base", "instructions", "law", "merged")
ROLES: dict[str, r.Role] = {"base": "base", "instructions": "instructions", "law": "law", "merged": "merged"}
GAIN = {"base": 0.0, "instructions": 0.05, "law": 0.22, "merged": 0.2}
HEADLINES = (
    ("law", "score", "all", "share"),
    ("law", "score", "setting:closed-book", "share"),
    ("law", "score", "setting:grounded", "share"),
    ("instructions", "bits_per_byte", "all", "bits/byte"),
    ("instructions", "score", "all", "share"),
    ("spanish", "score", "all", "share"),
)
EVIL = "<script>document.title='planted'</script><img src=x onerror=\"document.title='planted'\">"


def write_results(out: Path, *, models: tuple[str, ...] = MODELS, items: int = 12, planted: str = "") -> Path:
    """Write a whole folder; ``planted`` goes into answers, names, findings and the command."""
    draw = random.Random(7)
    asked = [item for suite in ("law", "instructions", "spanish") for item in _items(suite, items, planted)]
    for suite in ("law", "instructions", "spanish"):
        write_jsonl(items_file(out, suite), [i.model_dump(mode="json") for i in asked if i.suite == suite])
    for model in models:
        for variant in VARIANTS:
            answered = [_answer(draw, model, variant, item, planted) for item in asked]
            write_jsonl(answers_file(out, model, variant), [a.model_dump(mode="json") for a, _ in answered])
            write_jsonl(marks_file(out, model, variant), [m.model_dump(mode="json") for _, m in answered])
    write_json(out / "scores.json", _scores(draw, models, items, planted).model_dump(mode="json"))
    write_json(out / "provenance.json", _provenance(draw, models, items, planted).model_dump(mode="json"))
    return out


def _items(suite: str, count: int, planted: str) -> list[r.Item]:
    made = []
    for at in range(count):
        choose = suite == "law" and at % 3 == 0
        setting: r.Setting = ("grounded" if at % 2 else "closed-book") if suite == "law" else ""
        question = f"¿Qué plazo fija la ley de muestra para el trámite número {at}? {planted}"
        made.append(
            r.Item(
                suite=suite,
                id=f"{suite}-{at:02}",
                task="multiple-choice" if choose else {"law": "deadline", "spanish": "qa"}.get(suite, "held-out"),
                setting=setting,
                ask="choose" if choose else "generate",
                cluster=f"{suite} art. {at // 2}",
                messages=[{"role": "user", "content": question}],
                reference=f"Quince días, según el artículo {at}.",
                options=["Diez días", "Quince días", "Un mes", "Un año"] if choose else [],
                correct=1 if choose else None,
                orders=[[0, 1, 2, 3], [3, 2, 1, 0]] if choose else [],
                law_id="muestra" if suite == "law" else "",
                article=str(at) if suite == "law" else "",
                edition="2024-01-01" if suite == "law" else "",
            )
        )
    return made


def _answer(draw: random.Random, model: str, variant: str, item: r.Item, planted: str) -> tuple[r.Answer, r.Mark]:
    good = draw.random() < 0.4 + GAIN[variant]
    text, citations, reasons = "", [], []
    flags: list[r.Flag] = []
    logprobs = None
    if item.ask == "choose":
        best = 1 if good else 2
        logprobs = [[-0.2 if option == best else -2.0 - option for option in range(4)]] * 2
    else:
        verdict: r.Verdict = "right" if good else draw.choice(["wrong", "invented", "unknown"])
        cited = f"artículo {item.article or 7} de la Ley de Muestra"
        text = f"El plazo es de {'quince' if good else 'treinta'} días, según el {cited}. {planted}"
        at = text.index(cited)
        citations = [
            r.Citation(
                text=cited,
                span=(at, at + len(cited)),
                law_id="muestra",
                article=item.article or "7",
                verdict=verdict,
            )
        ]
        if verdict == "invented":
            flags, reasons = ["invented-citation"], ["invented-citation"]
        elif draw.random() < 0.05:
            flags, reasons = ["degenerate"], ["repeats"]
    shared: dict[str, Any] = {"model": model, "variant": variant, "suite": item.suite, "item": item.id}
    answer = r.Answer(
        key="k" * 64,
        prompt_sha256="p" * 64,
        settings_sha256="s" * 64,
        text=text,
        tokens=len(text.split()),
        option_logprobs=logprobs,
        **shared,
    )
    mark = r.Mark(
        task=item.task,
        setting=item.setting,
        cluster=item.cluster,
        score=float(good),
        accuracy=float(good),
        citations=citations,
        flags=flags,
        reasons=reasons,
        **shared,
    )
    return answer, mark


def _scores(draw: random.Random, models: tuple[str, ...], items: int, planted: str) -> r.Scores:
    scores, differences, retention, costs = [], [], [], []
    for model in models:
        for suite, metric, part, unit in HEADLINES:
            less = unit == "bits/byte"
            values = {}
            for variant in VARIANTS:
                gain = GAIN[variant] * (1 if suite == "law" else 0.6) + draw.uniform(-0.02, 0.02)
                values[variant] = 1.9 - gain if less else 0.42 + gain
                scores.append(
                    r.Score(
                        model=model,
                        variant=variant,
                        suite=suite,
                        metric=metric,
                        part=part,
                        value=values[variant],
                        low=values[variant] - 0.07,
                        high=values[variant] + 0.08,
                        interval="cluster-bootstrap",
                        n=items,
                        clusters=items // 2,
                        unit=unit,
                        higher_is_better=not less,
                        chance=0.25 if unit == "share" and suite == "law" else None,
                        headline=(metric, part) == ("score", "all"),
                    )
                )
            for variant, against in (("instructions", "base"), ("law", "base"), ("merged", "base"), ("merged", "law")):
                value = values[variant] - values[against]
                p = 0.001 if abs(value) > 0.12 else 0.4
                differences.append(
                    r.Difference(
                        model=model,
                        suite=suite,
                        metric=metric,
                        part=part,
                        variant=variant,
                        against=against,
                        value=value,
                        low=value - 0.08,
                        high=value + 0.08,
                        test="randomisation",
                        p=p,
                        p_holm=min(1.0, p * 9),
                        family=suite,
                        n=items,
                        clusters=items // 2,
                        detectable=0.11,
                        better=7,
                        worse=3,
                    )
                )
            single = "law" if suite == "law" else "instructions"
            known = suite != "spanish"
            retention.append(
                r.Retention(
                    model=model,
                    suite=suite,
                    metric=metric,
                    part=part,
                    variant="merged",
                    single=single,
                    value=0.88 if known else None,
                    low=0.6 if known else None,
                    high=1.15 if known else None,
                    n=items,
                    undefined="" if known else "no-significant-gain",
                )
            )
        for variant in VARIANTS:
            costs.append(
                r.Cost(
                    model=model,
                    variant=variant,
                    load="4bit",
                    memory_gib=None if model == "falcon-7b" else 5.1,
                    load_seconds=41.0,
                    generated_tokens=4000,
                    seconds=120.0,
                    tokens_per_second=33.3,
                    adapter_mib=None if variant == "base" else 80.1,
                    training_seconds=7200.0 if variant in ("instructions", "law") else None,
                    training_device="Tesla T4" if variant in ("instructions", "law") else "",
                )
            )
    seen = r.Finding(
        kind="seen-in-training",
        model=models[0],
        variant="law",
        suite="law",
        total=items,
        error=planted,
        items=["law-00", "law-01"],
    )
    return r.Scores(scores=scores, differences=differences, retention=retention, costs=costs, findings=[seen])


def _provenance(draw: random.Random, models: tuple[str, ...], items: int, planted: str) -> r.Provenance:
    def run(name: str) -> dict[str, Any]:
        log = [{"step": step, "loss": 2.6 / (1 + step / 40) + draw.uniform(0, 0.1)} for step in range(5, 200, 5)]
        log += [{"step": step, "eval_loss": 2.4 / (1 + step / 50) + 0.2} for step in (50, 100, 150, 195)]
        return {"name": name, "seed": 42, "wall_seconds": 7200.0, "device": "Tesla T4", "log": log}

    modules = [
        {
            "module": f"model.layers.{layer}.{leaf}",
            "rank": 16,
            "truncation_error": 0.05 + 0.005 * layer,
            "sum_error": 0.05 + 0.005 * layer,
            "cosine": 0.1,
        }
        for layer in range(32)
        for leaf in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")
    ]
    merge = {
        "method": "svd",
        "rank": 16,
        "seconds": 0.8,
        "modules": modules,
        "parents": [{"name": "instructions", "weight": 1.0}, {"name": "law", "weight": 0.8}],
    }
    return r.Provenance(
        command=f"python scripts/compare.py --models {' '.join(models)} {planted}".strip(),
        started="2026-01-10T10:00:00Z",
        finished="2026-01-10T11:02:00Z",
        seconds=3720.0,
        seed=0,
        limit=items,
        device="Tesla T4",
        versions={"leylora": "0.1.0", "torch": "2.13.0"},
        settings={"max_new_tokens": 128, "do_sample": False},
        models=[
            r.Model(
                label=model,
                source=f"example/{model}",
                sha256="b" * 64,
                load="4bit",
                template="leylora-mistral",
                template_sha256="t" * 64,
                parameters=7_241_732_096,
                variants=[
                    r.Variant(
                        name=variant,
                        role=ROLES[variant],
                        adapter="" if variant == "base" else f"LORA/{model}-{variant}",
                        sha256="" if variant == "base" else "a" * 64,
                        run=run(f"{model}-{variant}") if variant in ("instructions", "law") else None,
                        merge=merge if variant == "merged" else None,
                    )
                    for variant in VARIANTS
                ],
            )
            for model in models
        ],
        suites=[
            r.Suite(name=suite, sources=[f"data/{suite}.jsonl"], sha256="c" * 64, items=items, tasks={"all": items})
            for suite in ("law", "instructions", "spanish")
        ],
    )
