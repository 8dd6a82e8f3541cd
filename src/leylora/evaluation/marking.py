"""From a raw answer to marks: what is right about it, what it cites, what is wrong with its form.

Pure functions of an item and its answer, so that every number of a comparison can be made again from the files.
"""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from leylora.errors import LeyloraError
from leylora.evaluation import overlap
from leylora.evaluation.cited import Inventory, citations
from leylora.evaluation.formats import passes
from leylora.evaluation.results import Answer, Flag, Item, Mark
from leylora.grounding.citations import parse_citations
from leylora.grounding.prompt import is_abstention
from leylora.grounding.quantities import quantities
from leylora.training.seq2seq_rouge import score_summaries

NUMBER = re.compile(r"(?<![\w.])\d{1,4}(?:\.\d{1,3})*(?:-innumerado-\d+)?(?!\w)")
LONGEST = 60  # words of an answer in which holding the right words is being right
BARE = re.compile(r"\s*\((?:Art\.)[^()]*(?:\([^()]*\)[^()]*)*\)\s*")


def mark(item: Item, answer: Answer, inventory: Inventory) -> Mark:
    """Judge one answer.

    Raises:
        LeyloraError: the item's key does not name its right option.
    """
    values: dict[str, float] = {}
    reasons: list[str] = []
    flags: list[Flag] = []
    cited = []
    if answer.nll is not None and answer.reference_bytes:
        values |= {"bits": answer.nll / math.log(2), "bytes": float(answer.reference_bytes)}
        values |= {"nats": answer.nll, "reference_tokens": float(answer.reference_tokens or 0)}
    if item.ask == "choose":
        values |= choice_values(item, answer)
        if answer.letters is not None:
            flags.append("letter-answer")
        if values.get("correct") == 0:
            reasons.append("elige otra opción")
    elif item.ask == "generate":
        text = answer.text
        values |= _form(text, answer)
        flags += [flag for flag, key in _FLAGS if values[key] == 1]
        if not values["spanish"] and values["empty"] == 0:
            flags.append("not-spanish")
        if item.suite == "law":
            declined = is_abstention(text)
            values |= {"abstained": float(declined), "due": float(item.abstain)}
            if declined:
                flags.append("abstained")
            else:
                cited = citations(text, item, inventory)
            values |= _citation_values(item, [one.verdict for one in cited])
            if values["cited_invented"]:
                flags.append("invented-citation")
                reasons.append("cita un artículo que no existe")
        values |= credit_values(item, text)
        reasons += _reasons(item, values)
    return Mark(model=answer.model, variant=answer.variant, suite=item.suite, item=item.id, task=item.task,
                setting=item.setting, cluster=item.cluster, values=values, citations=cited, flags=flags,
                reasons=reasons, key=answer.key)  # fmt: skip


_FLAGS: tuple[tuple[Flag, str], ...] = (("unfinished", "unfinished"), ("degenerate", "degenerate"), ("empty", "empty"))


def _form(text: str, answer: Answer) -> dict[str, float]:
    return {
        "generated": 1.0,
        "tokens": float(answer.tokens),
        "unfinished": float(not answer.finished),
        "degenerate": float(overlap.is_degenerate(text)),
        "empty": float(not text.strip()),
        "spanish": float(overlap.in_spanish(text)),
    }


def choice_values(item: Item, answer: Answer) -> dict[str, float]:
    """The values of a multiple-choice answer.

    ``accuracy`` is the share of orders in which the letter of the right option was likeliest; ``correct`` whether the
    right option is likeliest over all orders together, which no preference for a place can bring about;
    ``original`` whether it was in the source's own order, and ``shuffled`` the share in the others. ``confidence`` and
    ``brier`` come from the probabilities over the options, averaged over orders. ``text`` and ``text_norm`` compare
    the options' texts as answers, as a sum and by byte, as lm-evaluation-harness's acc and acc_norm do.

    Raises:
        LeyloraError: ``correct`` does not point at ``reference``.
    """
    key = item.correct
    if key is None or not 0 <= key < len(item.options) or item.options[key] != item.reference:
        raise LeyloraError(f"Item {item.id}: its key {key} is not the place of its right option; mend the source.")
    values: dict[str, float] = {}
    if answer.option_logprobs is not None:
        logprobs = np.array(answer.option_logprobs)  # (orders, options)
        hits = np.argmax(logprobs, axis=1) == key
        shares = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        mean = shares.mean(axis=0)  # (options,)
        values |= _orders(hits.astype(float))
        values["correct"] = float(np.argmax(logprobs.mean(axis=0)) == key)
        values["confidence"] = float(mean.max())
        values["brier"] = float(((mean - np.eye(len(mean))[key]) ** 2).sum())
        places = [order.index(int(choice)) for order, choice in zip(item.orders, logprobs.argmax(axis=1), strict=True)]
    elif answer.letters is not None:
        chosen = [_letter(letter, len(item.options)) for letter in answer.letters]
        hits = np.array([place is not None and order[place] == key
                         for place, order in zip(chosen, item.orders, strict=True)], dtype=float)  # fmt: skip
        values |= _orders(hits)
        values["correct"] = float(hits.mean() > 0.5)
        places = [place for place in chosen if place is not None]
    else:
        return {"credit": 0.0, "correct": 0.0}  # its prompt did not fit the context
    for place in range(len(item.options)):
        values[f"place_{place}"] = places.count(place) / len(item.orders)
    if answer.option_texts is not None:
        sums = [option.logprob for option in answer.option_texts]
        values["text"] = float(int(np.argmax(sums)) == key)
        values["text_norm"] = float(int(np.argmax([one.logprob / one.bytes for one in answer.option_texts])) == key)
    values["credit"] = values["accuracy"]
    return values


