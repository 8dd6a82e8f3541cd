"""What a comparison leaves on disk, and how it is read back: `load_results`.

    OUT/
      provenance.json              Provenance: command, seeds, versions, hashes, models, variants, suites
      items/SUITE.jsonl            Item: every question as it was asked, with its key
      answers/MODEL/VARIANT.jsonl  Answer: raw; appended to during the run, so that a killed run continues
      answers/MODEL/backend.json   what the last loaded model said of itself (`leylora.evaluation.run`)
      marks/MODEL/VARIANT.jsonl    Mark: the grade of each answer (score, citations with verdicts, flags)
      scores.json                  Scores: every number with its interval, differences, retention, cost, findings
      judge.json                   JudgeSummary, once scripts/judge.py has judged the answers

``items`` and ``answers`` are the evidence: everything in ``marks`` and ``scores.json`` is computed from them alone
(`leylora.evaluation.scoring.tally`), and a test does so again. Records hold facts; the report makes the sentences.

A model is named by its label (the last part of its path, ``mistral-7b``), a variant by its role (``base``,
``instructions``, ``law``, ``merged``) or, when it has none, by its adapter's folder. Both are safe as file names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.adapters.discover import Variant
from leylora.errors import LeyloraError
from leylora.files import read_json, read_jsonl

SCHEMA = 2
JUDGE_FILE = "judge.json"
Ask = Literal["generate", "choose", "likelihood"]
Setting = Literal["closed-book", "grounded", ""]
Verdict = Literal["right", "wrong", "invented", "unknown"]
Flag = Literal["unfinished", "degenerate", "not-spanish", "empty", "abstained", "invented-citation", "letter-answer"]
Reason = Literal[
    "wrong-option",
    "invented-citation",
    "missing-citation",
    "should-abstain",
    "should-not-abstain",
    "wrong-figure",
    "wrong-format",
    "repeats",
    "empty",
    "not-spanish",
]
"""Why an answer lost points."""
Choice = Literal["variant", "against", "tie", "none"]
Interval = Literal["cluster-bootstrap", "wilson", "none"]


class Record(BaseModel):
    """What all rows share: no unknown keys, and values that do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Item(Record):
    """One question of a suite (a line of ``items/SUITE.jsonl``).

    Attributes:
        id: unique in its suite.
        task: the group it is reported in: ``multiple-choice``, ``sanction``, ``held-out``, ``format``, ``qa`` ...
        setting: for law, whether articles are in the prompt.
        ask: ``generate`` an answer, ``choose`` among options by likelihood, or (``likelihood``) the loss of
            ``reference`` alone. A generated item with a reference has its likelihood taken as well.
        cluster: items with the same one are not independent (the article they ask about) and are resampled together.
        messages: the conversation up to the answer.
        reference: the right answer; of a ``choose`` item, the right option.
        accepted: other answers that count as right.
        options, correct: of a ``choose`` item, in the order of the source.
        orders: the orders in which the options were shown, each a permutation of the indices of ``options``.
        law_id, article, edition: what a right answer cites.
        supplied: canonical citations of the articles in the prompt.
        abstain: whether declining is right.
        checks: rules a format item's answer must pass, as `leylora.evaluation.grading` spells them.
        preset, temperature, seed: of a free prompt (suite ``prompts``): a preset of GENERATION-PRESETS and what is laid
            over it; everything else is asked without sampling. Free prompts with the same ``cluster`` are one prompt.
    """

    suite: str
    id: str
    task: str
    ask: Ask
    setting: Setting = ""
    cluster: str
    messages: list[dict[str, str]]
    reference: str = ""
    accepted: list[str] = []
    options: list[str] = []
    correct: int | None = None
    orders: list[list[int]] = []
    law_id: str = ""
    article: str = ""
    edition: str = ""
    supplied: list[str] = []
    abstain: bool = False
    checks: list[dict[str, Any]] = []
    preset: str = ""
    temperature: float | None = None
    seed: int | None = None


