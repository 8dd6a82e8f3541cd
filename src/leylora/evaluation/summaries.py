"""Base against fine-tuned at summarising, for encoder-decoder models: the same results folder and report as `compare`.

compare_summaries(["google/flan-t5-small"], Path("data/build/summaries"))
"""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leylora import console
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import UsageError
from leylora.evaluation.asking import Ledger
from leylora.evaluation.compare import MIB, Gathered, check_out, finish, now
from leylora.evaluation.questioning import ask_all
from leylora.evaluation.reading import Results, answers_file
from leylora.evaluation.results import Cost, Finding, Item, Model, Suite, Variant
from leylora.evaluation.seq2seq_model import Seq2SeqModel
from leylora.evaluation.suites import Questions, items_sha256
from leylora.evaluation.variants import BASE, LORA, same_base
from leylora.files import read_json, sha256_file
from leylora.models.bases import TINY_BASES
from leylora.models.load import load_config
from leylora.project import SAMPLES, shown
from leylora.training.record import peak_memory_gib
from leylora.training.seq2seq_rouge import lead, score_summaries
from leylora.training.seq2seq_rows import load_pairs

SUITE = "summary"
ROWS = SAMPLES / "resumenes.jsonl"
PROMPT = "Resume el siguiente artículo:"
MODEL_FILE = "model.safetensors"


def compare_summaries(
    models: Sequence[str], out: Path, *, adapters: str = "auto", rows: Path = ROWS, limit: int | None = None,
    max_new_tokens: int = 128, seed: int = 0, lora: Path = LORA, command: str = "",
) -> Results:  # fmt: skip
    """Have every base and its fine-tuned versions summarise the held-out rows; write answers, marks and scores.

    Args:
        models: encoder-decoder bases, as folders or Hub names.
        adapters: ``auto`` (whatever in ``lora`` or data/build/models was trained from the base, by its run.json),
            ``none``, or folders of adapters or whole models, separated by commas.
        rows: a JSONL file with ``text`` and ``summary``, of which every fifth row is held out, or a folder with
            ``test.jsonl``.

    Raises:
        UsageError: a model has no encoder, two have one name, or a folder holds nothing fine-tuned.
        LeyloraError: a model or the rows cannot be read.
    """
    started, clock = now(), time.monotonic()
    check_out(out)
    labels = [name.rstrip("/").rpartition("/")[2] for name in models]
    if len(set(labels)) < len(labels):
        raise UsageError(f"Two models are called '{max(labels, key=labels.count)}'; name each once.")
    for name in models:
        if not load_config(name).is_encoder_decoder:
            raise UsageError(f"{name} has no encoder; the suite 'summary' compares T5 models, the others all the rest.")
    variants = {label: find_tuned(name, adapters, lora) for label, name in zip(labels, models, strict=True)}
    items = summary_items(rows, _prompt(variants), limit)
    suite = Suite(name=SUITE, sources=[shown(rows)], sha256=items_sha256(items), items=len(items),
                  tasks=dict(Counter(item.task for item in items)))  # fmt: skip
    gathered = Gathered(findings=[_lead(items)])
    with console.progress() as bar:
        task = bar.add_task("summaries", total=len(items) * sum(map(len, variants.values())))
        for label, name in zip(labels, models, strict=True):
            bar.update(task, description=f"loading {label}")
            begun = time.monotonic()
            model = Seq2SeqModel(name, max_new_tokens=max_new_tokens)
            loading = time.monotonic() - begun
            for variant in variants[label]:
                bar.update(task, description=f"{label} {variant.name}")
                ledger = Ledger(answers_file(out, label, variant.name), label, variant.name)
                answers = ask_all(model, label, variant, items, ledger, lambda done: bar.advance(task, done))
                gathered.answers[label, variant.name, SUITE] = answers
                tokens, seconds = (sum(getattr(one, field) for one in answers) for field in ("tokens", "seconds"))
                gathered.costs.append(_cost(label, variant, int(tokens), seconds, loading))
            gathered.models.append(Model(
                label=label, source=name, family="t5", sha256=model.identity, load="float32",
                parameters=model.parameters, variants=variants[label],
            ))  # fmt: skip
    return finish(
        out, Questions({SUITE: items}, [suite]), gathered, command=command, started=started,
        seconds=time.monotonic() - clock, seed=seed, limit=limit,
        settings={"max_new_tokens": max_new_tokens, "decoding": "greedy", "dtype": "float32"},
    )  # fmt: skip


