"""Multiple-choice questions made by rule from a parsed law, for laws that the benchmark does not hold.

Which article is it that treats of a subject, and of what does an article treat: the right option is the law's own
rubric or number, the wrong ones are those of other articles of the same law. Facts only, so that any law will do.
"""

from collections.abc import Collection
from random import Random

from leylora.data.benchmark import BenchmarkItem
from leylora.data.compose import LawLookup, of_law
from leylora.laws.law import Law

OPTIONS = 4


def choices_from_law(law: Law, numbers: Collection[str], seed: int = 0) -> list[BenchmarkItem]:
    """One question for each of the articles ``numbers`` whose subject is named by it alone, keys spread over places.

    Empty when the law has fewer than four such articles.
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
        question = f"¿De qué trata el artículo {number} {name}?" if by_number else (
            f"¿Cuál es el artículo {name} que trata de lo siguiente? {topics[number][:1].upper()}{topics[number][1:]}."
        )  # fmt: skip
        found.append(BenchmarkItem(
            id=f"{law.id}-choice-{number}", kind="multiple-choice", law_id=law.id, article=number,
            edition=law.edition, question=question, answer=options[correct], options=options, correct=correct,
            evidence=[topics[number]],
        ))  # fmt: skip
    return found
