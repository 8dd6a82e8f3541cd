"""One base model in memory, its adapters switched on it: answers and likelihoods in batches.

Prompts are rendered by the template the adapters were trained with, padded on the left and masked, so that an answer
depends on its own prompt alone and not on what shares its batch. Decoding is greedy and bounded.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.errors import LeyloraError, first_line
from leylora.evaluation.backends import Continuation, sha256_of
from leylora.evaluation.results import Item, Variant
from leylora.files import sha256_file
from leylora.models.bases import Load
from leylora.models.load import load_base, load_tokenizer, silence_libraries
from leylora.models.templates import served_template, stop_strings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TAIL = 16  # tokens looked at for a stop string after each step
Tokens = tuple[int, ...]


class LocalModel:
    """A `leylora.evaluation.backends.Backend` that is loaded here.

    Args:
        name: folder or Hub name of the base.
        template: text of an instruction template, its training marks still in it.
        max_new_tokens: bound of an answer.
        batch_tokens: most tokens, padding and answers included, that a batch may hold.
        batch_size: most rows of a batch.
        model: the base, where it is loaded already, in which case ``load`` only names its precision.
    """

    def __init__(
        self, name: str, template: str, *, load: Load = "4bit", max_new_tokens: int = 192,
        batch_size: int = 64, batch_tokens: int = 16_384, model: "PreTrainedModel | None" = None,
    ) -> None:  # fmt: skip
        silence_libraries()
        self.name = name
        self.tokenizer = load_tokenizer(name)
        self.tokenizer.model_max_length = sys.maxsize  # what is too long is left out and said here, not warned of there
        self.model: PreTrainedModel = model if model is not None else load_base(name, load)
        self.max_new_tokens = max_new_tokens
        self._batch_size, self._batch_tokens = batch_size, batch_tokens
        self._template = served_template(template)
        bos, eos = self.tokenizer.bos_token or "", self.tokenizer.eos_token
        found = stop_strings(self._template, bos_token=bos, eos_token=eos)
        self.stops = tuple(stop for stop in found if stop != eos)
        self.window = int(self.model.config.get_text_config().max_position_embeddings)
        self.identity = weights_sha256(name, self.model)
        self.parameters: int | None = int(self.model.num_parameters())
        self.settings: dict[str, Any] = {
            "decoding": "greedy", "max_new_tokens": max_new_tokens, "template_sha256": sha256_of(self._template),
            "stops": list(self.stops), "load": load, "dtype": str(self.model.dtype).removeprefix("torch."),
        }  # fmt: skip
        self._bare = self.model
        self._peft: Any = None
        self._loaded: dict[str, str] = {}

    def use(self, variant: Variant) -> None:
        """Switch to the base alone or to an adapter, which is read the first time.

        Raises:
            LeyloraError: the adapter does not fit the base.
        """
        from peft import PeftModel

        if not variant.adapter:
            if self._peft is not None:
                self._peft.base_model.disable_adapter_layers()
            return
        if variant.adapter not in self._loaded:
            name = f"a{len(self._loaded)}"  # PEFT refuses names with full stops
            try:
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self._bare, variant.adapter, adapter_name=name)
                else:
                    self._peft.load_adapter(variant.adapter, adapter_name=name)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise LeyloraError(f"{variant.adapter} does not load on {self.name} ({first_line(error)}).") from None
            self._peft.eval()
            self.model = self._peft
            self._loaded[variant.adapter] = name
        self._peft.base_model.enable_adapter_layers()
        self._peft.set_adapter(self._loaded[variant.adapter], inference_mode=True)

    def batches(self, items: Sequence[Item]) -> list[list[Item]]:
        """Batches of items of like length, longest first, so that memory runs out at once or not at all."""
        lengths = {item.id: len(self._ids(item.messages)) for item in items}
        batches: list[list[Item]] = []
        for item in sorted(items, key=lambda item: (-lengths[item.id], item.id)):
            room = (len(batches[-1]) + 1) * (lengths[batches[-1][0].id] + self.max_new_tokens) if batches else 0
            if not batches or len(batches[-1]) >= self._batch_size or room > self._batch_tokens:
                batches.append([])
            batches[-1].append(item)
        return batches

    def generate(
        self, conversations: Sequence[Sequence[dict[str, str]]], preset: str = "", temperature: float | None = None
    ) -> list[tuple[str, int, bool]]:
        """Greedy answers. A prompt that leaves no room in the context is answered with nothing, unfinished."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        prompts = [self._ids(messages) for messages in conversations]
        fits = [at for at, ids in enumerate(prompts) if len(ids) + self.max_new_tokens <= self.window]
        answers = [("", 0, False)] * len(prompts)
        if not fits:
            return answers
        ids, mask = self._padded([prompts[at] for at in fits])
        asked = GenerationConfig(
            max_new_tokens=self.max_new_tokens, do_sample=False, pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id, bos_token_id=self.tokenizer.bos_token_id,
        )  # fmt: skip
        until = StoppingCriteriaList([self._at_stop(ids.shape[1])] if self.stops else [])
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=asked, stopping_criteria=until
            )[:, ids.shape[1] :]  # (B, new tokens)
        for at, row in zip(fits, written.tolist(), strict=True):
            answers[at] = self._read(row)
        return answers

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[tuple[float, int] | None]:
        """Log-likelihoods; None for a text that does not fit the context.

        Continuations that share all but their last token (the letters of one question) share one row of the batch.
        """
        split = [self._split(continuation) for continuation in continuations]
        rows: dict[Tokens, set[Tokens]] = {}  # everything but the last token -> the answers that end there
        for prompt, answer in split:
            if len(prompt) + len(answer) <= self.window:
                rows.setdefault((*prompt, *answer[:-1]), set()).add(answer)
        found: dict[tuple[Tokens, Tokens], float] = {}
        for batch in self._row_batches(rows):
            found |= self._forward({row: rows[row] for row in batch})
        totals = [found.get(((*prompt, *answer[:-1]), answer)) for prompt, answer in split]
        return [None if total is None else (total, len(answer))
                for total, (_, answer) in zip(totals, split, strict=True)]  # fmt: skip

    def _row_batches(self, rows: Iterable[Tokens]) -> list[list[Tokens]]:
        batches: list[list[Tokens]] = []
        for row in sorted(rows, key=lambda row: (-len(row), row)):
            full = batches and (len(batches[-1]) + 1) * len(batches[-1][0]) > self._batch_tokens
            if not batches or full or len(batches[-1]) >= self._batch_size:
                batches.append([])
            batches[-1].append(row)
        return batches

    def _forward(self, batch: dict[Tokens, set[Tokens]]) -> dict[tuple[Tokens, Tokens], float]:
        """Log-likelihoods by row and answer; left padding puts the ends of all rows at the same place."""
        import torch

        ids, mask = self._padded(list(batch))
        keep = max(len(answer) for answers in batch.values() for answer in answers)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep, use_cache=False
            ).logits  # (B, keep, V)
            found = {}
            for at, (row, answers) in enumerate(batch.items()):
                for answer in answers:
                    ends = logits[at, keep - len(answer) :].float().log_softmax(dim=-1)  # (answer tokens, V)
                    tokens = torch.tensor(answer, device=ends.device)
                    found[row, answer] = float(ends.gather(1, tokens[:, None]).sum())
        return found

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """A conversation as text: up to where the answer starts, or to its end when the last turn is an answer."""
        answered = bool(messages) and messages[-1]["role"] == "assistant"
        text: str = self.tokenizer.apply_chat_template(
            list(messages), chat_template=self._template, tokenize=False, add_generation_prompt=not answered
        )
        return text

    def _ids(self, messages: Sequence[dict[str, str]]) -> list[int]:
        encoded = self.tokenizer.apply_chat_template(
            list(messages), chat_template=self._template, tokenize=True, add_generation_prompt=True, return_dict=True
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def _split(self, continuation: Continuation) -> tuple[Tokens, Tokens]:
        """Prompt and answer tokens of one continuation, as training tokenises them together.

        Raises:
            LeyloraError: the template does not keep the prompt's tokens first, so that no answer can be told apart.
        """
        messages = list(continuation.messages)
        prompt = self._ids(messages)
        whole = self.tokenizer.apply_chat_template(
            [*messages, {"role": "assistant", "content": continuation.text}],
            chat_template=self._template, tokenize=True, return_dict=True,
        )["input_ids"]  # fmt: skip
        if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
            raise LeyloraError(
                f"The template's prompt is not how the text with its answer begins, for {self.name}; such a template "
                "cannot be scored. Use one of INSTRUCTION-TEMPLATES."
            )
        answer = whole[len(prompt) :]
        if not continuation.ends and answer[-1] == self.tokenizer.eos_token_id:
            answer = answer[:-1]
        return tuple(prompt), tuple(answer)

    def _padded(self, rows: Sequence[Sequence[int]]) -> "tuple[torch.Tensor, torch.Tensor]":
        """``(B, T)`` ids padded on the left, and their mask."""
        import torch

        longest = max(map(len, rows))
        pad = int(self.tokenizer.pad_token_id)
        ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=self._bare.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self._bare.device)
        return ids, mask

    def _read(self, row: list[int]) -> tuple[str, int, bool]:
        """Cut at the end mark, then at the first stop string; count what was needed to get there."""
        finished = self.tokenizer.eos_token_id in row
        if finished:
            row = row[: row.index(self.tokenizer.eos_token_id) + 1]
        while row and row[-1] == self.tokenizer.pad_token_id:  # a stop string ended it before the rest of its batch
            row = row[:-1]
        text: str = self.tokenizer.decode(row, skip_special_tokens=True)
        places = [at for stop in self.stops if (at := text.find(stop)) >= 0]
        if places:
            text, finished = text[: min(places)], True
        return text.strip(), len(row), finished

    def _at_stop(self, prompt_length: int) -> Any:
        """A criterion that ends a row once its newest tokens hold a stop string."""
        import torch
        from transformers import StoppingCriteria

        tokenizer, stops = self.tokenizer, self.stops

        class AtStop(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
                tail = input_ids[:, max(prompt_length, input_ids.shape[1] - TAIL) :]
                texts = tokenizer.batch_decode(tail, skip_special_tokens=True)
                hit = [any(stop in text for stop in stops) for text in texts]
                return torch.tensor(hit, device=input_ids.device)

        return AtStop()


def weights_sha256(name: str, model: "PreTrainedModel") -> str:
    """What identifies a base's weights: the hash of a local folder's files, or the Hub's commit."""
    folder = Path(name)
    if folder.is_dir():
        return sha256_of([sha256_file(file) for file in sorted(folder.glob("*.safetensors"))])
    return f"{name}@{model.config._commit_hash}"
