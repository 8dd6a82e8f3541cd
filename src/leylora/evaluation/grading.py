"""From a raw answer to its marks: what is right about it, what it cites, what is wrong with its form.

`grade` is a pure function of an item and its answer, so that every number of a comparison can be computed again from
the files. What makes an answer right depends on its task: the right letter in every order of the options, the exact
figure, the right article, the overlap with a reference, or the rules of a format.

Overlap correlates weakly with what people prefer; it guards against regressions. Accents are kept and nothing is
stemmed.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import CHRF

from leylora.errors import LeyloraError
from leylora.evaluation.results import Answer, CitationVerdict, CitedArticle, Flag, Item, Mark, Reason
from leylora.grounding.checker import CheckedCitation, Kind, check_answer
from leylora.grounding.citations import CitationIndex, parse_citations
from leylora.grounding.claims import Fault
from leylora.grounding.prompt import NO_SUCH_ARTICLE, is_abstention
from leylora.grounding.quantities import quantities
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.law import Law
from leylora.text import accented_words, fold, is_spanish
from leylora.training.record import rouge

NUMBER = re.compile(r"(?<![\w.])\d{1,4}(?:\.\d{1,3})*(?:-innumerado-\d+)?(?!\w)")
BARE = re.compile(r"\s*\((?:Art\.)[^()]*(?:\([^()]*\)[^()]*)*\)\s*")
LONGEST = 60  # words of an answer in which holding the right words is being right
ARTICLES = frozenset(("el", "la", "los", "las", "un", "una", "unos", "unas", "lo"))
RUN = 4  # words; the length of the runs that a degenerate answer repeats
FEWEST_RUNS = 12
DISTINCT = 0.5


def grade(item: Item, answer: Answer, known: "KnownArticles") -> Mark:
    """Grade one answer.

    Raises:
        LeyloraError: the item's key does not name its right option.
    """
    found: dict[str, Any] = {}
    reasons: list[Reason] = []
    flags: list[Flag] = []
    if answer.nll is not None and answer.reference_bytes:
        found |= {"bits": answer.nll / math.log(2), "reference_bytes": answer.reference_bytes}
    if item.ask == "choose":
        found |= grade_choice(item, answer)
        if answer.letters is not None:
            flags.append("letter-answer")
        if not found["correct"]:
            reasons.append("wrong-option")
    elif not answer.error:
        text = answer.text
        found |= {
            "tokens": answer.tokens,
            "unfinished": not answer.finished,
            "degenerate": is_degenerate(text),
            "empty": not text.strip(),
            "spanish": bool(accented_words(text)) and is_spanish(text),
        }
        if item.suite == "law":
            found |= _grade_citations(item, text, known)
        found |= score_text(item, text)
        declined, foreign = bool(found.get("abstained")), not found["empty"] and not found["spanish"]
        invented = bool(found.get("cited_invented"))
        contradicted = item.suite == "law" and not declined and contradicts(text, item, known)
        shown: list[tuple[Flag, bool]] = [
            ("unfinished", found["unfinished"]),
            ("degenerate", found["degenerate"]),
            ("empty", found["empty"]),
            ("not-spanish", foreign),
            ("abstained", declined),
            ("invented-citation", invented),
            ("contradicted", contradicted),
        ]
        lost: list[tuple[Reason, bool]] = [
            ("invented-citation", invented),
            ("contradicted", contradicted),
            ("should-abstain", item.abstain and not declined),
            ("should-not-abstain", not item.abstain and declined),
            ("wrong-figure", found.get("number_exact") is False and not declined),
            ("wrong-format", found.get("format_kept") is False),
            ("repeats", found["degenerate"]),
            ("empty", found["empty"]),
            ("not-spanish", foreign),
            ("missing-citation", bool(found.get("expected_citations")) and not found["cited_right"] and not declined),
        ]
        flags = [flag for flag, holds in shown if holds]
        reasons = [reason for reason, holds in lost if holds]
    return Mark(
        model=answer.model,
        variant=answer.variant,
        suite=item.suite,
        item=item.id,
        task=item.task,
        setting=item.setting,
        cluster=item.cluster,
        key=answer.key,
        flags=flags,
        reasons=reasons,
        **found,
    )


# Multiple choice


def grade_choice(item: Item, answer: Answer) -> dict[str, Any]:
    """The marks of a multiple-choice answer, by likelihoods or, from an endpoint, by letters."""
    key = item.correct
    if key is None or not 0 <= key < len(item.options) or item.options[key] != item.reference:
        raise LeyloraError(f"Item {item.id}: its key {key} is not the place of its right option; mend the source.")
    found: dict[str, Any] = {}
    if answer.option_logprobs is not None:
        logprobs = np.array(answer.option_logprobs)  # (orders, options)
        hits = np.argmax(logprobs, axis=1) == key
        shares = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))
        mean = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)  # (options,)
        found["correct"] = bool(np.argmax(logprobs.mean(axis=0)) == key)
        found["confidence"] = float(mean.max())
        found["brier"] = float(((mean - np.eye(len(mean))[key]) ** 2).sum())
        places = [order.index(int(choice)) for order, choice in zip(item.orders, logprobs.argmax(axis=1), strict=True)]
    elif answer.letters is not None:
        chosen = [_letter(letter, len(item.options)) for letter in answer.letters]
        pairs = zip(chosen, item.orders, strict=True)
        hits = np.array([place is not None and order[place] == key for place, order in pairs])
        found["correct"] = bool(hits.mean() > 0.5)
        places = [place for place in chosen if place is not None]
    else:
        return {"score": 0.0, "correct": False}  # its prompt did not fit the context
    found["accuracy"] = found["score"] = float(hits.mean())
    found["published_order"] = bool(hits[0])
    if len(hits) > 1:
        found["other_orders"] = float(hits[1:].mean())
    found["places"] = [places.count(place) / len(item.orders) for place in range(len(item.options))]
    if answer.option_texts is not None:
        found["text_correct"] = int(np.argmax([one.logprob for one in answer.option_texts])) == key
        found["text_norm_correct"] = int(np.argmax([one.logprob / one.bytes for one in answer.option_texts])) == key
    return found


def _letter(text: str, count: int) -> int | None:
    """The place that an answer names by its letter: "B", "b)", "La opción B.", or None."""
    match = re.search(r"(?<!\w)([A-Ha-h])(?:[).:]|\s*$)", text) or re.search(r"(?<!\w)([A-H])(?!\w)", text)
    place = ord(match[1].upper()) - ord("A") if match else count
    return place if place < count else None


# The law


class KnownArticles:
    """What is known to exist: the articles of parsed laws, and those that the items themselves name."""

    def __init__(self, items: Sequence[Item] = (), laws: Sequence[Law] = ()) -> None:
        self.index = index = CitationIndex.of(laws, catalog())
        self.there = {(item.law_id, item.article) for item in items if item.article}  # (law id, article)
        self.missing = {  # that items know not to exist
            (item.law_id, cited.article)
            for item in items
            if item.abstain and item.reference.startswith(NO_SUCH_ARTICLE)
            for cited in parse_citations(item.messages[-1]["content"], index.known)
            if cited.law_id in (item.law_id, None)
        }
        self.missing -= self.there
        # For the catalogue's id of a parsed law, the id it was parsed under.
        self.here = {entry.id: law.id for law in laws if (entry := find_in_catalog(law.name))}


def citations(text: str, item: Item, known: KnownArticles) -> list[CitedArticle]:
    """The articles an answer cites, each once, in order.

    A citation without a law is one of the item's law, the only one its prompt names. The right article in an edition
    that was not asked is wrong.
    """
    ids = {law.id for law in known.index.known}
    own = item.law_id if item.law_id in ids else known.here.get(item.law_id, item.law_id)
    found: dict[tuple[str, str], CitedArticle] = {}
    for one in check_answer(text, known.index, given=None, law_id=own, edition=item.edition):
        law_id = (one.law.id if one.law else one.citation.law_id) or ""
        law_id, article = (item.law_id if law_id == own else law_id), one.citation.article
        if (law_id, article) not in found:
            found[law_id, article] = CitedArticle(
                text=text[slice(*one.span)],
                span=one.span,
                law_id=law_id,
                article=article,
                edition=one.citation.edition,
                verdict=_verdict(one, law_id, item, known),
            )
    return list(found.values())


def contradicts(text: str, item: Item, known: KnownArticles) -> bool:
    """Whether an article that an answer cites says otherwise than the answer, as the one checker reads them."""
    ids = {law.id for law in known.index.known}
    own = item.law_id if item.law_id in ids else known.here.get(item.law_id, item.law_id)
    question = item.messages[-1]["content"]
    checked = check_answer(text, known.index, given=None, law_id=own, edition=item.edition, question=question)
    return any(isinstance(fault.kind, Fault) for one in checked for fault in one.findings)


def _verdict(one: CheckedCitation, law_id: str, item: Item, known: KnownArticles) -> CitationVerdict:
    place = law_id, one.citation.article
    if any(finding.kind is Kind.NO_PART for finding in one.findings):
        return "invented"
    if item.article and place == (item.law_id, item.article):
        return "right" if one.citation.edition in ("", item.edition) else "wrong"
    if one.exists or (one.exists is None and place in known.there):
        return "wrong"
    return "invented" if one.exists is False or place in known.missing else "unknown"


def _grade_citations(item: Item, text: str, known: KnownArticles) -> dict[str, Any]:
    """Counts for precision, recall and the share invented; an item that is to be declined has nothing to cite."""
    declined = is_abstention(text)
    cited = [] if declined else citations(text, item, known)
    verdicts = [one.verdict for one in cited]
    found: dict[str, Any] = {"abstained": declined, "should_abstain": item.abstain, "citations": cited}
    found |= {"cited_known": len(verdicts) - verdicts.count("unknown"), "cited_invented": verdicts.count("invented")}
    if not item.abstain and item.article:
        found |= {"expected_citations": 1, "cited": len(verdicts), "cited_right": int("right" in verdicts)}
    return found


def score_text(item: Item, text: str) -> dict[str, Any]:
    """``score`` of a generated answer, 0 to 1, and what it was made of; by the item's task. Empty for a free prompt."""
    if item.suite == "law":
        return _score_law(item, text)
    if item.checks:
        kept = [passes(check, text) for check in item.checks]
        return {"format_kept": all(kept), "format_rules": sum(kept) / len(kept), "score": float(all(kept))}
    if item.task == "qa":
        f1 = token_f1(text, item.accepted)
        return {"token_f1": f1, "exact": exact(text, item.accepted), "score": f1}
    if not item.reference:
        return {}
    found = {"chrf": chrf(text, item.reference), "rouge_l": rouge(text, item.reference)["rougeL"]}
    return {**found, "score": found["rouge_l"] if item.task == "summary" else found["chrf"]}


