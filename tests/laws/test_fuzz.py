"""Damaged files: a clear error or a correct part with its audit; never a traceback, a hang or an empty corpus."""

import random
from pathlib import Path

import pebble
import pytest

from leylora.children import PROCESSES
from leylora.errors import LeyloraError
from leylora.laws.law import Law
from leylora.laws.parse import parse_file
from leylora.laws.source import read_source

SEEDS = range(10)
MUTANTS = 50  # for each seed


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, drop, double or overwrite a random piece, up to four times."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(mutant) or 1)
        size = rng.choice((1, 8, 64, 512, 4096))
        piece = mutant[start : start + size]
        match rng.randrange(5):
            case 0:
                del mutant[start:]
            case 1:
                mutant[start : start + size] = bytes(byte ^ 1 << rng.randrange(8) for byte in piece)
            case 2:
                del mutant[start : start + size]
            case 3:
                mutant[start:start] = piece
            case 4:
                mutant[start : start + size] = rng.randbytes(len(piece))
    return bytes(mutant)


def check(file: Path) -> bool:
    """Parse; whether it gave a law. Anything but a law with articles or a LeyloraError that names the file fails."""
    try:
        law = parse_file(file)
    except LeyloraError as error:
        fault = str(error)
    else:
        return _check_law(law)
    assert str(file) in fault
    assert "\n" not in fault
    return False


def _check_law(law: Law) -> bool:
    assert len(law) > 0
    assert law.audit["articles"] == len(law)
    assert law.audit["coverage"] <= 1
    assert len({article.number for article in law}) == len(law)
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_pdfs(seed: int, law_pdf: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    original, file = law_pdf.read_bytes(), tmp_path / "ley.pdf"
    parsed = 0
    with pebble.ProcessPool(1, context=PROCESSES) as pool:  # a child, since pdfium may crash or hang; one for all
        for _ in range(MUTANTS):
            file.write_bytes(mutate(original, rng))
            parsed += pool.schedule(check, (file,), timeout=60).result()
    assert parsed > 0  # the mutations are not so wild that nothing is ever tried


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_texts(seed: int, law_pdf: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    text = read_source(law_pdf).text
    with pebble.ProcessPool(1, context=PROCESSES) as pool:
        for _ in range(MUTANTS):
            lines = text.split("\n")
            for _ in range(rng.randint(0, 30)):
                at = rng.randrange(len(lines))
                lines[at : at + 1] = rng.choice(
                    ([], [lines[at]] * 2, [lines[at][: rng.randrange(60)]], [rng.choice(lines)])
                )
                lines = lines or ["Art. 1.- Nada."]
            file = tmp_path / f"ley{rng.choice(('.txt', '.md', '.html'))}"
            file.write_bytes(mutate("\n".join(lines).encode(), rng))
            pool.schedule(check, (file,), timeout=60).result()
