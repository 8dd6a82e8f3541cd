"""The client for asyncio: the methods of `Client`, awaited, and its streams with ``async for``."""

import asyncio
from collections.abc import AsyncIterator, Sequence
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


class AsyncClient:
    """`leylora.webui.client.blocking.Client` for asyncio; the methods are described there."""

    def __init__(
        self, settings: ServerSettings | None = None, *, timeout: float | None = None, allow_empty: bool = False
    ) -> None:
        self.settings = settings or ServerSettings.from_environment()
        self._timeout = timeout
        self._allow_empty = allow_empty
        self._http = httpx.AsyncClient(**http_options(self.settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def generate(self, prompt: str, **sampling: Any) -> Answer:
        call = calls.completions(prompt, Sampling.of(**sampling))
        return await self._run(procedures.answered(call, self._allow_empty))

    async def instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> Answer:
        return await self.chat(turns(instruction, system), **options)

    async def chat(self, messages: Sequence[Message], **options: Any) -> Answer:
        return await self._run(procedures.answered(chat_call(messages, options), self._allow_empty))

    def stream_generate(self, prompt: str, **sampling: Any) -> AsyncIterator[Chunk]:
        return self._stream(calls.completions(prompt, Sampling.of(**sampling), stream=True))

    def stream_instruct(self, instruction: str, *, system: str | None = None, **options: Any) -> AsyncIterator[Chunk]:
        return self.stream_chat(turns(instruction, system), **options)

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> AsyncIterator[Chunk]:
        return self._stream(chat_call(messages, options, stream=True))

    async def chat_prompt(self, messages: Sequence[Message], **fields: Any) -> str:
        rest, own = chat_fields(messages, **fields)
        return await self._run(procedures.simple(calls.chat_prompt(rest, **own)))

    async def info(self) -> ModelInfo:
        return await self._run(procedures.simple(calls.info()))

    async def models(self) -> list[str]:
        return await self._run(procedures.models())

    async def load_model(
        self, name: str, args: dict[str, Any] | None = None, *, template: str | None = None
    ) -> ModelInfo:
        return await self._run(procedures.load_model(name, args, template))

    async def unload_model(self) -> None:
        await self._run(procedures.simple(calls.unload_model()))

    async def loras(self) -> list[str]:
        return await self._run(procedures.simple(calls.loras()))

    async def load_lora(self, name: str, args: dict[str, Any] | None = None) -> LoraEffect:
        return await self._run(procedures.load_lora(name, args))

    async def unload_lora(self, args: dict[str, Any] | None = None) -> ModelInfo:
        return await self._run(procedures.unload_lora(args))

    async def encode(self, text: str) -> list[int]:
        return await self._run(procedures.simple(calls.encode(text)))

    async def decode(self, tokens: Sequence[int]) -> str:
        return await self._run(procedures.simple(calls.decode(tokens)))

    async def logits(self, prompt: str, top: int = 50) -> dict[str, float]:
        return await self._run(procedures.with_model(calls.logits(prompt, top)))

    async def stop(self) -> None:
        await self._run(procedures.simple(calls.stop()))

    async def _run(self, procedure: Procedure[T]) -> T:
        try:
            call = next(procedure)
            while True:
                try:
                    result = await self._send(call)
                except WebuiError as error:
                    call = procedure.throw(error)
                else:
                    call = procedure.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    async def _send(self, call: Call[T]) -> T:
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                response = await self._http.request(**http_request(call, self.settings, self._patience(call)))
            except httpx.HTTPError as error:
                if last or not may_retry(call, error, None):
                    raise connection_error(call, error, self.settings) from None
            else:
                if last or not may_retry(call, None, response.status_code):
                    return read_answer(call, answer_json(call, response, self.settings))
            await asyncio.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _patience(self, call: Call[Any]) -> float | None:
        return self._timeout if self._timeout and call.patience > calls.QUICK else None

    async def _stream(self, call: Call[Answer]) -> AsyncIterator[Chunk]:
        reader = StreamReader()
        try:
            try:
                async with self._http.stream(**http_request(call, self.settings, self._timeout or SILENCE)) as response:
                    if not response.is_success:
                        await response.aread()
                        raise status_error(call, response.status_code, response.text, self.settings)
                    async for data in response.aiter_bytes():
                        for piece in reader.feed(data):
                            yield piece
            except httpx.HTTPError as error:
                raise broken_stream(call, error, reader.text, self.settings) from None
            answer = reader.whole()
        except (ServerFailedError, StreamCutError):  # a cut stream is also how it says that no model is loaded
            await self._run(procedures.require_model())
            raise
        await self._run(procedures.checked(answer, self._allow_empty))
