"""What a loaded model writes, and how likely it finds what others wrote: the one place where models generate and score.

Models are causal, prompts and rows token ids: a conversation as the model's template renders it. A batch that does not
fit the GPU is split in halves until it does. The model is in evaluation mode while it works, and it and torch's random
numbers are afterwards as they were before, so that training may ask in between.
Nothing here runs under `torch.inference_mode`: adapters loaded in it can no longer be switched.
"""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import GREEDY, Sampling
from leylora.models.templates import Ending, special_tokens

Tokens = Sequence[int]
IGNORED = -100  # the label of a token that is not scored
BATCH_TOKENS = 16_384  # that `score` passes through a model at once, padding included


class TooLongError(UsageError):
    """A prompt of ``tokens`` does not fit the window, which has room for ``allowed``."""

    def __init__(self, tokens: int, allowed: int) -> None:
        self.tokens, self.allowed = tokens, allowed
        super().__init__(
            f"The prompt has {tokens:,} tokens, and {allowed:,} fit the model's window with the answer; shorten it, "
            "or ask for a shorter answer."
        )


class Generated(NamedTuple):
    """An answer: its text, the tokens it took with its end mark, and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Finish(NamedTuple):
    """How a streamed answer ended: by itself or a stop text, at the length asked for, or because it was stopped."""

    reason: Literal["stop", "length", "stopped"]
    prompt_tokens: int
    completion_tokens: int
    seconds: float  # reading the prompt and waiting for others included

    @property
    def tokens_per_second(self) -> float:
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


class Piece(NamedTuple):
    """The next piece of a streamed answer; the last one has ``finish``."""

    text: str
    finish: Finish | None = None


class Likelihood(NamedTuple):
    """Log-likelihood in nats, summed over so many scored tokens."""

    logprob: float
    tokens: int


class Row(NamedTuple):
    """What `score` reads: ``inputs`` (T), and for each the token that should follow it, `IGNORED` where none counts."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]

    @classmethod
    def of_labels(cls, ids: Tokens, labels: Tokens) -> "Row":
        """A training row; ``labels`` say of each token in ``ids`` whether it is scored."""
        return cls(tuple(ids[:-1]), tuple(labels[1:]))

    @classmethod
    def of_answer(cls, prompt: Tokens, answer: Tokens) -> "Row":
        return cls((*prompt, *answer[:-1]), (*[IGNORED] * (len(prompt) - 1), *answer))


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Tokens],
    sampling: Sampling = GREEDY,
    ending: Ending | None = None,
    *,
    streamer: BaseStreamer | None = None,
    halt: threading.Event | None = None,
    **more: Any,
) -> list[Generated]:
    """Answers to a batch of prompts, which do not influence each other.

    ``ending`` is by default the tokenizer's end-of-text token. Setting ``halt`` ends all answers after the token that
    is being computed. A ``streamer`` goes with a single prompt; ``more`` are keys of transformers' GenerationConfig.

    Raises:
        LeyloraError: one prompt alone does not fit the GPU, or the model computes NaN.
    """
    if not prompts:
        return []
    ending = ending or Ending(frozenset({int(tokenizer.eos_token_id)}), ())
    stops = sorted({*ending.texts, *filter(None, sampling.stop)})
    ids, mask = padded(prompts, int(tokenizer.pad_token_id or 0), left=True)
    criteria: list[Any] = [_AtStop(tokenizer, stops, start=ids.shape[1])] if stops else []
    if halt is not None:
        criteria.append(lambda ids, scores, **_: torch.full((len(ids),), halt.is_set(), device=ids.device))
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=devices):
            if not sampling.greedy:
                torch.manual_seed(secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**63)
            rows = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=generation_config(sampling, ending, tokenizer, **more),
                logits_processor=LogitsProcessorList([_check_numbers]),
                stopping_criteria=StoppingCriteriaList(criteria),
                streamer=streamer,
            )[:, ids.shape[1] :].tolist()  # (B, new tokens)
    except torch.OutOfMemoryError:
        if len(prompts) == 1:
            raise LeyloraError("The GPU is full; shorten the conversation, or ask for a shorter answer.") from None
        torch.cuda.empty_cache()
        half = len(prompts) // 2
        halves = (prompts[:half], prompts[half:])
        return [one for part in halves for one in generate(model, tokenizer, part, sampling, ending, halt=halt, **more)]
    return [_read(row, tokenizer, ending, stops) for row in rows]


