"""Asking every model every question, once: answers are kept in a ledger on disk and found again under their keys.

An answer's key is the hash of the base's weights, the adapter's files, the item as it was put, and the settings of
generation. What a loaded model says of itself is written into their folder, so that keys can be computed without
loading it: a comparison whose answers are all there imports no torch.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leylora import console
from leylora.adapters.discover import Variant
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import LeyloraError
from leylora.evaluation.backends import Backend, Continuation, sha256_of
from leylora.evaluation.items import LETTERS, Questions, choice_messages
from leylora.evaluation.results import Answer, Cost, Finding, Item, Model, OptionText, Record, answers_file
from leylora.evaluation.scoring import Place
from leylora.files import read_json, sha256_file, write_json, write_text
from leylora.models.bases import base_sha256
from leylora.project import GENERATION_PRESETS
from leylora.training.record import peak_memory_gib

MIB = 2**20


class Facts(Record):
    """What a loaded backend said of itself (``answers/MODEL/backend.json``), so that reading it needs no loading."""

    made_of: str  # identifies the weights, template and settings asked for
    identity: str
    settings: dict[str, Any]
    memory_gib: dict[str, float]  # peak by variant
    parameters: int | None = None
    load_seconds: float | None = None
    device: str = ""


@dataclass
class Gathered:
    """What a run collects model by model."""

    models: list[Model] = field(default_factory=list)
    answers: dict[Place, list[Answer]] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    device: str = ""


def ask_models(
    models: Sequence[Model],
    asked: Questions,
    out: Path,
    open_backend: Callable[[Model], Backend],
    how: Mapping[str, Any],
    findings: Iterable[Finding] = (),
) -> Gathered:
    """Ask all models all questions that are not answered in ``out`` yet, with the settings ``how``.

    Raises:
        LeyloraError: no model can be asked, or the connection to one breaks in a suite that is graded.
    """
    gathered = Gathered(findings=[*findings, *asked.findings])
    errors: list[LeyloraError] = []
    with console.progress() as bar:
        total = sum(len(model.variants) for model in models) * sum(map(len, asked.items.values()))
        task = bar.add_task("answers", total=total)

        def tick(text: str, done: int) -> None:
            bar.update(task, description=text, advance=done)

        for model in models:
            try:
                _ask_model(model, asked, out, open_backend, how, gathered, tick)
            except _NotLoadedError as error:
                errors.append(LeyloraError(str(error)))
                gathered.findings.append(Finding(kind="not-answered", model=model.label, error=str(error)))
    if not gathered.models:
        raise errors[0]
    return gathered


class _NotLoadedError(Exception):
    """A model could not be loaded, or its server not be reached, before anything was asked of it."""


def _ask_model(
    model: Model,
    asked: Questions,
    out: Path,
    open_backend: Callable[[Model], Backend],
    how: Mapping[str, Any],
    gathered: Gathered,
    tick: Callable[[str, int], None],
) -> None:
    path = answers_file(out, model.label, "").with_name("backend.json")
    ledgers = {one.name: Ledger(answers_file(out, model.label, one.name), model.label, one) for one in model.variants}
    items = [item for found in asked.items.values() for item in found]
    made_of = "" if model.endpoint else sha256_of([base_sha256(model.source), model.template_sha256, dict(how)])
    facts = _remembered(path, made_of) if made_of else None
    backend = None
    if facts is None or any(not ledger.find(item, facts) for ledger in ledgers.values() for item in items):
        tick(f"loading {model.label}", 0)
        begun = time.monotonic()
        try:
            backend = open_backend(model)
        except LeyloraError as error:
            raise _NotLoadedError(str(error)) from None
        facts = Facts(
            made_of=made_of,
            identity=backend.identity,
            settings=backend.settings,
            memory_gib={},
            parameters=backend.parameters,
            load_seconds=None if model.endpoint else time.monotonic() - begun,
        )
    usable: list[Variant] = []
    failures: list[Finding] = []
    for variant in model.variants:
        about: dict[str, Any] = {"model": model.label, "variant": variant.name}
        answers: dict[Place, list[Answer]] = {}
        try:
            for suite, found in asked.items.items():
                tell = partial(tick, f"{model.label} {variant.name}, {suite}")
                tell(0)
                place = (model.label, variant.name, suite)
                answers[place] = ask_all(backend, variant, found, ledgers[variant.name], facts, tell)
        except _NotLoadedError as error:
            failures.append(Finding(kind="not-answered", error=str(error), **about))
            continue
        if backend is not None and not model.endpoint:
            memory, device = peak_memory_gib()
            known = facts.memory_gib | {variant.name: memory}
            facts = facts.model_copy(update={"memory_gib": known, "device": device})
        usable.append(variant)
        gathered.answers |= answers
        for (_, _, suite), given in answers.items():
            # Prompts that did not fit the context: answered with nothing, and counted as wrong.
            silent = [one for one in given if not (one.finished or one.text or one.tokens or one.error)]
            if left := [one.item for one in silent if one.letters is None]:
                gathered.findings.append(Finding(kind="no-room", suite=suite, items=left, **about))
        gathered.costs.append(_cost(model, variant, [one for given in answers.values() for one in given], facts))
    if not usable:
        raise _NotLoadedError(failures[-1].error)
    gathered.findings += failures
    if backend is not None and not model.endpoint:
        write_json(path, facts.model_dump())
    gathered.device = gathered.device or facts.device
    told = {"sha256": "" if model.endpoint else facts.identity, "parameters": facts.parameters, "variants": usable}
    gathered.models.append(model.model_copy(update=told))


def _remembered(path: Path, made_of: str) -> Facts | None:
    """What the backend said of itself when it was last loaded, if it was the same one."""
    try:
        facts = Facts.model_validate(read_json(path)) if path.is_file() else None
    except ValidationError:
        return None
    return facts if facts is not None and facts.made_of == made_of else None


def _cost(model: Model, variant: Variant, answers: Sequence[Answer], facts: Facts) -> Cost:
    tokens, seconds = sum(answer.tokens for answer in answers), sum(answer.seconds for answer in answers)
    weights = Path(variant.adapter) / WEIGHTS_FILE
    run = variant.run or {}
    return Cost(
        model=model.label,
        variant=variant.name,
        load=model.load,
        memory_gib=facts.memory_gib.get(variant.name),
        load_seconds=facts.load_seconds,
        generated_tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if tokens and seconds else None,
        adapter_mib=weights.stat().st_size / MIB if variant.adapter and weights.is_file() else None,
        training_seconds=run.get("wall_seconds"),
        training_device=str(run.get("device", "")),
    )


class Ledger:
    """The answers of one variant on disk: read once, appended to batch by batch.

    A last line that a killed run left half-written is taken off; answers of another model or variant are passed over.
    """

    def __init__(self, path: Path, model: str, variant: Variant) -> None:
        self.path, self.model, self.variant = path, model, variant
        self._answers: dict[str, Answer] = {}
        if not path.is_file():
            return
        content = path.read_text(encoding="utf-8", errors="replace")
        whole, _, rest = content.rpartition("\n")
        if rest:
            write_text(path, f"{whole}\n" if whole else "")
        for line in whole.split("\n"):
            try:
                answer = Answer.model_validate_json(line)
            except ValidationError:
                continue
            if (answer.model, answer.variant) == (model, variant.name):
                self._answers[answer.key] = answer

    def key(self, item: Item, facts: Facts) -> str:
        adapter = self.variant.sha256 or self.variant.adapter
        return sha256_of([facts.identity, adapter, prompt_sha256(item), sha256_of(facts.settings)])

    def find(self, item: Item, facts: Facts) -> Answer | None:
        """The answer to an item, if it is there and is to that prompt."""
        answer = self._answers.get(self.key(item, facts))
        if answer is None or answer.error or (answer.suite, answer.item) != (item.suite, item.id):
            return None
        return answer if answer.prompt_sha256 == prompt_sha256(item) else None

    def append(self, answers: Sequence[Answer]) -> None:
        lines = "".join(answer.model_dump_json() + "\n" for answer in answers)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(lines)


def ask_all(
    backend: Backend | None,
    variant: Variant,
    items: Sequence[Item],
    ledger: Ledger,
    facts: Facts,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Answer]:
    """The answers of one variant to one suite, in the order of ``items``; those in the ledger are not asked again."""
    known = {item.id: there for item in items if (there := ledger.find(item, facts))}
    tick(len(known))
    if backend is None or len(known) == len(items):
        return [known[item.id] for item in items]
    try:
        backend.use(variant)
    except LeyloraError as error:
        raise _NotLoadedError(str(error)) from None
    for batch in backend.batches(items):
        # The batches are those of the whole suite: a run that goes on puts together what the first would have.
        missing = [item for item in batch if item.id not in known]
        if not missing:
            continue
        try:
            found = _ask(backend, missing)
        except LeyloraError as error:
            if any(item.suite != "prompts" for item in missing):
                raise
            found = [{"error": str(error), "finished": False} for _ in missing]
        answers = [
            Answer(
                key=ledger.key(item, facts),
                model=ledger.model,
                variant=variant.name,
                suite=item.suite,
                item=item.id,
                prompt_sha256=prompt_sha256(item),
                settings_sha256=sha256_of(facts.settings),
                **said,
            )
            for item, said in zip(missing, found, strict=True)
        ]
        ledger.append(answers)
        known |= {answer.item: answer for answer in answers}
        tick(len(missing))
    return [known[item.id] for item in items]


def _ask(backend: Backend, items: Sequence[Item]) -> list[dict[str, Any]]:
    """What was answered to each item, as fields of `Answer`."""
    found: dict[str, dict[str, Any]] = {item.id: {} for item in items}
    generated = [item for item in items if item.ask == "generate"]
    if generated:
        started = time.perf_counter()
        written = backend.generate([item.messages for item in generated], generated[0].preset, generated[0].temperature)
        seconds = (time.perf_counter() - started) / len(generated)
        for item, (text, tokens, finished) in zip(generated, written, strict=True):
            found[item.id] = {"text": text, "tokens": tokens, "finished": finished, "seconds": seconds}
    scored = [item for item in generated if item.reference]
    wanted = [Continuation(item.messages, item.reference) for item in scored]
    for item, likelihood in zip(scored, (backend.likelihoods(wanted) if wanted else None) or (), strict=False):
        if likelihood is not None:
            size = {"reference_tokens": likelihood[1], "reference_bytes": len(item.reference.encode())}
            found[item.id] |= {"nll": -likelihood[0], **size}
    if chosen := [item for item in items if item.ask == "choose"]:
        found |= _choose(backend, chosen)
    return [found[item.id] for item in items]


def _choose(backend: Backend, items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """Multiple choice: the likelihood of each letter in each order, and of each option's text as the answer.

    Where there are no likelihoods, the letter that is written in each order.
    """
    shown = [(item, order, choice_messages(item, order)) for item in items for order in item.orders]
    wanted = [Continuation(said, letter, ends=False) for _, order, said in shown for letter in LETTERS[: len(order)]]
    wanted += [Continuation(item.messages, option, ends=False) for item in items for option in item.options]
    likelihoods = backend.likelihoods(wanted)
    if likelihoods is None:
        letters = iter(backend.generate([said for _, _, said in shown]))
        return {item.id: {"letters": [next(letters)[0] for _ in item.orders]} for item in items}
    values = iter(likelihoods)
    by_item: dict[str, list[list[float]]] = {item.id: [] for item in items}
    for item, order, _ in shown:
        placed = dict(zip(order, values, strict=False))  # the letter at each place, under the option shown there
        by_item[item.id].append([one[0] for index in range(len(order)) if (one := placed[index]) is not None])
    found = {}
    for item in items:
        rows = by_item[item.id]
        whole = all(len(row) == len(item.options) for row in rows)
        texts = [
            OptionText(logprob=one[0], tokens=one[1], bytes=len(option.encode()))
            for option, one in zip(item.options, values, strict=False)
            if one is not None
        ]
        found[item.id] = {
            "option_logprobs": rows if whole else None,
            "option_texts": texts if len(texts) == len(item.options) else None,
            "finished": whole,
        }
    return found


def prompt_sha256(item: Item) -> str:
    """What identifies an item as it is put: way of asking, conversation, options, orders, reference, sampling."""
    asked = item.model_dump(include={"suite", "id", "ask", "messages", "reference", "options", "orders"})
    if item.preset or item.temperature is not None:
        content = sha256_file(GENERATION_PRESETS / f"{item.preset}.yaml") if item.preset else ""
        asked |= {"preset": content, "temperature": item.temperature, "seed": item.seed}
    return sha256_of(asked)
