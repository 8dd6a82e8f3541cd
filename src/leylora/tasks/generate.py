"""From laws to verified conversations: collect what each family can ask, choose, put into a prompt, verify."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from leylora.errors import UsageError
from leylora.instructions.conversation import Conversation, Message
from leylora.laws.law import Article, Law
from leylora.tasks.families import FAMILIES
from leylora.tasks.grounding import bracketed, grounded_prompt, law_system_prompt, passage
from leylora.tasks.item import Item, Library, Mode, names_of, of_law, the_law
from leylora.tasks.verify import Shelf, verify_row
from leylora.tasks.wording import roughen

LICENSE = "public-domain"  # official texts of law; the questions are this project's
SAMPLES = 5


class TaskSettings(BaseModel):
    """How many rows of which kind. Lengths are characters of a whole conversation."""

    model_config = ConfigDict(extra="forbid")

    families: list[str] = Field(default_factory=lambda: list(FAMILIES))
    grounded_per_article: int = Field(default=5, ge=0, le=8)
    closed_per_article: int = Field(default=1, ge=0, le=8)
    abstain_per_article: int = Field(default=2, ge=0, le=8)
    distractors: tuple[int, int] = Field(default=(2, 4), description="fewest and most wrong articles in a prompt")
    max_characters: int = Field(default=8_000, gt=200)
    max_template_share: float = Field(default=0.05, gt=0, le=1)
    rough_questions: float = Field(default=0.2, ge=0, le=1, description="share typed in haste")
    max_rows: int | None = Field(default=None, gt=0)


MAX_PER_ARTICLE = 8


@dataclass
class TaskReport:
    """What was made and what was thrown away, by reason, with samples."""

    rows: int = 0
    by_task: Counter[str] = field(default_factory=Counter)
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
        return {
            "rows": self.rows,
            "by_task": dict(self.by_task.most_common()),
            "by_law": dict(self.by_law.most_common()),
            "dropped": dict(self.dropped.most_common()),
            "samples": self.samples,
        }


def generate(
    laws: Sequence[Law],
    settings: TaskSettings,
    seed: int,
    *,
    members: set[tuple[str, str]] | None = None,
    tick: Callable[[int], None] = lambda articles: None,
) -> tuple[list[Conversation], TaskReport]:
    """Verified rows for the articles in ``members``, ``(law id, number)``, or for all.

    Distractors are taken from ``members`` too, so a row of one split never shows an article of another.

    Raises:
        UsageError: ``settings`` names an unknown family or more than eight rows an article.
    """
    unknown = [name for name in settings.families if name not in FAMILIES]
    if unknown:
        raise UsageError(f"Unknown task family {', '.join(unknown)}; choose from {', '.join(FAMILIES)}.")
    if settings.grounded_per_article + settings.closed_per_article + settings.abstain_per_article > MAX_PER_ARTICLE:
        raise UsageError(f"At most {MAX_PER_ARTICLE} rows an article; lower one of the *_per_article keys.")
    library, shelf, report = Library(tuple(laws), seed), Shelf(laws), TaskReport()
    rows: list[tuple[str, Conversation]] = []
    done = 0
    for law in laws:
        pool = [row for row in law.articles if members is None or (law.id, row.number) in members]
        usable = [row for row in pool if row.in_force]
        place = {row.number: index for index, row in enumerate(usable)}
        for article in pool:
            done += 1
            for number, item in enumerate(_choose(law, article, library, settings)):
                chance = library.random(law.id, article.number, item.task, item.kind, str(number))
                made = _compose(law, item, usable, place.get(article.number, 0), settings, chance, number)
                if made is None:
                    report.drop("does not fit into max_characters")
                    continue
                fault = next(iter(verify_row(made[1], shelf)), None)
                if fault is not None:
                    report.drop(f"verifier: {fault.kind}", made[1], fault.detail)
                    continue
                rows.append(made)
            if done % 50 == 0:
                tick(done)
    tick(done)
    kept = _cap(rows, settings, library.random("cap"), report)
    report.rows = len(kept)
    report.by_task.update(row.task for row in kept)
    report.by_law.update(row.law_id for row in kept)
    return kept, report


def _choose(law: Law, article: Article, library: Library, settings: TaskSettings) -> list[Item]:
    """At most the settings' number of items of each kind, spread over families before any family comes twice."""
    wanted: dict[Mode, int] = {
        "grounded": settings.grounded_per_article,
        "closed": settings.closed_per_article,
        "abstain": settings.abstain_per_article,
    }
    found = [item for name in settings.families for item in FAMILIES[name](law, article, library)]
    chosen: list[Item] = []
    for kind, most in wanted.items():
        mine = [item for item in found if item.kind == kind]
        library.random(law.id, article.number, "choose", kind).shuffle(mine)
        times: Counter[str] = Counter()
        turn = {}
        for index, item in enumerate(mine):
            turn[index] = times[item.task]
            times[item.task] += 1
        order = sorted(range(len(mine)), key=lambda index: (turn[index], index))
        chosen += [mine[index] for index in order[:most]]
    return chosen


