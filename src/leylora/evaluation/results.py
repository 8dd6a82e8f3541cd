"""What a comparison leaves on disk, and how it is read back: `load_results`.

    OUT/
      provenance.json              Provenance: command, seeds, versions, hashes, models, variants, suites
      items/SUITE.jsonl            Item: every question as it was asked, with its key
      answers/MODEL/VARIANT.jsonl  Answer: raw; appended to during the run, so that a killed run continues
      answers/MODEL/backend.json   what the last loaded model said of itself (`leylora.evaluation.asking`)
      marks/MODEL/VARIANT.jsonl    Mark: the grade of each answer (score, citations with verdicts, flags)
      scores.json                  Scores: every number with its interval, differences, retention, cost, findings
      judge.json                   JudgeSummary, once scripts/judge.py has judged the answers

``items`` and ``answers`` are the evidence: ``marks`` and ``scores.json`` are computed from them alone
(`leylora.evaluation.scoring.tally`). Records hold facts; the report makes the sentences. A model is named by the last
part of its path (``mistral-7b``), a variant by its role or, without one, by its adapter's folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.adapters.discover import Variant
from leylora.errors import LeyloraError, first_fault
from leylora.files import read_json, read_jsonl

LEVEL = 0.05  # of every test of significance
SCHEMA = 3
JUDGE_FILE = "judge.json"
Flag = Literal[
    "unfinished",
    "degenerate",
    "not-spanish",
    "empty",
    "abstained",
    "invented-citation",
    "contradicted",
    "letter-answer",
]
Reason = Literal[  # why an answer lost points
    "wrong-option",
    "invented-citation",
    "contradicted",
    "missing-citation",
    "should-abstain",
    "should-not-abstain",
    "wrong-figure",
    "wrong-format",
    "repeats",
    "empty",
    "not-spanish",
]
Setting = Literal["closed-book", "grounded", ""]
CitationVerdict = Literal["right", "wrong", "invented", "unknown"]
Choice = Literal["variant", "against", "tie", "none"]
Interval = Literal["wilson", "student-log", "bootstrap", "none"]  # none: too few questions


class Record(BaseModel):
    """What all rows share: no unknown keys, and values that do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Item(Record):
    """One question of a suite."""

    suite: str
    id: str  # unique in its suite
    task: str  # the group it is reported in: multiple-choice, sanction, held-out, format, qa ...
    ask: Literal["generate", "choose"] = "generate"  # a text, or one of the options
    setting: Setting = ""  # for law, whether articles are in the prompt
    cluster: str  # items of one cluster are not independent (the article they ask about): resampled together
    messages: list[dict[str, str]]  # the conversation up to the answer
    reference: str = ""  # the right answer, whose likelihood is taken; of a choose item, the right option
    accepted: list[str] = []  # other answers that count as right
    options: list[str] = []  # of a choose item, in the order of the source
    correct: int | None = None  # index of the right option
    orders: list[list[int]] = []  # in which the options are shown, each a permutation of their indices
    law_id: str = ""  # with article and edition: what a right answer cites
    article: str = ""
    edition: str = ""
    supplied: list[str] = []  # canonical citations of the articles in the prompt
    abstain: bool = False  # declining is right
    checks: list[dict[str, Any]] = []  # rules of a format item, see `leylora.evaluation.grading.passes`
    preset: str = ""  # with temperature and seed: of a free prompt; everything else is asked without sampling
    temperature: float | None = None
    seed: int | None = None


class OptionText(Record):
    """Log-likelihood of one option's text as the answer, in nats."""

    logprob: float
    tokens: int
    bytes: int