def generation_config(
    sampling: Sampling, ending: Ending, tokenizer: PreTrainedTokenizerBase, **more: Any
) -> GenerationConfig:
    """Transformers' settings for ``sampling``. All samplers are set, so that none of the model's own defaults acts."""
    greedy = sampling.greedy
    samplers: dict[str, Any] = {
        "do_sample": not greedy,
        "repetition_penalty": float(sampling.repetition_penalty),
        "encoder_repetition_penalty": float(sampling.encoder_repetition_penalty),
        "no_repeat_ngram_size": sampling.no_repeat_ngram_size,
        "temperature": 1.0 if greedy else float(sampling.temperature),
        "top_p": 1.0 if greedy else float(sampling.top_p),
        "top_k": 50 if greedy else sampling.top_k,  # 50 is transformers' "not set"; greedy decoding ignores it
        "typical_p": 1.0 if greedy else float(sampling.typical_p) or 1.0,
        "epsilon_cutoff": 0.0 if greedy else sampling.epsilon_cutoff * 1e-4,
        "eta_cutoff": 0.0 if greedy else sampling.eta_cutoff * 1e-4,
    }
    if not greedy and sampling.min_p:
        samplers["min_p"] = float(sampling.min_p)
    return GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=sorted(ending.ids),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id or 0,
        use_cache=True,
        **samplers,
        **more,
    )


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Tokens,
    sampling: Sampling = GREEDY,
    ending: Ending | None = None,
    *,
    halt: threading.Event | None = None,
    within: AbstractContextManager[Any] | None = None,
) -> Iterator[Piece]:
    """One answer as it is written; the last piece has ``finish``. It raises what `generate` raises.

    Generation runs in a thread, within the context ``within`` (the model's lock). Setting ``halt``, or leaving the
    loop, ends the answer after the token that is being computed.
    """
    halt = halt or threading.Event()
    pieces: queue.SimpleQueue[str | Generated | BaseException] = queue.SimpleQueue()
    streamer = TextPieces(tokenizer, (*(ending.texts if ending else ()), *sampling.stop), prompt, pieces.put)
    started = time.perf_counter()

    def work() -> None:
        try:
            with within or nullcontext():
                [answer] = generate(model, tokenizer, [prompt], sampling, ending, streamer=streamer, halt=halt)
            pieces.put(answer)
        except BaseException as error:  # raised in the caller's thread
            pieces.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    piece: str | Generated | BaseException = ""
    try:
        while isinstance(piece := pieces.get(), str):
            if piece:
                yield Piece(piece)
    except BaseException as left:
        halt.set()
        if not isinstance(left, KeyboardInterrupt):  # which does not wait for the token that is being computed
            thread.join()
        raise
    thread.join()
    if isinstance(piece, BaseException):
        raise piece
    ended = piece.finished or streamer.stopped
    reason: Literal["stop", "length", "stopped"] = "stop" if ended else "stopped" if halt.is_set() else "length"
    yield Piece("", Finish(reason, len(prompt), piece.tokens, time.perf_counter() - started))


def score(
    model: PreTrainedModel, rows: Sequence[Row], *, batch_tokens: int = BATCH_TOKENS, pad: int = 0
) -> list[Likelihood]:
    """Log-likelihoods of the targets of rows.

    Rows with the same inputs (the letters of one question) are computed once. Padding is on the right: attention is
    causal, so no token sees it, and a row scores as it would alone.

    Raises:
        LeyloraError: one row alone does not fit the GPU.
    """
    groups: dict[tuple[int, ...], list[Row]] = {}  # rows of one forward pass
    for row in dict.fromkeys(rows):
        groups.setdefault(row.inputs, []).append(row)
    ordered = sorted(groups.values(), key=lambda group: (-len(group[0].inputs), group[0].inputs))
    found: dict[Row, Likelihood] = {}
    with evaluating(model), torch.no_grad():
        for batch in batches([len(group[0].inputs) for group in ordered], batch_tokens):
            found |= _scored(model, [ordered[at] for at in batch], pad)
    return [found[row] for row in rows]


def batches(lengths: Sequence[int], most_tokens: int, most_rows: int | None = None) -> list[list[int]]:
    """Indices of rows in batches, longest first, so that memory runs out at once or not at all.

    Each batch has at most ``most_tokens`` with its padding, or a single row.
    """
    grouped: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        size = len(grouped[-1]) + 1 if grouped else 0
        if size and lengths[grouped[-1][0]] * size <= most_tokens and (most_rows is None or size <= most_rows):
            grouped[-1].append(at)
        else:
            grouped.append([at])
    return grouped


