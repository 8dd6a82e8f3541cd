"""Which texts say the same: exact copies, near copies, one text under several names, runs shared with another set."""

import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from rensa import RMinHash, RMinHashLSH

from leylora.text import words

PERMUTATIONS = 128
BANDS = 16  # 16 bands of 8 rows: the S-curve's middle lies near a Jaccard similarity of 0.7
SHINGLE = 3
SHORT_ANSWER = 30
CHUNK = 8_192
REORDERED_ANSWER = 12  # words: a shorter answer in another order may say another thing
SAME_QUESTION = 0.5
TEMPLATE_ANSWER = 12  # words: shorter ones may be facts that happen to be alike
WORD_RUN = re.compile(r"\w+")
NAMES = re.compile(r"\b[A-ZÁÉÍÓÚÑ]\w+(?:\s+(?:(?:de|del|la|las|los|y)\s+)*[A-ZÁÉÍÓÚÑ]\w+)*")
RUN = 8  # words: the lower end of the n-grams in the contamination reports of GPT-3 and Llama 2


def exact_duplicates(texts: Sequence[str]) -> dict[int, int]:
    """``{index: index of the first text with the same words}`` for every text but the first of its kind."""
    first: dict[bytes, int] = {}
    copies: dict[int, int] = {}
    for index, text in enumerate(texts):
        key = blake2b(" ".join(words(text)).encode(), digest_size=16).digest()
        if first.setdefault(key, index) != index:
            copies[index] = first[key]
    return copies


def near_duplicates(pairs: Sequence[tuple[str, str]], threshold: float = 0.8) -> dict[int, int]:
    """``{index: index of an earlier row}`` for rows (prompt, answer) that say nearly the same (`is_copy`).

    A long answer with exactly the words of an earlier one, in whatever order, is a copy too if the questions share half
    of their words.

    MinHash with banding (Broder 1997; rensa) proposes candidates and the exact similarity decides, so there are no
    false positives.
    """
    if len(pairs) < 2:
        return {}
    shingles = [word_triples(f"{prompt}\n{answer}") for prompt, answer in pairs]
    index_of = RMinHashLSH(threshold, PERMUTATIONS, BANDS)
    hashes = []
    for start in range(0, len(shingles), CHUNK):
        hashes += RMinHash.from_token_sets([sorted(s) for s in shingles[start : start + CHUNK]], PERMUTATIONS, 0)
    copies: dict[int, int] = {}
    bags: dict[bytes, int] = {}
    for index, (mine, shingle) in enumerate(zip(hashes, shingles, strict=True)):
        said = words(pairs[index][1])
        if len(said) >= REORDERED_ANSWER:
            bag = blake2b(" ".join(sorted(said)).encode(), digest_size=16).digest()
            first = bags.setdefault(bag, index)
            asked = [set(words(pairs[at][0])) for at in (first, index)] if first != index else []
            if asked and _jaccard(*asked) >= SAME_QUESTION:
                copies[index] = first
                continue
        for other in sorted(index_of.query(mine)):
            if is_copy(pairs[index], pairs[other], shingle, shingles[other], threshold):
                copies[index] = other
                break
        else:
            index_of.insert(index, mine)
    return copies


def is_copy(
    one: tuple[str, str], two: tuple[str, str], triples_one: set[str], triples_two: set[str], threshold: float
) -> bool:
    """Whether the word triples of two rows (prompt, answer), and of their answers, have this Jaccard similarity."""
    if _jaccard(triples_one, triples_two) < threshold:
        return False
    answers = words(one[1]), words(two[1])
    if min(map(len, answers)) >= SHORT_ANSWER:
        return _jaccard(word_triples(one[1]), word_triples(two[1])) >= threshold
    # Many questions on one reading text share that text: short answers must be equal, and the questions similar too.
    questions = [word_triples(prompt.rstrip().rsplit("\n\n", 1)[-1]) for prompt, _ in (one, two)]
    return answers[0] == answers[1] and _jaccard(*questions) >= threshold


def template_rows(pairs: Sequence[tuple[str, str]]) -> dict[int, int]:
    """``{index: index of the first}`` for rows (prompt, answer) that are an earlier one with another name put in.

    A name of the question is masked on both sides, a name that only the answer has is not: two capitals of two
    provinces are two facts.
    """
    first: dict[bytes, int] = {}
    copies: dict[int, int] = {}
    for index, (prompt, answer) in enumerate(pairs):
        if len(WORD_RUN.findall(answer)) < TEMPLATE_ANSWER or len(prompt) > 2_000:
            continue
        names: dict[str, str] = {}
        asked = NAMES.sub(lambda found: names.setdefault(found.group(0), f"\x00{len(names)}"), prompt)  # noqa: B023
        said = answer
        for name in sorted(names, key=len, reverse=True):
            if name in said:
                said = re.sub(rf"\b{re.escape(name)}\b", names[name], said)
        key = blake2b(f"{asked}\n{said}".encode("utf-8", "replace"), digest_size=16).digest()
        if first.setdefault(key, index) != index:
            copies[index] = first[key]
    return copies


def _jaccard(one: set[str], two: set[str]) -> float:
    both = len(one & two)
    return both / (len(one) + len(two) - both)


def word_triples(text: str) -> set[str]:
    """The runs of three words of a text; a shorter text is one run."""
    row = words(text)
    if len(row) < SHINGLE:
        return {" ".join(row)}
    return {" ".join(row[at : at + SHINGLE]) for at in range(len(row) - SHINGLE + 1)}


def runs(text: str) -> set[int]:
    """Hashes of every run of eight words; Python's own, which differ between processes: compare, never store them."""
    row = words(text)
    return {hash(tuple(row[at : at + RUN])) for at in range(len(row) - RUN + 1)}


def marks(text: str) -> set[int]:
    """`runs`, or one hash of the whole of a short question of four to seven words."""
    row = words(text)
    return {hash(tuple(row))} if 4 <= len(row) < RUN else runs(text)


def union(texts: Iterable[str], of: Callable[[str], set[int]] = runs) -> set[int]:
    """The union of `runs` (or `marks`) over ``texts``."""
    return set().union(*map(of, texts))
