"""One way to generate and one to score: batches, endings, streams, and the numbers themselves."""

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from leylora.errors import LeyloraError
from leylora.models import generate as module
from leylora.models.generate import (
    IGNORED,
    Generated,
    Likelihood,
    Piece,
    Row,
    TextPieces,
    batches,
    generate,
    overlap,
    score,
    spelled,
    stream,
)
from leylora.models.load import load_base, load_tokenizer
from leylora.models.presets import GREEDY, Sampling
from leylora.models.templates import Ending, ending_of, instruction_template, served_template

FAMILIES = ("tiny-mistral", "tiny-llama-2", "tiny-falcon")
TEXTS = ("El plazo es", "Artículo 1.- Las personas tienen derecho a recibir una respuesta", "Ley")
SHORT = replace(GREEDY, max_new_tokens=12)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_base("tiny-mistral")))


@pytest.fixture(scope="module")
def model(tiny_base: Callable[[str], Path]) -> PreTrainedModel:
    return load_base(str(tiny_base("tiny-mistral")), "16bit")


@pytest.fixture
def prompts(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return [tokenizer(text)["input_ids"] for text in TEXTS]


def assert_close(found: list[Likelihood], wanted: list[Likelihood]) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in wanted]
    assert [one.logprob for one in found] == pytest.approx([one.logprob for one in wanted], abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_says_what_each_prompt_alone_would_get(tiny_base: Callable[[str], Path], family: str) -> None:
    name = str(tiny_base(family))
    model, tokenizer = load_base(name, "16bit"), load_tokenizer(name)
    prompts = [tokenizer(text)["input_ids"] for text in TEXTS]
    together = generate(model, tokenizer, prompts, SHORT)
    assert together == [generate(model, tokenizer, [prompt], SHORT)[0] for prompt in prompts]
    assert all(answer.text and answer.tokens <= 12 for answer in together)


def test_greedy_is_what_transformers_generates(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    sampling = replace(SHORT, repetition_penalty=1.3, no_repeat_ngram_size=3)
    theirs = AutoModelForCausalLM.from_pretrained(model.name_or_path).generate(
        torch.tensor(prompts[:1]),
        attention_mask=torch.ones(1, len(prompts[0]), dtype=torch.long),
        do_sample=False,
        max_new_tokens=12,
        repetition_penalty=1.3,
        no_repeat_ngram_size=3,
        pad_token_id=0,
    )[0, len(prompts[0]) :]
    [answer] = generate(model, tokenizer, prompts[:1], sampling)
    assert answer.text == tokenizer.decode(theirs, skip_special_tokens=True).strip()


def test_the_models_own_sampling_defaults_do_not_act(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    recwarn: pytest.WarningsRecorder,
) -> None:
    plain = generate(model, tokenizer, prompts, SHORT)
    kept = copy.deepcopy(model.generation_config)
    model.generation_config.update(do_sample=True, temperature=0.1, top_p=0.5, repetition_penalty=9.0)
    try:
        assert generate(model, tokenizer, prompts, SHORT) == plain
    finally:
        model.generation_config = kept


def test_a_seed_repeats_an_answer_and_leaves_torch_s_numbers_alone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    warm = Sampling(temperature=1.5, max_new_tokens=12, seed=5, min_p=0.01, typical_p=0.95, epsilon_cutoff=1)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = generate(model, tokenizer, prompts, warm)
    assert torch.equal(torch.rand(3), expected)
    assert generate(model, tokenizer, prompts, warm) == first
    assert len({generate(model, tokenizer, prompts, replace(warm, seed=seed))[0].text for seed in range(4)}) > 1


def test_training_goes_on_as_it_was(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    model.train()
    generate(model, tokenizer, prompts, SHORT)
    assert model.training
    score(model, [Row.of_answer(prompts[0], prompts[1])])
    assert model.training
    model.eval()


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    [whole] = generate(model, tokenizer, prompts[:1], SHORT)
    middle = whole.text[5:8]
    [cut] = generate(model, tokenizer, prompts[:1], replace(SHORT, stop=(middle,)))
    assert cut.text == whole.text[: whole.text.index(middle)].strip()
    assert cut.finished
    assert cut.tokens < whole.tokens
    ending = Ending(frozenset({int(tokenizer.eos_token_id)}), (middle,))
    several = generate(model, tokenizer, prompts, SHORT, ending)
    assert several[0] == cut
    assert several[1] == generate(model, tokenizer, prompts[1:2], SHORT, ending)[0]


def test_a_stream_is_the_answer_in_pieces(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    [whole] = generate(model, tokenizer, prompts[:1], SHORT)
    *pieces, last = stream(model, tokenizer, prompts[0], SHORT)
    assert "".join(piece.text for piece in pieces).strip() == whole.text
    assert last.finish is not None
    assert (last.finish.reason, last.finish.completion_tokens) == ("length", 12)
    assert last.finish.prompt_tokens == len(prompts[0])
    middle = whole.text[5:8]
    *pieces, last = stream(model, tokenizer, prompts[0], replace(SHORT, stop=(middle,)))
    assert "".join(piece.text for piece in pieces).strip() == whole.text[: whole.text.index(middle)].strip()
    assert last.finish is not None
    assert last.finish.reason == "stop"


def test_a_stream_ends_when_it_is_halted_or_left(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    halt, long = threading.Event(), replace(SHORT, max_new_tokens=900)
    pieces: list[Piece] = []
    for piece in stream(model, tokenizer, prompts[0], long, halt=halt):
        pieces.append(piece)
        halt.set()
    assert pieces[-1].finish is not None
    assert pieces[-1].finish.reason == "stopped"
    assert pieces[-1].finish.completion_tokens < 100
    before = threading.active_count()
    left = stream(model, tokenizer, prompts[0], long)
    next(left)
    left.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == before


def test_a_fault_in_the_thread_is_raised_to_who_reads(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]]
) -> None:
    hook = model.lm_head.register_forward_hook(lambda module, inputs, out: out * float("nan"))
    try:
        with pytest.raises(LeyloraError, match="no usable numbers"):
            list(stream(model, tokenizer, prompts[0], SHORT))
    finally:
        hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("load", ["16bit", "4bit"])
def test_a_score_is_the_sum_of_its_tokens_log_probabilities(
    tiny_base: Callable[[str], Path], family: str, load: str
) -> None:
    name = str(tiny_base(family))
    model, tokenizer = load_base(name, load), load_tokenizer(name)  # type: ignore[arg-type]
    texts = [tokenizer(text)["input_ids"] for text in TEXTS]
    rows = [Row.of_answer(texts[0], texts[1]), Row.of_answer(texts[1], texts[2]), Row.of_answer(texts[1], texts[0])]
    ids = [*texts[0], *texts[1], *texts[2]]
    labels = [IGNORED if at % 3 else token for at, token in enumerate(ids)]
    rows.append(Row.of_labels(ids, labels))
    for row, found in zip(rows, score(model, rows), strict=True):
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([row.inputs])).logits[0].float().log_softmax(-1)
        wanted = [float(logprobs[at, token]) for at, token in enumerate(row.targets) if token != IGNORED]
        assert found.tokens == len(wanted)
        assert found.logprob == pytest.approx(sum(wanted), abs=1e-3)
    assert_close(score(model, rows, batch_tokens=1), score(model, rows))


def test_a_full_gpu_halves_the_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [Row.of_answer(prompts[0], prompts[at]) for at in range(3)]
    rows.append(Row.of_answer(prompts[1], prompts[2]))
    expected, answers = score(model, rows), generate(model, tokenizer, prompts, SHORT)
    forward = model.forward

    def small(*args: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if input_ids.shape[0] > most:
            raise torch.OutOfMemoryError("full")
        return forward(*args, input_ids=input_ids, **kwargs)

    most = 1
    monkeypatch.setattr(model, "forward", small)
    assert_close(score(model, rows), expected)
    assert generate(model, tokenizer, prompts, SHORT) == answers
    most = 0
    with pytest.raises(LeyloraError, match="does not fit the GPU"):
        score(model, rows)
    with pytest.raises(LeyloraError, match="GPU is full"):
        generate(model, tokenizer, prompts, SHORT)


def test_rows_with_the_same_inputs_are_computed_once(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = [tokenizer.encode(letter, add_special_tokens=False) for letter in "ABCD"]
    sizes: list[int] = []
    logits = module._logits

    def counted(model: PreTrainedModel, groups: list[list[Row]], pad: int) -> tuple[torch.Tensor, int]:
        sizes.append(len(groups))
        return logits(model, groups, pad)

    monkeypatch.setattr(module, "_logits", counted)
    score(model, [Row.of_answer(prompts[0], letter[-1:]) for letter in letters])
    assert sizes == [1]


def test_batches_hold_at_most_their_tokens() -> None:
    found = batches([5, 1, 4, 2, 3], 8)
    assert found == [[0], [2, 4], [3, 1]]
    assert batches([9], 8) == [[0]]
    assert batches([1, 1, 1], 8, most_rows=2) == [[0, 1], [2]]


def test_an_empty_batch_has_no_answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    assert generate(model, tokenizer, []) == []
    assert score(model, []) == []
    assert Generated("a", 1, finished=True).text == "a"


def streamed(tokenizer: PreTrainedTokenizerBase, text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    pieces = []
    reader = TextPieces(tokenizer, stops)
    for token in tokenizer.encode(text, add_special_tokens=False):
        pieces.append(reader.add(token))
        if reader.stopped:
            return pieces, True
    return [*pieces, reader.rest()], False


@pytest.mark.parametrize("text", ["Artículo 1.- Objeto.", "El señor Ñandú 😀 llegó — y «dijo»:\n\n1. Sí.\n2. No."])
def test_streamed_text_is_the_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    pieces, stopped = streamed(tokenizer, text)
    assert "".join(pieces) == text
    assert not stopped
    assert not any("�" in piece for piece in pieces)


def test_a_stop_text_is_never_shown_in_part(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces, stopped = streamed(tokenizer, "El plazo es de quince días. [INST] ¿Y la multa?", ("[INST]",))
    assert "".join(pieces) == "El plazo es de quince días. "
    assert stopped


def test_what_only_looks_like_a_stop_text_is_shown(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces, stopped = streamed(tokenizer, "véase [INS y [I", ("[INST]",))
    assert "".join(pieces) == "véase [INS y [I"
    assert not stopped


def test_mistral_ends_before_it_plays_the_user(tokenizer: PreTrainedTokenizerBase) -> None:
    ending = ending_of(served_template(instruction_template("leylora-mistral")), tokenizer)
    assert ending.ids == {tokenizer.eos_token_id}
    assert "[INST]" in ending.texts


def test_falcon_ends_before_it_plays_the_user(tiny_base: Callable[[str], Path]) -> None:
    tokenizer = load_tokenizer(str(tiny_base("tiny-falcon")))
    ending = ending_of(served_template(instruction_template("leylora-falcon")), tokenizer)
    assert ending.texts == ("\n\nAssistant:", "\n\nUser:")


def test_control_tokens_end_by_number_and_their_words_do_not(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    ending = ending_of(template, tokenizer)
    assert set(tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])) <= ending.ids
    assert ending.texts == ()


def test_a_token_is_spelled_with_its_blank(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer.encode("la biblioteca comunitaria", add_special_tokens=False)
    assert "".join(spelled(tokenizer, at) for at in ids[1:]).endswith(" comunitaria")
    assert spelled(tokenizer, tokenizer.eos_token_id) == "</s>"


@pytest.mark.parametrize(
    ("text", "stop", "size"), [("ab", "abc", 2), ("xab", "abc", 2), ("abc", "abd", 0), ("a", "a", 0)]
)
def test_overlap(text: str, stop: str, size: int) -> None:
    assert overlap(text, stop) == size
