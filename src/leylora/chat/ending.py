"""Where an answer ends, and how its tokens become text that can be shown as it comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leylora.models.templates import render, stop_strings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ONE, _TWO, _THREE = "primera pregunta", "primera respuesta", "segunda pregunta"


@dataclass(frozen=True)
class Ending:
    """What ends an answer: token ids, or texts the model writes when it begins to play the user."""

    ids: frozenset[int]
    texts: tuple[str, ...]


def ending_of(template: str, tokenizer: "PreTrainedTokenizerBase", eos: Sequence[int] = ()) -> Ending:
    """The end of an answer under a chat template.

    Its texts are the webui's stop strings and the mark that opens the next question; the special tokens among them
    end an answer by their numbers, for they leave no text.

    Args:
        eos: further end-of-text ids, from the model's generation config.
    """
    bos, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    messages = [
        {"role": role, "content": text} for role, text in (("user", _ONE), ("assistant", _TWO), ("user", _THREE))
    ]
    whole = render(template, messages, bos_token=bos, eos_token=end)
    between = whole[whole.index(_TWO) + len(_TWO) : whole.index(_THREE)]
    special = {text: at for at, text in special_tokens(tokenizer).items() if text != tokenizer.unk_token}
    ids = {int(tokenizer.eos_token_id), *eos, *(at for token, at in special.items() if token in between)}
    opening = between.replace(end, "").replace(bos, "") if bos else between.replace(end, "")
    texts = {opening.rstrip(" "), *stop_strings(template, bos_token=bos, eos_token=end)}
    return Ending(
        frozenset(ids),
        tuple(sorted(text for text in texts if text.strip() and not any(token in text for token in special))),
    )


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[int, str]:
    """The tokens that stand for no text, by id."""
    special = {at: token.content for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    return special | {int(tokenizer.convert_tokens_to_ids(token)): token for token in tokenizer.all_special_tokens}


class TextStream:
    """Token ids in, text out, as soon as it is certain: whole characters, and nothing that may begin a stop text.

    The text of a token depends on the ones before it, so that the last few are decoded together and what is new is
    the difference (as in Hugging Face's text-generation-inference). ``lead`` are the prompt's last tokens.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", stops: Sequence[str], lead: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(filter(None, stops))
        self._silent = special_tokens(tokenizer).keys()
        self._ids: list[int] = [token for token in lead if token not in self._silent]
        self._from, self._read = 0, len(self._ids)
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that one more token makes certain; sets ``stopped`` when a stop text is complete."""
        if token in self._silent:
            return ""
        self._ids.append(token)
        known = self._decode(self._ids[self._from : self._read])
        now = self._decode(self._ids[self._from :])
        if now.endswith("�"):  # a character whose other bytes are still to come
            return ""
        self._from, self._read = self._read, len(self._ids)
        return self._certain(now[len(known) :])

    def end(self) -> str:
        """What was held back, when no more tokens come."""
        rest = self._decode(self._ids[self._from :])[len(self._decode(self._ids[self._from : self._read])) :]
        text = self._certain(rest.rstrip("�"))
        text, self._held = text + self._held, ""
        return text

    def _certain(self, new: str) -> str:
        text = self._held + new
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def overlap(text: str, stop: str) -> int:
    """How many of the last characters of ``text`` are the first ones of ``stop``."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def spelled(tokenizer: "PreTrainedTokenizerBase", token: int) -> str:
    """A token as it stands in the middle of a text, with the blank it may begin with.

    Special tokens and single bytes of a character have no text and go by their names.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1]
    text = tokenizer.decode([anchor, token])[len(tokenizer.decode([anchor])) :]
    return str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text