class Answer(Record):
    """One variant's raw answer to one item (a line of ``answers/MODEL/VARIANT.jsonl``).

    Attributes:
        key: SHA-256 over base weights, adapter, prompt and settings; an answer counts only under its own key.
        text: what was generated, special tokens and stop strings taken away.
        tokens: tokens generated, the end included.
        finished: it ended by itself, rather than at the bound of new tokens.
        option_logprobs: by order of ``Item.orders``, then by index of ``Item.options`` (not by place shown): the log
            probability, in nats, of the letter the option stood under. None where an endpoint gives none.
        option_texts: the same of the bare options' texts without letters, in nats, with their tokens and bytes.
        letters: where no likelihood can be had: by order, the letter answered (its text), "" when none was.
        nll: summed negative log-likelihood, in nats, of the reference with its end mark; ``reference_bytes`` its
            length in UTF-8 bytes and ``reference_tokens`` in tokens.
        seconds: this answer's share of its batch's time.
        error: why there is no answer; it is asked again by the next run.
    """

    key: str
    model: str
    variant: str
    suite: str
    item: str
    prompt_sha256: str
    settings_sha256: str
    text: str = ""
    tokens: int = 0
    finished: bool = True
    option_logprobs: list[list[float]] | None = None
    option_texts: list["OptionText"] | None = None
    letters: list[str] | None = None
    nll: float | None = None
    reference_bytes: int | None = None
    reference_tokens: int | None = None
    seconds: float = 0.0
    error: str = ""


class OptionText(Record):
    """Log-likelihood of one option's text as the answer."""

    logprob: float
    tokens: int
    bytes: int


class Citation(Record):
    """One citation found in an answer.

    ``span`` is the half-open range of characters in ``Answer.text``. ``verdict``: ``right`` names the article that
    answers; ``wrong`` another one that exists; ``invented`` one that its law does not have; ``unknown`` when that law
    is not at hand to look.
    """

    text: str
    span: tuple[int, int]
    law_id: str
    article: str
    edition: str = ""
    verdict: Verdict


class Mark(Record):
    """The grade of one answer (a line of ``marks/MODEL/VARIANT.jsonl``). What does not apply is None.

    Attributes:
        key: of the answer graded.
        score: 1 right, 0 wrong, between for overlap with a reference; None where nothing can be right.
        bits, reference_bytes: loss of the reference, and its length in UTF-8.
        accuracy: share of the orders of the options in which the letter of the right one was likeliest.
        correct: the right option is likeliest over all orders together, which no preference for a place can cause.
        published_order, other_orders: accuracy in the source's own order, and mean accuracy in the others.
        confidence, brier: from the probabilities over the options, averaged over orders.
        places: share of the orders in which each place was chosen.
        text_correct, text_norm_correct: the options' texts compared as answers, by sum and by byte, as
            lm-evaluation-harness's acc and acc_norm do.
        tokens, unfinished, degenerate, empty, spanish: of every generated answer.
        abstained, should_abstain: of every generated answer about the law.
        cited, cited_right, expected_citations: articles cited, whether the right one is among them, how many were
            expected; None for an item that is to be declined.
        cited_known, cited_invented: citations of laws at hand, and those whose article does not exist.
        number_exact, token_f1, exact, chrf, rouge_1, rouge_2, rouge_l: agreement with the reference.
        format_kept, format_rules: all rules of the format were kept; share of them that were.
    """

    model: str
    variant: str
    suite: str
    item: str
    task: str
    setting: Setting
    cluster: str
    key: str = ""
    citations: list[Citation] = []
    flags: list[Flag] = []
    reasons: list[Reason] = []
    score: float | None = None
    bits: float | None = None
    reference_bytes: int | None = None
    accuracy: float | None = None
    correct: bool | None = None
    published_order: bool | None = None
    other_orders: float | None = None
    confidence: float | None = None
    brier: float | None = None
    places: list[float] = []
    text_correct: bool | None = None
    text_norm_correct: bool | None = None
    tokens: int | None = None
    unfinished: bool | None = None
    degenerate: bool | None = None
    empty: bool | None = None
    spanish: bool | None = None
    abstained: bool | None = None
    should_abstain: bool | None = None
    cited: int | None = None
    cited_right: int | None = None
    expected_citations: int | None = None
    cited_known: int | None = None
    cited_invented: int | None = None
    number_exact: bool | None = None
    token_f1: float | None = None
    exact: bool | None = None
    chrf: float | None = None
    rouge_1: float | None = None
    rouge_2: float | None = None
    rouge_l: float | None = None
    format_kept: bool | None = None
    format_rules: float | None = None


