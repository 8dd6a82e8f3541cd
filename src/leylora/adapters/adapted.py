"""One base model in memory, and its adapters switched on it: what chat, comparison, loss and search ask.

    model = AdaptedModel("mistralai/Mistral-7B-v0.1", load="4bit")
    ids = model.prompt(messages, variant)           in the template the variant was trained with
    model.generate(variant, [ids, ...], sampling)   answers, each cut where it ends

Which adapters are active is a state of the whole model, so a lock lets one answer be computed at a time; methods may be
called from several threads. Adapters are loaded when they are first used and then kept.
"""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from leylora.adapters.discover import BASE, Variant, saved_template
from leylora.errors import LeyloraError, UsageError
from leylora.models.bases import Load, base_sha256
from leylora.models.families import FAMILIES
from leylora.models.generate import (
    BATCH_TOKENS,
    Generated,
    Likelihood,
    Piece,
    Row,
    Tokens,
    TooLongError,
    evaluating,
    generate,
    score,
    stream,
)
from leylora.models.load import load_base, load_config, load_tokenizer
from leylora.models.presets import GREEDY, Sampling
from leylora.models.templates import (
    Ending,
    check_stranger,
    ending_of,
    instruction_template,
    rendering,
    served_template,
)


class AdaptedModel:
    """A base, by its folder or Hub name, and what can be made of it.

    ``template`` is the text of the served template for all variants; by default each is asked in its own. ``model`` and
    ``tokenizer`` are given where they are loaded already.
    """

    def __init__(
        self,
        name: str,
        load: Load = "4bit",
        *,
        revision: str | None = None,
        template: str | None = None,
        model: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self.name, self.load = name, load
        if model is None and load_config(name, revision).is_encoder_decoder:
            raise UsageError(
                f"{name} has an encoder, as T5 has, and causal models are asked here; use `inspect_text.py generate`."
            )
        self.tokenizer = tokenizer or load_tokenizer(name, revision)
        if model is None:
            model = load_base(name, load, revision=revision)
        self.model = model.requires_grad_(False).eval()
        config = self.model.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        limits = [positions, getattr(config, "sliding_window", None), self.tokenizer.model_max_length]
        # most tokens the model sees together (its positions, or a shorter sliding window), and most it takes
        self.window = min(int(limit) for limit in limits if limit)
        self.positions = min(int(limit) for limit in (positions, self.tokenizer.model_max_length) if limit)
        self.tokenizer.model_max_length = sys.maxsize  # too long prompts are reported here
        self.identity = base_sha256(name, revision)
        self.lock = threading.RLock()
        self._template = template
        self._peft: PeftModel | None = None
        self._names: dict[Path, str] = {}  # of the adapters loaded so far
        self._scalings: list[tuple[dict[str, float], str, float]] = []  # of each adapted layer, as trained
        self._active: tuple[tuple[Path, ...], tuple[float, ...]] | None = ((), ())
        self._formats: dict[str, tuple[str, Ending]] = {}

    def prepare(self, variant: Variant) -> None:
        """Load a variant's adapters and read its template now, so that a fault (LeyloraError) shows at once."""
        self.format(variant)
        with self.using(variant):
            pass

    def format(self, variant: Variant) -> tuple[str, Ending]:
        """The served template of a variant (else the tokenizer's own, or the family's), and what ends its answers."""
        key = variant.adapter
        if key not in self._formats:
            text = self._template or (saved_template(Path(key)) if key else None) or self.tokenizer.chat_template
            if isinstance(text, str):
                check_stranger(text, key or self.name)
            if not isinstance(text, str):
                family = FAMILIES.get(self.model.config.model_type)
                if family is None:
                    raise LeyloraError(
                        f"{self.name} has no chat template and is of type '{self.model.config.model_type}', for which "
                        "none is known here; use it for plain text, or add a template to its tokenizer_config.json."
                    )
                text = served_template(instruction_template(family.instruction_template))
            with rendering(f"The chat template of {key or self.name}"):
                self._formats[key] = text, ending_of(text, self.tokenizer, self._end_ids())
        return self._formats[key]

    def prompt(self, messages: Sequence[Mapping[str, str]], variant: Variant = BASE) -> list[int]:
        return self._ids(messages, variant, add_generation_prompt=True)

    def plain_prompt(self, text: str) -> list[int]:
        """Token ids of a text to go on with, BOS first where the model has one."""
        ids = list(self.tokenizer(text).input_ids)
        bos = self.tokenizer.bos_token_id
        return ids if bos is None or ids[:1] == [bos] else [bos, *ids]

    def answer_row(
        self, messages: Sequence[Mapping[str, str]], answer: str, variant: Variant = BASE, *, ends: bool = True
    ) -> Row:
        """A conversation and an answer to it, to be scored as training tokenises them together.

        With ``ends`` the mark that ends an answer is scored too.
        """
        prompt = self.prompt(messages, variant)
        both = self._ids([*messages, {"role": "assistant", "content": answer}], variant)
        if both[: len(prompt)] != prompt or len(both) == len(prompt):
            raise LeyloraError(
                f"The template's prompt is not how the text with its answer begins, for {self.name}; such a template "
                "cannot be scored. Use one of INSTRUCTION-TEMPLATES."
            )
        tokens = both[len(prompt) :]
        return Row.of_answer(prompt, tokens[:-1] if not ends and tokens[-1] == self.tokenizer.eos_token_id else tokens)

    def generate(
        self, variant: Variant, prompts: Sequence[Tokens], sampling: Sampling = GREEDY, *, plain: bool = False
    ) -> list[Generated]:
        """Answers to a batch of prompts. One that leaves no room in the model's positions gets "", unfinished.

        ``plain`` prompts are texts to go on with, which only the end-of-text token ends.

        Raises:
            LeyloraError: an adapter does not fit, or one prompt alone does not fit the GPU.
        """
        fits = [len(ids) + sampling.max_new_tokens <= self.positions for ids in prompts]
        ending = self._ending(variant, plain)
        with self.using(variant):
            asked = [ids for ids, fit in zip(prompts, fits, strict=True) if fit]
            found = iter(generate(self.model, self.tokenizer, asked, sampling, ending))
        return [next(found) if fit else Generated("", 0, finished=False) for fit in fits]

    def stream(
        self,
        variant: Variant,
        prompt: Tokens,
        sampling: Sampling = GREEDY,
        *,
        plain: bool = False,
        halt: threading.Event | None = None,
    ) -> Iterator[Piece]:
        """One answer, piece by piece, at most to the end of the window; the last piece has ``finish``.

        Setting ``halt``, or leaving the loop, ends the answer after the token that is being computed.

        Raises:
            TooLongError: the prompt leaves no room in the window for even one token.
            LeyloraError: an adapter does not fit, the GPU is full, or the model computes no numbers.
        """
        room = self.window - len(prompt)
        if room < 1:
            raise TooLongError(len(prompt), self.window - 1)
        sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))
        ending, begun = self._ending(variant, plain), plain
        within = self.using(variant)
        for piece in stream(self.model, self.tokenizer, prompt, sampling, ending, halt=halt, within=within):
            text = piece.text if begun else piece.text.lstrip()  # Mistral's and Llama's answers begin with a blank
            begun = begun or bool(text)
            if text or piece.finish:
                yield Piece(text, piece.finish)

    def score(self, variant: Variant, rows: Sequence[Row], *, batch_tokens: int = BATCH_TOKENS) -> list[Likelihood]:
        with self.using(variant):
            return score(self.model, rows, batch_tokens=batch_tokens)

    def logits(self, variant: Variant, ids: Tokens) -> torch.Tensor:
        """Next-token logits at every position of a text, (T, V), float32 on the CPU."""
        with self.using(variant), evaluating(self.model), torch.no_grad():
            return self.model(input_ids=torch.tensor([list(ids)], device=self.model.device)).logits[0].float().cpu()

    @contextmanager
    def using(self, variant: Variant, weights: Sequence[float] | None = None) -> Iterator[PreTrainedModel]:
        """While the block runs, the model is this variant, with ``weights`` for its `folders`; others wait.

        Raises:
            LeyloraError: an adapter does not fit this base; the model then is as it was.
        """
        folders = variant.folders
        wanted = folders, tuple(weights or [1.0] * len(folders))
        with self.lock:
            for folder in folders:
                if folder not in self._names:
                    self._active = None
                    self._attach(folder)
            if self._peft is not None and self._active != wanted:
                self._active = None  # unknown, should this be interrupted
                if folders:
                    self._peft.base_model.enable_adapter_layers()
                    self._peft.base_model.set_adapter([self._names[folder] for folder in folders], inference_mode=True)
                    shares = {self._names[folder]: weight for folder, weight in zip(*wanted, strict=True)}
                    for scaling, name, trained in self._scalings:
                        scaling[name] = trained * shares.get(name, 1.0)
                else:
                    self._peft.base_model.disable_adapter_layers()
                self._active = wanted
            yield self.model

    def _attach(self, folder: Path) -> None:
        """Load an adapter with the others, or leave the model as it was."""
        name = f"adapter{len(self._names)}"  # a folder's name may hold a dot, which PEFT refuses
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
                made.unload()
                self._peft, self._active = None, ((), ())
            elif self._peft is not None and name in self._peft.peft_config:
                self._peft.delete_adapter(name)
            # PEFT's and torch's messages say the class on their first line and the fault on the second
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            reason = lines[min(1, len(lines) - 1)][:200]
            raise LeyloraError(f"{folder} does not load on {self.name} as an adapter ({reason}).") from None
        self._peft.eval()
        self._names[folder] = name
        self._scalings += [
            (layer.scaling, name, layer.scaling[name])
            for layer in self.model.modules()
            if isinstance(layer, LoraLayer) and name in layer.scaling
        ]

    def _ids(self, messages: Sequence[Mapping[str, str]], variant: Variant, **more: Any) -> list[int]:
        template = self.format(variant)[0]
        with rendering(f"The chat template of {variant.adapter or self.name}"):
            encoded = self.tokenizer.apply_chat_template(
                list(messages), chat_template=template, tokenize=True, return_dict=True, **more
            )
        return list(encoded["input_ids"])

    def _ending(self, variant: Variant, plain: bool) -> Ending:
        return Ending(frozenset(self._end_ids()), ()) if plain else self.format(variant)[1]

    def _end_ids(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return [*(int(one) for one in ids if one is not None), int(self.tokenizer.eos_token_id)]
