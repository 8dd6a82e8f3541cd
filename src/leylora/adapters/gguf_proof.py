"""Is the exported adapter the trained one? llama.cpp and transformers, on the same prompts.

    proof = prove(base=Path("base"), base_gguf=Path("base.gguf"), lora=Path("law.gguf"), adapter=Path("LORA/law"))
    proof.holds, proof.sentences()

llama.cpp runs in this process (`xllamacpp`, on the CPU), reads the prompts as text, as Ollama sends them, and answers
greedily. transformers then reads its tokens and says what it would have answered at each step.
"""

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel

from leylora.adapters.check import TEXTS
from leylora.errors import LeyloraError
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import ending_of, render

STEPS = 16  # tokens of each answer
ALTERNATIVES = 20  # the likeliest tokens whose log-probabilities are compared at each step
TOLERANCE = {"f32": 0.01, "f16": 0.6, "bf16": 0.6, "q8_0": 2.0}
"""How far log-probabilities may be apart. In float32 a wrong export stands out; other types are for bases too large for
it, and there the adapter may add no more than the base's own rounding makes."""


class Proof(NamedTuple):
    """What the two programs made of the same prompts. Log-probabilities in nats.

    Attributes:
        prompts: how many; ``same_tokens`` of them were cut into the same tokens by both.
        gap: the largest difference of a log-probability with the adapter, over all steps; ``base_gap`` without.
        effect: the largest change of a log-probability that the adapter makes, in transformers.
        steps: tokens that llama.cpp chose; ``same_choice`` of them transformers would choose, or ties with its own.
        stops: whether the end token and each text that ends an answer do so there.
    """

    kind: str
    prompts: int
    same_tokens: int
    gap: float
    base_gap: float
    effect: float
    steps: int
    same_choice: int
    stops: bool

    @property
    def holds(self) -> bool:
        """Whether the export computes what was trained."""
        near = self.base_gap <= TOLERANCE[self.kind] and self.gap <= max(TOLERANCE["f32"], 2 * self.base_gap)
        return near and self.same_tokens == self.prompts and self.same_choice == self.steps and self.stops

    def sentences(self) -> list[str]:
        """The figures, one a line."""
        return [
            f"{self.same_tokens} of {self.prompts} prompts are cut into the same tokens",
            f"log-probabilities differ by at most {self.gap:.4f} with the adapter, {self.base_gap:.4f} without "
            f"(tolerated: {TOLERANCE[self.kind]}, weights in {self.kind}); the adapter moves them by up to "
            f"{self.effect:.2f}",
            f"{self.same_choice} of {self.steps} tokens chosen greedily are the same",
            "the end token and the stop texts end an answer" if self.stops else "an end mark does not end the answer",
        ]


def prompts_of(template: str, tokenizer: Any) -> list[str]:
    """Questions as the template puts them to the model: alone, with a system message, and after an earlier turn."""
    ask = [{"role": "user", "content": text} for text in TEXTS]
    told = {"role": "system", "content": "Responda con la ley."}
    talks: list[list[dict[str, str]]] = [[one] for one in ask[:2]]
    talks += [[told, ask[2]], [ask[0], {"role": "assistant", "content": "Ante un juez."}, ask[3]]]
    marks = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
    return [render(template, talk, add_generation_prompt=True, **marks) for talk in talks]


