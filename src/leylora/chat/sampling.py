"""How the next token is drawn: a webui preset as transformers' own logits processors.

Presets are files of GENERATION-PRESETS. What of them transformers cannot do is said, not silently dropped.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import DEFAULTS, parse_preset
from leylora.project import GENERATION_PRESETS, shown

if TYPE_CHECKING:
    import torch
    from transformers import LogitsProcessorList

MAX_NEW_TOKENS = 512
_COLDEST = 1e-5
_COUNTS = ("top_k", "no_repeat_ngram_size")
_HARMLESS = ("repetition_penalty_range", "xtc_threshold", "dry_allowed_length", "dry_base", "adaptive_decay")


@dataclass(frozen=True)
class Sampling:
    """One answer's settings, by the names of the webui's presets; the defaults are neutral.

    ``epsilon_cutoff`` and ``eta_cutoff`` are in units of 1e-4. ``stop`` are texts that end the answer, besides those
    of the template. ``logprobs`` is how many alternatives are reported for each token; None reports nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    do_sample: bool = True
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a value that cannot be."""
        share = {"top_p": self.top_p, "min_p": self.min_p, "typical_p": self.typical_p}
        wrong = [
            f"{key} must lie between 0 and 1, not be {value:g}" for key, value in share.items() if not 0 <= value <= 1
        ]
        positive = ("temperature", "top_k", "epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size")
        wrong += [f"{key} must not be negative" for key in positive if getattr(self, key) < 0]
        penalties = ("repetition_penalty", "encoder_repetition_penalty")
        wrong += [f"{key} must be above 0" for key in penalties if getattr(self, key) <= 0]
        wrong += [
            f"{key} must be below 10,000 (a share of 1)"
            for key in ("epsilon_cutoff", "eta_cutoff")
            if getattr(self, key) >= 10_000
        ]
        if self.max_new_tokens < 1:
            wrong.append("at least one token must be asked for")
        if wrong:
            raise UsageError(f"{wrong[0]}.")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken. A temperature of 0 means that too, as in OpenAI's API, and so
        does one so small that dividing by it leaves no numbers."""
        return not self.do_sample or self.temperature < _COLDEST


SAMPLERS = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "repetition_penalty",
    "encoder_repetition_penalty", "no_repeat_ngram_size", "do_sample",
)  # fmt: skip
"""The preset keys that are honoured."""


def from_settings(settings: dict[str, Any], base: Sampling | None = None) -> tuple[Sampling, list[str]]:
    """Preset keys over ``base``, and the keys that ask for something which is not done here.

    Raises:
        UsageError: a value that cannot be.
    """
    known = {key: _number(key, settings[key]) for key in SAMPLERS if key in settings}
    ignored = [
        key
        for key, value in settings.items()
        if key in DEFAULTS and key not in SAMPLERS and key not in _HARMLESS and value != DEFAULTS[key]
    ]
    try:
        return replace(base or Sampling(), **known), ignored
    except TypeError:
        raise UsageError(f"A sampling setting is no number: {known}.") from None


def _number(key: str, value: Any) -> Any:
    """A setting as it is used. Raises UsageError for one that is infinite, or a part of a token."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key} must be a finite number.")
    if isinstance(value, float) and key in _COUNTS:
        if not value.is_integer():
            raise UsageError(f"{key} must be a whole number, not {value:g}.")
        return int(value)
    return value


def presets(folder: Path = GENERATION_PRESETS) -> list[str]:
    """The presets there are and that work here."""
    return [path.stem for path in sorted(folder.glob("*.yaml")) if not parse_preset(path.read_bytes()).faults]


def preset(name: str, base: Sampling | None = None, folder: Path = GENERATION_PRESETS) -> tuple[Sampling, list[str]]:
    """A preset by name, over ``base`` (length, seed and stop texts are no part of a preset).

    Returns:
        The settings, and the keys that are not supported here.

    Raises:
        UsageError: there is none of that name; the message lists them.
        LeyloraError: the file is faulty.
    """
    path = folder / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        raise UsageError(f"There is no preset '{name}' in {shown(folder)} (there: {', '.join(presets(folder))}).")
    read = parse_preset(path.read_bytes())
    if read.faults:
        raise LeyloraError(f"{shown(path)} cannot be used: {read.faults[0]}.")
    neutral = {key: DEFAULTS[key] for key in SAMPLERS}
    return from_settings(neutral | read.settings, base)


def preset_for(variant: str, folder: Path = GENERATION_PRESETS) -> str:
    """The preset made for an adapter (it has the adapter's name), or greedy decoding."""
    return variant if variant in presets(folder) else "deterministic"


def processors(sampling: Sampling, prompt: "torch.Tensor") -> "LogitsProcessorList":
    """What transformers' ``generate`` would apply for these settings, in its order.

    Args:
        prompt: token ids, (1, T).
    """
    from transformers import LogitsProcessorList
    from transformers.generation import logits_process as lp

    chain: list[Any] = []
    if sampling.encoder_repetition_penalty != 1:
        chain.append(lp.EncoderRepetitionPenaltyLogitsProcessor(sampling.encoder_repetition_penalty, prompt))
    if sampling.repetition_penalty != 1:
        chain.append(lp.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.no_repeat_ngram_size:
        chain.append(lp.NoRepeatNGramLogitsProcessor(sampling.no_repeat_ngram_size))
    if not sampling.greedy:
        if sampling.temperature != 1:
            chain.append(lp.TemperatureLogitsWarper(float(sampling.temperature)))
        if sampling.top_k:
            chain.append(lp.TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            chain.append(lp.TopPLogitsWarper(float(sampling.top_p)))
        if sampling.min_p:
            chain.append(lp.MinPLogitsWarper(sampling.min_p))
        if 0 < sampling.typical_p < 1:
            chain.append(lp.TypicalLogitsWarper(sampling.typical_p))
        if sampling.epsilon_cutoff:
            chain.append(lp.EpsilonLogitsWarper(sampling.epsilon_cutoff * 1e-4))
        if sampling.eta_cutoff:
            chain.append(lp.EtaLogitsWarper(sampling.eta_cutoff * 1e-4, device=str(prompt.device)))
    return LogitsProcessorList(chain)
