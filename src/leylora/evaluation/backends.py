"""What can be asked of a model, wherever it runs: here (`leylora.evaluation.local`) or behind an address."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from leylora.errors import LeyloraError
from leylora.evaluation.results import Item, Role, Variant
from leylora.evaluation.variants import BASE, ENDINGS, ORDER
from leylora.webui.client import Client, ServerSettings, WebuiError


def sha256_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class Backend(Protocol):
    """A base model with its variants, one of them in use, wherever it runs.

    Attributes:
        settings: all that decides an answer besides weights and prompt.
        identity: of the base's weights.
        parameters: of the base, where they can be counted.
    """

    settings: dict[str, Any]
    identity: str
    parameters: int | None

    def use(self, variant: Variant) -> None:
        """Switch to a variant."""

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """The items in batches, the same for the same items; items with a preset or temperature alone."""

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> Sequence[tuple[str, int, bool]]:
        """Answer each conversation: text, tokens, and whether it ended by itself. Greedy without a preset."""

    def likelihoods(self, continuations: Sequence["Continuation"]) -> Sequence[tuple[float, int] | None] | None:
        """Log-likelihood and tokens of each continuation; None for one that does not fit the context.

        None for all when the model cannot tell them (an endpoint).
        """


@dataclass(frozen=True)
class Continuation:
    """A text to be scored as the answer to a conversation; ``ends`` whether the end mark belongs to it."""

    messages: Sequence[dict[str, str]]
    text: str
    ends: bool = True


GREEDY = "deterministic"  # the preset of GENERATION-PRESETS; its settings are sent, so that a server needs no file


class EndpointModel:
    """A `Backend` behind an address.

    An endpoint gives text and no likelihoods, so that multiple choice is answered by letter, in each order of the
    options, and bits per byte are left out. Its weights cannot be hashed: answers are kept under its address and model
    name.

    On text-generation-webui variants are LoRAs, switched by its API; on other servers a variant is the ``model`` named
    in the request (vLLM's ``--lora-modules NAME=PATH``).

    Args:
        url: address; keys come from WEBUI_API_KEY and WEBUI_ADMIN_KEY.
        name: the base's name at the server.
        template: instruction template of ours for the webui, whose own it replaces.

    Raises:
        LeyloraError: the server does not answer.
    """

    parameters = None

    def __init__(
        self,
        url: str,
        name: str,
        *,
        template: str | None = None,
        max_new_tokens: int = 192,
        seed: int = 0,
        timeout: float | None = None,
    ) -> None:
        self.client = Client(ServerSettings.from_environment(url), timeout=timeout, allow_empty=True)
        self.url, self.name = self.client.settings.url, name
        try:
            self.is_webui = self.client.info().loaded
        except WebuiError:
            self.is_webui = False
            self.client.models()  # another server: it must at least answer
        self.identity = f"{self.url} {name}"
        self.settings: dict[str, Any] = {
            "decoding": "greedy",
            "max_new_tokens": max_new_tokens,
            "endpoint": self.url,
            "template": template if self.is_webui else None,
        }
        self._template, self._max_new_tokens, self._seed = template, max_new_tokens, seed
        self._model = name

    def use(self, variant: Variant) -> None:
        """Switch the server to a variant.

        Raises:
            LeyloraError: it does not have it, or the LoRA does not act.
        """
        if not self.is_webui:
            self._model = variant.adapter or self.name
        elif variant.adapter:
            self.client.load_lora(variant.adapter)
        else:
            self.client.unload_lora()

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """One item at a time, so that nothing is lost when the connection breaks."""
        return [[item] for item in items]

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[tuple[str, int, bool]]:
        """Answers; their tokens are the server's count, 0 when it gives none."""
        how: dict[str, Any] = {"max_tokens": self._max_new_tokens}
        if self.is_webui:
            how |= {"preset": preset or GREEDY, "template": self._template}
        else:
            how |= {"temperature": 0.0, "seed": 0, "model": self._model} | ({"preset": preset} if preset else {})
        if preset or temperature is not None:
            how |= {"temperature": temperature, "seed": self._seed}
        answers = []
        for messages in conversations:
            answer = self.client.chat(list(messages), **how)
            tokens = answer.usage.completion_tokens if answer.usage else 0
            text = answer.text.encode("utf-8", "replace").decode()  # JSON may carry lone surrogates
            answers.append((text.strip(), tokens, answer.finish_reason != "length"))
        return answers

    def likelihoods(self, continuations: Sequence[Continuation]) -> None:
        """None: chat endpoints do not tell the likelihood of a given text."""
        return

    def variants(self, asked: str) -> list[Variant]:
        """The base and the variants ``asked``: ``auto`` (the webui's LoRAs named for this model), ``none``, or names.

        Raises:
            LeyloraError: ``auto`` where the server cannot list LoRAs, or a part that does not exist.
        """
        if asked.strip() == "none":
            return [BASE]
        if asked.strip() == "auto":
            if not self.is_webui:
                raise LeyloraError(
                    f"{self.url} is no text-generation-webui and cannot list adapters; name its models for them, as in "
                    "--adapters law=my-law-model, or give --adapters none."
                )
            words = [name for name in self.client.loras() if name.rpartition("-")[0] == self.name]
        else:
            words = [word.strip() for word in asked.split(",") if word.strip()]
        found = [BASE]
        for word in words:
            part, mark, adapter = word.rpartition("=")
            given = [one for one in ORDER if mark and one == part]
            role: Role = next(
                iter([*given, *(role for end, role in ENDINGS.items() if adapter.endswith(end))]), "other"
            )
            taken = any(variant.role == role for variant in found)
            name = adapter.replace("/", "_") if taken or role == "other" else role
            found.append(Variant(name=name, role="other" if taken else role, adapter=adapter))
        return sorted(found, key=lambda variant: ORDER.index(variant.role))