class Answer(Record):
    """One variant's raw answer to one item."""

    key: str  # SHA-256 over base weights, adapter, prompt and settings; an answer counts only under its own key
    model: str
    variant: str
    suite: str
    item: str
    prompt_sha256: str
    settings_sha256: str
    text: str = ""  # without special tokens and stop strings
    tokens: int = 0  # generated, the end included
    finished: bool = True  # it ended by itself, rather than at the bound of new tokens
    # By order of Item.orders, then by index of Item.options (not by place shown): log probability, in nats, of the
    # letter the option was shown under. None where an endpoint gives none.
    option_logprobs: list[list[float]] | None = None
    option_texts: list[OptionText] | None = None  # the bare options, without letters
    letters: list[str] | None = None  # where no likelihood can be had: by order, what was written
    nll: float | None = None  # summed negative log-likelihood, in nats, of the reference with its end mark
    reference_bytes: int | None = None  # in UTF-8
    reference_tokens: int | None = None
    seconds: float = 0.0  # this answer's share of its batch's time
    error: str = ""  # why there is no answer; the next run asks again


class CitedArticle(Record):
    """One citation found in an answer.

    ``verdict``: ``right`` names the article that answers; ``wrong`` another one that exists; ``invented`` one that its
    law does not have; ``unknown`` when that law is not at hand to look.
    """

    text: str
    span: tuple[int, int]  # half-open range of characters in Answer.text
    law_id: str
    article: str
    edition: str = ""
    verdict: CitationVerdict


class Mark(Record):
    """The grade of one answer. What does not apply is None."""

    model: str
    variant: str
    suite: str
    item: str
    task: str
    setting: Setting
    cluster: str
    key: str = ""  # of the answer graded
    citations: list[CitedArticle] = []
    flags: list[Flag] = []
    reasons: list[Reason] = []
    score: float | None = None  # 1 right, 0 wrong, between for overlap; None where nothing can be right
    bits: float | None = None  # loss of the reference
    reference_bytes: int | None = None
    # Multiple choice
    accuracy: float | None = None  # share of the orders in which the letter of the right option was likeliest
    correct: bool | None = None  # likeliest over all orders together, which no preference for a place can cause
    published_order: bool | None = None  # right in the source's own order
    other_orders: float | None = None  # mean accuracy in the others
    confidence: float | None = None  # from the probabilities over the options, averaged over orders
    brier: float | None = None
    places: list[float] = []  # share of the orders in which each place was chosen
    text_correct: bool | None = None  # lm-evaluation-harness's acc: the options' texts compared as answers
    text_norm_correct: bool | None = None  # its acc_norm: by byte
    # Every generated answer
    tokens: int | None = None
    unfinished: bool | None = None
    degenerate: bool | None = None
    empty: bool | None = None
    spanish: bool | None = None
    # Generated answers about the law
    abstained: bool | None = None
    should_abstain: bool | None = None
    cited: int | None = None  # articles cited; with the next two None for an item that is to be declined
    cited_right: int | None = None  # the right one is among them
    expected_citations: int | None = None
    cited_known: int | None = None  # citations of laws at hand
    cited_invented: int | None = None  # those whose article does not exist
    number_exact: bool | None = None
    # Agreement with the reference, and rules of a format
    token_f1: float | None = None
    exact: bool | None = None
    chrf: float | None = None
    rouge_l: float | None = None
    format_kept: bool | None = None  # all rules
    format_rules: float | None = None  # share of them


class Score(Record):
    """One number of one variant, with its 95 % interval."""

    model: str
    variant: str
    suite: str
    metric: str
    # all of the suite, task:NAME, setting:NAME, or clean: without what is in training rows of any variant of the model
    part: str
    value: float
    low: float | None
    high: float | None
    interval: Interval
    n: int
    clusters: int  # independent groups among the n items
    unit: str  # share (0 to 1), bits/byte, tokens or points
    higher_is_better: bool
    chance: float | None = None  # what guessing gives, where that is known
    headline: bool = False  # the suite's cell in the table


