"""From laws to verified conversations: choose what each article is asked, compose, verify, thin out.

Takes parsed laws, settings and a seed. Gives rows, and a `TaskReport` of what was made and dropped.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from leylora.data.compose import MAX_PER_ARTICLE, DistractorPool, Kind, LawItem, LawLookup, TaskSettings, Unfit, compose
from leylora.data.conversation import Conversation
from leylora.data.law_text import is_deictic
from leylora.data.questions import FAMILIES, ask
from leylora.data.verify import CitableLaws, verify_row
from leylora.errors import UsageError
from leylora.laws.law import Article, Law

SAMPLES = 5
EVERYWHERE = ("verbatim", "governing-article", "summary", "location")  # nearly every article has these


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

    def as_json(self) -> dict[str, Any]:
        """Plain types, most frequent first."""
        plain = {name: dict(value.most_common()) for name, value in vars(self).items() if isinstance(value, Counter)}
        return {"rows": self.rows, **plain, "samples": self.samples}


class _Made(NamedTuple):
    template: str
    kind: Kind
    row: Conversation


def generate(
    laws: Sequence[Law],
    settings: TaskSettings,
    seed: int,
    *,
    members: set[tuple[str, str]] | None = None,
    tick: Callable[[int], None] = lambda articles: None,
) -> tuple[list[Conversation], TaskReport]:
    """Verified rows for the articles in ``members``, pairs of law id and number, or for all.

    Every article in a prompt comes from ``members`` too: a row of one split never shows an article of another.

    Raises:
        UsageError: ``settings`` names an unknown family or too many rows, or a law was given twice.
    """
    _check(laws, settings)
    lookup, citable, report = LawLookup(laws, seed), CitableLaws(laws), TaskReport()
    made: list[_Made] = []
    done = 0
    for law in laws:
        articles = [row for row in law.articles if members is None or (law.id, row.number) in members]
        pool = DistractorPool(law, [row.number for row in articles])
        for article in articles:
            done += 1
            for number, item in enumerate(_choose(law, article, lookup, settings)):
                chance = lookup.random(law.id, law.edition, article.number, item.task, item.kind, str(number))
                try:
                    template, row = compose(law, item, pool, chance, settings, number)
                except Unfit as error:
                    report.drop(str(error))
                    continue
                fault = next(iter(verify_row(row, citable)), None)
                if fault is not None:
                    report.drop(f"verifier: {fault.kind}", row, fault.detail)
                    continue
                made.append(_Made(template, item.kind, row))
            if done % 50 == 0:
                tick(done)
    tick(done)
    kept = _thin(made, settings, lookup.random("thin"), report)
    report.rows = len(kept)
    report.by_task.update(one.row.task for one in kept)
    report.by_kind.update(one.kind for one in kept)
    report.by_law.update(one.row.law_id for one in kept)
    return [one.row for one in kept], report


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
    """At most the settings' number of items of each kind, every task once before any comes twice, rare ones first.

    An answer that points outside itself ("el artículo anterior") is not used closed-book.
    """
    wanted: dict[Kind, int] = {
        "grounded": settings.grounded_per_article,
        "closed": settings.closed_per_article,
        "abstain": settings.abstain_per_article,
    }
    asked = ask(FAMILIES if settings.families is None else settings.families, law, article, lookup)
    found = [item for item in asked if item.kind != "closed" or not is_deictic(item.answer)]
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
    return chosen


def _thin(made: list[_Made], settings: TaskSettings, chance: Random, report: TaskReport) -> list[_Made]:
    """Take out, at random, what goes over the shares of kinds, of wordings, and over ``max_rows``; order is kept."""
    order = chance.sample(range(len(made)), len(made))
    grounded = sum(one.kind == "grounded" for one in made)
    rest = 1 - settings.max_closed_share - settings.max_abstain_share
    most_of: dict[Kind, float] = {"grounded": len(made), "closed": len(made), "abstain": len(made)}
    if grounded and rest > 0:
        most_of["closed"] = grounded * settings.max_closed_share / rest
        most_of["abstain"] = grounded * settings.max_abstain_share / rest
    total = sum(min(most_of[kind], sum(one.kind == kind for one in made)) for kind in most_of)
    rows = int(min(total, settings.max_rows or total))
    most_of = {kind: max(1, most * rows / max(1, total)) for kind, most in most_of.items()}
    most_of_wording = max(1, int(settings.max_template_share * rows))
    wordings: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    kept: set[int] = set()
    for at in order:
        one = made[at]
        if wordings[one.template] >= most_of_wording:
            report.drop("wording over max_template_share", one.row)
        elif kinds[one.kind] >= most_of[one.kind]:
            report.drop(f"more {one.kind} rows than their share", one.row)
        elif settings.max_rows is not None and len(kept) >= settings.max_rows:
            report.drop("over max_rows", one.row)
        else:
            wordings[one.template] += 1
            kinds[one.kind] += 1
            kept.add(at)
    return [one for at, one in enumerate(made) if at in kept]
