"""Entries in ``models/config-user.yaml``, the webui's settings per base model, added and taken out line by line.

A key is a regular expression matched, in lower case, at the start of the model folder's name; later entries
win. Ours are put first, so that every setting of the user's own wins over them, and the rest of the
file keeps its bytes, comments included.
"""

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from leylora.errors import LeyloraError

FILE = "config-user.yaml"
HEADING = "# Written by leylora (scripts/export_webui.py --remove takes it out). Entries further down win over it."

Entry = Mapping[str, Any]


def base_pattern(base_model: str) -> str:
    """The key that matches a base model's folder, however it was downloaded: ``.*mistral-7b-v0\\.1$``.

    Args:
        base_model: a Hugging Face name, or a path; the cache's ``models--owner--name/snapshots/...`` is understood.
    """
    parts = base_model.replace("\\", "/").rstrip("/").split("/")
    cached = [part for part in parts if part.startswith("models--")]
    name = cached[-1].split("--")[-1] if cached else parts[-1]
    return ".*" + re.sub(r"([.+()\[\]{}^$?*|])", r"\\\1", name.lower()) + "$"


def entries(text: str, place: str = FILE) -> dict[str, Any]:
    """The entries of a config-user.yaml.

    Raises:
        LeyloraError: it is not YAML, or no mapping of mappings.
    """
    return {str(key): value for key, value in _load(text, place).items()}


def with_entries(text: str, new: Mapping[str, Entry], place: str = FILE) -> str:
    """``text`` with ``new`` in front; an entry that is already there under the same key is replaced.

    Raises:
        LeyloraError: as `entries`, or the file is written in a way that cannot be edited without rewriting it.
    """
    rest = without_entries(text, new, place)
    if not new:
        return rest
    lines = [HEADING]
    for key, entry in new.items():
        lines.append(f"{key}:")
        lines += [f"  {name}: {_scalar(value)}" for name, value in entry.items()]
    directives = re.match(r"(?:(?:[%#].*)?\r?\n)*---[ \t]*\r?\n", rest)
    start = directives.end() if directives else 0
    result = rest[:start] + "\n".join(lines) + "\n" + rest[start:]
    return _checked(result, {**dict(new), **entries(rest, place)}, place, text)


def without_entries(text: str, keys: Mapping[str, Any] | set[str], place: str = FILE) -> str:
    """``text`` without the entries of these keys, and without our heading if none of ours is left.

    Raises:
        LeyloraError: as `with_entries`.
    """
    loaded = _load(text, place)
    lines = text.splitlines(keepends=True)
    starts = {str(key): loaded.lc.key(key)[0] for key in loaded}
    for key, start in sorted(starts.items(), key=lambda item: -item[1]):
        if key in keys:
            del lines[start : _end_of_block(lines, start)]
    kept = {key: value for key, value in entries(text, place).items() if key not in keys}
    result = "".join(line for line in lines if line.rstrip("\r\n") != HEADING)
    return _checked(result, kept, place, text)


def _end_of_block(lines: list[str], start: int) -> int:
    """The line after a top-level entry's last indented line; what follows it, comments too, belongs to the next."""
    end = start + 1
    for number in range(start + 1, len(lines)):
        if lines[number][:1] in (" ", "\t"):
            end = number + 1
        elif lines[number].strip() and not lines[number].startswith("#"):
            break
    return end


def _checked(result: str, expected: Mapping[str, Any], place: str, original: str) -> str:
    """``result`` if it means what it should; the user's file is never rewritten on a guess."""
    try:
        right = entries(result, place) == expected
    except LeyloraError:
        right = False
    if not right:
        raise LeyloraError(
            f"{place} is written in a form that cannot be edited line by line (such as {{...}} on one line); write "
            "its entries one key a line, or add ours by hand."
        )
    return result if "\r\n" not in original else result.replace("\r\n", "\n").replace("\n", "\r\n")


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) or re.fullmatch(r"[A-Za-z][\w-]*", str(value)) else f"{value!r}"


def _load(text: str, place: str) -> CommentedMap:
    try:
        loaded = YAML(typ="rt").load(text)
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise LeyloraError(f"{place} is not sound YAML ({reason}); mend it first.") from None
    if loaded is None:
        return CommentedMap()
    if not isinstance(loaded, CommentedMap):
        raise LeyloraError(f"{place} is a {type(loaded).__name__}, not a mapping from model to settings; mend it.")
    return loaded
