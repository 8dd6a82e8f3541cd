"""Base against fine-tuned at summarising, for encoder-decoder models: the same results folder and report as `compare`.

compare_summaries(["google/flan-t5-small"], Path("data/build/summaries"))
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.discover import BASE, Variant
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import UsageError
from leylora.evaluation.asking import ask_models
from leylora.evaluation.backends import Continuation
from leylora.evaluation.items import Questions, describe
from leylora.evaluation.results import Finding, Item, Model, Results
from leylora.evaluation.run import check_out, finish, labels_of
from leylora.files import read_json, sha256_file
from leylora.models.bases import TINY_BASES, same_base
from leylora.models.generate import Generated, Likelihood, Row
from leylora.models.load import load_config, silence_libraries
from leylora.models.presets import GREEDY
from leylora.project import LORA, SAMPLES, shown
from leylora.training.seq2seq import SummaryArguments, lead, load_pairs, means, score_summaries

SUITE = "summary"
ROWS = SAMPLES / "resumenes.jsonl"
MODEL_FILE = "model.safetensors"


def compare_summaries(
    models: Sequence[str],
    out: Path,
    *,
    adapters: str = "auto",
    rows: Path = ROWS,
    limit: int | None = None,
    max_new_tokens: int = 128,
    seed: int = 0,
    lora: Path = LORA,
    command: str = "",
) -> Results:
    """Have every base and its fine-tuned versions summarise the held-out rows; write answers, marks and scores.

    Args:
        adapters: ``auto`` (all in ``lora`` or data/build/models that was trained from the base, by its run.json),
            ``none``, or folders of adapters or whole models, separated by commas.
        rows: a JSONL file with ``text`` and ``summary``, of which every fifth row is held out, or a folder with
            ``test.jsonl``.

    Raises:
        UsageError: a model has no encoder, two have one name, or a folder holds nothing fine-tuned.
        LeyloraError: a model or the rows cannot be read.
    """
    started = time.time()
    check_out(out)
    planned = []
    for name, label in zip(models, labels_of(models), strict=True):
        if not load_config(name).is_encoder_decoder:
            raise UsageError(f"{name} has no encoder; the suite 'summary' compares T5 models, the others all the rest.")
        variants = find_tuned(name, adapters, lora)
        planned.append(Model(label=label, source=name, family="t5", load="float32", variants=variants))
    runs = [one.run for model in planned for one in model.variants if one.run]
    prompts = {str(run["prompt"]) for run in runs if run.get("prompt")}
    if len(prompts) > 1:
        raise UsageError(f"The models were trained with different prompts ({', '.join(sorted(prompts))}).")
    items = summary_items(rows, next(iter(prompts), SummaryArguments.prompt), limit)
    # What a summary of news has to beat: the article's own first sentences.
    articles = [item.messages[-1]["content"].partition("\n")[2] for item in items]
    scores = score_summaries([lead(article) for article in articles], [item.reference for item in items])
    asked = Questions(
        {SUITE: items},
        [describe(SUITE, items, [rows])],
        findings=[Finding(kind="lead-sentences", suite=SUITE, scores=means(scores))],
    )
    how = {"max_new_tokens": max_new_tokens, "decoding": "greedy", "dtype": "float32"}
    gathered = ask_models(
        planned, asked, out, lambda model: Seq2SeqModel(model.source, max_new_tokens=max_new_tokens), how
    )
    return finish(out, asked, gathered, how, command, started, seed, limit)


def find_tuned(base: str, asked: str, lora: Path = LORA) -> list[Variant]:
    """The base and what was fine-tuned from it; see `compare_summaries`."""
    folders = []
    if asked == "auto":
        for path in (path for place in (lora, TINY_BASES) for path in sorted(place.glob("*/run.json"))):
            run = read_json(path)
            if "rouge" in run and same_base(base, run.get("base_model")):
                folders.append(path.parent)
    elif asked != "none":
        for word in filter(None, map(str.strip, asked.split(","))):
            tuned = [
                folder
                for folder in (Path(word), lora / word)
                if (folder / WEIGHTS_FILE).is_file() or (folder / MODEL_FILE).is_file()
            ]
            if not tuned:
                raise UsageError(f"{word} holds neither an adapter ({WEIGHTS_FILE}) nor a model ({MODEL_FILE}).")
            folders.append(tuned[0])
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


def summary_items(rows: Path, prompt: str = SummaryArguments.prompt, limit: int | None = None) -> list[Item]:
    """The held-out rows as questions, put as in training."""
    pairs = load_pairs(str(rows), "test", None, ("text", "summary"), limit)
    return [
        Item(
            suite=SUITE,
            id=f"summary-{number:04}",
            task="summary",
            cluster=f"row {number}",
            messages=[{"role": "user", "content": f"{prompt}\n{pair.article}"}],
            reference=pair.summary,
            accepted=[pair.summary],
        )
        for number, pair in enumerate(pairs, start=1)
    ]


class Seq2SeqModel:
    """A `Backend` in float32 (T5 overflows in float16), without sampling or beams.

    A variant is an adapter on the base or a whole model in its place. Articles are cut as in training.
    """

    def __init__(
        self, name: str, *, max_source_length: int = 512, max_new_tokens: int = 128, batch_size: int = 8
    ) -> None:
        silence_libraries()
        self._base = self._load(name)
        self.tokenizer = self._base.tokenizer
        self._model, self._variant = self._base, BASE
        self._source, self._batch_size = max_source_length, batch_size
        self._sampling = replace(GREEDY, max_new_tokens=max_new_tokens)
        self.identity = self._base.identity
        self.parameters: int | None = int(self._base.model.num_parameters())
        self.settings: dict[str, Any] = {
            "decoding": "greedy",
            "max_source_length": max_source_length,
            "max_new_tokens": max_new_tokens,
            "dtype": "float32",
        }

    def use(self, variant: Variant) -> None:
        """Switch to the base, to an adapter on it, or to a whole fine-tuned model, which is loaded anew."""
        whole = variant.adapter and not (Path(variant.adapter) / CONFIG_FILE).is_file()
        self._model = self._load(variant.adapter) if whole else self._base
        self._variant = BASE if whole else variant
        with self._model.using(self._variant):
            pass

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        ordered = sorted(items, key=lambda item: (-len(item.messages[-1]["content"]), item.id))
        return [ordered[at : at + self._batch_size] for at in range(0, len(ordered), self._batch_size)]

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[Generated]:
        sources = [self._article(messages) for messages in conversations]
        return self._model.generate(self._variant, sources, self._sampling, plain=True)

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[Likelihood | None]:
        targets = [tuple(self.tokenizer(text_target=one.text)["input_ids"]) for one in continuations]
        articles = [tuple(self._article(one.messages)) for one in continuations]
        return [*self._model.score(self._variant, [*map(Row, articles, targets)])]

    def _article(self, messages: Sequence[dict[str, str]]) -> list[int]:
        encoded = self.tokenizer(messages[-1]["content"], truncation=True, max_length=self._source)
        return list(encoded["input_ids"])

    def _load(self, name: str) -> AdaptedModel:
        return AdaptedModel(name, "16bit", compute_dtype=torch.float32)
