"""What of a conversation still fits the model's window: whole oldest turns leave first, and the user is told."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from leylora.errors import UsageError

Message = Mapping[str, str]
_SURROGATE = re.compile("[\ud800-\udfff]")
TEXT_MARKS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
"""Marks of chat templates that are plain text to the tokenizers of Llama 2 and the first Mistral."""


class TooLongError(UsageError):
    """A prompt does not fit the window. ``tokens`` is how long it is, ``allowed`` how long it may be."""

    def __init__(self, tokens: int, allowed: int) -> None:
        self.tokens, self.allowed = tokens, allowed
        super().__init__(
            f"The prompt has {tokens:,} tokens, and {allowed:,} fit the model's window beside the answer; shorten it, "
            "or ask for a shorter answer."
        )


@dataclass(frozen=True)
class Fitted:
    """The messages that are sent, how many turns were left out of them, and the tokens of the prompt."""

    messages: list[Message]
    dropped: int
    tokens: int


def whole(text: str) -> str:
    """``text`` with ``�`` for bytes that were no UTF-8 and halves of characters, which no tokenizer takes."""
    return _SURROGATE.sub("�", text)


def unmarked(messages: Sequence[Message], special: Iterable[str]) -> list[dict[str, str]]:
    """The messages with a blank inside every mark of a template or tokenizer: what is typed must not end a turn,
    begin another one, or put words in the model's mouth. Other texts stay as they are.

    Args:
        special: the tokenizer's special tokens.
    """
    marks = [mark for mark in {*special, *TEXT_MARKS} if len(mark) > 1]
    first = "|".join(f"{re.escape(mark[0])}(?={re.escape(mark[1:])})" for mark in marks)  # also where marks overlap
    return [
        {"role": message["role"], "content": whole(re.sub(first, lambda match: match[0] + " ", message["content"]))}
        for message in messages
    ]


def fit(
    messages: Sequence[Message], count: Callable[[Sequence[Message]], int], window: int, max_new_tokens: int
) -> Fitted:
    """Leave out as many of the oldest turns as it takes for the prompt and the answer to fit the window.

    A turn is a user message with what answers it. System messages stay, so does BOS (the template writes it anew),
    and the last turn is never cut: a half question would be answered as if it were whole.

    Args:
        count: tokens of a prompt made of messages.
        max_new_tokens: room that is kept for the answer.

    Raises:
        TooLongError: the last turn and the system messages alone are too long.
    """
    allowed = window - max_new_tokens
    system = [message for message in messages if message["role"] == "system"]
    turns: list[list[Message]] = []
    for message in messages:
        if message["role"] == "user" or (message["role"] != "system" and not turns):
            turns.append([message])
        elif message["role"] != "system":
            turns[-1].append(message)
    for dropped in range(max(1, len(turns))):
        kept = [*system, *(message for turn in turns[dropped:] for message in turn)]
        tokens = count(kept)
        if tokens <= allowed:
            return Fitted(kept, dropped, tokens)
    raise TooLongError(tokens, max(0, allowed))
