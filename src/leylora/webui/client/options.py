"""Where the server is, and how it is to generate: everything a user can set, checked before it is sent.

The webui ignores unknown keys, takes a missing preset for the defaults, and lets a preset overwrite whatever
stands beside it, all with status 200. So keys are checked here, and a preset of ours is sent as its settings.
"""

import ipaddress
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from leylora.errors import UsageError
from leylora.models.presets import DEFAULTS, parse_preset
from leylora.project import GENERATION_PRESETS

_NOT_SENT = ("sampler_priority", "dry_sequence_breakers")  # the server's own order and breakers stay


class ServerSettings(BaseModel):
    """Address and keys. A key is never shown: not in a repr, not in an error."""

    model_config = ConfigDict(frozen=True)

    url: str = "http://127.0.0.1:5000"
    api_key: SecretStr | None = None
    admin_key: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str) -> str:
        return base_url(url)

    @classmethod
    def from_environment(
        cls, url: str | None = None, api_key: str | None = None, admin_key: str | None = None
    ) -> "ServerSettings":
        """What is given, or else WEBUI_URL, WEBUI_API_KEY and WEBUI_ADMIN_KEY; the admin key defaults to the other.

        Raises:
            UsageError: the address is none.
        """
        key = api_key or os.environ.get("WEBUI_API_KEY") or None
        admin = admin_key or os.environ.get("WEBUI_ADMIN_KEY") or key
        address = url or os.environ.get("WEBUI_URL") or "http://127.0.0.1:5000"
        try:
            complete = base_url(address)
        except ValueError as error:
            raise UsageError(f"{address!r} is no address of a server ({error}); write 127.0.0.1:5000.") from None
        return cls(
            url=complete,
            api_key=SecretStr(key) if key else None,
            admin_key=SecretStr(admin) if admin else None,
        )

    def headers(self, *, admin: bool) -> dict[str, str]:
        """The Authorization header for an ordinary call, or for one on models and LoRAs."""
        key = self.admin_key if admin else self.api_key
        return {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, where a proxy from the environment must stay out of the way."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def base_url(text: str) -> str:
    """``host:port``, ``http://host:port/`` or ``…/v1`` as ``http://host:port``.

    Raises:
        ValueError: there is no host in it, or another scheme than http and https.
    """
    full = text.strip() if "://" in text else f"http://{text.strip()}"
    parts = urlsplit(full)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in full):
        raise ValueError("a host is needed, after http:// or https://")
    _ = parts.port  # raises ValueError for a port that is none
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


class Sampling(BaseModel):
    """How to generate. Only what is set is sent; the server's defaults are its own.

    ``preset`` names a file of GENERATION-PRESETS, whose settings are then sent and the other fields laid over them;
    any other name is a preset of the server's, beside which no setting may stand, since it would be overwritten.
    ``extra`` goes into the request as it is, for servers with settings of their own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: tuple[str, ...] = ()
    seed: int | None = None
    model: str | None = None
    truncation_length: int | None = Field(default=None, ge=1)
    ban_eos_token: bool | None = None
    skip_special_tokens: bool | None = None
    extra: dict[str, Any] = {}

    temperature: float | None = Field(default=None, ge=0)
    dynatemp_low: float | None = None
    dynatemp_high: float | None = None
    dynatemp_exponent: float | None = None
    smoothing_factor: float | None = None
    smoothing_curve: float | None = None
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    top_n_sigma: float | None = None
    typical_p: float | None = None
    xtc_threshold: float | None = None
    xtc_probability: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    tfs: float | None = None
    top_a: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    dry_multiplier: float | None = None
    dry_allowed_length: int | None = None
    dry_base: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    repetition_penalty_range: int | None = None
    penalty_alpha: float | None = None
    guidance_scale: float | None = None
    mirostat_mode: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    do_sample: bool | None = None
    dynamic_temperature: bool | None = None
    temperature_last: bool | None = None
    sampler_priority: str | None = None
    dry_sequence_breakers: str | None = None

    @model_validator(mode="after")
    def _preset_alone(self) -> Self:
        beside = self._samplers()
        if self.preset and beside and not _is_ours(self.preset):
            raise ValueError(
                f"the server's preset {self.preset} would overwrite {', '.join(beside)}; give one or the other"
            )
        return self

    @classmethod
    def of(cls, **values: Any) -> "Sampling":
        """Build from keyword arguments; None means not set.

        Raises:
            UsageError: an unknown key, or a value that cannot be.
        """
        try:
            return cls(**{key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                near = get_close_matches(key, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else "; what only one server knows goes into 'extra'."
                raise UsageError(f"{key} is no setting of a generation{hint}") from None
            reason = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{key}: {reason}." if key else f"{reason[0].upper()}{reason[1:]}.") from None

    def body(self) -> dict[str, Any]:
        """The request's fields."""
        values = self.model_dump(exclude_none=True, exclude={"extra", "preset", "stop"})
        if self.stop:
            values["stop"] = list(self.stop)
        if self.preset and _is_ours(self.preset):
            neutral = {key: value for key, value in DEFAULTS.items() if key not in _NOT_SENT}
            settings = parse_preset(_path(self.preset).read_bytes()).settings
            values = neutral | settings | values
        elif self.preset:
            values["preset"] = self.preset
        return values | self.extra

    def _samplers(self) -> list[str]:
        return [key for key in DEFAULTS if getattr(self, key) is not None]


def _path(preset: str) -> Path:
    return GENERATION_PRESETS / f"{preset}.yaml"


def _is_ours(preset: str) -> bool:
    return Path(preset).name == preset and _path(preset).is_file()
