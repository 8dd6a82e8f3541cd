"""An encoder-decoder base (T5, Flan-T5, mT5) and what was fine-tuned from it, asked for summaries."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.adapters.config import CONFIG_FILE
from leylora.errors import LeyloraError, first_line
from leylora.evaluation.asking import Continuation, Generated, Likelihood
from leylora.evaluation.local import weights_sha256
from leylora.evaluation.results import Item, Variant
from leylora.models.load import load_tokenizer, silence_libraries
from leylora.training.data import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Seq2SeqModel:
    """A `leylora.evaluation.asking.Contestant`. A variant is an adapter on the base or a whole model in its place.

    Everything is computed in float32 (T5 overflows in float16), without sampling or beams. Articles are cut at
    ``max_source_length`` tokens, as in training.
    """

    def __init__(
        self, name: str, *, max_source_length: int = 512, max_new_tokens: int = 128, batch_size: int = 8
    ) -> None:
        import torch

        silence_libraries()
        self.name = name
        self.tokenizer = load_tokenizer(name)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._source, self._target, self._batch_size = max_source_length, max_new_tokens, batch_size
        self._base = self._load(name)
        self._model: PreTrainedModel = self._base
        self.identity = weights_sha256(name, self._base)
        self.parameters = sum(weight.numel() for weight in self._base.parameters())
        self.settings: dict[str, Any] = {
            "decoding": "greedy", "max_source_length": max_source_length, "max_new_tokens": max_new_tokens,
            "dtype": "float32",
        }  # fmt: skip

    def use(self, variant: Variant) -> None:
        """Switch to the base, to an adapter on it, or to a whole fine-tuned model, which is loaded anew.

        Raises:
            LeyloraError: the folder is neither, or does not fit the base.
        """
        from peft import PeftModel

        if isinstance(self._model, PeftModel):
            self._base = self._model.unload()
        self._model = self._base
        if not variant.adapter:
            return
        if not (Path(variant.adapter) / CONFIG_FILE).is_file():
            self._model = self._load(variant.adapter)
            return
        try:
            self._model = PeftModel.from_pretrained(self._base, variant.adapter)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise LeyloraError(f"{variant.adapter} does not load on {self.name} ({first_line(error)}).") from None
        self._model.eval()

    def plan(self, items: Sequence[Item]) -> list[list[Item]]:
        """Batches of articles of like length."""
        ordered = sorted(items, key=lambda item: (-len(item.messages[-1]["content"]), item.id))
        return [ordered[at : at + self._batch_size] for at in range(0, len(ordered), self._batch_size)]

    def generate(self, conversations: Sequence[Sequence[dict[str, str]]]) -> list[Generated]:
        """A summary of each article."""
        import torch
        from transformers import GenerationConfig

        config = self._model.generation_config
        asked = GenerationConfig(
            max_new_tokens=self._target, do_sample=False, pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id, decoder_start_token_id=config.decoder_start_token_id,
        )  # fmt: skip
        with torch.inference_mode():
            written = self._model.generate(**self._articles(conversations), generation_config=asked)[:, 1:]  # (B, T)
        answers = []
        for row in written.tolist():
            finished = self.tokenizer.eos_token_id in row
            kept = row[: row.index(self.tokenizer.eos_token_id) + 1] if finished else row
            text = self.tokenizer.decode(kept, skip_special_tokens=True).strip()
            answers.append(Generated(text, len(kept), finished))
        return answers

    def likelihoods(self, continuations: Sequence[Continuation]) -> list[Likelihood | None]:
        """Log-likelihood of each summary with its end mark."""
        import torch

        found: list[Likelihood | None] = []
        for at in range(0, len(continuations), self._batch_size):
            batch = continuations[at : at + self._batch_size]
            articles = self._articles([[{"content": one.messages[-1][1]}] for one in batch])
            ids = self.tokenizer(text_target=[one.text for one in batch], padding=True, return_tensors="pt")
            wanted = ids["attention_mask"].to(self._device)  # (B, T)
            labels = ids["input_ids"].to(self._device)
            with torch.inference_mode():
                logits = self._model(**articles, labels=labels.masked_fill(wanted == 0, IGNORED)).logits.float()
            taken = logits.log_softmax(dim=-1).gather(2, labels[..., None])[..., 0] * wanted  # (B, T)
            found += [Likelihood(float(total), int(count))
                      for total, count in zip(taken.sum(dim=1), wanted.sum(dim=1), strict=True)]  # fmt: skip
        return found

    def _articles(self, conversations: Sequence[Sequence[dict[str, str]]]) -> "dict[str, torch.Tensor]":
        texts = [turns[-1]["content"] for turns in conversations]
        encoded = self.tokenizer(
            texts, truncation=True, max_length=self._source, padding=True, return_tensors="pt",
            return_token_type_ids=False,
        )  # fmt: skip
        return {name: tensor.to(self._device) for name, tensor in encoded.items()}

    def _load(self, name: str) -> "PreTrainedModel":
        import torch
        from transformers import AutoModelForSeq2SeqLM

        try:
            model = AutoModelForSeq2SeqLM.from_pretrained(
                name, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise LeyloraError(f"The model {name} cannot be loaded ({first_line(error)}).") from None
        return model.to(self._device).eval().requires_grad_(False)