class Score(Record):
    """One number of one variant.

    Attributes:
        part: ``all`` of the suite, a task (``task:sanction``), a setting (``setting:grounded``), or ``clean``: all
            but the items found in the training rows of any variant of the model.
        low, high: 95 % interval, by ``interval``.
        n, clusters: items, and independent groups among them.
        unit: ``share`` (0 to 1), ``bits/byte``, ``tokens`` or ``points``.
        higher_is_better: False for losses and failures.
        chance: what guessing gives, where that is known.
        headline: it is the suite's cell in the 3 x 4 table.
    """

    model: str
    variant: str
    suite: str
    metric: str
    part: str
    value: float
    low: float | None
    high: float | None
    interval: Interval
    n: int
    clusters: int
    unit: str
    higher_is_better: bool
    chance: float | None = None
    headline: bool = False


class Difference(Record):
    """``variant`` minus ``against`` on the same items of one model, paired.

    Between models (the same part of each two), ``model`` is empty and the names are ``MODEL/VARIANT``.

    Attributes:
        value, low, high: mean difference with its 95 % cluster-bootstrap interval.
        test: ``mcnemar`` (exact, for right/wrong, with one item an article) or ``randomisation`` (two-sided).
        p, p_holm: before and after Holm's correction over ``family``, the comparisons of the same run and suite.
        detectable: smallest true difference that this test finds with 80 % power at 5 %, None when unknown.
        better, worse: items on which ``variant`` is better or worse.
    """

    model: str
    suite: str
    metric: str
    part: str
    variant: str
    against: str
    value: float
    low: float
    high: float
    test: Literal["mcnemar", "randomisation"]
    p: float
    p_holm: float
    family: str
    n: int
    clusters: int
    detectable: float | None
    better: int
    worse: int


class Retention(Record):
    """Share of a single adapter's gain over the base that another variant keeps: (kept - base) / (single - base).

    ``value`` is None, and ``undefined`` says why, when the single adapter has no statistically significant gain.
    """

    model: str
    suite: str
    metric: str
    part: str
    variant: str
    single: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    undefined: Literal["", "no-significant-gain", "worse-than-base"] = ""


class Cost(Record):
    """What one variant took on the machine of this run.

    Attributes:
        memory_gib: most memory so far: GPU memory torch allocated, or the process's resident memory on CPU.
        generated_tokens, seconds, tokens_per_second: of generation; None from an endpoint that counts no tokens.
        adapter_mib: size of the adapter's weights file.
        training_seconds, training_device: from the adapter's run.json.
    """

    model: str
    variant: str
    load: str
    memory_gib: float | None
    load_seconds: float | None
    generated_tokens: int
    seconds: float
    tokens_per_second: float | None
    adapter_mib: float | None = None
    training_seconds: float | None = None
    training_device: str = ""


FindingKind = Literal[
    "duplicate-variant",
    "seen-in-training",
    "memorised",
    "position-bias",
    "no-room",
    "no-law-text",
    "no-laws",
    "no-instruction-rows",
    "rows-drawn",
    "endpoint",
    "no-adapter",
    "other-adapters",
    "stale-adapter",
    "unusable-adapter",
    "no-merge-report",
    "lead-sentences",
    "not-answered",
]


