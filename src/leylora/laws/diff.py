"""Two editions of a law, compared article by article (reformed, added, repealed) and word by word, as data and as the
page "Qué cambió"."""

import html
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from leylora.laws.law import Article, Law

_STYLE = """
:root { color-scheme: light dark; --less: #b3261e; --more: #1b7f3b; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --less: #ff8a80; --more: #6fd08c; } }
body { font: 16px/1.55 Georgia, serif; max-width: 48rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .2rem; }
nav, .note { font: 14px/1.6 system-ui, sans-serif; } nav a { margin-right: .6rem; white-space: nowrap; }
article { border-top: 1px solid var(--line); } article p { white-space: pre-line; margin-top: 0; }
del { color: var(--less); } ins { color: var(--more); text-decoration: none; border-bottom: 2px solid; }
@media print { body { font-size: 11pt; max-width: none; } nav { display: none; } article { break-inside: avoid; } }
"""


class Words(NamedTuple):
    """A run of words that both texts share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


class LawDiff(NamedTuple):
    """``repealed`` articles are gone or marked repealed in the new edition; of ``doubtful`` ones it prints two versions
    or leaves open whether they are in force."""

    added: list[Article]
    repealed: list[Article]
    reformed: list[tuple[Article, Article]]
    doubtful: list[Article]
    unchanged: int


def compare(old: Law, new: Law) -> LawDiff:
    """Compare by article number; only the text in force counts, so a new note alone is not a reform."""
    before, after = (
        {article.number.lower(): article for article in law if article.status != "derogado" and article.body}
        for law in (old, new)
    )
    shared = [(article, after[number]) for number, article in before.items() if number in after]
    reformed = [(one, other) for one, other in shared if one.text.split() != other.text.split()]
    return LawDiff(
        added=[article for number, article in after.items() if number not in before],
        repealed=[article for number, article in before.items() if number not in after],
        reformed=reformed,
        doubtful=[article for article in new if article.status == "dudoso"],
        unchanged=len(shared) - len(reformed),
    )


def word_diff(old: str, new: str) -> Iterator[Words]:
    """The words of both texts in order, as runs; spaces and line breaks are not compared."""
    before, after = old.split(), new.split()
    for tag, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Words("same", " ".join(before[i:j]))
            continue
        if i < j:
            yield Words("removed", " ".join(before[i:j]))
        if k < m:
            yield Words("added", " ".join(after[k:m]))


def shortened(runs: Iterable[Words], context: int = 12) -> Iterator[Words]:
    """The same runs, with what both texts share cut down to ``context`` words on either side of a change."""
    listed = list(runs)
    for index, run in enumerate(listed):
        words = run.text.split()
        head = words[:context] if index else []
        tail = words[-context:] if index + 1 < len(listed) else []
        if run.kind == "same" and len(words) > len(head) + len(tail) + 1:
            yield Words("same", " ".join([*head, "[…]", *tail]))
        else:
            yield run


def page(old: Law, new: Law) -> str:
    """The page "Qué cambió", without anything from elsewhere: reformed articles with the words that went and came, new
    ones, repealed ones, and those that the later edition leaves in doubt."""
    changes = compare(old, new)
    reformed = [(one, _runs(one.text, other.text)) for one, other in changes.reformed]
    parts = (
        ("reformados", "Reformados", reformed),
        ("nuevos", "Nuevos", [(one, f"<ins>{html.escape(one.text)}</ins>") for one in changes.added]),
        ("derogados", "Derogados", [(one, f"<del>{html.escape(one.text)}</del>") for one in changes.repealed]),
        ("dudosos", "Dudosos en la edición nueva", [(one, html.escape(one.text)) for one in changes.doubtful]),
    )
    name, before, after = (html.escape(one) for one in (new.name, old.edition or "s. f.", new.edition or "s. f."))
    body = [f"<h1>Qué cambió: {name}</h1><p class='note'>De la edición {before} a la edición {after}. "]
    body += [", ".join(f"{heading.lower()}: {len(found)}" for _, heading, found in parts)]
    body += [f"; sin cambio: {changes.unchanged}. Se comparan los artículos vigentes, palabra por palabra.</p>"]
    for key, heading, found in parts:
        if found:
            links = "".join(f"<a href='#{key}-{one.number}'>Art. {html.escape(one.number)}</a> " for one, _ in found)
            body.append(f"<h2>{heading}</h2><nav>{links}</nav>")
        for one, text in found:
            title = f"Art. {html.escape(one.number)}"
            body.append(f"<article id='{key}-{html.escape(one.number)}'><h3>{title}</h3><p>{text}</p></article>")
    return (
        "<!doctype html><html lang='es'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Qué cambió: {name}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _runs(old: str, new: str) -> str:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return " ".join(tags[run.kind].format(html.escape(run.text)) for run in shortened(word_diff(old, new)))