class Difference(Record):
    """``variant`` minus ``against`` on the same items of one model, paired.

    Between models (the same role of each two), ``model`` is empty and the names are ``MODEL/VARIANT``.
    """

    model: str
    suite: str
    metric: str
    part: str
    variant: str
    against: str
    value: float
    low: float | None  # None with too few clusters; so is high
    high: float | None
    test: Literal["mcnemar", "randomisation"]  # exact, for right/wrong with one item an article; or two-sided
    p: float
    p_holm: float  # after Holm's correction over family
    family: str  # the question asked: what is compared with what (base, merge, models) by which metric, in all suites
    family_size: int
    n: int
    clusters: int
    detectable: float | None  # smallest true difference found with 80 % power at 5 %; None when unknown
    better: int  # items on which variant is better
    worse: int


class Retention(Record):
    """Share of a single adapter's gain over the base that another variant keeps: (kept - base) / (single - base)."""

    model: str
    suite: str
    metric: str
    part: str
    variant: str
    single: str
    value: float | None  # None, with the reason in undefined
    low: float | None
    high: float | None
    n: int
    undefined: Literal["", "no-significant-gain", "worse-than-base"] = ""


class Cost(Record):
    """What one variant took on the machine of this run."""

    model: str
    variant: str
    load: str
    memory_gib: float | None  # most so far: GPU memory torch allocated, or the process's resident memory on CPU
    load_seconds: float | None
    generated_tokens: int
    seconds: float
    tokens_per_second: float | None  # None from an endpoint that counts no tokens
    adapter_mib: float | None = None
    training_seconds: float | None = None  # with training_device from the adapter's run.json
    training_device: str = ""


FindingKind = Literal[
    "duplicate-variant",  # names[0]: the earlier variant that has the same weights
    "same-answers",  # names[0]: the earlier variant that gave the same answer to every question of the suite
    "not-checked",  # no training rows are at hand, so that seen questions could not be looked for
    "seen-in-training",  # items; total: how many were asked. The part clean has the scores without them
    "memorised",  # share: how much more often it is right while the options are in the published order
    "position-bias",  # place (0 is A), share: of the orders in which that place was chosen
    "no-room",  # items whose prompt leaves no room for an answer in the context; they count as wrong
    "no-law-text",  # source (the law's id), edition, count: grounded items skipped because its text is missing
    "no-laws",  # no law's text was given, so nothing is asked grounded
    "no-instruction-rows",  # only format tasks are asked
    "rows-drawn",  # source (dataset folder), count of its total test rows, seed
    "endpoint",  # source (address): letters instead of likelihoods, no bits per byte, no hash of the weights
    "no-adapter",  # source (the folder searched): it holds no adapter of this base
    "other-adapters",  # adapter taken for the variant; names: others that could have been
    "stale-adapter",  # adapter left out because it was trained on other weights than the base has now
    "unusable-adapter",  # adapter left out; error says why
    "no-merge-report",  # adapter asked as merged though it has no merge report
    "not-answered",  # a model, or one of its variants, could not be loaded or asked; error says why
]


class Finding(Record):
    """A fact the reader of the numbers must know, about a model, one of its variants, a suite; "" means all.

    What else is filled depends on the kind, see `FindingKind`.
    """

    kind: FindingKind
    model: str = ""
    variant: str = ""
    suite: str = ""
    items: list[str] = []
    names: list[str] = []
    count: int | None = None
    total: int | None = None
    share: float | None = None
    place: int | None = None
    seed: int | None = None
    source: str = ""
    edition: str = ""
    adapter: str = ""
    error: str = ""


class Scores(Record):
    """All of ``scores.json``."""

    schema_version: int = SCHEMA
    scores: list[Score]
    differences: list[Difference]
    retention: list[Retention]
    costs: list[Cost]
    findings: list[Finding]


class Model(Record):
    """One row of the comparison: a base model and its variants, ``base`` first."""

    label: str
    source: str
    family: str = ""
    sha256: str = ""
    load: str = ""
    template: str = ""
    template_sha256: str = ""
    endpoint: str = ""  # the address it was asked at, without keys; "" when it was loaded here
    parameters: int | None = None
    variants: list[Variant]


class Suite(Record):
    """Which items a suite held."""

    name: str
    sources: list[str]
    sha256: str
    items: int
    tasks: dict[str, int]


