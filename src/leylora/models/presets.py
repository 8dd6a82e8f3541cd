"""Generation presets: what a preset file may hold, and what the webui makes of a wrong one.

A preset is a flat YAML mapping laid over neutral defaults. The webui checks nothing: through its API every key
of the file overwrites the request, and a value of a wrong type gives an empty answer with status 200.
"""

from dataclasses import dataclass
from typing import Any

import yaml

#: Every preset key with its neutral value, as of webui v4.9; a preset holds those that differ.
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

#: Keys that were preset keys once and are ignored today.
RETIRED = frozenset(
    {"num_beams", "length_penalty", "early_stopping", "min_length", "additive_repetition_penalty", "custom_token_bans"}
)

_CONTRASTIVE_REMOVED = (4, 56)  # the transformers release that moved contrastive search out of the library


@dataclass(frozen=True)
class Preset:
    """A preset file as read.

    Attributes:
        settings: what it sets.
        faults: for these the webui answers with an error, with nothing, or with something else than asked.
        remarks: worth knowing, harmless.
    """

    settings: dict[str, Any]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def parse_preset(data: bytes, transformers: tuple[int, ...] | None = None) -> Preset:
    """Read a preset file, for an installation with that version of transformers if it is known."""
    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Preset({}, (f"not UTF-8 (byte {error.start})",))
    except yaml.YAMLError as error:
        return Preset({}, (f"not YAML: {str(error).splitlines()[0]}; the webui answers with status 500",))
    if not isinstance(content, dict) or not content:
        kind = "empty" if content in (None, {}) else f"a {type(content).__name__}"
        return Preset({}, (f"{kind} instead of a mapping of settings; the webui answers with status 500",))
    faults, remarks = [], []
    for key, value in content.items():
        if key in RETIRED:
            remarks.append(f"{key} is no longer a preset key and is ignored")
        elif key not in DEFAULTS:
            faults.append(f"{key} is no preset key; through the API it overwrites the request's own {key}")
        elif not same_kind(value, DEFAULTS[key]):
            kind = type(DEFAULTS[key]).__name__
            faults.append(f"{key}: {value!r} is no {kind}; the webui would answer with an empty text")
    if content.get("temperature") == 0 and content.get("do_sample", True):
        faults.append("temperature: 0 gives an empty answer; write do_sample: false for greedy decoding")
    if content.get("penalty_alpha"):
        if transformers is None or transformers[:2] >= _CONTRASTIVE_REMOVED:
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