def prove(base: Path, base_gguf: Path, lora: Path, adapter: Path, template: str, kind: str = "f32") -> Proof:
    """Run base and adapter in both programs; ``kind`` is the type of the weights in ``base_gguf``.

    Raises:
        LeyloraError: `xllamacpp` is not installed, or llama.cpp does not load a file.
    """
    tokenizer = load_tokenizer(str(base))
    model = load_base(str(base), load="16bit", compute_dtype=torch.float32 if kind == "f32" else torch.bfloat16)
    ending = ending_of(template, tokenizer)
    bos = tokenizer.bos_token or ""
    same_tokens = steps = same_choice = 0
    stops, gaps, effect = True, [0.0, 0.0], 0.0
    prompts = prompts_of(template, tokenizer)
    with server(base_gguf, lora, exact=kind == "f32") as ask:
        adds_bos = ask("tokenize", content="a", add_special=True)["tokens"][0] == tokenizer.bos_token_id
        answers: list[list[tuple[list[int], list[dict[str, Any]]]]] = [[], []]
        for prompt in prompts:
            told = prompt.removeprefix(bos) if adds_bos else prompt
            read = [one["id"] for one in ask("tokenize", content=told, add_special=True, with_pieces=True)["tokens"]]
            wanted = tokenizer(prompt, add_special_tokens=False).input_ids
            same_tokens += read == wanted
            for scale, said in enumerate(answers):
                said.append((wanted, _greedy(ask, wanted, float(scale))))
        forced = ask("completion", prompt=prompts[0], n_predict=4, logit_bias=[[tokenizer.eos_token_id, 1000.0]])
        stops &= forced["stop_type"] == "eos"
        for end in ending.texts:
            grammar = f"root ::= {json.dumps(end)} [a-z]*"  # the answer can only begin with this text
            forced = ask("completion", prompt=prompts[0], n_predict=32, stop=[end], grammar=grammar)
            stops &= forced["stop_type"] == "word"
    bare = [_log_probabilities(model, ids, said) for ids, said in answers[0]]
    adapted = PeftModel.from_pretrained(model, adapter).eval()
    full = [_log_probabilities(adapted, ids, said) for ids, said in answers[1]]
    without = []
    with adapted.disable_adapter():
        without = [_log_probabilities(adapted, ids, said) for ids, said in answers[1]]
    for scale, (said, found) in enumerate(zip(answers, (bare, full), strict=True)):
        for (_, chosen), wanted in zip(said, found, strict=True):
            for step, row in zip(chosen, wanted, strict=True):
                top = {one["id"]: one["logprob"] for one in step["top_logprobs"]}
                gaps[scale] = max(gaps[scale], *(abs(float(row[at]) - value) for at, value in top.items()))
                steps += 1
                same_choice += float(row.max() - row[step["id"]]) <= max(TOLERANCE["f32"], *gaps)
    for with_it, without_it in zip(full, without, strict=True):
        effect = max(effect, float((with_it - without_it).abs().max()))
    return Proof(kind, len(prompts), same_tokens, gaps[1], gaps[0], effect, steps, same_choice, stops)


def _greedy(ask: Any, ids: Sequence[int], scale: float) -> list[dict[str, Any]]:
    reply = ask(
        "completion",
        prompt=list(ids),
        n_predict=STEPS,
        n_probs=ALTERNATIVES,
        temperature=0.0,
        cache_prompt=False,
        lora=[{"id": 0, "scale": scale}],
    )
    return list(reply["completion_probabilities"])


def _log_probabilities(model: Any, ids: Sequence[int], chosen: Sequence[dict[str, Any]]) -> torch.Tensor:
    """(steps, vocabulary): what the model says before each of the chosen tokens, given those before it."""
    tokens = torch.tensor([[*ids, *(step["id"] for step in chosen[:-1])]])
    with torch.no_grad():
        logits = model(input_ids=tokens).logits[0, len(ids) - 1 :]
    return torch.as_tensor(logits.double().log_softmax(-1))


@contextmanager
def server(model: Path, lora: Path | None = None, *, exact: bool = False) -> Iterator[Any]:
    """llama.cpp's server in this process, and how to ask it: ``ask("completion", prompt=...)``.

    With ``exact`` attention is computed in float32 throughout, which its fused kernel does not do.
    """
    try:
        import xllamacpp
    except ImportError:
        raise LeyloraError('The proof runs llama.cpp; pip install "leylora[gguf]".') from None
    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.n_ctx, settings.n_parallel, settings.verbosity, settings.warmup = 2048, 1, 0, False
    settings.port = 0
    if exact:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if lora is not None:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(lora), 1.0
        settings.lora_adapters = [adapter]
    try:
        running = xllamacpp.Server(settings)
    except RuntimeError as error:
        raise LeyloraError(f"llama.cpp does not load {lora or model} ({error}).") from None

    def ask(path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{running.listening_address}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            return json.loads(reply.read())

    yield ask
