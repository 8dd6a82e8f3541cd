"""What can be asked of a model, wherever it runs: loaded here, or behind an address. Importing this loads no torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from leylora.adapters.discover import BASE, Variant, named_variants
from leylora.errors import LeyloraError
from leylora.evaluation.results import Item
from leylora.models.bases import Load
from leylora.models.presets import GREEDY, Sampling
from leylora.models.presets import preset as load_preset
from leylora.models.templates import served_template


def sha256_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


class Backend(Protocol):
    """A base model with its variants, one of them in use, wherever it runs."""

    settings: dict[str, Any]  # all that decides an answer besides weights and prompt
    identity: str  # of the base's weights
    parameters: int | None  # of the base, where they can be counted

    def use(self, variant: Variant) -> None:
        """Switch to a variant. LeyloraError where it is not there, does not fit the base, or does not act."""

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """The items in batches, the same for the same items; items with a preset or temperature alone."""

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> Sequence[tuple[str, int, bool]]:
        """Answer each conversation: text, tokens, and whether it ended by itself. Greedy without a preset."""

    def likelihoods(self, continuations: Sequence["Continuation"]) -> Sequence[tuple[float, int] | None] | None:
        """Log-likelihood and tokens of each continuation; None for one that does not fit the context.

        None in place of the list where the model cannot tell likelihoods (an endpoint).
        """


class Continuation(NamedTuple):
    """A text to be scored as the answer to a conversation; ``ends`` whether the end mark belongs to it."""

    messages: Sequence[dict[str, str]]
    text: str
    ends: bool = True


class LocalModel:
    """A `Backend` that is loaded here, its adapters switched on one base. torch is not imported before.

    Prompts are rendered by one ``template`` (a text, its training marks still in it) for all variants, so that an
    answer depends on its own prompt alone and not on what shares its batch. ``batch_tokens`` counts padding and answers
    too. ``model`` is the base where it is loaded already; ``load`` then only names its precision.
    """

    def __init__(
        self,
        name: str,
        template: str,
        *,
        load: Load = "4bit",
        max_new_tokens: int = 192,
        batch_size: int = 64,
        batch_tokens: int = 16_384,
        seed: int = 0,
        model: Any = None,
    ) -> None:
        from leylora.adapters.adapted import AdaptedModel
        from leylora.models.load import silence_libraries

        silence_libraries()
        served = served_template(template)
        self.model = AdaptedModel(name, load, template=served, model=model)
        self.identity = self.model.identity
        self.parameters: int | None = int(self.model.model.num_parameters())
        self.settings: dict[str, Any] = {
            "decoding": "greedy",
            "max_new_tokens": max_new_tokens,
            "template_sha256": sha256_of(served),
            "load": load,
            "dtype": str(self.model.model.dtype).removeprefix("torch."),
        }
        self._max_new_tokens, self._seed = max_new_tokens, seed
        self._batch_size, self._batch_tokens = batch_size, batch_tokens
        self._variant = BASE

    def use(self, variant: Variant) -> None:
        self.model.prepare(variant)
        self._variant = variant

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """Batches of items of like length, longest first, so that memory runs out at once or not at all."""
        from leylora.models.generate import batches

        alone = [item for item in items if item.seed is not None]  # sampled
        greedy = [item for item in items if item.seed is None]
        lengths = [len(self.model.prompt(item.messages)) + self._max_new_tokens for item in greedy]
        grouped = batches(lengths, self._batch_tokens, self._batch_size)
        return [[greedy[at] for at in batch] for batch in grouped] + [[item] for item in alone]

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[tuple[str, int, bool]]:
        """Answers. A prompt that leaves no room in the context is answered with nothing, unfinished."""
        sampling = sampling_of(preset, temperature, max_new_tokens=self._max_new_tokens, seed=self._seed)
        prompts = [self.model.prompt(messages) for messages in conversations]
        return [*self.model.generate(self._variant, prompts, sampling)]

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[tuple[float, int] | None]:
        rows = [self.model.answer_row(one.messages, one.text, ends=one.ends) for one in continuations]
        fits = [row for row in rows if len(row.inputs) < self.model.positions]
        found = dict(zip(fits, self.model.score(self._variant, fits, batch_tokens=self._batch_tokens), strict=True))
        return [found.get(row) for row in rows]


def sampling_of(preset: str, temperature: float | None, *, max_new_tokens: int = 1, seed: int = 0) -> Sampling:
    """How a free prompt is answered: a preset of GENERATION-PRESETS with a temperature laid over it, or greedy."""
    if not preset and temperature is None:
        return replace(GREEDY, max_new_tokens=max_new_tokens)
    sampling = load_preset(preset)[0] if preset else Sampling()
    warmth = sampling.temperature if temperature is None else temperature
    return replace(sampling, temperature=warmth, max_new_tokens=max_new_tokens, seed=seed)


class EndpointModel:
    """A `Backend` behind an address: text-generation-webui, or any server with OpenAI's API.

    An endpoint gives text and no likelihoods, so that multiple choice is answered by letter, in each order of the
    options, and bits per byte are left out. Its weights cannot be hashed: answers are kept under its address and model
    name. On the webui the model is loaded if another one is, and variants are LoRAs, switched by its API; on other
    servers a variant is the ``model`` named in the request (vLLM's ``--lora-modules NAME=PATH``). ``template`` is an
    instruction template of ours for the webui, whose own it replaces. LeyloraError where the server does not answer.
    """

    parameters: int | None = None

    def __init__(
        self,
        url: str,
        name: str,
        *,
        load: Load = "4bit",
        template: str | None = None,
        max_new_tokens: int = 192,
        seed: int = 0,
    ) -> None:
        from leylora.webui.client import Client, ServerSettings  # openai takes half a second
        from leylora.webui.protocol import WebuiError

        self.client = Client(ServerSettings.from_environment(url), allow_empty=True)
        self.url, self.name = self.client.settings.url, name
        self._served: list[str] | None = None
        try:
            self.client.info()
            self.is_webui = True
        except WebuiError:
            self.is_webui = False
            self._served = self.client.models()
        self.identity = f"{self.url} {name}"
        self.settings: dict[str, Any] = {
            "decoding": "greedy",
            "max_new_tokens": max_new_tokens,
            "endpoint": self.url,
            "template": template if self.is_webui else None,
        }
        self._template, self._max_new_tokens, self._seed = template, max_new_tokens, seed
        self._loading: dict[str, Any] = {} if load == "16bit" else {f"load_in_{load}": True}
        self._variant: Variant | None = None

    def use(self, variant: Variant) -> None:
        if variant == self._variant:
            return
        first = self._variant is None
        self._variant = None  # until the switch has succeeded
        if self.is_webui:
            loaded = self.client.info()
            if loaded.model_name != self.name:
                loaded, first = self.client.load_model(self.name, self._loading), False
            if variant.adapter:
                self.client.load_lora(variant.adapter, self._loading)
            elif loaded.lora_names or first:  # another program may have left one on that the server does not report
                self.client.unload_lora(self._loading)
        else:
            name = variant.adapter or self.name  # some servers answer to any name, with what they have
            if self._served is not None and not {name, f"{name}:latest"} & set(self._served):
                raise LeyloraError(f"{self.url} serves no '{name}' (there: {', '.join(self._served) or 'nothing'}).")
        self._variant = variant

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """One item at a time, so that nothing is lost when the connection breaks."""
        return [[item] for item in items]

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[tuple[str, int, bool]]:
        """Answers; their tokens are the server's count, 0 when it gives none."""
        how: dict[str, Any] = {"max_tokens": self._max_new_tokens}
        sampled = bool(preset) or temperature is not None
        if self.is_webui:  # our preset's settings are sent, so that the server needs no file of it
            how |= {"template": self._template}
            if preset or not sampled:
                how["preset"] = preset or "deterministic"
        else:
            model = (self._variant.adapter if self._variant else "") or self.name
            how |= {"model": model} | ({"preset": preset} if preset else {"temperature": 0.0})
        if sampled:
            how |= {"seed": self._seed} | ({} if temperature is None else {"temperature": temperature})
        elif not self.is_webui:
            how["seed"] = 0
        answers = []
        for messages in conversations:
            answer = self.client.chat(list(messages), **how)
            tokens = (answer.usage.completion_tokens if answer.usage else 0) or 0
            text = answer.text.encode("utf-8", "replace").decode()  # JSON may carry lone surrogates
            answers.append((text.strip(), tokens, answer.finish_reason != "length"))
        return answers

    def likelihoods(self, continuations: Sequence[Continuation]) -> None:
        """None: chat endpoints do not tell the likelihood of a given text."""

    def variants(self, asked: str) -> list[Variant]:
        """The base and those ``asked``: ``auto`` (the webui's LoRAs named for this model), ``none``, or names."""
        if asked.strip() == "none":
            return [BASE]
        if asked.strip() == "auto":
            if not self.is_webui:
                raise LeyloraError(
                    f"{self.url} is not a text-generation-webui and cannot list adapters; name its models for them, as "
                    "in --adapters law=my-law-model, or give --adapters none."
                )
            return named_variants([name for name in self.client.loras() if name.rpartition("-")[0] == self.name])
        found = named_variants([word.strip() for word in asked.split(",") if word.strip()])
        there = self.client.loras() if self.is_webui else None
        for name in [variant.adapter for variant in found if variant.adapter]:
            if there is not None and name not in there:
                raise LeyloraError(
                    f"{self.url} has no LoRA '{name}' (there: {', '.join(there) or 'none'}); give its name "
                    "there, not a folder here."
                )
        return found
