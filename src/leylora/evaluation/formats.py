"""Rules on the form of an answer that a program can check, in the manner of IFEval (Zhou et al. 2023), for Spanish.

A check is a mapping with ``rule`` and the rule's own keys::

    {"rule": "words", "at_most": 40}              {"rule": "starts", "text": "Estimada"}
    {"rule": "sentences", "exactly": 2}           {"rule": "ends", "text": "Gracias."}
    {"rule": "bullets", "exactly": 3}             {"rule": "contains", "words": ["agua"], "at_least": 2}
    {"rule": "numbered", "exactly": 3}            {"rule": "excludes", "words": ["muy"]}
    {"rule": "paragraphs", "exactly": 2}          {"rule": "without", "characters": ",;"}
    {"rule": "case", "is": "upper"}               {"rule": "one of", "options": ["sí", "no"]}
    {"rule": "json", "keys": ["nombre", "edad"]}  {"rule": "quoted"}    {"rule": "figures", "at_least": 1}

Counts take ``exactly``, or ``at_least`` and ``at_most``. Words are compared without case or accents.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from leylora.errors import LeyloraError
from leylora.evaluation.overlap import words
from leylora.text import fold

BULLET = re.compile(r"^\s*[-*•]\s+\S", re.MULTILINE)
NUMBERED = re.compile(r"^\s*\d{1,2}[.)]\s+\S", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?…]+(?=[\s»\")]|$)")
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


def passes(check: Mapping[str, Any], answer: str) -> bool:
    """Whether ``answer`` keeps one rule; an empty answer keeps none.

    Raises:
        LeyloraError: there is no such rule, or it lacks a key.
    """
    text = answer.strip()
    try:
        return bool(text) and _passes(check, text)
    except KeyError as error:
        raise LeyloraError(f"The check {dict(check)} has no key {error}; see leylora.evaluation.formats.") from None


def _passes(check: Mapping[str, Any], text: str) -> bool:
    match check["rule"]:
        case "words":
            return _counts(check, len(words(text)))
        case "sentences":
            return _counts(check, max(1, len(SENTENCE_END.findall(text))))
        case "bullets":
            return _counts(check, len(BULLET.findall(text)))
        case "numbered":
            return _counts(check, len(NUMBERED.findall(text)))
        case "paragraphs":
            return _counts(check, len(re.split(r"\n\s*\n", text)))
        case "figures":
            return _counts(check, len(FIGURE.findall(text)))
        case "contains":
            return all(_counts(check, _times(word, text), least=1) for word in check["words"])
        case "excludes":
            return not any(_times(word, text) for word in check["words"])
        case "without":
            return not set(check["characters"]) & set(text.lower())
        case "starts":
            return fold(text).startswith(fold(check["text"]))
        case "ends":
            return fold(text).endswith(fold(check["text"]))
        case "case":
            return text == (text.upper() if check["is"] == "upper" else text.lower())
        case "one of":
            return fold(text.strip(" .¡!«»\"'")) in {fold(option) for option in check["options"]}
        case "json":
            return _is_json(text, check["keys"])
        case "quoted":
            return (text[0], text[-1]) in {("«", "»"), ('"', '"'), ("“", "”")} and len(text) > 2
        case other:
            raise LeyloraError(f"There is no format rule '{other}'; see leylora.evaluation.formats.")


def _counts(check: Mapping[str, Any], found: int, least: int = 0) -> bool:
    """``least`` is asked for when the check itself sets no bound."""
    if "exactly" in check:
        return found == int(check["exactly"])
    return int(check.get("at_least", least)) <= found <= int(check.get("at_most", found))


def _times(word: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(fold(word))}(?!\w)", fold(text)))


def _is_json(text: str, keys: list[str]) -> bool:
    try:
        value = json.loads(FENCE.sub("", text))
    except ValueError:
        return False
    return isinstance(value, dict) and sorted(value) == sorted(keys)
