"""A client for text-generation-webui's API that notices what its answers hide; plain calls work with any OpenAI server.

Takes prompts or messages and keywords, gives `Answer`, streamed `Chunk`s, `ModelInfo` and `LoraEffect`. Every failure
is a `WebuiError` whose message says what to do. Requests go through the `openai` SDK; this is the only module that
knows the paths of the webui's own calls (``/v1/internal``).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, Omit, OpenAI, OpenAIError, Stream
from pydantic import ValidationError

from leylora.models.templates import instruction_template
from leylora.webui.protocol import (
    Answer,
    Chunk,
    EmptyAnswerError,
    LoraEffect,
    LoraError,
    Message,
    ModelInfo,
    NoModelError,
    RequestRefusedError,
    ServerDownError,
    ServerFailedError,
    ServerSettings,
    StreamCutError,
    TimedOutError,
    UnauthorizedError,
    WebuiError,
    chat_body,
    completion_body,
    read_answer,
    read_chunk,
    server_words,
    turns,
)

__all__ = [
    "Answer",
    "Chunk",
    "Client",
    "EmptyAnswerError",
    "LoraEffect",
    "LoraError",
    "ModelInfo",
    "NoModelError",
    "RequestRefusedError",
    "ServerDownError",
    "ServerFailedError",
    "ServerSettings",
    "StreamCutError",
    "TimedOutError",
    "UnauthorizedError",
    "WebuiError",
]

T = TypeVar("T")

PROBES = ("La ley", "Pregunta: ¿", "1.")
"""Prompts whose next-token probabilities tell whether a LoRA acts."""

QUICK, GENERATION, LOADING = 30.0, 600.0, 3600.0  # seconds until an answer must have begun
SILENCE = 120.0  # seconds without a byte until a stream is given up; the webui pings every 15
CONNECT = 10.0  # seconds
RETRIES = 2  # of a GET; a POST is never repeated, since the first generation may still be running
DRIFT = 1e-3  # a change of the base model's probabilities above this is not the rounding of a GPU

_CAUSES = (
    "Usual causes: a preset with a wrong value or penalty_alpha, more tokens than the context, an unknown character."
)


class Client:
    """A connection to text-generation-webui (started with ``--api``) or, for `generate`, `instruct`, `chat` and their
    streams, to any server with OpenAI's API.

    How to generate is given as keywords, see `leylora.webui.protocol.sampling_fields`:
    ``client.instruct("¿Qué es una ley?", preset="mistral-7b-law", max_tokens=200)``.

    Args:
        settings: address and keys, or the address alone; by default those of the environment.
        timeout: seconds to wait for a whole answer (default 600), and for a model to load (default 3600).
        allow_empty: accept an answer without text instead of treating it as a failed generation.

    Raises:
        WebuiError: every method, when the server cannot do what was asked.
        UsageError: every method that generates, for an option that does not exist or cannot have that value.
    """

    def __init__(
        self, settings: ServerSettings | str | None = None, *, timeout: float | None = None, allow_empty: bool = False
    ) -> None:
        given = settings if isinstance(settings, ServerSettings) else ServerSettings.from_environment(settings)
        self.settings = given
        self._timeout = timeout
        self._allow_empty = allow_empty
        self._sdk = OpenAI(
            base_url=f"{given.url}/v1",
            api_key="-",  # the keys are sent call by call; without one here the SDK would take OpenAI's own
            admin_api_key="",
            default_headers=cast(Any, {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}),
            max_retries=0,
            # No connection is kept: the webui drops one after a status 500, and the next call on it would break.
            http_client=httpx2.Client(
                trust_env=not given.local, limits=httpx2.Limits(max_keepalive_connections=0), timeout=QUICK
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._sdk.close()

    # Asking

    def generate(self, prompt: str, **sampling: Any) -> Answer:
        """Continue a text without a template."""
        return self._answer("/completions", "generate", completion_body(prompt, sampling))

    def instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> Answer:
        """Answer one instruction; ``options`` as for `chat`."""
        return self.chat(turns(instruction, system), **options)

    def chat(self, messages: Sequence[Message], **options: Any) -> Answer:
        """Answer the last of several messages (``{"role": "user", "content": "…"}``).

        Args:
            options: those of `sampling_fields`, and the webui's own:
                ``template``, an instruction template, of INSTRUCTION-TEMPLATES or of the server (default: the model's);
                ``mode``, instruct (default), chat or chat-instruct, as in the webui's Chat tab;
                ``character``, ``context`` (the character's description), ``name1`` and ``name2`` (the user's and the
                character's name), for the two chat modes;
                ``continue_last``, to go on with the last message, the assistant's, instead of answering it.
        """
        return self._answer("/chat/completions", "chat", chat_body(messages, **options))

    def stream_generate(self, prompt: str, **sampling: Any) -> Iterator[Chunk]:
        """As `generate`, piece by piece."""
        return self._stream("/completions", "generate", completion_body(prompt, sampling))

    def stream_instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> Iterator[Chunk]:
        """As `instruct`, piece by piece."""
        return self.stream_chat(turns(instruction, system), **options)

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> Iterator[Chunk]:
        """As `chat`, piece by piece. Leaving the loop early closes the connection, which stops the generation."""
        return self._stream("/chat/completions", "chat", chat_body(messages, **options))

    def chat_prompt(self, messages: Sequence[Message], **fields: Any) -> str:
        """What the server would feed the model for this chat; takes `chat`'s own options, without sampling."""
        body = chat_body(messages, **fields)
        return self._call("/internal/chat-prompt", "render a chat", lambda found: str(found["prompt"]), body)

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, with the BOS that the webui puts in front."""
        return self._call("/internal/encode", "encode", lambda found: list(found["tokens"]), {"text": text}, model=True)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token numbers."""
        body = {"tokens": list(tokens)}
        return self._call("/internal/decode", "decode", lambda found: str(found["text"]), body, model=True)

    def logits(self, prompt: str, top: int = 50) -> dict[str, float]:
        """The likeliest next tokens, as the vocabulary spells them, with their probabilities."""

        def read(found: Any) -> dict[str, float]:  # without a model: a list, with status 200
            return {str(token): float(probability) for token, probability in found.items()}

        body = {"prompt": prompt, "use_samplers": False, "top_logits": top}
        return self._call("/internal/logits", "ask for probabilities", read, body, patience=GENERATION, model=True)

    def stop(self) -> None:
        """Stop everything the server is generating, for everyone."""
        self._call("/internal/stop-generation", "stop the generation", str, {})

    # Models

    def info(self) -> ModelInfo:
        """What is loaded."""
        return self._call("/internal/model/info", "ask what is loaded", ModelInfo.model_validate)

    def models(self) -> list[str]:
        """The models on the server's disk; for another server than the webui, those it offers."""
        try:
            return self._names("/internal/model/list", "list the models", "model_names")
        except RequestRefusedError:
            return self._call("/models", "list the models", lambda found: [str(one["id"]) for one in found["data"]])

    def load_model(self, name: str, args: dict[str, Any] | None = None, *, template: str | None = None) -> ModelInfo:
        """Load a model and see that it is there; ``args`` as in the Model tab: ``{"load_in_4bit": True}``.

        It takes every LoRA off, and a failed load also loses the model that was loaded before.

        Raises:
            RequestRefusedError: the server has no model of that name.
            ServerFailedError: it could not be loaded.
        """
        available = self._names("/internal/model/list", "list the models", "model_names")
        if name not in available:
            known = ", ".join(available) or "none"
            raise RequestRefusedError(f"The server has no model '{name}' (there: {known}); nothing was changed.")
        try:
            self._load(name, args, template)
        except ServerFailedError as error:
            raise ServerFailedError(f"{error} No model is loaded now. The server's log says why.") from None
        loaded = self.info()
        if loaded.model_name != name:
            raise ServerFailedError(f"The server said OK and has '{loaded.model_name}' loaded, not '{name}'.")
        try:
            self.encode("La ley")  # model/load also says OK when the loader found nothing to load
        except ServerFailedError:
            raise ServerFailedError(
                f"The server said OK, but '{name}' does not answer; is {loaded.loader} the right loader for it? The "
                "server's log says why."
            ) from None
        return loaded

    def unload_model(self) -> None:
        """Free the memory."""
        self._call("/internal/model/unload", "unload the model", str, {}, admin=True, patience=LOADING)

    # LoRAs

    def loras(self) -> list[str]:
        """The LoRAs on the server's disk."""
        return self._names("/internal/lora/list", "list the LoRAs", "lora_names")

    def load_lora(self, name: str, args: dict[str, Any] | None = None) -> LoraEffect:
        """Apply one LoRA in place of any other, and prove that it acts.

        The webui says OK to a LoRA without effect; after a bad LoRA it refuses every further one until the model is
        loaded again; and after two at once it may report none while one still acts. So the LoRA is loaded, measured,
        taken off, measured again, and put back: only the difference that taking it off makes is a proof.

        Args:
            name: the folder's name in the webui's loras.
            args: how the model was loaded (such as ``{"load_in_4bit": True}``), in case it must be loaded again.

        Raises:
            NoModelError: no model is loaded.
            LoraError: there is no such LoRA, or it does not fit, or changes nothing; the base model is usable.
        """
        available = self.loras()
        if name not in available:
            raise LoraError(f"The server has no LoRA '{name}' (there: {', '.join(available) or 'none'}).")
        before = self.info()
        if not before.loaded:
            raise NoModelError("No model is loaded; load the base model first: python scripts/webui.py load NAME.")
        if before.loader and before.loader != "Transformers":
            raise LoraError(f"The model is loaded with {before.loader}; only the Transformers loader applies LoRAs.")
        if before.lora_names:
            self.unload_lora(args)
        try:
            on, off, noise = self._measure(name, before, args)
            change = again = _largest_change(on, off)
            if change > 2 * noise:
                self._load_lora(name)
                again = _largest_change(off, self._probabilities())
        except WebuiError as error:
            dot = " Its name holds a dot, which the webui cannot load: rename the folder." if "." in name else ""
            raise LoraError(
                f"The LoRA '{name}' does not load. {error} {self._bring_back(before, args)}{dot} To see why: "
                "python scripts/export_webui.py --check WEBUI."
            ) from None
        if change <= 2 * noise or again <= 2 * noise:
            raise LoraError(
                f"The server said OK, but the LoRA '{name}' changes nothing: its weights are named for another model, "
                "or are all zero, or an earlier failure of another program still holds the server (load the model "
                f"again then). {self._bring_back(before, args)}"
            )
        return LoraEffect(name=name, change=change)

    def unload_lora(self, args: dict[str, Any] | None = None) -> ModelInfo:
        """Take every LoRA off, by loading the model again (with ``args``) if the server cannot.

        Raises:
            NoModelError: no model is loaded.
        """
        before = self.info()
        if not before.loaded:
            raise NoModelError("No model is loaded, so there is no LoRA to take off.")
        try:
            self._unload_loras()
        except ServerFailedError:  # the state a failed swap leaves behind
            self._load(str(before.model_name), args)
        after = self.info()
        if after.lora_names:
            self._load(str(before.model_name), args)
            after = self.info()
        return after

    def _measure(
        self, name: str, before: ModelInfo, args: dict[str, Any] | None
    ) -> tuple[list[dict[str, float]], list[dict[str, float]], float]:
        """Probabilities with the LoRA and, once it is off again, without; and how much two equal calls differ.

        Where the base was not the same before as after, a LoRA acted that the server did not report: the model is
        loaded again and everything measured once more.
        """
        for fresh in (False, True):
            first = self._probabilities()
            self._load_lora(name)
            on = self._probabilities()
            self._unload_loras()
            off = self._probabilities()
            noise = _largest_change(off, self._probabilities())  # 0 on a CPU; a GPU may differ from call to call
            if fresh or _largest_change(first, off) <= max(2 * noise, DRIFT):
                break
            self._load(str(before.model_name), args)
        return on, off, noise

    def _bring_back(self, before: ModelInfo, args: dict[str, Any] | None) -> str:
        """Bring the base model back after a failed LoRA; returns what was done, as a sentence."""
        try:
            self._unload_loras()
            self._probabilities()
            if not self.info().lora_names:
                return "The base model is loaded, without a LoRA."
        except WebuiError:
            pass
        try:
            self._load(str(before.model_name), args)
        except WebuiError as error:
            return f"The base model could not be loaded again either ({error})"
        return "The base model was loaded again, without a LoRA."

    def _load(self, name: str, args: dict[str, Any] | None, template: str | None = None) -> None:
        text = instruction_template(template) if template else None
        body = {"model_name": name, "args": args, "instruction_template_str": text}
        given = {key: value for key, value in body.items() if value is not None}
        what = f"load the model {name}"
        self._call("/internal/model/load", what, str, given, admin=True, patience=LOADING)

    def _load_lora(self, name: str) -> None:
        body, what = {"lora_names": [name]}, f"load the LoRA {name}"
        self._call("/internal/lora/load", what, str, body, admin=True, patience=LOADING)

    def _unload_loras(self) -> None:
        self._call("/internal/lora/unload", "unload the LoRA", str, {}, admin=True, patience=LOADING)

    def _names(self, path: str, what: str, key: str) -> list[str]:
        return self._call(path, what, lambda found: [str(name) for name in found[key]], admin=True)

    def _probabilities(self) -> list[dict[str, float]]:
        return [self.logits(probe) for probe in PROBES]

    # Requests

    def _answer(self, path: str, what: str, body: dict[str, Any]) -> Answer:
        answer = self._call(path, what, read_answer, body, patience=GENERATION, model=True)
        if not (answer.text or answer.tool_calls):
            self._check_empty(answer)
        return answer

    def _stream(self, path: str, what: str, body: dict[str, Any]) -> Iterator[Chunk]:
        text, thoughts, finish = "", "", None
        options = self._request(self._timeout or SILENCE)
        try:
            try:
                with self._sdk.post(
                    path,
                    cast_to=object,
                    body=body | {"stream": True},
                    options=options,
                    stream=True,
                    stream_cls=Stream[object],
                ) as events:
                    for event in events:
                        chunk = read_chunk(event)
                        text, thoughts = text + chunk.text, thoughts + chunk.reasoning
                        finish = chunk.finish_reason or finish
                        if chunk != Chunk():
                            yield chunk
            except (OpenAIError, ValueError) as error:
                raise self._stream_error(what, error, text) from None
            if finish is None:
                raise self._stream_error(what, None, text)
        except (ServerFailedError, StreamCutError):  # a cut stream is also how the webui says that no model is loaded
            self._require_model()
            raise
        if not text:
            self._check_empty(Answer(reasoning=thoughts, finish_reason=finish))

    def _check_empty(self, answer: Answer) -> None:
        if self._allow_empty:
            return
        self._require_model()
        if answer.reasoning:
            more = "; give it more max_tokens" if answer.finish_reason == "length" else ""
            raise EmptyAnswerError(f"The model thought and wrote no answer{more}.")
        raise EmptyAnswerError(
            "The server answered with status 200 and no text. Either the model ended at once, or its generation "
            f"failed: the server's own log says which. {_CAUSES}"
        )

    def _require_model(self) -> None:
        """Raise `NoModelError` if the server says that no model is loaded; not if it cannot tell."""
        try:
            loaded = self.info().loaded
        except WebuiError:
            return  # not the webui, or down: the first error says more
        if not loaded:
            raise NoModelError("No model is loaded; load one first: python scripts/webui.py load NAME.")

    def _call(
        self,
        path: str,
        what: str,
        read: Callable[[Any], T],
        body: dict[str, Any] | None = None,
        *,
        admin: bool = False,
        patience: float = QUICK,
        model: bool = False,
    ) -> T:
        """One request: a POST with a body, or a GET without.

        Args:
            what: what it does, for error messages.
            read: makes the result of the answer's JSON.
            patience: seconds to wait for the answer; ``timeout`` of the client replaces those of long calls.
            model: a failure may mean that no model is loaded, and is then said so.
        """
        options = self._request(self._timeout if self._timeout and patience > QUICK else patience, admin)
        try:
            try:
                if body is None:
                    options["max_retries"] = RETRIES
                    found = self._sdk.get(path, cast_to=object, options=options)
                else:
                    found = self._sdk.post(path, cast_to=object, body=body, options=options)
            except json.JSONDecodeError:
                found = ""
            except OpenAIError as error:
                raise self._error(what, error, admin) from None
            if isinstance(found, str) and found != "OK":  # the SDK hands out another content type as text
                raise ServerFailedError(
                    f"{self.settings.url}/v1{path} answered with something that is not JSON; is this the API's port "
                    "(5000 by default) and not the web page's (7860)?"
                )
            try:
                return read(found)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, ValidationError):
                raise ServerFailedError(
                    f"/v1{path} answered with something else than expected ({str(found)[:120]}); is it the API of "
                    "text-generation-webui, or of a server compatible with OpenAI's?"
                ) from None
        except ServerFailedError:
            if model:
                self._require_model()
            raise

    def _request(self, patience: float, admin: bool = False) -> Any:
        """The SDK's options of a request: its key and its time."""
        timeout = httpx2.Timeout(patience, connect=CONNECT, write=60.0, pool=CONNECT)
        return {"headers": {"Authorization": Omit(), **self.settings.headers(admin=admin)}, "timeout": timeout}

    def _error(self, what: str, error: OpenAIError, admin: bool = False) -> WebuiError:
        """What a status or a broken connection means, in words."""
        url = self.settings.url
        if isinstance(error, APIStatusError):
            return self._status_error(what, error.status_code, error.response.text, admin)
        if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
            return ServerDownError(
                f"Nothing answers at {url}; start the webui with --api, and look which port it prints (it takes "
                "another one if 5000 is busy)."
            )
        if isinstance(error, APITimeoutError):
            return TimedOutError(
                f"The server did not answer in time ({what}); it may still be at work. Ask for fewer tokens, or give "
                "a longer --timeout."
            )
        if isinstance(error, APIConnectionError):
            return ServerFailedError(f"The connection broke ({what}): {error.__cause__ or error}.")
        return ServerFailedError(f"The server broke off the stream: {error}.")  # an error event inside it

    def _status_error(self, what: str, status: int, text: str, admin: bool) -> WebuiError:
        if status in (401, 403):
            name, variable, option = (
                ("admin key", "WEBUI_ADMIN_KEY", "--admin-key") if admin else ("API key", "WEBUI_API_KEY", "--api-key")
            )
            if self.settings.headers(admin=admin):
                return UnauthorizedError(f"The server does not accept this {name} to {what}; check {variable}.")
            return UnauthorizedError(f"The server wants its {name} to {what}; give it as {variable} or {option}.")
        detail = server_words(text)
        if status == 404:
            return RequestRefusedError(
                f"{self.settings.url} cannot {what} (status 404: {detail.rstrip('.')}); the webui's own calls need "
                "text-generation-webui, started with --api."
            )
        if status == 400 and "host header" in detail.lower():
            return RequestRefusedError(
                f"The server does not accept calls under the name {self.settings.url}; start it with --listen, or "
                "call it at 127.0.0.1."
            )
        if 400 <= status < 500:
            return RequestRefusedError(f"The server refused to {what} (status {status}): {detail}")
        return ServerFailedError(f"The server failed to {what} (status {status}): {detail}")

    def _stream_error(self, what: str, error: Exception | None, text: str) -> WebuiError:
        """What ended a stream after ``text``; without an error, it stopped before its last chunk."""
        if isinstance(error, UnicodeDecodeError):
            return StreamCutError("The stream is not UTF-8; the server, or a proxy on the way, damaged it.", text)
        if isinstance(error, ValueError):
            return ServerFailedError(f"The stream holds an event that is not JSON ({error}).")
        if error is None or isinstance(error.__cause__, httpx2.RemoteProtocolError | httpx2.ReadError):
            return StreamCutError(
                f"The stream was cut after {len(text)} characters: the generation failed on the server, or the server "
                f"ended; its log says why. {_CAUSES}",
                text,
            )
        if isinstance(error, APITimeoutError) and text:
            return StreamCutError(f"The stream fell silent after {len(text)} characters.", text)
        return self._error(what, cast(OpenAIError, error))


def _largest_change(before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]) -> float:
    """The largest difference of a token's probability; tokens not in both lists of the likeliest do not count."""
    differences = [
        abs(old[token] - new[token])
        for old, new in zip(before, after, strict=True)
        for token in old.keys() & new.keys()
    ]
    return max(differences, default=1.0)
