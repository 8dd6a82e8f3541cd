"""From laws to verified conversations: choose what each article is asked, compose, verify, thin out.

Takes parsed laws, settings and a seed. Gives rows, and a `TaskReport` of what was made and dropped.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

from leylora.data.compose import (
    MAX_PER_ARTICLE,
    TOO_LONG,
    Composed,
    Distractors,
    Kind,
    LawFactsByEdition,
    LawItem,
    LawLookup,
    TaskSettings,
    Unfit,
    compose,
    draw,
    roughen,
)
from leylora.data.conversation import Conversation, Message
from leylora.data.families import FAMILIES, ask
from leylora.data.verify import CitableLaws, verify_row, whole_law_citation
from leylora.data.written import QUESTIONS, WrittenQuestion, fill, find_article, load_questions
from leylora.errors import LeyloraError, UsageError
from leylora.grounding.prompt import NOT_SUPPLIED, grounded_prompt, law_system_prompt, passage
from leylora.laws.law import Article, Law

SAMPLES = 5
NO_OPENING = ("verbatim", "find", "temporal-editions", "list-one", "draft", "section", "two-matters")  # of a dialogue
EVERYWHERE = ("verbatim", "find", "topic", "everyday")  # nearly every article has these


@dataclass
class TaskReport:
    """What was made and what was thrown away, by reason, with samples."""

    rows: int = 0
    by_task: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    by_law: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, str]] = field(default_factory=list)

    def drop(self, reason: str, row: Conversation | None = None, detail: str = "") -> None:
        """Count a row that is not used; keep a few as samples."""
        self.dropped[reason] += 1
        if row is not None and sum(sample["reason"] == reason for sample in self.samples) < SAMPLES:
            self.samples.append({"reason": reason, "id": row.id, "detail": detail, "answer": row.answer[:160]})

    def add(self, other: "TaskReport") -> None:
        """The counts and samples of another source of rows."""
        for mine, theirs in ((self.by_task, other.by_task), (self.by_kind, other.by_kind), (self.by_law, other.by_law)):
            mine.update(theirs)
        self.dropped.update(other.dropped)
        self.samples += other.samples

    def as_json(self) -> dict[str, Any]:
        """Plain types, most frequent first."""
        plain = {name: dict(value.most_common()) for name, value in vars(self).items() if isinstance(value, Counter)}
        return {"rows": self.rows, **plain, "samples": self.samples}


class _Made(NamedTuple):
    kind: Kind
    composed: Composed

    @property
    def row(self) -> Conversation:
        return self.composed.row


def generate(
    laws: Sequence[Law],
    settings: TaskSettings,
    seed: int,
    *,
    members: set[tuple[str, str]] | None = None,
    facts: LawFactsByEdition | None = None,
    tick: Callable[[int], None] = lambda articles: None,
) -> tuple[list[Conversation], TaskReport]:
    """Verified rows for the articles in ``members``, pairs of law id and number, or for all. ``facts`` are `law_facts`
    of the laws, where the splits share them.

    Every article in a prompt comes from ``members`` too: a row of one split never shows an article of another.

    Raises:
        UsageError: ``settings`` names an unknown family or too many rows, or a law was given twice.
    """
    _check(laws, settings)
    lookup, citable, report = LawLookup(laws, seed, members, facts), CitableLaws(laws), TaskReport()
    pools = Distractors(laws, members)
    made: list[_Made] = []
    done = 0
    for law in laws:
        for article in law.articles:
            if members is not None and (law.id, article.number) not in members:
                continue
            done += 1
            for number, item in enumerate(_choose(law, article, lookup, settings)):
                chance = lookup.random(law.id, law.edition, article.number, item.task, item.kind, str(number))
                try:
                    composed = compose(law, item, pools, chance, settings, number)
                except Unfit as error:
                    report.drop(str(error))
                    continue
                fault = next(iter(verify_row(composed.row, citable)), None)
                if fault is not None:
                    report.drop(f"verifier: {fault.kind}", composed.row, fault.detail)
                    continue
                made.append(_Made("grounded" if item.kind == "followed" else item.kind, composed))
            if done % 50 == 0:
                tick(done)
    tick(done)
    kept = _thin(made, settings, lookup.random("thin"), report)
    report.rows = len(kept)
    report.by_task.update(one.row.task for one in kept)
    report.by_kind.update(one.kind for one in kept)
    report.by_law.update(one.row.law_id for one in kept)
    return [one.row for one in kept], report


WRITTEN = QUESTIONS / "train.jsonl"


def written_rows(
    laws: Sequence[Law],
    settings: TaskSettings,
    seed: int,
    *,
    members: set[tuple[str, str]] | None = None,
    unanswerable: bool = True,
    questions: Sequence[WrittenQuestion] | None = None,
) -> tuple[list[Conversation], TaskReport]:
    """The train part of data/questions as rows: filled from these laws, the articles among wrong ones, verified.

    A question is used where all articles that it names are in ``members``. One that says that these laws do not answer
    is used with ``unanswerable``, and only where no other law is here than those that its writers had.
    """
    citable, pools, report = CitableLaws(laws), Distractors(laws, members), TaskReport()
    if questions is None:
        questions = load_questions(WRITTEN) if WRITTEN.is_file() else []
    theirs = {name.partition(":")[0] for one in questions for name in one.named()}
    here = {law.id for law in laws}
    rows = []
    for one in questions:
        fault, verified = None, False
        for variant in range(settings.written_variants):
            if one.missing == "law" and not (unanswerable and theirs >= here):
                continue
            if not all(_in(members, name) and name.partition(":")[0] in here for name in one.named()):
                continue
            chance = Random(draw(seed, one.id, str(variant)))
            try:
                row = _written_row(one, variant, laws, pools, settings, chance)
            except Unfit as error:
                report.drop(str(error))
                continue
            except LeyloraError as error:
                report.drop("written question does not fit this edition", None, str(error))
                continue
            if not verified:  # the other variants have the same answer and articles, among other wrong ones
                fault, verified = next(iter(verify_row(row, citable)), None), True
            if fault is not None:
                report.drop(f"verifier: {fault.kind}", row, fault.detail)
                continue
            rows.append(row)
    report.rows = len(rows)
    report.by_task.update(row.task for row in rows)
    report.by_law.update(row.law_id for row in rows)
    return rows, report


def _in(members: set[tuple[str, str]] | None, name: str) -> bool:
    law_id, _, number = name.partition(":")
    return members is None or (law_id, number) in members


def _written_row(
    one: WrittenQuestion, variant: int, laws: Sequence[Law], pools: Distractors, settings: TaskSettings, chance: Random
) -> Conversation:
    named = [find_article(name, laws) for name in sorted(one.named())]
    cited = {
        f"{law.id}:{row.number}": (law, row) for law, row in named if f"{{cita {law.id}:{row.number}}}" in one.answer
    }
    main = next((name for accepted in one.articles for name in accepted if name in cited), "")
    names = [main, *(name for name in cited if name != main)] if main else []
    answer = fill(one.answer, laws)
    law, article = cited[main] if main else pools.any(chance)
    if not main:
        answer = f"{NOT_SUPPLIED} {answer} ({whole_law_citation(law)})"
    before = []
    for turn in one.previous:
        before += [Message(role="user", content=turn.question)]
        before += [Message(role="assistant", content=fill(turn.answer, laws))]
    question = roughen(one.question, chance, settings.rough_questions if variant and one.style != "hurried" else 0)
    given = [cited[name] for name in names]
    room = settings.max_characters - len(answer) - sum(len(turn.content) for turn in before) - 400
    room -= len(grounded_prompt(question, [passage(*pair) for pair in given]))
    known = {(law.id, row.number) for law, row in named}
    wanted = len(given) + max(1, chance.randint(*settings.distractors) - len(given) + 1)
    for pair in pools.of(law, article, chance, abroad=chance.random() < settings.other_law_share):
        size = len(grounded_prompt("", [passage(*pair)])) if (pair[0].id, pair[1].number) not in known else room + 1
        if len(given) < wanted and size <= room:
            given.append(pair)
            room -= size
    if room < 0 or len(given) <= len(names):
        raise Unfit(TOO_LONG)
    chance.shuffle(given)
    shown = {(one.id, one.edition): one for one, _ in [*given, (law, article)]}
    task = "dialogue" if before else "clarify" if one.missing == "fact" else "consultation"
    task = "out-of-scope" if not main else "several-articles" if task == "consultation" and len(names) > 1 else task
    return Conversation(
        id=f"written:{one.id}:{variant}",
        messages=[
            Message(role="system", content=law_system_prompt(shown.values())),
            *before,
            Message(role="user", content=grounded_prompt(question, [passage(*pair) for pair in given])),
            Message(role="assistant", content=answer),
        ],
        task=task,
        source="data/questions",
        license="cc0-1.0",
        law_id=law.id,
        article=article.number if main else "",
        edition=law.edition,
        source_sha256=law.source_sha256,
        articles=names,
    )


def _check(laws: Sequence[Law], settings: TaskSettings) -> None:
    unknown = [name for name in settings.families or () if name not in FAMILIES]
    if unknown:
        raise UsageError(f"Unknown task family {', '.join(unknown)}; choose from {', '.join(FAMILIES)}.")
    if settings.grounded_per_article + settings.closed_per_article + settings.abstain_per_article > MAX_PER_ARTICLE:
        raise UsageError(f"At most {MAX_PER_ARTICLE} rows an article; lower one of the *_per_article keys.")
    if settings.distractors[0] > settings.distractors[1]:
        raise UsageError("distractors: the fewest come first, as in [2, 4].")
    twice = [key for key, count in Counter((law.id, law.edition) for law in laws).items() if count > 1]
    if twice:
        raise UsageError(f"The law {twice[0][0]}, ed. {twice[0][1] or 'unknown'}, was given twice; keep one of them.")


def _choose(law: Law, article: Article, lookup: LawLookup, settings: TaskSettings) -> list[LawItem]:
    """At most the settings' number of items of each kind, every task once before any comes twice, rare ones first; and
    for some articles a dialogue."""
    wanted: dict[Kind, int] = {
        "grounded": settings.grounded_per_article,
        "closed": settings.closed_per_article,
        "abstain": settings.abstain_per_article,
        "rewrite": 1,
    }
    asked = ask(FAMILIES if settings.families is None else settings.families, law, article, lookup)
    found = list(asked)
    chosen: list[LawItem] = []
    for kind, most in wanted.items():
        mine = [item for item in found if item.kind == kind]
        lookup.random(law.id, law.edition, article.number, "choose", kind).shuffle(mine)
        times: Counter[str] = Counter()
        turns: list[tuple[int, bool, int]] = []
        for at, item in enumerate(mine):
            turns.append((times[item.task], item.task in EVERYWHERE, at))
            times[item.task] += 1
        chosen += [mine[at] for _, _, at in sorted(turns)[:most]]
    return [*chosen, *_followed(found, lookup.random(law.id, law.edition, article.number, "dialogue"), settings)]


def _followed(items: list[LawItem], chance: Random, settings: TaskSettings) -> list[LawItem]:
    """Up to two dialogues of two turns on one article, where it has questions of which the second can follow."""
    if chance.random() >= settings.dialogue_share:
        return []
    second = [item for item in items if item.after and item.kind in ("grounded", "abstain", "followed")]
    chance.shuffle(second)
    found: dict[str, LawItem] = {}
    for item in second:
        first = [
            one for one in items if one.kind == "grounded" and one.task != item.task and not one.others and one.cites
        ]
        first = [one for one in first if one.task not in NO_OPENING and (one.rule != item.rule or not one.rule)]
        if first and item.task not in found and len(found) < 2:
            found[item.task] = replace(item, before=chance.choice(first))
    return list(found.values())


def _thin(made: list[_Made], settings: TaskSettings, chance: Random, report: TaskReport) -> list[_Made]:
    """Take out, at random, what goes over the shares of kinds, of wordings and forms, and over ``max_rows``; order is
    kept."""
    order = chance.sample(range(len(made)), len(made))
    there = Counter(one.kind for one in made)
    shares: dict[Kind, float] = {
        "closed": settings.max_closed_share,
        "abstain": settings.max_abstain_share,
        "rewrite": settings.max_rewrite_share,
    }
    most_of: dict[Kind, float] = {"grounded": len(made), **dict.fromkeys(shares, float(len(made)))}
    if there["grounded"]:
        most_of |= {kind: there["grounded"] * share / (1 - share) for kind, share in shares.items() if share < 1}
    total = sum(min(most_of[kind], there[kind]) for kind in most_of)
    rows = int(min(total, settings.max_rows or total))
    most_of = {kind: max(1, most * rows / max(1, total)) for kind, most in most_of.items()}
    most_alike = max(1, int(settings.max_template_share * rows))
    alike: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    kept: set[int] = set()
    for at in order:
        one = made[at]
        template, form = one.composed.template, f"answer {one.composed.form}"
        if alike[template] >= most_alike:
            report.drop("wording over max_template_share", one.row)
        elif alike[form] >= most_alike:
            report.drop("form of answer over max_template_share", one.row)
        elif kinds[one.kind] >= most_of[one.kind]:
            report.drop(f"more {one.kind} rows than their share", one.row)
        elif settings.max_rows is not None and len(kept) >= settings.max_rows:
            report.drop("over max_rows", one.row)
        else:
            alike[template] += 1
            alike[form] += 1
            kinds[one.kind] += 1
            kept.add(at)
    return [one for at, one in enumerate(made) if at in kept]