def _score_law(item: Item, text: str) -> dict[str, Any]:
    if item.abstain:
        return {"score": float(is_abstention(text))}
    if is_abstention(text):
        text = ""  # worth nothing, and counted in every measure of the task: declining must not make one look better
    said = BARE.sub(" ", text).strip()
    match item.task:
        case "sanction" | "deadline":
            right = same_figures(said, item.accepted)
            return {"number_exact": right, "score": float(right)}
        case "topic-to-number":
            cited = {one.article for one in parse_citations(text, ())}
            bare = NUMBER.search(text)  # the first number written, where no article is cited
            return {"score": float((cited or ({bare[0]} if bare else set())) == {item.article})}
        case "number-to-topic" | "definition" | "grounded":
            f1 = token_f1(said, item.accepted)
            # A long list that holds the right words too does not know the answer.
            knows = len(accented_words(said)) <= LONGEST and contains(said, item.accepted)
            return {"token_f1": f1, "score": 1.0 if knows else f1}
    f1 = token_f1(said, item.accepted)
    return {"token_f1": f1, "chrf": chrf(text, item.reference), "score": f1}


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


# Overlap with a reference


def content_words(text: str) -> list[str]:
    """The words without articles, as in SQuAD's normalisation, for Spanish."""
    return [word for word in accented_words(text) if word not in ARTICLES]


