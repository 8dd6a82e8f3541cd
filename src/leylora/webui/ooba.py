"""The interface of the ooba-api-client package, on the API of today.

That package calls ``/api/v1/…``, which the webui removed in November 2023, so that each of its calls is answered with
404. Code written for it goes on working with another import::

    from leylora.webui.ooba import LlamaInstructPrompt, OobaApiClient, Parameters
"""

from contextlib import nullcontext
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from leylora.errors import UsageError
from leylora.webui.client import Client, ModelInfo, ServerSettings
from leylora.webui.prompts import (
    ChatPrompt,
    FalconInstructPrompt,
    InstructPrompt,
    LlamaInstructPrompt,
    MistralInstructPrompt,
    Prompt,
)

__all__ = [
    "ChatPrompt",
    "FalconInstructPrompt",
    "InstructPrompt",
    "LlamaInstructPrompt",
    "MistralInstructPrompt",
    "OobaApiClient",
    "OobaModelInfo",
    "OobaModelNotLoaded",
    "Parameters",
    "Prompt",
]


class Parameters(BaseModel):
    """How to generate, under the old API's names and with that package's defaults (but not its narrow limits)."""

    add_bos_token: bool = True
    auto_max_new_tokens: bool = False
    ban_eos_token: bool = False
    guidance_scale: float = 1.0
    max_new_tokens: int = Field(default=128, ge=1)
    min_length: int = 0
    repetition_penalty_range: int = Field(default=0, ge=0)
    repetition_penalty: float = Field(default=1.1, gt=0)
    seed: int = -1
    skip_special_tokens: bool = True
    stopping_strings: list[str] = []
    temperature: float = Field(default=0.6, ge=0)
    top_k: int = Field(default=20, ge=0)
    top_p: float = Field(default=0.5, ge=0, le=1)
    typical_p: float = Field(default=1.0, gt=0, le=1)
    truncation_length: int = Field(default=4096, ge=1)

    def sampling(self) -> dict[str, Any]:
        """The same as keywords of `leylora.webui.client.Sampling`.

        Raises:
            UsageError: ``min_length`` is set, which the webui has not had since March 2024.
        """
        if self.min_length:
            raise UsageError("min_length has no effect in the webui since March 2024; leave it out.")
        values = self.model_dump(exclude={"max_new_tokens", "stopping_strings", "min_length"})
        extra = {key: values.pop(key) for key in ("add_bos_token", "auto_max_new_tokens")}
        return {**values, "max_tokens": self.max_new_tokens, "extra": extra}


class OobaModelInfo(BaseModel):
    """What is loaded. The API no longer tells settings and arguments, but for the loader."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str | None = None
    lora_names: list[str] = []
    shared_settings: dict[str, Any] = {}
    shared_args: dict[str, Any] = {}


class OobaModelNotLoaded(OobaModelInfo):
    """Nothing is loaded."""


class OobaApiClient:
    """`leylora.webui.client.Client` behind the old interface.

    Args:
        one_at_a_time: let one call of this object wait for another (the webui queues them in any case).
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        host: str = "http://localhost",
        port: int = 5000,
        api_key: str | None = None,
        one_at_a_time: bool = True,
    ) -> None:
        self.url = url or f"{host}:{port}"
        self.api_key = api_key
        self.one_at_a_time = one_at_a_time
        self._turn = Lock() if one_at_a_time else nullcontext()

    def instruct(
        self,
        prompt: Prompt,
        parameters: Parameters | None = None,
        timeout: int | float = 500,
        print_prompt: bool = False,
    ) -> str:
        """The answer's text. An answer also ends at the stop strings of the prompt's template."""
        text = prompt.full_prompt()
        if print_prompt:
            print(text)
        chosen = parameters or Parameters()
        sampling = chosen.sampling()
        sampling["stop"] = tuple(dict.fromkeys([*chosen.stopping_strings, *prompt.stops()]))
        if prompt.negative_prompt:
            sampling["extra"] |= {"negative_prompt": prompt.negative_prompt}
        with self._turn, self._client(timeout) as client:
            return client.generate(text, **sampling).text

    def model_info(self) -> OobaModelInfo:
        """What is loaded, or an `OobaModelNotLoaded`."""
        with self._turn, self._client(30) as client:
            return _told(client.info())

    def load_model(self, model_name: str, *, args_dict: dict[str, Any] | None = None) -> OobaModelInfo:
        """Load a model; ``args_dict`` as in the Model tab."""
        with self._turn, self._client(5000) as client:
            return _told(client.load_model(model_name, args_dict))

    def _client(self, timeout: float) -> Client:
        return Client(ServerSettings.from_environment(self.url, self.api_key), timeout=timeout)


def _told(info: ModelInfo) -> OobaModelInfo:
    if not info.loaded:
        return OobaModelNotLoaded()
    return OobaModelInfo(
        model_name=info.model_name, lora_names=list(info.lora_names), shared_args={"loader": info.loader}
    )