def _compose(
    law: Law, item: Item, usable: Sequence[Article], place: int, settings: TaskSettings, chance: Random, number: int
) -> tuple[str, Conversation] | None:
    """Word the question, put the articles before it, add the citation. None when it does not fit."""
    template = chance.randrange(len(item.phrasings))
    name = chance.choice(names_of(law))
    slots = {"number": item.article.number, "law": name, "of_law": of_law(law, name), "the_law": the_law(law, name)}
    question = roughen(item.phrasings[template].format(**(slots | item.slots)), chance, settings.rough_questions)
    question = question[0].upper() + question[1:]
    answer = item.answer
    if item.cites:
        answer = f"{answer} {bracketed(law.cite(item.article.number))}"
    system = law_system_prompt([law])
    room = settings.max_characters - len(system) - len(answer)
    prompt = question
    if item.supplied and item.kind != "closed":
        own = [] if item.kind == "abstain" and not item.cites else [item.article]
        chosen = _passages(law, item, own, usable, place, settings, chance, question, room)
        if chosen is None:
            return None
        prompt = chosen
    elif len(prompt) > room:
        return None
    mode = "c" if prompt == question else "g"
    row = Conversation(
        id=f"{law.id}:{item.article.number}:{item.task}:{mode}{number}",
        messages=[
            Message(role="system", content=system),
            Message(role="user", content=prompt),
            Message(role="assistant", content=answer),
        ],
        task=item.task,
        source=f"law:{law.id}",
        license=LICENSE,
        law_id=law.id,
        article=item.article.number,
        edition=law.edition,
        source_sha256=law.source_sha256,
    )
    return f"{item.task}/{template}", row


def _passages(
    law: Law,
    item: Item,
    own: list[Article],
    usable: Sequence[Article],
    place: int,
    settings: TaskSettings,
    chance: Random,
    question: str,
    room: int,
) -> str | None:
    """The grounded prompt with as many distractors as fit, the nearest neighbours first half of the time."""
    low, high = settings.distractors
    wanted = chance.randint(low, high) + (0 if own else 1)
    near = [at for at in range(max(0, place - 6), min(len(usable), place + 7)) if at != place or not own]
    far = chance.sample(range(len(usable)), min(len(usable), 12))
    chance.shuffle(near)
    mixed = near + far if chance.random() < 0.5 else far + near
    told = (item.article.rubric or "").lower()
    chosen = list(own)
    for row in (usable[at] for at in dict.fromkeys(mixed)):
        if len(chosen) - len(own) == wanted:
            break
        if row.number == item.article.number or (told and told in f"{row.rubric} {row.body}".lower()):
            continue
        if len(grounded_prompt(question, [passage(law, one) for one in [*chosen, row]])) <= room:
            chosen.append(row)
    if len(chosen) == len(own):
        return None
    chance.shuffle(chosen)
    return grounded_prompt(question, [passage(law, row) for row in chosen])


def _cap(
    rows: list[tuple[str, Conversation]], settings: TaskSettings, chance: Random, report: TaskReport
) -> list[Conversation]:
    """Thin out the wordings that are too frequent, then the whole to ``max_rows``; order is kept."""
    most = max(1, int(settings.max_template_share * min(len(rows), settings.max_rows or len(rows))))
    order = chance.sample(range(len(rows)), len(rows))
    used: Counter[str] = Counter()
    kept: set[int] = set()
    for index in order:
        template, row = rows[index]
        if used[template] >= most:
            report.drop("wording over max_template_share", row)
        elif settings.max_rows is not None and len(kept) >= settings.max_rows:
            report.drop("over max_rows", row)
        else:
            used[template] += 1
            kept.add(index)
    return [row for index, (_, row) in enumerate(rows) if index in kept]