def exact(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer's content words are those of a reference, in order."""
    return any(content_words(answer) == content_words(reference) for reference in references)


def contains(answer: str, references: Sequence[str]) -> bool:
    """Whether the content words of a reference follow one another in the answer."""
    said = f" {' '.join(content_words(answer))} "
    return any(f" {' '.join(wanted)} " in said for wanted in map(content_words, references) if wanted)


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best F1 of the answer's content words, as a bag, with a reference (SQuAD)."""
    said = Counter(content_words(answer))
    wanted = [bag for reference in references if (bag := Counter(content_words(reference)))]
    return max((2 * (said & bag).total() / (said.total() + bag.total()) for bag in wanted), default=0.0)


_CHRF = CHRF(word_order=2)


def chrf(answer: str, reference: str) -> float:
    """chrF++ of one answer, 0 to 1: character 6-grams and word bigrams (Popović 2017)."""
    return float(_CHRF.sentence_score(answer, [reference]).score) / 100


def is_degenerate(text: str) -> bool:
    """Whether the answer repeats itself: less than half of its runs of four words are different ones."""
    said = accented_words(text)
    runs = [tuple(said[at : at + RUN]) for at in range(len(said) - RUN + 1)]
    if len(runs) < FEWEST_RUNS:
        return bool(re.search(r"(\S)\1{19}", text))  # one sign twenty times
    return len(set(runs)) < DISTINCT * len(runs)


# Rules on the form of an answer that a program can check, in the manner of IFEval (Zhou et al. 2023), for Spanish:
#
#     {"rule": "words", "at_most": 40}              {"rule": "starts", "text": "Estimada"}
#     {"rule": "sentences", "exactly": 2}           {"rule": "ends", "text": "Gracias."}
#     {"rule": "bullets", "exactly": 3}             {"rule": "contains", "words": ["agua"], "at_least": 2}
#     {"rule": "numbered", "exactly": 3}            {"rule": "excludes", "words": ["muy"]}
#     {"rule": "paragraphs", "exactly": 2}          {"rule": "without", "characters": ",;"}
#     {"rule": "case", "is": "upper"}               {"rule": "one of", "options": ["sí", "no"]}
#     {"rule": "json", "keys": ["nombre", "edad"]}  {"rule": "quoted"}    {"rule": "figures", "at_least": 1}
#
# Counts take ``exactly``, or ``at_least`` and ``at_most``. Words are compared without case or accents.

COUNTED = {
    "bullets": re.compile(r"^\s*[-*•]\s+\S", re.MULTILINE),
    "numbered": re.compile(r"^\s*\d{1,2}[.)]\s+\S", re.MULTILINE),
    "figures": re.compile(r"\d+(?:[.,]\d+)*"),
}
SENTENCE_END = re.compile(r"[.!?…]+(?=[\s»\")]|$)")
FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")
QUOTES = {("«", "»"), ('"', '"'), ("“", "”")}


def passes(check: Mapping[str, Any], answer: str) -> bool:
    """Whether ``answer`` keeps one rule; an empty answer keeps none. LeyloraError where there is no such rule."""
    text = answer.strip()
    try:
        return bool(text) and _passes(check, text)
    except KeyError as error:
        raise LeyloraError(f"The check {dict(check)} has no key {error}; see leylora.evaluation.grading.") from None


def _passes(check: Mapping[str, Any], text: str) -> bool:
    def times(word: str) -> int:
        return len(re.findall(rf"(?<!\w){re.escape(fold(word))}(?!\w)", fold(text)))

    match check["rule"]:
        case "words":
            return _counts(check, len(accented_words(text)))
        case "sentences":
            return _counts(check, max(1, len(SENTENCE_END.findall(text))))
        case "paragraphs":
            return _counts(check, len(re.split(r"\n\s*\n", text)))
        case "bullets" | "numbered" | "figures" as rule:
            return _counts(check, len(COUNTED[rule].findall(text)))
        case "contains":
            return all(_counts(check, times(word), least=1) for word in check["words"])
        case "excludes":
            return not any(times(word) for word in check["words"])
        case "without":
            return not set(check["characters"]) & set(text.lower())
        case "starts":
            return fold(text).startswith(fold(check["text"]))
        case "ends":
            return fold(text).endswith(fold(check["text"]))
        case "case":
            return text == (text.upper() if check["is"] == "upper" else text.lower())
        case "one of":
            return fold(text.strip(" .¡!«»\"'")) in {fold(option) for option in check["options"]}
        case "json":
            wanted = sorted(check["keys"])  # a missing key of the rule is found before the text is read
            try:
                value = json.loads(FENCE.sub("", text))
            except (ValueError, RecursionError):
                return False
            return isinstance(value, dict) and sorted(value) == wanted
        case "quoted":
            return (text[0], text[-1]) in QUOTES and len(text) > 2
        case other:
            raise LeyloraError(f"There is no format rule '{other}'; see leylora.evaluation.grading.")


def _counts(check: Mapping[str, Any], found: int, least: int = 0) -> bool:
    if "exactly" in check:
        return found == int(check["exactly"])
    return int(check.get("at_least", least)) <= found <= int(check.get("at_most", found))
