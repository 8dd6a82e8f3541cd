"""The one kind of exception a user should ever see."""

from textwrap import shorten
from typing import Any


class LeyloraError(Exception):
    """A fault the user can mend.

    ``str(error)`` is a sentence (or two) that names the cause, the place (file, line, article, key) and the
    remedy. Commands print it on standard error without a traceback and exit with ``exit_code``.
    """

    exit_code = 1


class UsageError(LeyloraError):
    """The command was asked for something it cannot mean: an unknown name, two options that exclude each other."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of another library's message, which often goes on for a page; its type when it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def flattened(error: BaseException, most: int = 200) -> str:
    """Another library's message as one line; of a longer one, the whole sentences or else words in ``most`` characters.

    For messages broken at random.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) <= most:
        return text
    sentences, dot, _ = text[: most + 1].rpartition(". ")
    return sentences + dot.strip() if sentences else shorten(text, most, placeholder=" …")


def first_fault(error: Any) -> tuple[str, str]:
    """The key ("" for the whole) and the message of the first thing a pydantic ValidationError found."""
    fault = error.errors()[0]
    return ".".join(map(str, fault["loc"])), str(fault["msg"])


def yaml_fault(error: BaseException) -> str:
    """Where and what a fault in a YAML file is: ``line 3: ...``."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else flattened(error)
