"""Generation presets: what a preset file may hold, what the webui makes of a wrong one, and the settings it gives here.

A preset is a flat YAML mapping laid over neutral defaults. The webui checks nothing: through its API every key
of the file overwrites the request, and a value of a wrong type gives an empty answer with status 200.
`leylora.models.generate` turns `Sampling` into transformers' GenerationConfig.
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from leylora.errors import LeyloraError, UsageError
from leylora.files import parse_yaml
from leylora.project import GENERATION_PRESETS, shown

MAX_NEW_TOKENS = 512

# Every preset key with its neutral value, as of webui v4.9; a preset holds those that differ.
DEFAULTS: dict[str, Any] = {
    "temperature": 1,
    "dynatemp_low": 1,
    "dynatemp_high": 1,
    "dynatemp_exponent": 1,
    "smoothing_factor": 0,
    "smoothing_curve": 1,
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "top_n_sigma": 0,
    "typical_p": 1,
    "xtc_threshold": 0.1,
    "xtc_probability": 0,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "tfs": 1,
    "top_a": 0,
    "adaptive_target": 0,
    "adaptive_decay": 0.9,
    "dry_multiplier": 0,
    "dry_allowed_length": 2,
    "dry_base": 1.75,
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "encoder_repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "repetition_penalty_range": 1024,
    "penalty_alpha": 0,
    "guidance_scale": 1,
    "mirostat_mode": 0,
    "mirostat_tau": 5,
    "mirostat_eta": 0.1,
    "do_sample": True,
    "dynamic_temperature": False,
    "temperature_last": False,
    "sampler_priority": "",
    "dry_sequence_breakers": '"\\n", ":", "\\"", "*"',
}

# Were preset keys once and are ignored today.
RETIRED = frozenset(
    {"num_beams", "length_penalty", "early_stopping", "min_length", "additive_repetition_penalty", "custom_token_bans"}
)


class Preset(NamedTuple):
    """A preset file as read: what it sets, and what is wrong with it."""

    settings: dict[str, Any]
    faults: tuple[str, ...] = ()  # the webui answers with an error, with nothing, or with something else than asked
    remarks: tuple[str, ...] = ()  # harmless


def parse_preset(data: bytes, transformers: tuple[int, ...] | None = None) -> Preset:
    """Read a preset file as an installation with that version of transformers would, if it is known."""
    try:
        content = parse_yaml(data.decode("utf-8"), "the preset")
    except UnicodeDecodeError as error:
        return Preset({}, (f"not UTF-8 (byte {error.start})",))
    except LeyloraError as error:
        fault = str(error).removeprefix("the preset: ").partition(";")[0]
        return Preset({}, (f"{fault}; the webui answers with status 500",))
    if not isinstance(content, dict) or not content:
        kind = "empty" if content in (None, {}) else f"a {type(content).__name__}"
        return Preset({}, (f"{kind} instead of a mapping of settings; the webui answers with status 500",))
    faults, remarks = [], []
    for key, value in content.items():
        if key in RETIRED:
            remarks.append(f"{key} is no longer a preset key and is ignored")
        elif key not in DEFAULTS:
            faults.append(f"{key} is not a preset key; through the API it overwrites the request's own {key}")
        elif not same_kind(value, DEFAULTS[key]):
            kind = type(DEFAULTS[key]).__name__
            faults.append(f"{key}: {value!r} is not of type {kind}; the webui would answer with an empty text")
    if content.get("temperature") == 0 and content.get("do_sample", True):
        faults.append("temperature: 0 gives an empty answer; write do_sample: false for greedy decoding")
    if content.get("penalty_alpha"):
        if transformers is None or transformers[:2] >= (4, 56):  # which moved it out of the library
            faults.append("penalty_alpha (contrastive search) gives an empty answer in versions after about v3.12")
        else:
            remarks.append("penalty_alpha (contrastive search) works in this version, with the Transformers loader")
    if not data.isascii():
        remarks.append("letters beyond ASCII; Windows installs read presets in their own code page")
    return Preset({str(key): value for key, value in content.items()}, tuple(faults), tuple(remarks))


def same_kind(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    return isinstance(value, str) if isinstance(default, str) else isinstance(value, int | float)


@dataclass(frozen=True)
class Sampling:
    """One answer's settings, by the names of the webui's presets; the defaults are neutral."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0  # in units of 1e-4, as is the next
    eta_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    do_sample: bool = True
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int | None = None
    stop: tuple[str, ...] = ()  # texts that end the answer, in addition to those of the template

    def __post_init__(self) -> None:
        for key in ("top_p", "min_p", "typical_p"):
            if not 0 <= getattr(self, key) <= 1:
                raise UsageError(f"{key} must lie between 0 and 1, not be {getattr(self, key):g}.")
        for key in ("temperature", "top_k", "epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size"):
            if getattr(self, key) < 0:
                raise UsageError(f"{key} must not be negative.")
        for key in ("repetition_penalty", "encoder_repetition_penalty"):
            if getattr(self, key) <= 0:
                raise UsageError(f"{key} must be above 0.")
        for key in ("epsilon_cutoff", "eta_cutoff"):
            if getattr(self, key) >= 10_000:
                raise UsageError(f"{key} must be below 10,000 (a share of 1).")
        if self.max_new_tokens < 1:
            raise UsageError("at least one token must be asked for.")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken. A temperature of 0 means that too, as in OpenAI's API, and so
        does one so small that dividing by it leaves no numbers."""
        return not self.do_sample or self.temperature < 1e-5


GREEDY = Sampling(do_sample=False)

SAMPLERS = tuple(field.name for field in fields(Sampling) if field.name in DEFAULTS)  # the keys that are honoured
_HARMLESS = ("repetition_penalty_range", "xtc_threshold", "dry_allowed_length", "dry_base", "adaptive_decay")


def sampling_of(settings: dict[str, Any], base: Sampling | None = None) -> tuple[Sampling, list[str]]:
    """Preset keys over ``base``, and the keys that have no effect here. Raises UsageError for an impossible value."""
    known = {key: settings[key] for key in SAMPLERS if key in settings}
    for key, value in known.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{key} must be a finite number.")
        if isinstance(value, float) and key in ("top_k", "no_repeat_ngram_size"):
            if not value.is_integer():
                raise UsageError(f"{key} must be a whole number, not {value:g}.")
            known[key] = int(value)
    ignored = [
        key
        for key, value in settings.items()
        if key in DEFAULTS and key not in SAMPLERS and key not in _HARMLESS and value != DEFAULTS[key]
    ]
    try:
        return replace(base or Sampling(), **known), ignored
    except TypeError:
        raise UsageError(f"A sampling setting is not a number: {known}.") from None


def presets(folder: Path = GENERATION_PRESETS) -> list[str]:
    """The names of the presets that work here."""
    return [path.stem for path in sorted(folder.glob("*.yaml")) if not parse_preset(path.read_bytes()).faults]


def preset(name: str, base: Sampling | None = None, folder: Path = GENERATION_PRESETS) -> tuple[Sampling, list[str]]:
    """A preset by name over ``base`` (length, seed and stop texts are not part of one), and the keys ignored here.

    Raises:
        UsageError: there is no preset of that name.
        LeyloraError: the file is faulty.
    """
    path = folder / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        raise UsageError(f"There is no preset '{name}' in {shown(folder)} (there: {', '.join(presets(folder))}).")
    read = parse_preset(path.read_bytes())
    if read.faults:
        raise LeyloraError(f"{shown(path)} cannot be used: {read.faults[0]}.")
    return sampling_of({key: DEFAULTS[key] for key in SAMPLERS} | read.settings, base)


def preset_for(variant: str, folder: Path = GENERATION_PRESETS) -> str:
    """The preset made for an adapter (it has the adapter's name), or greedy decoding."""
    return variant if variant in presets(folder) else "deterministic"