def _orders(hits: np.ndarray) -> dict[str, float]:
    rest = {"shuffled": float(hits[1:].mean())} if len(hits) > 1 else {}
    return {"accuracy": float(hits.mean()), "original": float(hits[0]), **rest}


def _letter(text: str, count: int) -> int | None:
    """The place that an answer names by its letter: "B", "b)", "La opción B.", or None."""
    match = re.search(r"(?<!\w)([A-Ha-h])(?:[).:]|\s*$)", text) or re.search(r"(?<!\w)([A-H])(?!\w)", text)
    place = ord(match[1].upper()) - ord("A") if match else count
    return place if place < count else None


def _citation_values(item: Item, verdicts: Sequence[str]) -> dict[str, float]:
    """Counts for precision, recall and the share invented; an item that is to be declined has nothing to cite."""
    right = float("right" in verdicts)
    known = sum(verdict != "unknown" for verdict in verdicts)
    counted = {} if item.abstain or not item.article else {
        "gold": 1.0, "cited": float(len(verdicts)), "cited_right": right,
    }  # fmt: skip
    return {**counted, "cited_known": float(known), "cited_invented": float(list(verdicts).count("invented"))}


def credit_values(item: Item, text: str) -> dict[str, float]:
    """``credit`` of a generated answer, 0 to 1, and the values it was made of; by the item's task."""
    if item.suite == "law":
        return _law_credit(item, text)
    if item.checks:
        kept = [passes(check, text) for check in item.checks]
        return {"format": float(all(kept)), "format_rules": sum(kept) / len(kept), "credit": float(all(kept))}
    if item.task == "qa":
        f1 = overlap.token_f1(text, item.accepted)
        return {"f1": f1, "exact": overlap.exact(text, item.accepted), "credit": f1}
    values = {"chrf": overlap.chrf(text, item.reference), "rouge_l": overlap.rouge_l(text, item.reference)}
    if item.suite == "summary":  # scored as the training of summaries scores itself
        rouge = {kind: float(rows[0]) for kind, rows in score_summaries([text], [item.reference]).rows.items()}
        values |= {"rouge_1": rouge["rouge1"], "rouge_2": rouge["rouge2"], "rouge_l": rouge["rougeL"]}
    return {**values, "credit": values["rouge_l"] if item.task == "summary" else values["chrf"]}


def _law_credit(item: Item, text: str) -> dict[str, float]:
    if item.abstain:
        return {"credit": float(is_abstention(text))}
    if is_abstention(text):
        text = ""  # worth nothing, and counted in every measure of the task: declining must not make one look better
    said = BARE.sub(" ", text).strip()
    match item.task:
        case "sanction" | "deadline":
            right = float(same_figures(said, item.accepted))
            return {"number": right, "credit": right}
        case "topic-to-number":
            return {"credit": float(named_numbers(text, item) == {item.article})}
        case "number-to-topic" | "definition" | "grounded":
            f1 = overlap.token_f1(said, item.accepted)
            return {"f1": f1, "credit": 1.0 if _says(said, item.accepted) else f1}
    f1 = overlap.token_f1(said, item.accepted)
    return {"f1": f1, "chrf": overlap.chrf(text, item.reference), "credit": f1}


def _says(said: str, accepted: Sequence[str]) -> bool:
    """Whether a short answer holds an accepted one; a long list that holds it too does not know it."""
    return len(overlap.words(said)) <= LONGEST and overlap.contains(said, accepted)


def same_figures(said: str, accepted: Iterable[str]) -> bool:
    """Whether an answer states the figures of an accepted one, unit and all, and no others of the same unit.

    Numbers of articles are not figures: "según el artículo 79, de 26 a 30 años" states one.
    """
    for citation in parse_citations(said, ()):
        start, end = citation.span
        said = said[:start] + " " * (end - start) + said[end:]
    mine = {(one.low, one.high, one.unit) for one in quantities(said)}
    for answer in accepted:
        wanted = {(one.low, one.high, one.unit) for one in quantities(answer)}
        units = {unit for _, _, unit in wanted}
        if wanted and wanted == {one for one in mine if one[2] in units}:
            return True
    return False


def named_numbers(text: str, item: Item) -> set[str]:
    """The articles an answer names: those it cites, else the first number it writes."""
    cited = {one.article for one in parse_citations(text, ())}
    bare = NUMBER.search(text)
    return cited or ({bare[0]} if bare else set())


def _reasons(item: Item, values: dict[str, float]) -> list[str]:
    found = []
    if item.abstain and not values.get("abstained"):
        found.append("responde cuando debía abstenerse")
    if not item.abstain and values.get("abstained"):
        found.append("se abstiene y la respuesta existe")
    if values.get("number") == 0 and not values.get("abstained"):
        found.append("no da la cifra exacta")
    if values.get("format") == 0:
        found.append("no cumple la forma pedida")
    if values.get("degenerate"):
        found.append("repite sin fin")
    if values.get("empty"):
        found.append("no responde nada")
    elif not values.get("spanish", 1):
        found.append("no está en español")
    if values.get("gold") and not values.get("cited_right") and not values.get("abstained"):
        found.append("no cita el artículo que responde")
    return found
