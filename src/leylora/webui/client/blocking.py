"""The client: every method drives a procedure and sends its calls."""

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from leylora.webui.client import calls, procedures
from leylora.webui.client.calls import Call, Message, read_answer
from leylora.webui.client.chats import chat_call, chat_fields, turns
from leylora.webui.client.errors import ServerFailedError, StreamCutError, WebuiError
from leylora.webui.client.options import Sampling, ServerSettings
from leylora.webui.client.procedures import Procedure
from leylora.webui.client.schemas import Answer, Chunk, LoraEffect, ModelInfo
from leylora.webui.client.transport import (
    PAUSE,
    RETRIES,
    SILENCE,
    StreamReader,
    answer_json,
    broken_stream,
    connection_error,
    http_options,
    http_request,
    may_retry,
    status_error,
)

T = TypeVar("T")


class Client:
    """A connection to text-generation-webui (started with ``--api``) or, for `generate`, `instruct`, `chat` and their
    streams, to any server with OpenAI's API.

    Every method raises a `leylora.webui.client.errors.WebuiError` that says what to do. Sampling is given as
    keywords (`Sampling`): ``client.instruct("¿Qué es una ley?", preset="mistral-7b-law", max_tokens=200)``.

    Args:
        settings: address and keys; by default those of the environment.
        timeout: seconds to wait for a whole answer (default 600), and for a model to load (default 3600).
        allow_empty: take an answer without text as one, not as the failed generation it mostly is.
    """

    def __init__(
        self, settings: ServerSettings | None = None, *, timeout: float | None = None, allow_empty: bool = False
    ) -> None:
        self.settings = settings or ServerSettings.from_environment()
        self._timeout = timeout
        self._allow_empty = allow_empty
        self._http = httpx.Client(**http_options(self.settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(self, prompt: str, **sampling: Any) -> Answer:
        """Continue a text as it stands, without a template."""
        return self._run(procedures.answered(calls.completions(prompt, Sampling.of(**sampling)), self._allow_empty))

    def instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> Answer:
        """Answer one instruction; ``options`` as for `chat`."""
        return self.chat(turns(instruction, system), **options)

    def chat(self, messages: Sequence[Message], **options: Any) -> Answer:
        """Answer the last of several messages (``{"role": "user", "content": "…"}``).

        Args:
            options: those of `Sampling`, and the webui's own:
                ``template``, an instruction template, of INSTRUCTION-TEMPLATES or of the server (default: the model's);
                ``mode``, instruct (default), chat or chat-instruct, as in the webui's Chat tab;
                ``character``, ``context`` (the character's description), ``name1`` and ``name2`` (the user's and the
                character's name), for the two chat modes;
                ``continue_last``, to go on with the last message, the assistant's, instead of answering it.
        """
        return self._run(procedures.answered(chat_call(messages, options), self._allow_empty))

    def stream_generate(self, prompt: str, **sampling: Any) -> Iterator[Chunk]:
        """As `generate`, piece by piece."""
        return self._stream(calls.completions(prompt, Sampling.of(**sampling), stream=True))

    def stream_instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> Iterator[Chunk]:
        """As `instruct`, piece by piece."""
        return self.stream_chat(turns(instruction, system), **options)

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> Iterator[Chunk]:
        """As `chat`, piece by piece. Leaving the loop early closes the connection, which stops the generation."""
        return self._stream(chat_call(messages, options, stream=True))

    def chat_prompt(self, messages: Sequence[Message], **fields: Any) -> str:
        """What the server would feed the model for this chat; takes `chat`'s own options, without sampling."""
        rest, own = chat_fields(messages, **fields)
        return self._run(procedures.simple(calls.chat_prompt(rest, **own)))

    def info(self) -> ModelInfo:
        """What is loaded."""
        return self._run(procedures.simple(calls.info()))

    def models(self) -> list[str]:
        """The models on the server's disk; for another server than the webui, those it offers."""
        return self._run(procedures.models())

    def load_model(self, name: str, args: dict[str, Any] | None = None, *, template: str | None = None) -> ModelInfo:
        """Load a model; ``args`` as in the Model tab: ``{"load_in_4bit": True}``. It takes every LoRA off."""
        return self._run(procedures.load_model(name, args, template))

    def unload_model(self) -> None:
        """Free the memory."""
        self._run(procedures.simple(calls.unload_model()))

    def loras(self) -> list[str]:
        """The LoRAs on the server's disk."""
        return self._run(procedures.simple(calls.loras()))

    def load_lora(self, name: str, args: dict[str, Any] | None = None) -> LoraEffect:
        """Apply one LoRA and prove that it acts; see `procedures.load_lora`."""
        return self._run(procedures.load_lora(name, args))

    def unload_lora(self, args: dict[str, Any] | None = None) -> ModelInfo:
        """Take every LoRA off, by loading the model again (with ``args``) if need be."""
        return self._run(procedures.unload_lora(args))

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, the BOS in front included."""
        return self._run(procedures.simple(calls.encode(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token numbers."""
        return self._run(procedures.simple(calls.decode(tokens)))

    def logits(self, prompt: str, top: int = 50) -> dict[str, float]:
        """The likeliest next tokens with their probabilities."""
        return self._run(procedures.with_model(calls.logits(prompt, top)))

    def stop(self) -> None:
        """Stop everything the server is generating, for everyone."""
        self._run(procedures.simple(calls.stop()))

    def _run(self, procedure: Procedure[T]) -> T:
        """Drive a procedure: send each call it asks for, hand it the result or the error."""
        try:
            call = next(procedure)
            while True:
                try:
                    result = self._send(call)
                except WebuiError as error:
                    call = procedure.throw(error)
                else:
                    call = procedure.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    def _send(self, call: Call[T]) -> T:
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                response = self._http.request(**http_request(call, self.settings, self._patience(call)))
            except httpx.HTTPError as error:
                if last or not may_retry(call, error, None):
                    raise connection_error(call, error, self.settings) from None
            else:
                if last or not may_retry(call, None, response.status_code):
                    return read_answer(call, answer_json(call, response, self.settings))
            time.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _patience(self, call: Call[Any]) -> float | None:
        return self._timeout if self._timeout and call.patience > calls.QUICK else None

    def _stream(self, call: Call[Answer]) -> Iterator[Chunk]:
        reader = StreamReader()
        try:
            try:
                with self._http.stream(**http_request(call, self.settings, self._timeout or SILENCE)) as response:
                    if not response.is_success:
                        response.read()
                        raise status_error(call, response.status_code, response.text, self.settings)
                    for data in response.iter_bytes():
                        yield from reader.feed(data)
            except httpx.HTTPError as error:
                raise broken_stream(call, error, reader.text, self.settings) from None
            answer = reader.whole()
        except (ServerFailedError, StreamCutError):  # a cut stream is also how it says that no model is loaded
            self._run(procedures.require_model())
            raise
        self._run(procedures.checked(answer, self._allow_empty))
