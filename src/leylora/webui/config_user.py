"""Entries in ``models/config-user.yaml``, the webui's settings per base model, added and taken out line by line.

A key is a regular expression matched, in lower case, at the start of the model folder's name; later entries
win. Ours are put first, so that every setting of the user's own wins over them, and the rest of the
file keeps its bytes, comments included.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from leylora.errors import LeyloraError, flattened
from leylora.files import LARGEST_YAML, read_bytes

FILE = "config-user.yaml"
HEADING = "# Written by leylora (scripts/export_webui.py --remove takes it out). Entries further down win over it."

MARK = "\ufeff"  # of UTF-8, as Windows' editor writes it

Entry = Mapping[str, Any]


def base_pattern(base_model: str) -> str:
    """The key that matches a base model's folder, however it was downloaded: ``.*mistral-7b-v0\\.1$``.

    The base is given as a Hugging Face name or a path, which may be the cache's ``models--owner--name/snapshots/...``.
    """
    parts = base_model.replace("\\", "/").rstrip("/").split("/")
    cached = [part for part in parts if part.startswith("models--")]
    name = cached[-1].split("--")[-1] if cached else parts[-1]
    return ".*" + re.sub(r"([.+()\[\]{}^$?*|])", r"\\\1", name.lower()) + "$"


def base_folder(models: Path, base_model: str) -> Path | None:
    """Where an installation's folder of models holds a base model, however it was downloaded."""
    pattern = re.compile(base_pattern(base_model))
    folders = sorted(entry for entry in models.iterdir() if entry.is_dir()) if models.is_dir() else []
    return next((folder for folder in folders if pattern.match(folder.name.lower())), None)


def read(path: Path) -> str:
    """The text of the file, line ends and byte-order mark as they are; "" where there is none."""
    try:
        return read_bytes(path, LARGEST_YAML).decode("utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        raise LeyloraError(f"{path} is not UTF-8; save it as UTF-8 first.") from None


def entries(text: str, place: str = FILE) -> dict[str, Any]:
    """The entries of a config-user.yaml; a `LeyloraError` if it is not YAML or not a mapping."""
    return _load(text, place)[0]


def with_entries(text: str, new: Mapping[str, Entry], place: str = FILE) -> str:
    """``text`` with ``new`` in front; an entry that is already there under the same key is replaced."""
    if text.startswith(MARK):
        return MARK + with_entries(text.removeprefix(MARK), new, place)
    rest = without_entries(text, new, place)
    if not new:
        return rest
    lines = [HEADING]
    for key, entry in new.items():
        lines.append(f"{key}:")
        lines += [f"  {name}: {_scalar(value)}" for name, value in entry.items()]
    directives = re.match(r"(?:(?:[%#].*)?\r?\n)*---[ \t]*\r?\n", rest)
    end = directives.end() if directives else 0
    line_end = "\r\n" if "\r\n" in text else "\n"
    result = rest[:end] + "".join(line + line_end for line in lines) + rest[end:]
    return _checked(result, {**dict(new), **entries(rest, place)}, place)


def without_entries(text: str, keys: Mapping[str, Any] | set[str], place: str = FILE) -> str:
    """``text`` without the entries of these keys, and without our heading."""
    if text.startswith(MARK):
        return MARK + without_entries(text.removeprefix(MARK), keys, place)
    kept, starts = _load(text, place)
    lines = text.splitlines(keepends=True)
    for key in sorted(starts.keys() & set(keys), key=starts.__getitem__, reverse=True):
        del kept[key]
        # An entry ends with its last indented line; what follows, comments too, belongs to the next one.
        end = number = starts[key] + 1
        while number < len(lines) and (lines[number][:1] in (" ", "\t", "#") or not lines[number].strip()):
            number += 1
            end = number if lines[number - 1][:1] in (" ", "\t") else end
        del lines[starts[key] : end]
    result = "".join(line for line in lines if line.rstrip("\r\n") != HEADING)
    return _checked(result, kept, place)


def _checked(result: str, expected: Mapping[str, Any], place: str) -> str:
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
    return result


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) or re.fullmatch(r"[A-Za-z][\w-]*", str(value)) else f"{value!r}"


def _load(text: str, place: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The entries, as the webui's own PyYAML reads them, and the line each begins on, counted from 0."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise LeyloraError(f"{place} is not a mapping from model to settings; mend it.")
        starts: dict[str, int] = {}
        for key_node, _ in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            if key in starts:
                raise yaml.constructor.ConstructorError(problem=f"the key {key} is there twice")
            starts[key] = key_node.start_mark.line
        return {str(key): value for key, value in loader.construct_document(node).items()}, starts
    # All but the first: what PyYAML's constructors raise of a date, a number or a tag that cannot be.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise LeyloraError(f"{place} is not sound YAML ({flattened(error)}); mend it first.") from None
    finally:
        loader.dispose()