class Provenance(Record):
    """All of ``provenance.json``. Times are ISO 8601, in UTC; ``settings`` are those of generation."""

    schema_version: int = SCHEMA
    command: str
    started: str
    finished: str
    seconds: float
    seed: int
    limit: int | None
    device: str
    versions: dict[str, str]
    settings: dict[str, Any]
    models: list[Model]
    suites: list[Suite]


class JudgeVerdict(Record):
    """One answer of the judge."""

    key: str
    model: str
    variant: str
    against: str
    suite: str
    item: str
    first: str  # the variant that was shown as A
    raw: str  # what the judge wrote
    choice: Choice


class JudgeRow(BaseModel):
    """What the judge preferred between two variants of a model on one suite."""

    model: str
    variant: str
    against: str
    suite: str
    pairs: int
    wins: int  # pairs in which both orders said so; losses likewise
    ties: int  # the flipped ones, and pairs with one tie, among them
    losses: int
    flipped: int  # the judge preferred a place, not an answer
    refused: int  # pairs in which an order had no verdict; in none of the others
    length: float  # mean characters of the answers
    length_against: float
    first_won: float | None  # share of verdicts with a winner that went to the answer shown first; 0.5 is no bias
    longer_won: float | None  # share of decided pairs that went to the longer answer


class JudgeSummary(BaseModel):
    """All of ``judge.json``."""

    judge: str
    system: str
    same_family: list[str]  # families of models that judge and compared models share
    rows: list[JudgeRow]


R = TypeVar("R", bound=Record)


def items_file(out: Path, suite: str) -> Path:
    return out / "items" / f"{suite}.jsonl"


def answers_file(out: Path, model: str, variant: str) -> Path:
    return out / "answers" / model / f"{variant}.jsonl"


def marks_file(out: Path, model: str, variant: str) -> Path:
    return out / "marks" / model / f"{variant}.jsonl"


@dataclass(frozen=True)
class Results:
    """A folder of results, read back. ``answers`` and ``marks`` are keyed by (model, variant, suite, item)."""

    folder: Path
    provenance: Provenance
    scores: Scores
    items: dict[tuple[str, str], Item]
    answers: dict[tuple[str, str, str, str], Answer]
    marks: dict[tuple[str, str, str, str], Mark]


def load_results(out: Path) -> Results:
    """Read what `compare` wrote.

    Raises:
        LeyloraError: the folder holds no finished comparison, or a file does not fit this version.
    """
    if not (out / "scores.json").is_file():
        raise LeyloraError(f"{out} holds no finished comparison; run scripts/compare.py --out {out} first.")
    provenance = _record(Provenance, read_json(out / "provenance.json"), f"{out / 'provenance.json'}")
    scores = _record(Scores, read_json(out / "scores.json"), f"{out / 'scores.json'}")
    items = {
        (item.suite, item.id): item
        for suite in provenance.suites
        for item in read_records(items_file(out, suite.name), Item)
    }
    answers: dict[tuple[str, str, str, str], Answer] = {}
    marks: dict[tuple[str, str, str, str], Mark] = {}
    for model in provenance.models:
        for variant in model.variants:
            for mark in read_records(marks_file(out, model.label, variant.name), Mark):
                marks[mark.model, mark.variant, mark.suite, mark.item] = mark
            for answer in read_records(answers_file(out, model.label, variant.name), Answer):
                place = (answer.model, answer.variant, answer.suite, answer.item)
                # What earlier runs into the folder asked, under other settings or weights, is kept but does not count.
                if place in marks and marks[place].key in ("", answer.key):
                    answers[place] = answer
    return Results(out, provenance, scores, items, answers, marks)


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a JSON Lines file. LeyloraError names the line that does not fit."""
    for line, row in read_jsonl(path):
        yield _record(kind, row, f"{path}, line {line}")


def _record(kind: type[R], value: Any, place: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        key, why = first_fault(error)
        raise LeyloraError(
            f"{place}, {key or 'the record'}: {why}; it was written by another version, run the comparison again."
        ) from None