def find_tuned(base: str, asked: str, lora: Path = LORA) -> list[Variant]:
    """The base and what was fine-tuned from it; see `compare_summaries`."""
    if asked == "none":
        return [BASE]
    if asked == "auto":
        records = [path for place in (lora, TINY_BASES) for path in sorted(place.glob("*/run.json"))]
        folders = [path.parent for path in records if "rouge" in (run := read_json(path))
                   and same_base(base, run.get("base_model"))]  # fmt: skip
    else:
        folders = [_folder(word.strip(), lora) for word in asked.split(",") if word.strip()]
    found = [BASE]
    for folder in folders:
        name = folder.resolve().name
        if any(variant.name == name for variant in found):
            raise UsageError(f"Two fine-tuned versions are called '{name}'; name each once.")
        run = read_json(folder / "run.json") if (folder / "run.json").is_file() else None
        if run is not None and not same_base(base, run.get("base_model")):
            raise UsageError(f"{shown(folder)} was trained from {run.get('base_model')}, not from {base}.")
        weights = folder / (WEIGHTS_FILE if (folder / CONFIG_FILE).is_file() else MODEL_FILE)
        found.append(Variant(name=name, role="other", adapter=str(folder), sha256=sha256_file(weights), run=run))
    return found


def _folder(word: str, lora: Path) -> Path:
    for folder in (Path(word), lora / word):
        if (folder / WEIGHTS_FILE).is_file() or (folder / MODEL_FILE).is_file():
            return folder
    raise UsageError(f"{word} holds neither an adapter ({WEIGHTS_FILE}) nor a model ({MODEL_FILE}).")


def _prompt(variants: dict[str, list[Variant]]) -> str:
    """The prompt all were trained with.

    Raises:
        UsageError: they were trained with different ones, so that no prompt is fair to all.
    """
    trained = {str(variant.run["prompt"]) for found in variants.values() for variant in found
               if variant.run and variant.run.get("prompt")}  # fmt: skip
    if len(trained) > 1:
        raise UsageError(f"The models were trained with different prompts ({', '.join(sorted(trained))}).")
    return next(iter(trained), PROMPT)


def summary_items(rows: Path, prompt: str = PROMPT, limit: int | None = None) -> list[Item]:
    """The held-out rows as questions, put as in training."""
    pairs = load_pairs(str(rows), "test", None, ("text", "summary"), limit)
    return [
        Item(suite=SUITE, id=f"summary-{number:04}", task="summary", ask="generate", cluster=f"row {number}",
             messages=[{"role": "user", "content": f"{prompt}\n{pair.article}"}], reference=pair.summary,
             accepted=[pair.summary])
        for number, pair in enumerate(pairs, start=1)
    ]  # fmt: skip


def _lead(items: Sequence[Item]) -> Finding:
    """What a summary of news has to beat: the article's own first sentences."""
    articles = [item.messages[-1]["content"].partition("\n")[2] for item in items]
    means = score_summaries([lead(article) for article in articles], [item.reference for item in items]).means
    scores = ", ".join(f"{kind} {100 * value:.1f} %" for kind, value in means.items())
    return Finding(kind="note", suite=SUITE, detail=f"The first three sentences of each article score {scores}.")


def _cost(label: str, variant: Variant, tokens: int, seconds: float, loading: float) -> Cost:
    run = variant.run or {}
    adapter = Path(variant.adapter) / WEIGHTS_FILE if variant.adapter else None
    return Cost(
        model=label, variant=variant.name, load="float32", memory_gib=peak_memory_gib()[0], load_seconds=loading,
        generated_tokens=tokens, seconds=seconds, tokens_per_second=tokens / seconds if tokens and seconds else None,
        adapter_mib=adapter.stat().st_size / MIB if adapter and adapter.is_file() else None,
        training_seconds=run.get("wall_seconds"), training_device=str(run.get("device", "")),
    )  # fmt: skip
