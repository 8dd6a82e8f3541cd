"""Which questions a comparison asks: `questions` gives the items of its suites, bounded, and describes them.

law           the benchmark, held-out rows of a law dataset, and multiple choice made from the laws given by rule;
              questions are put exactly as in training (the same system turn, the same form of supplied articles), and
              an item whose article is at hand is asked twice: from memory, and with the article among its neighbours
instructions  held-out rows of an instruction dataset, and format tasks that a program can check
spanish       reading, summaries and translation
prompts       free prompts of the user's own, with presets and temperatures; nothing can be right, so nothing is scored
"""

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import ValidationError

from leylora.data.benchmark import BenchmarkItem, load_benchmark
from leylora.data.compose import LawLookup, of_law
from leylora.data.conversation import Conversation
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.results import Finding, Item, Suite
from leylora.files import read_jsonl, read_text
from leylora.grounding.citations import Edition, IndexedLaw, format_citation
from leylora.grounding.prompt import (
    CANONICAL,
    NO_SUCH_ARTICLE,
    NOT_SUPPLIED,
    OTHER_COUNTRY,
    REPEALED,
    UNKNOWN_LAW,
    grounded_prompt,
    is_abstention,
    law_system_prompt,
    passage,
    read_grounded_prompt,
)
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.law import Article, Law, load_laws
from leylora.models.presets import preset
from leylora.project import ROOT, shown

SUITES = ("law", "instructions", "spanish", "prompts")
BENCHMARK = ROOT / "data" / "benchmark" / "ecuador.jsonl"
FORMATS, SPANISH = ROOT / "data" / "evaluation" / "formats.jsonl", ROOT / "data" / "evaluation" / "spanish.jsonl"
MOST_HELD_OUT = 200  # rows of one dataset, drawn by seed, unless a limit asks for fewer

LETTERS = "ABCDEFGH"
ASK_LETTER = "Responda solo con la letra de la opción correcta."
OPTIONS = 4  # of a multiple-choice question made from a law
ALSO_GROUNDED = ("multiple-choice", "sanction", "deadline", "definition")
TEMPORAL = ("temporal", "abstain-other-edition")
DECLINED = {"no existe": NO_SUCH_ARTICLE, "derogado": REPEALED, "otro país": OTHER_COUNTRY}


@dataclass(frozen=True)
class Sources:
    """Where questions come from."""

    benchmark: Path | None = BENCHMARK  # JSON Lines file of benchmark items; None leaves it out
    laws: tuple[Path, ...] = ()  # folders of parsed laws; without them nothing can be asked grounded
    law_rows: tuple[Path, ...] = ()  # folders made by scripts/build_dataset.py, whose test rows are asked
    instruction_rows: tuple[Path, ...] = ()
    prompts: tuple[list[dict[str, str]], ...] = ()  # conversations up to the answer, each asked with every preset
    presets: tuple[str, ...] = ("",)  # "" is greedy decoding
    temperatures: tuple[float | None, ...] = (None,)  # laid over each preset; None leaves it


@dataclass(frozen=True)
class Questions:
    """The items of some suites, what is known about them, and the laws that answers may cite."""

    items: dict[str, list[Item]]
    suites: list[Suite]
    laws: list[Law] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def questions(names: Sequence[str], sources: Sources, *, limit: int | None = None, seed: int = 0) -> Questions:
    """The items of the suites ``names``, of each at most ``limit``, spread over its tasks and settings.

    Raises:
        UsageError: there is no such suite.
        LeyloraError: a source cannot be read, or a suite has no item.
    """
    if not names:
        raise UsageError(f"Name at least one suite; there are {', '.join(SUITES)}.")
    if unknown := [name for name in names if name not in SUITES]:
        raise UsageError(f"There is no suite '{unknown[0]}'; there are {', '.join(SUITES)}.")
    asked = Questions({}, [], [law for folder in sources.laws for law in load_laws(folder)])
    for name in dict.fromkeys(names):
        files: list[Path]
        findings: list[Finding] = []
        if name == "spanish":
            found, files, empty = list(spanish_items()), [SPANISH], "its sources are empty."
        elif name == "prompts":
            found, files, empty = list(prompt_items(sources, seed)), [], "give a file of prompts with --prompts."
        elif name == "instructions":
            rows, findings = _held_out(sources.instruction_rows, seed)
            if not rows:
                findings.append(Finding(kind="no-instruction-rows"))
            found = [*held_out_items(rows, "instructions"), *format_items()]
            files, empty = [*sources.instruction_rows, FORMATS], "its sources are empty."
        else:
            found, findings = _law_items(sources, asked.laws, seed)
            files = [*([sources.benchmark] if sources.benchmark else []), *sources.law_rows, *sources.laws]
            empty = "give --benchmark, --laws or --law-rows."
        if not found:
            raise LeyloraError(f"The suite '{name}' has no items: {empty}")
        if repeated := [key for key, count in Counter(item.id for item in found).items() if count > 1]:
            raise LeyloraError(f"The suite '{name}' holds {repeated[0]} twice; name each dataset once.")
        asked.items[name] = found if limit is None else spread(found, limit, seed)
        asked.findings.extend(one.model_copy(update={"suite": name}) for one in findings)
        asked.suites.append(describe(name, asked.items[name], files))
    return asked


