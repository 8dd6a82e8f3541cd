"""What the client's methods do, without sending anything itself.

A procedure is a generator: it yields a `Call` and is sent its result, or has its error thrown in.
"""

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from leylora.models.templates import instruction_template
from leylora.webui.client import calls
from leylora.webui.client.calls import Call
from leylora.webui.client.errors import (
    EmptyAnswerError,
    LoraError,
    NoModelError,
    RequestRefusedError,
    ServerFailedError,
    WebuiError,
)
from leylora.webui.client.schemas import Answer, LoraEffect, ModelInfo

T = TypeVar("T")
Procedure = Generator[Call[Any], Any, T]

PROBES = ("La ley", "Pregunta: ¿", "1.")
"""Prompts whose next-token probabilities tell whether a LoRA acts."""

_EMPTY = (
    "The server answered with status 200 and no text. Either the model ended at once, or its generation failed: the "
    "server's own log says which. Usual causes: a preset with a wrong value or penalty_alpha, a prompt too long."
)


def simple(call: Call[T]) -> Procedure[T]:
    """One call and its result."""
    result: T = yield call
    return result


def answered(call: Call[Answer], allow_empty: bool = False) -> Procedure[Answer]:
    """A whole answer.

    Raises:
        NoModelError: no model is loaded.
        EmptyAnswerError: there is no text and ``allow_empty`` is false.
    """
    answer = yield from with_model(call)
    yield from checked(answer, allow_empty)
    return answer


def require_model() -> Procedure[None]:
    """Nothing, if a model is loaded or the server cannot tell.

    Raises:
        NoModelError: none is.
    """
    try:
        loaded: ModelInfo = yield calls.info()
    except WebuiError:
        return  # not the webui, or down: the first error says more
    if not loaded.loaded:
        raise NoModelError("No model is loaded; load one first: python scripts/webui.py load NAME.")


def checked(answer: Answer, allow_empty: bool = False) -> Procedure[None]:
    """Nothing, if an answer (or a stream that ended) brought text; else as `answered`."""
    if not (answer.text or answer.tool_calls or allow_empty):
        yield from require_model()
        raise EmptyAnswerError(_EMPTY if not answer.reasoning else _only_thoughts(answer.finish_reason))


def with_model(call: Call[T]) -> Procedure[T]:
    """One call that needs a model, and an error that says so when there is none."""
    try:
        result: T = yield call
    except ServerFailedError:  # status 500, and for probabilities status 200 with something else inside
        yield from require_model()
        raise
    return result


def models() -> Procedure[list[str]]:
    """The models on the webui's disk; those another server offers."""
    try:
        names: list[str] = yield calls.models()
    except RequestRefusedError:
        names = yield calls.openai_models()
    return names


def _only_thoughts(finish_reason: str | None) -> str:
    more = "; give it more max_tokens" if finish_reason == "length" else ""
    return f"The model thought and wrote no answer{more}."


def load_model(name: str, args: dict[str, Any] | None, template: str | None) -> Procedure[ModelInfo]:
    """Load a model and see that it is there. A failed load also loses the model that was loaded before.

    Raises:
        RequestRefusedError: the server has no model of that name.
        ServerFailedError: it could not be loaded.
    """
    available: list[str] = yield calls.models()
    if name not in available:
        known = ", ".join(available) or "none"
        raise RequestRefusedError(f"The server has no model '{name}' (there: {known}); nothing was changed.")
    try:
        yield calls.load_model(name, args, instruction_template(template) if template else None)
    except ServerFailedError as error:
        raise ServerFailedError(f"{error} No model is loaded now. The server's log says why.") from None
    loaded: ModelInfo = yield calls.info()
    if loaded.model_name != name:
        raise ServerFailedError(f"The server said OK and has '{loaded.model_name}' loaded, not '{name}'.")
    return loaded


def load_lora(name: str, args: dict[str, Any] | None = None) -> Procedure[LoraEffect]:
    """Apply one LoRA in place of whatever is applied, and prove that it acts.

    The webui says OK to a LoRA without effect, and a bad one after a good one leaves it in a state that only a new
    load of the model repairs. So: unload, ask for probabilities, load, ask again; on a failure bring the base model
    back, by loading it again if need be.

    Args:
        name: the folder's name in the webui's loras.
        args: how the model was loaded (such as ``{"load_in_4bit": True}``), in case it must be loaded again.

    Raises:
        NoModelError: no model is loaded.
        LoraError: there is no such LoRA, it does not fit the model, or it changes nothing; the base model is usable.
    """
    available: list[str] = yield calls.loras()
    if name not in available:
        raise LoraError(f"The server has no LoRA '{name}' (there: {', '.join(available) or 'none'}).")
    before: ModelInfo = yield calls.info()
    if not before.loaded:
        raise NoModelError("No model is loaded; load the base model first: python scripts/webui.py load NAME.")
    if before.loader and before.loader != "Transformers":
        raise LoraError(f"The model is loaded with {before.loader}; only the Transformers loader applies LoRAs.")
    if before.lora_names:
        yield from unload_lora(args)
    base = yield from probabilities()
    noise = largest_change(base, (yield from probabilities()))  # 0 on a CPU; a GPU may differ from call to call
    try:
        yield calls.load_loras([name])
    except WebuiError as error:
        state = yield from _back_to(base, noise, before, args)
        raise LoraError(
            f"The LoRA '{name}' does not load. {error} {state} To see why: "
            "python scripts/export_webui.py --check WEBUI."
        ) from None
    change = largest_change(base, (yield from probabilities()))
    if change <= 2 * noise:
        state = yield from _back_to(base, noise, before, args)
        raise LoraError(
            f"The server said OK, but the LoRA '{name}' changes nothing: its weights are named for another model, or "
            f"are all zero. {state}"
        )
    return LoraEffect(name=name, change=change)


def unload_lora(args: dict[str, Any] | None = None) -> Procedure[ModelInfo]:
    """Take every LoRA off, by loading the model again if the server cannot.

    Raises:
        NoModelError: no model is loaded.
    """
    before: ModelInfo = yield calls.info()
    if not before.loaded:
        raise NoModelError("No model is loaded, so there is no LoRA to take off.")
    try:
        yield calls.unload_loras()
    except ServerFailedError:  # the state a failed swap leaves behind
        yield calls.load_model(str(before.model_name), args)
    after: ModelInfo = yield calls.info()
    if after.lora_names:
        yield calls.load_model(str(before.model_name), args)
        after = yield calls.info()
    return after


def probabilities() -> Procedure[list[dict[str, float]]]:
    """Next-token probabilities after each of `PROBES`."""
    found = []
    for probe in PROBES:
        found.append((yield calls.logits(probe)))
    return found


def largest_change(before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]) -> float:
    """The largest difference of a token's probability; tokens not in both lists of the likeliest do not count."""
    differences = [
        abs(old[token] - new[token])
        for old, new in zip(before, after, strict=True)
        for token in old.keys() & new.keys()
    ]
    return max(differences, default=1.0)


def _back_to(
    base: Sequence[dict[str, float]], noise: float, before: ModelInfo, args: dict[str, Any] | None
) -> Procedure[str]:
    """Bring the base model back after a failed LoRA; returns what was done, as a sentence."""
    try:
        yield calls.unload_loras()
        if largest_change(base, (yield from probabilities())) <= 2 * noise:
            return "The base model is loaded, without a LoRA."
    except WebuiError:
        pass
    try:
        yield calls.load_model(str(before.model_name), args)
    except WebuiError as error:
        return f"The base model could not be loaded again either ({error})"
    return "The base model was loaded again, without a LoRA."