class Finding(Record):
    """A fact the reader of the numbers must know, about a model, one of its variants, a suite; "" means all.

    What else each kind fills:

    duplicate-variant    names[0]: the earlier variant that has the same weights
    seen-in-training     items; total: how many were asked. The part ``clean`` has the scores without them
    memorised            share: how much more often it is right while the options are in the published order
    position-bias        place (0 is A), share: of the orders in which that place was chosen
    no-room              items whose prompt leaves no room for an answer in the context; they count as wrong
    no-law-text          source (the law's id), edition, count: grounded items skipped because its text is missing
    no-laws              no law's text was given, so nothing is asked grounded
    no-instruction-rows  only format tasks are asked
    rows-drawn           source (dataset folder), count of its total test rows, seed
    endpoint             source (address): letters instead of likelihoods, no bits per byte, no hash of the weights
    no-adapter           source (the folder searched): it holds no adapter of this base
    other-adapters       adapter taken for the variant; names: others that could have been
    stale-adapter        adapter left out because it was trained on other weights than the base has now
    unusable-adapter     adapter left out; error says why
    no-merge-report      adapter asked as merged though it has no merge report
    lead-sentences       scores: what the first three sentences of each article score, by ROUGE kind (0 to 1)
    not-answered         a model, or one of its variants, could not be loaded or asked; error says why
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
    scores: dict[str, float] = {}
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
    """One row of the comparison: a base model and its variants, ``base`` first.

    ``endpoint`` is the address it was asked at, without keys; "" when it was loaded here.
    """

    label: str
    source: str
    family: str = ""
    sha256: str = ""
    load: str = ""
    template: str = ""
    template_sha256: str = ""
    endpoint: str = ""
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
    """One answer of the judge. ``first`` is the variant that was shown as A; ``raw`` what the judge wrote."""

    key: str
    model: str
    variant: str
    against: str
    suite: str
    item: str
    first: str
    raw: str
    choice: Choice


class JudgeRow(BaseModel):
    """What the judge preferred between two variants of a model on one suite.

    Attributes:
        wins, losses: pairs in which both orders said so. ``flipped`` (it preferred a place, not an answer) and pairs
            with one tie are among ``ties``; ``refused``, in which an order had no verdict, are in none of them.
        length, length_against: mean characters of the answers.
        first_won: share of verdicts with a winner that went to the answer shown first; one half means no bias.
        longer_won: share of decided pairs that went to the longer answer.
    """

    model: str
    variant: str
    against: str
    suite: str
    pairs: int
    wins: int
    ties: int
    losses: int
    flipped: int
    refused: int
    length: float
    length_against: float
    first_won: float | None
    longer_won: float | None


class JudgeSummary(BaseModel):
    """All of ``judge.json``. ``same_family``: families of models that judge and compared models share."""

    judge: str
    system: str
    same_family: list[str]
    rows: list[JudgeRow]


R = TypeVar("R", bound=Record)


def items_file(out: Path, suite: str) -> Path:
    return out / "items" / f"{suite}.jsonl"


def answers_file(out: Path, model: str, variant: str) -> Path:
    return out / "answers" / model / f"{variant}.jsonl"


def marks_file(out: Path, model: str, variant: str) -> Path:
    return out / "marks" / model / f"{variant}.jsonl"


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a JSON Lines file.

    Raises:
        LeyloraError: a line is none; the message names it.
    """
    for line, row in read_jsonl(path):
        try:
            yield kind.model_validate(row)
        except ValidationError as error:
            raise LeyloraError(_misfit(path, error, f", line {line}")) from None


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
    provenance, scores = _read(out / "provenance.json", Provenance), _read(out / "scores.json", Scores)
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


def _read(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise LeyloraError(_misfit(path, error)) from None


def _misfit(path: Path, error: ValidationError, place: str = "") -> str:
    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"])) or "the record"
    return f"{path}{place}, {key}: {fault['msg']}; it was written by another version, run the comparison again."
