"""A client for text-generation-webui's API that notices what its answers hide; plain calls work with any OpenAI server.

Takes prompts or messages and keywords, gives `Answer` (whole or in pieces), `ModelInfo` and `LoraEffect`. Every failure
is a `WebuiError` whose message says what to do. Requests go through the `openai` SDK; this is the only module that
knows the paths of the webui's own calls (``/v1/internal``).
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, Omit, OpenAI, OpenAIError, Stream
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from leylora.errors import UsageError
from leylora.models.templates import instruction_template
from leylora.redact import plain_address, scrubbed
from leylora.webui.protocol import (
    Answer,
    EmptyAnswerError,
    LoraEffect,
    LoraError,
    LoraRemoval,
    Message,
    ModelInfo,
    NoModelError,
    RequestRefusedError,
    ServerDownError,
    ServerFailedError,
    StreamCutError,
    TimedOutError,
    UnauthorizedError,
    WebuiError,
    chat_body,
    completion_body,
    read_answer,
    unknown_template,
)

T = TypeVar("T")

PROBES = ("La ley", "Pregunta: ¿", "1.")  # the next tokens after these tell whether a LoRA acts
QUICK, GENERATION, LOADING = 30.0, 600.0, 3600.0  # seconds until an answer must have begun
SILENCE = 120.0  # seconds without a byte until a stream is given up; the webui pings every 15
CONNECT = 10.0  # seconds
RETRIES = 2  # of a GET; a POST is never repeated, since the first generation may still be running
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)  # of JSON that is not as expected
DRIFT = 1e-3  # a change of the base model's probabilities above this is not the rounding of a GPU

_CAUSES = (
    "Usual causes: a preset with a wrong value or penalty_alpha, more tokens than the context, an unknown character."
)


class ServerSettings(BaseModel):
    """Address and keys. A key is never shown: not in a repr, not in an error."""

    model_config = ConfigDict(frozen=True)

    url: str = "http://127.0.0.1:5000"
    api_key: SecretStr | None = None
    admin_key: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str) -> str:
        """``host:port``, ``http://host:port/`` or ``…/v1`` as ``http://host:port``."""
        full = url.strip() if "://" in url else f"http://{url.strip()}"
        try:
            parts = urlsplit(full)
            sound = parts.scheme in ("http", "https") and parts.hostname and not re.search(r"\s", full)
            _ = parts.port  # ValueError where it is not a number
        except ValueError:
            sound = False
        if not sound:
            raise UsageError(f"{scrubbed(url)!r} is not a server address; write it as 127.0.0.1:5000 or https://host.")
        if "@" in parts.netloc or parts.query:
            raise UsageError(
                f"The address {plain_address(full)} was given with a user, password or query, which would be written "
                "into reports; give the key in WEBUI_API_KEY, or put a proxy that knows it in front."
            )
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"

    @classmethod
    def from_environment(cls, url: str | None = None, api_key: str | None = None, admin_key: str | None = None) -> Self:
        """What is given, or else WEBUI_URL, WEBUI_API_KEY and WEBUI_ADMIN_KEY, which defaults to the API key."""
        key = api_key or os.environ.get("WEBUI_API_KEY")
        admin = admin_key or os.environ.get("WEBUI_ADMIN_KEY") or key
        return cls(
            url=url or os.environ.get("WEBUI_URL") or "http://127.0.0.1:5000",
            api_key=SecretStr(key) if key else None,
            admin_key=SecretStr(admin) if admin else None,
        )

    def headers(self, *, admin: bool) -> dict[str, str]:
        """The Authorization header of an ordinary call, or of one on models and LoRAs."""
        key = self.admin_key if admin else self.api_key
        return {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}


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
        self._templates: set[str] = set()  # of the server's, seen to be there
        host = urlsplit(given.url).hostname or ""
        self._sdk = OpenAI(
            base_url=f"{given.url}/v1",
            api_key="-",  # the keys are sent call by call; without one here the SDK would take OpenAI's own
            admin_api_key="",
            default_headers=cast(Any, {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}),
            max_retries=0,
            http_client=httpx2.Client(
                # A proxy of the environment is not asked for this machine.
                trust_env=host not in ("localhost", "::1") and not re.fullmatch(r"127(\.\d+){3}", host),
                # No connection is kept: the webui drops one after a status 500, and the next call on it would break.
                limits=httpx2.Limits(max_keepalive_connections=0),
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sdk.close()

    # Asking

    def generate(self, prompt: str, *, timeout: float | None = None, **sampling: Any) -> Answer:
        """Continue a text without a template. ``timeout`` is this call's own."""
        return self._answer("/completions", "generate", completion_body(prompt, sampling), timeout)

    def instruct(self, instruction: str, **options: Any) -> Answer:
        """Answer one instruction; ``options`` as for `chat`."""
        return self.chat([{"role": "user", "content": instruction}], **options)

    def chat(self, messages: Sequence[Message], *, timeout: float | None = None, **options: Any) -> Answer:
        """Answer the last of several messages (``{"role": "user", "content": "…"}``).

        Args:
            options: those of `sampling_fields`; ``system``, a message before the others; and the webui's own:
                ``template``, an instruction template, of INSTRUCTION-TEMPLATES or of the server (default: the model's);
                ``mode``, instruct (default), chat or chat-instruct; for the two chat modes ``character``, ``context``
                (its description), ``name1`` and ``name2`` (the user's and its name);
                ``continue_last``, to go on with the last message, the assistant's, instead of answering it.
            timeout: this call's own.
        """
        return self._answer("/chat/completions", "chat", self._chat_body(messages, options), timeout)

    def stream_generate(self, prompt: str, *, timeout: float | None = None, **sampling: Any) -> Iterator[Answer]:
        """As `generate`, piece by piece; ``timeout`` is the longest silence between two."""
        return self._stream("/completions", "generate", completion_body(prompt, sampling), timeout)

    def stream_instruct(self, instruction: str, **options: Any) -> Iterator[Answer]:
        """As `instruct`, piece by piece."""
        return self.stream_chat([{"role": "user", "content": instruction}], **options)

    def stream_chat(
        self, messages: Sequence[Message], *, timeout: float | None = None, **options: Any
    ) -> Iterator[Answer]:
        """As `chat`, piece by piece. Leaving the loop early closes the connection, which stops the generation."""
        return self._stream("/chat/completions", "chat", self._chat_body(messages, options), timeout)

    def chat_prompt(self, messages: Sequence[Message], **fields: Any) -> str:
        """What the server would feed the model for this chat; takes `chat`'s own options, without sampling."""
        return self._render(self._chat_body(messages, fields))

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, with the BOS that the webui puts in front."""
        return self._call("/internal/encode", "encode", lambda found: list(found["tokens"]), {"text": text})

    def decode(self, tokens: Sequence[int]) -> str:
        body = {"tokens": list(tokens)}
        return self._call("/internal/decode", "decode", lambda found: str(found["text"]), body)

    def logits(self, prompt: str, top: int = 50) -> dict[str, float]:
        """The likeliest next tokens, as the vocabulary spells them, with their probabilities."""

        def read(found: Any) -> dict[str, float]:  # without a model: a list, with status 200
            return {str(token): float(probability) for token, probability in found.items()}

        body = {"prompt": prompt, "use_samplers": False, "top_logits": top}
        return self._call("/internal/logits", "ask for probabilities", read, body, patience=GENERATION)

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

        It takes every LoRA off, and a failed load also loses the model that was loaded before. The server does not say
        in what precision it loaded: without an NVIDIA card it leaves ``load_in_4bit`` and ``load_in_8bit`` out.
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
        self._change("/internal/model/unload", "unload the model", {})

    # LoRAs

    def loras(self) -> list[str]:
        """The LoRAs on the server's disk."""
        return self._names("/internal/lora/list", "list the LoRAs", "lora_names")

    def load_lora(self, name: str, args: dict[str, Any] | None = None) -> LoraEffect:
        """Apply one LoRA in place of any other, and prove that it acts; a `LoraError` leaves the base model usable.

        The webui says OK to a LoRA without effect; after a bad LoRA it refuses every further one until the model is
        loaded again; and after two at once it may report none while one still acts. So the LoRA is loaded, measured,
        taken off, measured again, and put back: only the difference that taking it off makes is a proof. ``args`` says
        how the model was loaded (``{"load_in_4bit": True}``), in case it must be loaded again.
        """
        available = self.loras()
        if name not in available:
            raise LoraError(f"The server has no LoRA '{name}' (there: {', '.join(available) or 'none'}).")
        before = self._loaded()
        if before.loader and before.loader != "Transformers":
            raise LoraError(f"The model is loaded with {before.loader}; only the Transformers loader applies LoRAs.")
        if before.lora_names:
            self._take_off(before, args)
        try:
            change = self._measure(name, before, args)
            problem = (
                f"The server said OK, but the LoRA '{name}' changes nothing: its weights are named for another model, "
                "or are all zero, or an earlier failure of another program still holds the server (load the model "
                "again then)."
            )
        except WebuiError as error:
            change = 0.0
            dot = " Its name holds a dot, which the webui cannot load: rename the folder." if "." in name else ""
            problem = (
                f"The LoRA '{name}' does not load. {error}{dot} To see why: python scripts/export_webui.py --check "
                "WEBUI."
            )
        if not change:
            try:
                state = str(self._take_off(before, args, hidden_too=True))
            except WebuiError as error:
                state = f"The base model could not be loaded again either ({error})"
            raise LoraError(f"{problem} {state}")
        return LoraEffect(name, change)

    def unload_lora(self, args: dict[str, Any] | None = None) -> LoraRemoval:
        """Take every LoRA off and prove it, by loading the model again (with ``args``) if the server cannot.

        Where the server reports none, one may act all the same (after two at once). Then a LoRA of the server's is
        put on and taken off, which takes the hidden one off too: probabilities that differ from before tell of it.
        """
        return self._take_off(self._loaded(), args, hidden_too=True)

    def _loaded(self) -> ModelInfo:
        found = self.info()
        if not found.loaded:
            raise NoModelError("No model is loaded; load one first: python scripts/webui.py load NAME.")
        return found

    def _take_off(self, before: ModelInfo, args: dict[str, Any] | None, *, hidden_too: bool = False) -> LoraRemoval:
        """Take every LoRA off; with ``hidden_too`` also one that the server does not report."""
        name, hidden = str(before.model_name), False
        try:
            self._change("/internal/lora/unload", "unload the LoRA", {})
            first = self._probabilities()
            if not self.info().lora_names:
                hidden = hidden_too and not before.lora_names and self._put_on_and_off(first)
                if not hidden:
                    return LoraRemoval(name)
        except (ServerFailedError, NoModelError):
            pass  # the state a failed swap leaves behind
        self._load(name, args)
        return LoraRemoval(name, reloaded=True, hidden=hidden)

    def _put_on_and_off(self, first: Sequence[dict[str, float]]) -> bool:
        """Whether putting a LoRA on and taking it off changes what the model says, which it does only to a hidden one.

        The first that the server accepts will do: none is hidden where it accepts none. Only the Transformers loader
        applies LoRAs, and the webui refuses them all with another one.
        """
        for name in self.loras():
            try:
                self._change("/internal/lora/load", f"load the LoRA {name}", {"lora_names": [name]})
            except RequestRefusedError:
                continue
            self._change("/internal/lora/unload", "unload the LoRA", {})
            off = self._probabilities()
            noise = _largest_change(off, self._probabilities())
            return _largest_change(first, off) > max(2 * noise, DRIFT)
        return False

    def _measure(self, name: str, before: ModelInfo, args: dict[str, Any] | None) -> float:
        """Apply a LoRA and return by how much it changes a probability; 0 if by no more than two equal calls differ."""
        load = ("/internal/lora/load", f"load the LoRA {name}", {"lora_names": [name]})
        for fresh in (False, True):
            first = self._probabilities()
            self._change(*load)
            on = self._probabilities()
            self._change("/internal/lora/unload", "unload the LoRA", {})
            off = self._probabilities()
            noise = _largest_change(off, self._probabilities())  # 0 on a CPU; a GPU may differ from call to call
            if fresh or _largest_change(first, off) <= max(2 * noise, DRIFT):
                break
            self._load(str(before.model_name), args)  # a LoRA acted that the server did not report
        change = _largest_change(on, off)
        if change <= 2 * noise:
            return 0.0
        self._change(*load)
        return change if _largest_change(off, self._probabilities()) > 2 * noise else 0.0

    def _load(self, name: str, args: dict[str, Any] | None, template: str | None = None) -> None:
        text = instruction_template(template) if template else None
        body = {"model_name": name, "args": args, "instruction_template_str": text}
        given = {key: value for key, value in body.items() if value is not None}
        self._change("/internal/model/load", f"load the model {name}", given)

    def _probabilities(self) -> list[dict[str, float]]:
        return [self.logits(probe) for probe in PROBES]

    # Requests

    def _names(self, path: str, what: str, key: str) -> list[str]:
        return self._call(path, what, lambda found: [str(name) for name in found[key]], admin=True)

    def _change(self, path: str, what: str, body: dict[str, Any]) -> None:
        """A call on models or LoRAs, which may take its time."""
        self._call(path, what, str, body, admin=True, patience=LOADING)

    def _chat_body(self, messages: Sequence[Message], options: dict[str, Any]) -> dict[str, Any]:
        """The body of a chat; a template of the server's is checked, for which the webui takes Alpaca if it has none.

        Raises:
            UsageError: what it renders is what any other unknown name does.
        """
        body = chat_body(messages, **options)
        name = body.get("instruction_template")
        if name and name not in (*self._templates, "Alpaca"):
            probe: dict[str, Any] = {"messages": [{"role": "user", "content": "Hola"}]}
            rendered, unknown = (
                self._render(probe | {"instruction_template": one}) for one in (name, "no template of this name")
            )
            if rendered == unknown:
                raise unknown_template(name)
            self._templates.add(name)
        return body

    def _render(self, body: dict[str, Any]) -> str:
        return self._call("/internal/chat-prompt", "render a chat", lambda found: str(found["prompt"]), body)

    def _reason(self, path: str, body: dict[str, Any]) -> str:
        """Why the generation of ``body`` failed, where the server lets it be found out; else the usual causes."""
        character, most = body.get("character"), body.get("max_tokens")
        if character:
            try:
                self._render({key: body[key] for key in ("messages", "mode", "character")})
            except ServerFailedError:
                return f"The server cannot read a character '{character}'; is there one of that name?"
            except WebuiError:
                pass
        if most and most > 1:
            short = {key: value for key, value in body.items() if key != "stream"} | {"max_tokens": 1}
            try:
                self._call(path, "generate one token", read_answer, short, patience=GENERATION)
            except WebuiError:
                return _CAUSES
            return f"The same request is answered with max_tokens 1: {most} do not fit into the context; ask for fewer."
        return _CAUSES

    def _answer(self, path: str, what: str, body: dict[str, Any], timeout: float | None) -> Answer:
        try:
            answer = self._call(path, what, read_answer, body, patience=GENERATION, timeout=timeout)
        except ServerFailedError as error:
            if error.status != 500:
                raise
            raise ServerFailedError(f"{error} {self._reason(path, body)}", error.status) from None
        if not (answer.text or answer.tool_calls):
            self._check_empty(answer)
        return answer

    def _stream(self, path: str, what: str, body: dict[str, Any], timeout: float | None) -> Iterator[Answer]:
        text, thoughts, finish = "", "", None
        failure: WebuiError | None = None
        body, options = body | {"stream": True}, self._options(timeout or self._timeout or SILENCE)
        try:
            with self._sdk.post(
                path, cast_to=object, body=body, options=options, stream=True, stream_cls=Stream[object]
            ) as events:
                for piece in map(read_answer, events):
                    text, thoughts = text + piece.text, thoughts + piece.reasoning
                    finish = piece.finish_reason or finish
                    if piece.text or piece.reasoning or piece.finish_reason or piece.tool_calls or piece.usage:
                        yield piece
        except UnicodeDecodeError:
            failure = StreamCutError("The stream is not UTF-8; the server, or a proxy on the way, damaged it.", text)
        except UNREADABLE as error:
            failure = ServerFailedError(f"The stream holds an event that cannot be read ({error!r}).")
        except OpenAIError as error:
            finish = None
            if isinstance(error, APITimeoutError) and text:
                failure = StreamCutError(f"The stream fell silent after {len(text)} characters.", text)
            elif not isinstance(error.__cause__, httpx2.RemoteProtocolError | httpx2.ReadError):
                failure = self._error(what, error)
        cut = failure is None and finish is None
        if cut or isinstance(failure, ServerFailedError | StreamCutError):
            self._require_model()  # a cut stream is also how the webui says that no model is loaded
        if cut:
            failure = StreamCutError(
                f"The stream was cut after {len(text)} characters: the generation failed on the server, or the server "
                f"ended; its log says why. {_CAUSES if text else self._reason(path, body)}",
                text,
            )
        if failure:
            raise failure
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
            self._loaded()
        except NoModelError:
            raise
        except WebuiError:
            pass  # not the webui, or down: the first error says more

    def _call(
        self,
        path: str,
        what: str,
        read: Callable[[Any], T],
        body: dict[str, Any] | None = None,
        *,
        admin: bool = False,
        patience: float = QUICK,
        timeout: float | None = None,
    ) -> T:
        """One request, a POST with a body or a GET without; ``read`` makes the result of the answer's JSON.

        ``what`` is for error messages. ``timeout`` or else the client's replaces ``patience`` (seconds) in long calls.
        """
        wait = timeout or self._timeout
        options = self._options(wait if wait and patience > QUICK else patience, admin)
        address, found = f"{self.settings.url}/v1{path}", cast(Any, "")
        failure: WebuiError = ServerFailedError(
            f"{address} answered with something that is not JSON; is this the API's port (5000 by default) and not "
            "the web page's (7860)?"
        )
        try:
            if body is None:
                found = self._sdk.get(path, cast_to=object, options=options | {"max_retries": RETRIES})
            else:
                found = self._sdk.post(path, cast_to=object, body=body, options=options)
            if not isinstance(found, str) or found == "OK":  # the SDK hands out another content type as text
                return read(found)
        except OpenAIError as error:
            failure = self._error(what, error, admin)
        except json.JSONDecodeError:
            pass
        except UNREADABLE:
            failure = ServerFailedError(
                f"{address} answered with something else than expected ({str(found)[:120]}); is it the API of "
                "text-generation-webui, or of a server compatible with OpenAI's?"
            )
        if isinstance(failure, ServerFailedError) and "/model/" not in path:
            self._require_model()  # without a model the webui also answers with status 500
        raise failure

    def _options(self, patience: float, admin: bool = False) -> Any:
        """The SDK's options of a request: its key and its time."""
        timeout = httpx2.Timeout(patience, connect=CONNECT, write=60.0, pool=CONNECT)
        return {"headers": {"Authorization": Omit(), **self.settings.headers(admin=admin)}, "timeout": timeout}

    def _error(self, what: str, error: OpenAIError, admin: bool = False) -> WebuiError:
        """What a status or a broken connection means, in words."""
        if isinstance(error, APIStatusError):
            return self._status_error(what, error, admin)
        if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
            return ServerDownError(
                f"Nothing answers at {self.settings.url}; is the server running, and is this its port? "
                "text-generation-webui must be started with --api and prints its port (another one if 5000 is busy)."
            )
        if isinstance(error, APITimeoutError):
            return TimedOutError(
                f"The server did not answer in time ({what}); it may still be at work. Ask for fewer tokens, or give "
                "a longer --timeout."
            )
        if isinstance(error, APIConnectionError):
            return ServerFailedError(f"The connection broke ({what}): {error.__cause__ or error}.")
        return ServerFailedError(f"The server broke off the stream: {error}.")  # an error event inside it

    def _status_error(self, what: str, error: APIStatusError, admin: bool) -> WebuiError:
        status = error.status_code
        if status in (401, 403):
            key, variable = ("admin key", "WEBUI_ADMIN_KEY") if admin else ("API key", "WEBUI_API_KEY")
            if self.settings.headers(admin=admin):
                return UnauthorizedError(f"The server does not accept this {key} to {what}; check {variable}.")
            option = f"--{key.lower().replace(' ', '-')}"
            return UnauthorizedError(f"The server wants its {key} to {what}; give it as {variable} or {option}.")
        # In the server's words: FastAPI's {"detail": ...}, OpenAI's {"message": ...}, or plain text.
        body: Any = error.body
        body = (body.get("detail") or body.get("message") or body) if isinstance(body, dict) else body
        if isinstance(body, list) and body and isinstance(body[0], dict):  # FastAPI's list of invalid fields
            body = "; ".join(f"{'.'.join(map(str, entry.get('loc', ())))}: {entry.get('msg')}" for entry in body)
        said = str(body or "no reason given").strip()[:300].rstrip(".")
        hint = "; the webui's own calls need text-generation-webui, started with --api" if status == 404 else ""
        if status == 400 and "host header" in said.lower():
            hint = "; start it with --listen, or call it at 127.0.0.1"
        if status < 500:
            return RequestRefusedError(f"{self.settings.url} refused to {what} (status {status}: {said}){hint}.")
        return ServerFailedError(f"{self.settings.url} failed to {what} (status {status}: {said}).", status)


def _largest_change(before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]) -> float:
    """The largest difference of a token's probability; tokens not in both lists of the likeliest do not count."""
    differences = [
        abs(old[token] - new[token])
        for old, new in zip(before, after, strict=True)
        for token in old.keys() & new.keys()
    ]
    return max(differences, default=1.0)
