"""Did a variant see the questions before? Looked for in its training rows, and in how it answers.

Statutes are in every pre-training corpus; what must not be shared is our own questions. Training rows are available
when ``run.json`` names a dataset folder that still exists. Where they are not, a variant that memorised the letters of
a benchmark gives itself away: it answers right only while the options are in the published order.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from leylora.data.duplicates import marks
from leylora.evaluation.results import Finding, Item, Mark, Model, Variant
from leylora.evaluation.statistics import bootstrap_interval, by_cluster
from leylora.files import read_json, read_jsonl
from leylora.grounding.prompt import read_grounded_prompt

FAVOURITE = 0.6  # share of the orders in which one place is chosen
BOILERPLATE = 3
LEAKED = 0.5  # of a question's runs of eight words
NO_ARTICLE = "row "
NAMED = re.compile(r"cite el artículo\. (.*)\. No es asesoría legal")


def training_rows(variant: Variant) -> list[Path]:
    """The training files a variant's run.json names and that are there; of a merge, those of its parents."""
    folders: list[str | None] = []
    if variant.run is not None:
        folders += [variant.run.get("dataset"), variant.run.get("replay_dataset")]
    if variant.merge is not None and variant.adapter:
        for parent in variant.merge.get("parents", []):
            record = Path(variant.adapter).resolve() / str(parent["path"]) / "run.json"
            if record.is_file():
                run = read_json(record)
                folders += [run.get("dataset"), run.get("replay_dataset")]
    files = [Path(folder) / "train.jsonl" for folder in dict.fromkeys(folders) if folder]
    return [file for file in files if file.is_file()]


def seen_in_training(items: Sequence[Item], files: Iterable[Path]) -> list[str]:
    """Ids of the items half of whose runs of eight words, supplied articles apart, occur in training rows.

    A question of four to seven words must occur whole. Questions only: the text of an article may well be in a
    training prompt with another question. The names of laws do not count, nor does wording that `BOILERPLATE`
    questions, or training rows, about different articles share, for that is a template's; and a training row on one
    article is not a leak of a question on another.
    """
    asked = {item.id: marks(own_question(item.messages)) for item in items}
    shared: dict[int, set[str]] = {}
    for item in items:
        for mark in asked[item.id]:
            shared.setdefault(mark, set()).add(item.cluster)
    wanted = {mark for mark, clusters in shared.items() if len(clusters) < BOILERPLATE}
    found: dict[int, set[str]] = {}  # a run of words -> the articles of the training rows that have it
    for file in files:
        for line, row in read_jsonl(file):
            messages = [turn for turn in row.get("messages", []) if turn["role"] != "assistant"]
            for mark in marks(own_question(messages)) & wanted:
                found.setdefault(mark, set()).add(str(row.get("article") or f"{NO_ARTICLE}{file}, {line}"))
    seen = {mark: about for mark, about in found.items() if len(about) < BOILERPLATE}

    leaked: list[str] = []
    for item in items:
        own, article = asked[item.id] & wanted, item.cluster.rpartition(":")[2]
        count = sum(any(one == article or one.startswith(NO_ARTICLE) for one in seen.get(mark, ())) for mark in own)
        if count and count >= LEAKED * len(own):
            leaked.append(item.id)
    return leaked


def own_question(messages: Sequence[Mapping[str, str]]) -> str:
    """The last question, without the articles supplied with it and without the names of the laws it is about."""
    question, _ = read_grounded_prompt(messages[-1]["content"])
    for turn in messages:
        named = NAMED.search(turn["content"]) if turn["role"] == "system" else None
        for law in named[1].split("; ") if named else []:
            question = question.replace(law.rpartition(", ed. ")[0] or law, "LEY")
    return question


def contamination(model: Model, items: Mapping[str, Sequence[Item]]) -> list[Finding]:
    """A finding for each variant and suite whose questions occur in its training rows."""
    found = []
    cache: dict[tuple[str, tuple[Path, ...]], list[str]] = {}
    for variant in model.variants:
        files = tuple(training_rows(variant))
        for suite, asked in items.items():
            if files and (suite, files) not in cache:
                cache[suite, files] = seen_in_training(asked, files)
            if seen := cache.get((suite, files), []):
                about: dict[str, Any] = {"model": model.label, "variant": variant.name, "suite": suite}
                found.append(Finding(kind="seen-in-training", items=seen, total=len(asked), **about))
    return found


def memorised(model: str, variant: str, suite: str, marked: Sequence[Mark], seed: int = 0) -> list[Finding]:
    """Whether multiple choice goes better in the published order than in others, and whether one letter is favoured."""
    rows = [mark for mark in marked if mark.published_order is not None and mark.other_orders is not None]
    clusters = [mark.cluster for mark in rows]
    if len(set(clusters)) < 2:
        return []
    found = []
    gaps = [float(mark.published_order or 0) - (mark.other_orders or 0) for mark in rows]
    gap = by_cluster(clusters, gaps, [1.0] * len(rows))
    if bootstrap_interval(gap, seed)[0] > 0 and gap.value > 0.1:
        found.append(Finding(kind="memorised", model=model, variant=variant, suite=suite, share=gap.value))
    shares = [float(np.mean(column)) for column in zip_longest(*(mark.places for mark in rows), fillvalue=0.0)]
    if max(shares) > FAVOURITE:
        liked: dict[str, Any] = {"place": int(np.argmax(shares)), "share": max(shares)}
        found.append(Finding(kind="position-bias", model=model, variant=variant, suite=suite, **liked))
    return found


def duplicate_variants(model: Model) -> list[Finding]:
    """A finding for each variant whose weights are those of an earlier one."""
    return [
        Finding(kind="duplicate-variant", model=model.label, variant=variant.name, names=[variant.same_as])
        for variant in model.variants
        if variant.same_as
    ]