def padded(rows: Sequence[Tokens], pad: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """``(B, T)`` ids and their attention mask."""
    side = "left" if left else "right"

    def filled(values: Iterable[Tokens], fill: int) -> torch.Tensor:
        tensors = [torch.tensor(list(value), dtype=torch.long) for value in values]
        return pad_sequence(tensors, batch_first=True, padding_value=fill, padding_side=side)

    return filled(rows, pad), filled(([1] * len(row) for row in rows), 0)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """While the block runs the model is in evaluation mode (no dropout, no checkpointing); then as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class TextPieces(BaseStreamer):
    """Token ids in, text out (to ``tell``) as soon as it is certain: whole characters, no part of a stop text.

    The text of a token depends on the ones before it, the prompt's last tokens included, so the last few are decoded
    together and what is new is the difference (as in Hugging Face's text-generation-inference).
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stops: Sequence[str] = (),
        prompt: Tokens = (),
        tell: Callable[[str], Any] = lambda piece: None,
    ) -> None:
        self._tokenizer, self._tell = tokenizer, tell
        self._stops = tuple(filter(None, stops))
        self._silent = special_tokens(tokenizer).keys()
        self._ids: list[int] = [token for token in prompt[-4:] if token not in self._silent]
        self._from, self._read = 0, len(self._ids)
        self._held, self._is_prompt = "", True
        self.stopped = False

    def put(self, value: torch.Tensor) -> None:
        if self._is_prompt:  # transformers hands over the prompt first
            self._is_prompt = False
        elif not self.stopped:
            for token in value.flatten().tolist():
                self._tell(self.add(token))

    def end(self) -> None:
        if not self.stopped:
            self._tell(self.rest())

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

    def rest(self) -> str:
        """What was held back, when no more tokens come."""
        new = self._decode(self._ids[self._from :])[len(self._decode(self._ids[self._from : self._read])) :]
        text = self._certain(new.rstrip("�"))
        text, self._held = text + self._held, ""
        return text

    def _certain(self, new: str) -> str:
        text = self._held + new
        if found := [at for stop in self._stops if (at := text.find(stop)) >= 0]:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _decode(self, ids: Tokens) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def overlap(text: str, stop: str) -> int:
    """How many of the last characters of ``text`` are the first ones of ``stop``."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def spelled(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """A token as it is written in the middle of a text, with the blank it may begin with.

    Special tokens and single bytes of a character have no text and go by their names.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1]
    text = tokenizer.decode([anchor, token])[len(tokenizer.decode([anchor])) :]
    return str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text


def _read(row: list[int], tokenizer: PreTrainedTokenizerBase, ending: Ending, stops: Sequence[str]) -> Generated:
    """Cut at the first end mark, then at the first stop text; count the tokens it took to get there."""
    end = next((at for at, token in enumerate(row) if token in ending.ids), None)
    if end is not None:
        row = row[: end + 1]
    while row and row[-1] == tokenizer.pad_token_id:  # a stop text ended it before the rest of its batch
        row = row[:-1]
    text = str(tokenizer.decode(row, skip_special_tokens=True)).rstrip("�")  # a character cut at the length asked for
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    return Generated(text[: min(places)].strip() if places else text.strip(), len(row), end is not None or bool(places))


def _scored(model: PreTrainedModel, groups: list[list[Row]], pad: int) -> dict[Row, Likelihood]:
    """Likelihoods of rows; those of one group have the same inputs."""
    try:
        logits, first = _logits(model, groups, pad)
        found = {}
        for own, group in zip(logits, groups, strict=True):
            for row in group:
                counted = [at for at, token in enumerate(row.targets) if token != IGNORED]
                each = torch.nn.functional.cross_entropy(
                    own[torch.tensor(counted, device=own.device) - first].float(),
                    torch.tensor([row.targets[at] for at in counted], device=own.device),
                    reduction="none",
                )  # (scored tokens)
                found[row] = Likelihood(-float(each.double().sum()), len(counted))
        return found
    except torch.OutOfMemoryError:
        if len(groups) == 1:
            raise LeyloraError(
                f"A row of {len(groups[0][0].inputs):,} tokens does not fit the GPU; close what else uses it, or leave "
                "out long rows."
            ) from None
    torch.cuda.empty_cache()
    half = len(groups) // 2
    return _scored(model, groups[:half], pad) | _scored(model, groups[half:], pad)


def _logits(model: PreTrainedModel, groups: list[list[Row]], pad: int) -> tuple[torch.Tensor, int]:
    """Logits (B, T, V) from the first position on that any row is scored at, and which that is."""
    ids, _ = padded([group[0].inputs for group in groups], pad, left=False)
    scored = [at for group in groups for row in group for at, token in enumerate(row.targets) if token != IGNORED]
    first = min(scored, default=0)
    keep = torch.arange(first, ids.shape[1], device=model.device)
    return model(input_ids=ids.to(model.device), logits_to_keep=keep, use_cache=False).logits, first


def _check_numbers(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(scores.max()):  # on a GPU drawing from NaN would break the process
        raise LeyloraError("The model computed no usable numbers; load it as --load 4bit, or on a card with bfloat16.")
    return scores


class _AtStop(StoppingCriteria):
    """Ends a row once its newest tokens hold a stop text.

    Transformers' own ``stop_strings`` also match a text that begins in the prompt.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], start: int) -> None:
        self._tokenizer, self._stops, self._start = tokenizer, stops, start
        self._tail = 4 + max(len(stop.encode()) for stop in stops)  # tokens; none is shorter than a byte

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        tail = input_ids[:, max(self._start, input_ids.shape[1] - self._tail) :]
        texts = self._tokenizer.batch_decode(tail, skip_special_tokens=True)
        return torch.tensor([any(stop in text for stop in self._stops) for text in texts], device=input_ids.device)
