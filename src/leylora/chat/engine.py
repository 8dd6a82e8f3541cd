"""One base model in memory, its adapters switched on it, answers streamed token by token.

Which adapter is active is a state of the whole model, so a forward pass must not run while another request switches.
Requests take turns token by token: the turnstile is held for one forward pass and the switch before it. Answers of
different adapters can therefore grow at the same time, side by side or in several browser tabs, and never mix.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leylora.chat.answer import Finish, Piece, TokenScore
from leylora.chat.conversation import Message, TooLongError, unmarked, whole
from leylora.chat.ending import Ending, TextStream, ending_of, special_tokens, spelled
from leylora.chat.loading import context_window, template_of_base
from leylora.chat.sampling import Sampling, processors
from leylora.chat.turnstile import Turnstile
from leylora.chat.variants import BASE, Variant, served_template
from leylora.errors import LeyloraError, UsageError
from leylora.models.bases import Load
from leylora.models.load import load_base, load_config, load_tokenizer

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

_LEAD = 4  # tokens of the prompt that decide how the first new one is written


@dataclass(frozen=True)
class _Format:
    """How one variant is spoken to."""

    template: str
    ending: Ending


@dataclass
class Engine:
    """A loaded base and what can be made of it. Methods may be called from several threads.

    Attributes:
        name: the base model's name or folder.
        variants: by name; `BASE` among them.
        window: most tokens of prompt and answer together.
    """

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    variants: dict[str, Variant]
    window: int
    _turn: Turnstile = field(default_factory=Turnstile, repr=False)
    _peft: "PeftModel | None" = field(default=None, repr=False)
    _loaded: dict[Path, str] = field(default_factory=dict, repr=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)
    _active: tuple[Path, ...] | None = field(default=(), repr=False)
    _formats: dict[str, _Format] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, name: str, variants: dict[str, Variant] | None = None, load: Load = "4bit") -> "Engine":
        """Load the base; adapters are loaded when they are first asked for, and then kept.

        Raises:
            LeyloraError: the base cannot be loaded.
        """
        load_config(name)  # says clearly what is wrong with a name or a path
        tokenizer = load_tokenizer(name)
        model = load_base(name, load)
        return cls(name, model, tokenizer, variants or {BASE: Variant(BASE)}, context_window(model, tokenizer))

    def variant(self, name: str) -> Variant:
        """A variant by name. Raises UsageError, which lists them, when there is none."""
        if name not in self.variants:
            raise UsageError(f"There is no variant '{name}' of {self.name} (there: {', '.join(self.variants)}).")
        return self.variants[name]

    def prepare(self, name: str) -> None:
        """Load a variant's adapters now, so that a fault of theirs is told before the first question.

        Raises:
            UsageError: there is no such variant.
            LeyloraError: an adapter does not fit this base.
        """
        variant = self.variant(name)
        self._format(name)
        with self._turn:
            self._switch(variant)

    def prompt(self, variant: str, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation that waits for an answer, in the template the variant was trained with. What is
        typed holds no marks (`leylora.chat.conversation.unmarked`)."""
        encoded = self.tokenizer.apply_chat_template(
            unmarked(messages, special_tokens(self.tokenizer).values()),
            chat_template=self._format(variant).template, add_generation_prompt=True, tokenize=True, return_dict=True,
        )  # fmt: skip
        return list(encoded["input_ids"])

    def plain_prompt(self, text: str) -> list[int]:
        """Token ids of a text to go on with, BOS first where the model has one."""
        ids = list(self.tokenizer(whole(text)).input_ids)
        bos = self.tokenizer.bos_token_id
        return ids if bos is None or ids[:1] == [bos] else [bos, *ids]

    def chat(
        self, variant: str, messages: Sequence[Message], sampling: Sampling, stop: threading.Event | None = None
    ) -> Iterator[Piece]:
        """Answer a conversation; see `stream`. It ends at the template's end marks, which are never part of it."""
        ending = self._format(variant).ending
        begun = False
        for piece in self.stream(variant, self.prompt(variant, messages), sampling, ending, stop):
            text = piece.text if begun else piece.text.lstrip()  # Mistral's and Llama's answers begin with a blank
            begun = begun or bool(text)
            yield Piece(text, piece.tokens, piece.finish)

    def complete(
        self, variant: str, text: str, sampling: Sampling, stop: threading.Event | None = None
    ) -> Iterator[Piece]:
        """Go on with a text as it stands, without a template; see `stream`."""
        ending = Ending(frozenset(self._end_ids()), ())
        return self.stream(variant, self.plain_prompt(text), sampling, ending, stop)

    def stream(
        self,
        variant: str,
        prompt: list[int],
        sampling: Sampling,
        ending: Ending,
        stop: threading.Event | None = None,
    ) -> Iterator[Piece]:
        """Generate from token ids, piece by piece; the last piece has ``finish``.

        Args:
            stop: set it to end the answer after the token that is being computed. Leaving the loop does the same.

        Raises:
            UsageError: no such variant.
            TooLongError: the prompt leaves no room in the window for even one token.
            LeyloraError: an adapter does not fit, the GPU is full, or the model computes no numbers.
        """
        import torch

        chosen = self.variant(variant)
        room = self.window - len(prompt)
        if room < 1:
            raise TooLongError(len(prompt), self.window - 1)
        device = self.model.device
        sequence = torch.tensor([prompt], device=device)  # (1, T)
        chain = processors(sampling, sequence)
        random = torch.Generator(device).manual_seed(_seed(sampling.seed))
        text = TextStream(self.tokenizer, (*ending.texts, *sampling.stop), prompt[-_LEAD:])
        begun = time.perf_counter()
        step, cache, made = sequence, None, 0
        waiting: list[TokenScore] = []
        reason: Literal["stop", "length", "stopped"] = "length"
        for _ in range(min(sampling.max_new_tokens, room)):
            if stop is not None and stop.is_set():
                reason = "stopped"
                break
            logits, cache = self._forward(chosen, step, cache)  # (1, V)
            with torch.inference_mode():
                token = _draw(chain(sequence, logits), sampling.greedy, random)
            made += 1
            if token in ending.ids:
                reason = "stop"
                break
            step = torch.tensor([[token]], device=device)
            sequence = torch.cat([sequence, step], dim=1)
            if sampling.logprobs is not None:
                waiting.append(self._score(logits[0], token, sampling.logprobs))
            new = text.add(token)
            if text.stopped:
                reason = "stop"
                if new:
                    yield Piece(new, tuple(waiting))
                break
            if new:
                yield Piece(new, tuple(waiting))
                waiting = []
        rest = "" if text.stopped else text.end()
        finish = Finish("stop" if text.stopped else reason, len(prompt), made, time.perf_counter() - begun)
        yield Piece(rest, tuple(waiting) if rest else (), finish)

    def logits(self, variant: str, ids: Sequence[int]) -> "torch.Tensor":
        """Next-token logits at every position of a text, (T, V), float32 on the CPU."""
        import torch

        with self._turn:
            model = self._switch(self.variant(variant))  # outside: adapters loaded in inference mode cannot be switched
            with torch.inference_mode():
                out = model(input_ids=torch.tensor([list(ids)], device=self.model.device))
        return out.logits[0].float().cpu()

    def _forward(self, variant: Variant, step: "torch.Tensor", cache: "Cache | None") -> "tuple[torch.Tensor, Cache]":
        import torch

        with self._turn:
            model = self._switch(variant)
            try:
                with torch.inference_mode():
                    out = model(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1)
            except torch.OutOfMemoryError:
                raise LeyloraError(
                    "The GPU is full; shorten the conversation, or let fewer people ask at once."
                ) from None
        return out.logits[:, -1].float(), out.past_key_values

    def _switch(self, variant: Variant) -> Any:
        """Make a variant's adapters the active ones, loading them first if need be. To be called in one's turn."""
        for folder in variant.folders:
            if folder not in self._loaded:
                self._active = None
                self._attach(folder)
        if variant.folders == self._active or self._peft is None:
            return self._peft or self.model
        self._active = None  # unknown, should this be interrupted
        if not variant.folders:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            names = [self._loaded[folder] for folder in variant.folders]
            self._peft.base_model.set_adapter(names, inference_mode=True)
        self._active = variant.folders
        return self._peft

    def _attach(self, folder: Path) -> None:
        """Load an adapter beside the others, or leave the model as it was."""
        from peft import PeftConfig, get_peft_model

        name = f"adapter{next(self._numbers)}"  # a folder's name may hold a dot, which PEFT refuses
        made = None
        try:
            if self._peft is None:  # what PeftModel.from_pretrained does, but undone below when the weights do not fit
                config = PeftConfig.from_pretrained(str(folder))
                config.inference_mode = True
                self._peft = made = get_peft_model(self.model, config, adapter_name=name)
            result = self._peft.load_adapter(str(folder), adapter_name=name)
            if missing := [key for key in result.missing_keys if f".{name}." in key]:
                raise ValueError(f"it has no weights for {missing[0].removeprefix('base_model.model.')}")
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            if made is not None:
                self.model, self._peft, self._active = made.unload(), None, ()
            elif self._peft is not None and name in self._peft.peft_config:
                self._peft.delete_adapter(name)
            raise LeyloraError(f"{folder} does not load on {self.name} as an adapter ({_reason(error)}).") from None
        self._peft.eval()
        self._loaded[folder] = name

    def _format(self, name: str) -> _Format:
        if name not in self._formats:
            folders = self.variant(name).folders
            template = (served_template(folders[0]) if folders else None) or template_of_base(
                self.model, self.tokenizer
            )
            self._formats[name] = _Format(template, ending_of(template, self.tokenizer, self._end_ids()))
        return self._formats[name]

    def _end_ids(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return [*(int(one) for one in ids if one is not None), int(self.tokenizer.eos_token_id)]

    def _score(self, logits: "torch.Tensor", token: int, alternatives: int) -> TokenScore:
        import torch

        logprobs = logits.log_softmax(-1)  # (V,)
        best = torch.topk(logprobs, alternatives) if alternatives else None
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
        top = tuple((spelled(self.tokenizer, at), value) for at, value in pairs)
        return TokenScore(spelled(self.tokenizer, token), token, float(logprobs[token]), top)


def _draw(scores: "torch.Tensor", greedy: bool, random: "torch.Generator") -> int:
    """The next token from processed scores, (1, V)."""
    import torch

    if greedy:
        return int(scores.argmax(-1))
    probabilities = scores.softmax(-1)
    if not torch.isfinite(probabilities.sum()):
        raise LeyloraError("The model computed no usable numbers; load it as --load 4bit, or on a card with bfloat16.")
    return int(torch.multinomial(probabilities, 1, generator=random))


def _seed(seed: int | None) -> int:
    """A seed as torch takes it; a new one each time when none is asked for."""
    import secrets

    return secrets.randbits(63) if seed is None else seed % 2**63


def _reason(error: Exception) -> str:
    """The telling line of PEFT's and torch's messages, whose first one only names a class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__)[:200]