def describe(name: str, items: Sequence[Item], files: Iterable[Path]) -> Suite:
    """A suite for the record, with a hash that identifies its questions."""
    lines = (json.dumps(item.model_dump(), ensure_ascii=False, sort_keys=True) for item in items)
    return Suite(
        name=name,
        sources=[shown(file) for file in files],
        sha256=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        items=len(items),
        tasks=dict(sorted(Counter(item.task for item in items).items())),
    )


def spread(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """At most ``limit`` items, in their own order: of each task and setting as the root of its size."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault((item.task, item.setting), []).append(at)
    for key, group in groups.items():
        Random(f"{seed} {key}").shuffle(group)
    sizes = {key: math.sqrt(len(group)) for key, group in groups.items()}
    taken = dict.fromkeys(groups, 0)
    kept: list[int] = []
    while len(kept) < min(limit, len(items)):
        key = min((key for key in groups if groups[key]), key=lambda key: (taken[key] + 1) / sizes[key])
        kept.append(groups[key].pop())
        taken[key] += 1
    return [items[at] for at in sorted(kept)]


def _held_out(folders: Sequence[Path], seed: int) -> tuple[list[Conversation], list[Finding]]:
    rows: list[Conversation] = []
    findings: list[Finding] = []
    for folder in folders:
        path = folder / "test.jsonl"
        mine: list[Conversation] = []
        for line, row in read_jsonl(path):
            try:
                mine.append(Conversation.model_validate(row))
            except ValidationError as error:
                fault = error.errors()[0]["msg"]
                raise LeyloraError(f"{path}, line {line}: {fault}; build the dataset again.") from None
        if len(mine) > MOST_HELD_OUT:
            drawn = sorted(Random(seed).sample(range(len(mine)), MOST_HELD_OUT))
            counts: dict[str, Any] = {"count": MOST_HELD_OUT, "total": len(mine), "seed": seed}
            findings.append(Finding(kind="rows-drawn", source=shown(folder), **counts))
            mine = [mine[at] for at in drawn]
        rows += mine
    return rows, findings


def held_out_items(rows: Iterable[Conversation], suite: Literal["law", "instructions"]) -> Iterator[Item]:
    """Held-out rows of a dataset that belong to a suite, asked as they would have been trained."""
    for row in rows:
        if bool(row.law_id) != (suite == "law"):
            continue
        about: dict[str, Any] = {"task": "held-out", "cluster": row.id, "accepted": [row.answer]}
        if row.law_id:
            prompt = next(turn.content for turn in reversed(row.messages) if turn.role == "user")
            _, passages = read_grounded_prompt(prompt)
            about = {
                "task": "temporal" if row.task in TEMPORAL else "held-out",
                "setting": "grounded" if passages else "closed-book",
                "cluster": f"{row.law_id}@{row.edition}:{row.article}",
                "accepted": [CANONICAL.sub("", row.answer).strip()],
                "law_id": row.law_id,
                "article": row.article if CANONICAL.search(row.answer) else "",
                "edition": row.edition,
                "supplied": [given.citation for given in passages],
                "abstain": is_abstention(row.answer),
            }
        messages = [turn.model_dump() for turn in row.messages[:-1]]
        yield Item(suite=suite, id=row.id, messages=messages, reference=row.answer, **about)


# The law


def _law_items(sources: Sources, laws: Sequence[Law], seed: int) -> tuple[list[Item], list[Finding]]:
    found: list[Item] = []
    findings: list[Finding] = []
    if sources.benchmark is not None:
        found, findings = benchmark_items(load_benchmark(sources.benchmark), laws)
    rows, drawn = _held_out(sources.law_rows, seed)
    asked = {(item.law_id, item.edition) for item in found}
    for law in laws:
        if (law.id, law.edition) not in asked:
            numbers = {row.article for row in rows if (row.law_id, row.edition) == (law.id, law.edition)}
            found += benchmark_items(choices_from_law(law, numbers, seed), [law])[0]
    return [*found, *held_out_items(rows, "law")], [*findings, *drawn]


def benchmark_items(benchmark: Sequence[BenchmarkItem], laws: Sequence[Law]) -> tuple[list[Item], list[Finding]]:
    """The benchmark as questions, and what had to be left out because a law's text is missing.

    LeyloraError where an item names a law that is neither parsed nor in the catalogue.
    """
    items: list[Item] = []
    missing: Counter[tuple[str, str]] = Counter()
    for entry in benchmark:
        law = law_of(entry, laws)
        if law is None and entry.supplied:
            missing[entry.law_id, entry.edition] += 1
            continue
        if law is None:
            items.append(_item(entry, _named(entry)))
            continue
        items.append(_item(entry, law, [law.article(number) for number in entry.supplied]))
        if entry.kind in ALSO_GROUNDED and entry.article in law:
            own = law.article(entry.article)
            numbered = [article for article in law if article.in_force or article.number == own.number]
            at = numbered.index(own)  # in printed order, between the article in force before and the one after it
            twin = _item(entry, law, numbered[max(0, at - 1) : at + 2])
            items.append(twin.model_copy(update={"id": f"{entry.id}-grounded"}))
    findings = [
        Finding(kind="no-law-text", suite="law", source=law_id, edition=edition, count=count)
        for (law_id, edition), count in sorted(missing.items())
    ]
    if not laws:
        findings.append(Finding(kind="no-laws", suite="law"))
    return items, findings


def law_of(entry: BenchmarkItem, laws: Sequence[Law]) -> Law | None:
    """The law an item asks about, in its edition: by id, else by its name in the catalogue.

    A law parsed without --law-id may have got its file's name as its id (``logjcc-2020``); its printed name still says
    which it is, and its edition still has to be the one asked.
    """
    same = [law for law in laws if law.edition == entry.edition]
    by_id = (law for law in same if law.id == entry.law_id)
    by_name = (law for law in same if (known := find_in_catalog(law.name)) and known.id == entry.law_id)
    return next(by_id, None) or next(by_name, None)


def _named(entry: BenchmarkItem) -> IndexedLaw:
    """The law of an item without its text, to be named in a prompt."""
    known = next((known for known in catalog() if known.id == entry.law_id), None)
    if known is None:
        raise LeyloraError(f"The benchmark asks about '{entry.law_id}'; data/catalog.yaml lacks it, so give --laws.")
    return IndexedLaw(known.id, known.name, known.siglas, known.aliases, entry.edition)


def choice_messages(item: Item, order: Sequence[int]) -> list[dict[str, str]]:
    """A ``choose`` item's conversation with its options under letters, in ``order``."""
    lines = [f"{LETTERS[place]}) {item.options[index]}" for place, index in enumerate(order)]
    *before, last = item.messages
    return [*before, {**last, "content": "\n".join([last["content"], *lines, ASK_LETTER])}]


def rotations(count: int) -> list[list[int]]:
    """``count`` orders in which each option is in each place once."""
    return [[(place + shift) % count for place in range(count)] for shift in range(count)]


def _item(entry: BenchmarkItem, law: Edition, supplied: Sequence[Article] = ()) -> Item:
    prompt = grounded_prompt(entry.question, [passage(law, article) for article in supplied])
    messages = [{"role": "system", "content": law_system_prompt([law])}, {"role": "user", "content": prompt}]
    cite = f" ({format_citation(law, entry.article)})" if entry.article else ""
    choose = entry.kind == "multiple-choice"
    if choose:
        reference = entry.answer
    elif entry.abstain:
        reference = NOT_SUPPLIED if supplied else DECLINED.get(entry.answer, UNKNOWN_LAW)
    else:
        said = f"El artículo {entry.answer}" if entry.kind == "topic-to-number" else entry.answer
        reference = f"{said[:1].upper()}{said[1:]}.{cite}"
    return Item(
        suite="law",
        id=entry.id,
        task=entry.kind,
        ask="choose" if choose else "generate",
        setting="grounded" if supplied else "closed-book",
        cluster=f"{law.id}@{entry.edition}:{entry.article}" if entry.article else entry.id,
        messages=messages,
        reference=reference,
        accepted=[entry.answer, *entry.accept],
        options=entry.options,
        correct=entry.correct,
        orders=rotations(len(entry.options)) if choose else [],
        law_id=law.id,
        article=entry.article,
        edition=entry.edition,
        supplied=[format_citation(law, article.number) for article in supplied],
        abstain=entry.abstain,
    )


def choices_from_law(law: Law, numbers: Collection[str], seed: int = 0) -> list[BenchmarkItem]:
    """Multiple choice made by rule, for laws that the benchmark does not hold.

    Which article treats of a subject, and of what does an article treat: the right option is the law's own rubric or
    number, the wrong ones are those of other articles of the same law. One question for each of the articles
    ``numbers`` whose subject is named by it alone, keys spread over places; none if there are fewer than four.
    """
    library = LawLookup((law,), seed)
    topics = {article.number: topic for article in law if article.in_force and (topic := library.topic(law, article))}
    name, chance = of_law(law, law.siglas or law.name), Random(f"{seed} {law.id} {law.edition}")
    found: list[BenchmarkItem] = []
    if len(topics) < OPTIONS:
        return found
    for number in sorted(set(numbers) & topics.keys()):
        others = chance.sample([other for other in topics if other != number], OPTIONS - 1)
        correct = len(found) % OPTIONS
        order = [*others[:correct], number, *others[correct:]]
        by_number = len(found) // OPTIONS % 2 == 0
        options = [topics[one] for one in order] if by_number else [f"el artículo {one}" for one in order]
        topic = topics[number][:1].upper() + topics[number][1:]
        question = f"¿Cuál es el artículo {name} que trata de lo siguiente? {topic}."
        if by_number:
            question = f"¿De qué trata el artículo {number} {name}?"
        found.append(
            BenchmarkItem(
                id=f"{law.id}-choice-{number}",
                kind="multiple-choice",
                law_id=law.id,
                article=number,
                edition=law.edition,
                question=question,
                answer=options[correct],
                options=options,
                correct=correct,
                evidence=[topics[number]],
            )
        )
    return found


# Instructions, Spanish and free prompts


def format_items() -> Iterator[Item]:
    """Our own format tasks."""
    for _, row in read_jsonl(FORMATS):
        yield Item(
            suite="instructions",
            id=row["id"],
            task="format",
            cluster=row["id"],
            messages=[{"role": "user", "content": row["prompt"]}],
            checks=row["checks"],
        )


def spanish_items() -> Iterator[Item]:
    """Our own language tasks, worded as `leylora.data.readers` words such rows for training.

    A row's text is read, summarised, or translated from English; questions on one text are one cluster.
    """
    for _, row in read_jsonl(SPANISH):
        prompt = {
            "qa": "Responda con base en el texto.\n\nTexto: {text}\n\nPregunta: {question}",
            "summary": "Resume el siguiente artículo:\n\n{text}",
            "translation": "Traduce al español el siguiente texto en inglés:\n\n{text}",
        }[row["task"]]
        yield Item(
            suite="spanish",
            id=row["id"],
            task=row["task"],
            cluster=row["text"][:60],
            messages=[{"role": "user", "content": prompt.format(**row)}],
            reference=row["answers"][0],
            accepted=row["answers"],
        )


def prompt_items(sources: Sources, seed: int = 0) -> Iterator[Item]:
    """Every free prompt with every preset and temperature.

    Raises:
        UsageError: a preset does not exist, or is greedy, so that a temperature would name rows that are all the same.
    """
    for name, warmth in itertools.product(filter(None, sources.presets), sources.temperatures):
        if preset(name)[0].greedy and warmth:
            raise UsageError(
                f"The preset {name} always takes the likeliest token, so that temperature {warmth:g} would do nothing; "
                "leave one out."
            )
    for number, messages in enumerate(sources.prompts, start=1):
        for named, temperature in itertools.product(sources.presets, sources.temperatures):
            parts = [f"p{number:02}", named, "" if temperature is None else f"{temperature:g}"]
            yield Item(
                suite="prompts",
                id=" ".join(filter(None, parts)),
                task="prompt",
                cluster=parts[0],
                messages=messages,
                preset=named,
                temperature=temperature,
                seed=seed if named or temperature is not None else None,
            )


def read_prompts(given: str) -> list[list[dict[str, str]]]:
    """The prompts of a file: of a .jsonl, its key ``prompt`` (or ``instruction``) and ``system``, where it has one; of
    any other file, one a line. What is not a file is a prompt itself.

    Raises:
        LeyloraError: the file cannot be read, or a line of a .jsonl has no such key.
    """
    path = Path(given)
    file = re.fullmatch(r"\S+\.\w{1,5}", given) is not None  # one word with an ending: a prompt has spaces
    if not file and (len(given) > 200 or not path.is_file()):
        return [[{"role": "user", "content": given}]]
    if path.suffix != ".jsonl":
        lines = (line.strip() for line in read_text(path).splitlines())
        return [[{"role": "user", "content": line}] for line in lines if line]
    prompts = []
    for number, row in read_jsonl(path):
        prompt, system = row.get("prompt") or row.get("instruction"), row.get("system")
        if not isinstance(prompt, str) or not prompt.strip():
            raise LeyloraError(f"{path}, line {number}: no text under 'prompt'; add it or remove the line.")
        turns = [{"role": "system", "content": str(system)}] if system else []
        prompts.append([*turns, {"role": "user", "content": prompt}])
    return prompts
