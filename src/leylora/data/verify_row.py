"""Does a training row hold together: prompt, question, answer and the article it belongs to?"""

import re

from leylora.data.conversation import Conversation
from leylora.data.law_text import fines, penalties
from leylora.data.shelf import Shelf, whole_law_citation
from leylora.data.verify import CANONICAL, QUOTE, WHOLE_LAW, Fault, verify_answer
from leylora.grounding.checker import NAMED_NUMERAL, named_articles, whole_text
from leylora.grounding.citations import COUNTRIES
from leylora.grounding.prompt import (
    NO_SUCH_ARTICLE,
    NOT_SUPPLIED,
    OTHER_COUNTRY,
    OTHER_EDITION,
    UNKNOWN_LAW,
    Passage,
    passage,
    read_grounded_prompt,
)
from leylora.grounding.quantities import dates, references
from leylora.laws.law import Law
from leylora.text import fold, one_line

COUNTRY = re.compile(rf"\b{COUNTRIES}", re.IGNORECASE)
GAP = "____"


def verify_row(row: Conversation, shelf: Shelf) -> list[Fault]:
    """The faults of a row made from a law, empty when it holds."""
    law = shelf.law(row.law_id, row.edition)
    if law is None:
        return [Fault("unknown law or edition", f"{row.law_id}, ed. {row.edition}")]
    if row.article not in law:
        return [Fault("the row's article does not exist", row.article)]
    if row.source_sha256 != law.source_sha256:
        return [Fault("the row comes from another source file", row.source_sha256)]
    question, supplied = read_grounded_prompt(row.prompt)
    faults = _prompt_faults(row, law, supplied, shelf)
    faults += verify_answer(row.answer, shelf, supplied)
    cited = CANONICAL.findall(row.answer)
    asked = named_articles(QUOTE.sub(" ", question), law)
    if cited:
        if cited[0] != law.cite(row.article):
            faults.append(Fault("cites another article than the row's", cited[0]))
        elif not faults:
            faults += _fits_question(row, question, asked, law, shelf)
        return faults
    if not WHOLE_LAW.findall(row.answer) or not row.answer.rstrip().endswith(f"({whole_law_citation(law)})"):
        faults.append(Fault("abstention does not end in the law and edition", row.answer[-80:]))
    return faults + _abstention_faults(row, question, asked, supplied, law, shelf)


def _prompt_faults(row: Conversation, law: Law, supplied: list[Passage], shelf: Shelf) -> list[Fault]:
    faults = []
    for given in supplied:
        found = shelf.index.canonical(given.citation)
        if found is None:
            faults.append(Fault("supplies an unknown article", given.citation))
        elif given != passage(found[0].law, found[0]):
            faults.append(Fault("supplies an altered article", given.citation))
    first = row.messages[0]
    if first.role == "system" and whole_law_citation(law) not in first.content:
        faults.append(Fault("the system turn names another edition", first.content[:120]))
    return faults


def _fits_question(row: Conversation, question: str, asked: list[str], law: Law, shelf: Shelf) -> list[Fault]:
    """An answer that is true of its article must also be about what was asked, and complete."""
    article, faults = law[row.article], []
    quotes = [one_line(quote) for quote in QUOTE.findall(CANONICAL.sub("", row.answer))]
    if asked and article.number not in asked:
        sources = [law[number] for number in asked if number in law]
        if not any(number == article.number for source in sources for _, number in references(law, source)):
            faults.append(Fault("answers about another article than asked", f"asked {asked}, cites {article.number}"))
    days = dates(question)
    if days and row.edition not in days:
        faults.append(Fault("answers from another edition than asked", f"asked {days}, row has {row.edition}"))
    found = shelf.index.canonical(law.cite(row.article))
    assert found is not None  # verify_answer found it
    source = fold(whole_text(found[0]))
    for words in () if row.task == "cross-reference" else QUOTE.findall(question):
        filled = words.replace(GAP, quotes[0].rstrip(".")) if GAP in words and quotes else words
        if fold(one_line(filled)).rstrip("…., ") not in source:
            faults.append(Fault("the question's words are not the article's", words[:80]))
    for label in NAMED_NUMERAL.findall(QUOTE.sub(" ", question)):
        item = next((item for item in article.numerals if item.label == label), None)
        if item is None or not any(quote in one_line(item.text) for quote in quotes):
            faults.append(Fault("answers with another numeral than asked", label))
    if row.task == "verbatim" and quotes != [one_line(article.body)]:
        faults.append(Fault("is not the whole article", row.answer[:80]))
    if row.task in ("sanction", "syllogism"):
        missing = [piece for piece in (*penalties(article.body), *fines(article.body)) if piece not in quotes]
        faults += [Fault("leaves out a part of the penalty", piece) for piece in missing]
    return faults


def _abstention_faults(
    row: Conversation, question: str, asked: list[str], supplied: list[Passage], law: Law, shelf: Shelf
) -> list[Fault]:
    """An abstention must have its reason."""
    answer = row.answer
    here = {given.citation for given in supplied}
    if answer.startswith(NO_SUCH_ARTICLE):
        if not asked:
            return [Fault("denies an article that nobody asked for", question[:80])]
        faults = [Fault("denies an article that exists", number) for number in asked if number in law]
        if not any(re.search(rf"\b{re.escape(number)}\b", answer) for number in asked):
            faults.append(Fault("denies another article than asked", f"asked {asked}"))
        return faults
    if answer.startswith(NOT_SUPPLIED):
        if not supplied:
            return [Fault("misses articles where none were to be supplied", question[:80])]
        wanted = {law.cite(number) for number in asked if number in law}
        text = fold(" ".join(f"{given.rubric} {given.body}" for given in supplied))
        topics = [fold(words).rstrip("….") for words in QUOTE.findall(question)]
        if wanted & here or (not asked and any(topic in text for topic in topics)):
            return [Fault("abstains although the article is supplied", question[:80])]
        if not asked and not topics:
            return [Fault("abstains without a reason", question[:80])]
        return []
    if answer.startswith(OTHER_COUNTRY):
        return [] if COUNTRY.search(question) else [Fault("nobody asked about another country", question[:80])]
    if answer.startswith(OTHER_EDITION):
        known = {one.edition for one in shelf.laws if one.id == law.id}
        days = dates(question)
        bad = not days or any(day in known for day in days)
        return [Fault("denies an edition that is here, or none was asked for", question[:80])] if bad else []
    if answer.startswith(UNKNOWN_LAW):
        folded = f" {fold(question)} "
        known_here = [name for name in shelf.names if re.search(rf"\b{re.escape(fold(name))}\b", folded)]
        return [Fault("denies a law that is here", name) for name in known_here]
    return [Fault("abstains although the article is in force", answer[:80])]
