"""What ``adapter_config.json`` says: a typed view of it, its plain form, and the rule for adapter names.

Every PEFT release writes more keys than the one before. Releases 0.6 to 0.13, which text-generation-webui
pinned until March 2025, stop with a ``TypeError`` at a key they do not know, and older ones ignore it, even
when it changes what the adapter computes. A config of the 16 keys of `BASE_KEYS` loads in all of them.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.errors import LeyloraError, UsageError, first_fault
from leylora.files import read_json_object

CONFIG_FILE = "adapter_config.json"

# The keys PEFT has known since 0.4, with the value each has when it is not written.
BASE_DEFAULTS: dict[str, Any] = {
    "auto_mapping": None,
    "base_model_name_or_path": None,
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 8,
    "revision": None,
    "target_modules": None,
    "task_type": None,
}
BASE_KEYS = tuple(BASE_DEFAULTS)

# Keys that describe how training began or who wrote the file; a saved adapter computes the same without them.
IDLE_KEYS = frozenset(
    {
        "corda_config",
        "eva_config",
        "lora_ga_config",
        "loftq_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "runtime_config",
        "velora_config",
    }
)

# Keys that are exactly expressed by the tensors and a scaling for each module.
FOLDED_KEYS = frozenset({"use_rslora", "rank_pattern", "alpha_pattern", "exclude_modules"})

LARGEST_RANK = 65_536
MOST_REPETITIONS = 4
LONGEST_PATTERN = 5_000  # "all of these modules" written as one alternative

# Initialisations that leave the base weights alone. PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA move part of the
# base weight into the adapter, so that their deltas only mean something on the base they changed.
BASE_PRESERVING_INITS = (True, False, "gaussian", "eva", "orthogonal", "mica")


class AdapterConfig(BaseModel):
    """The keys that decide what a saved LoRA adapter computes; every other key is kept in ``model_extra``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    peft_type: str
    r: int
    lora_alpha: float
    base_model_name_or_path: str | None = None
    revision: str | None = None
    task_type: str | None = None
    bias: str = "none"
    fan_in_fan_out: bool = False
    init_lora_weights: bool | str = True
    layers_to_transform: list[int] | int | None = None
    exclude_modules: list[str] | str | None = None
    target_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False

    def rank(self, module: str) -> int:
        """The rank of a module, given by its path in the base model."""
        return int(_by_pattern(self.rank_pattern, module, self.r))

    def scaling(self, module: str) -> float:
        """What PEFT multiplies B·A with: alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (arXiv 2312.03732)."""
        rank = self.rank(module)
        alpha = float(_by_pattern(self.alpha_pattern, module, self.lora_alpha))
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _by_pattern(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first key that is, or matches the end of, a module's path: PEFT's own rule."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _pattern_fault(pattern: str) -> str:
    """Why a stranger's regular expression is not matched; "" for what adapters need.

    A group that is repeated and repeats something inside takes exponential time, and each further repetition one more
    power of the length of a module's path, which is some sixty characters.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression ({error})"
    plain = re.sub(r"\\.|\[[^\]]*\]", "x", pattern)  # in a class, and behind a backslash, signs are letters
    if re.search(r"\)[*+{]", plain):
        return "repeats a group, which can take for ever"
    if len(re.findall(r"[*+{]", plain)) > MOST_REPETITIONS or len(pattern) > LONGEST_PATTERN:
        return "is too long or has too many repetitions, which can take for ever"
    return ""


def read_config(folder: Path) -> AdapterConfig:
    """Read and check ``folder/adapter_config.json``. Raises LeyloraError as `parse_config`, or when it is missing."""
    return parse_config(read_json_object(folder / CONFIG_FILE), folder / CONFIG_FILE)


def parse_config(raw: Any, place: Path | str) -> AdapterConfig:
    """The typed view of a config already read; ``place`` is what an error names.

    Raises:
        LeyloraError: it is not a LoRA config, or a value has a wrong type.
    """
    if not isinstance(raw, dict):
        raise LeyloraError(f"{place}: expected a JSON object, found {type(raw).__name__}.")
    if raw.get("peft_type") != "LORA":
        raise LeyloraError(f"{place}: peft_type is {raw.get('peft_type')!r}; only LoRA adapters can be read.")
    if raw.get("r") is None or raw.get("lora_alpha") is None:
        raise LeyloraError(f"{place}: the rank r and lora_alpha must both be given; restore the file PEFT wrote.")
    try:
        # PEFT has written null where its dataclass has a default; both mean "not set".
        config = AdapterConfig.model_validate({key: value for key, value in raw.items() if value is not None})
    except ValidationError as error:
        key, why = first_fault(error)
        raise LeyloraError(f"{place}: key {key!r} is not usable ({why}); correct it.") from None
    ranks = [config.r, *config.rank_pattern.values()]
    if not 1 <= min(ranks) <= max(ranks) <= LARGEST_RANK:
        raise LeyloraError(f"{place}: a rank below 1 or above {LARGEST_RANK:,}; restore the file PEFT wrote.")
    if not all(map(math.isfinite, [config.lora_alpha, *config.alpha_pattern.values()])):
        raise LeyloraError(f"{place}: an alpha that is no number; restore the file PEFT wrote.")
    modules = [one for one in (config.target_modules, config.exclude_modules) if isinstance(one, str)]
    for pattern in (*config.rank_pattern, *config.alpha_pattern, *modules):
        if fault := _pattern_fault(pattern):
            raise LeyloraError(f"{place}: the pattern {pattern[:80]!r} {fault}; name the modules instead.")
    return config


def check_plain_lora(config: AdapterConfig, place: Path | str) -> None:
    """Raise LeyloraError unless each module's delta is scaling * B @ A on the base weights the config names."""
    _check_base_kept(config, place)
    variants = {
        "use_dora": config.use_dora and "rescales every row of the adapted weight by a trained magnitude",
        "lora_bias": config.lora_bias and "trains a bias in addition to B",
        "bias": config.bias != "none" and f"is {config.bias!r}: biases of the base model were trained too",
    }
    for key, why in variants.items():
        if why:
            raise LeyloraError(f"{place}: {key} {why}, which B·A alone does not hold; train without {key}.")
    if others := [key for key in keys_lost(config.model_dump()) if key not in FOLDED_KEYS]:
        raise LeyloraError(f"{place}: {', '.join(others)} makes the adapter more than plain LoRA; train without it.")


def keys_lost(raw: Mapping[str, Any]) -> list[str]:
    """The keys outside `BASE_KEYS` that change what the adapter computes, so that a plain config would be wrong."""
    unset = [key for key, value in raw.items() if value is None or value is False or value in ({}, [], "")]
    return sorted({*raw} - {*BASE_DEFAULTS} - IDLE_KEYS - {*unset})


def plain_config(
    raw: Mapping[str, Any], *, target_modules: Iterable[str] | None = None, place: Path | str = CONFIG_FILE
) -> dict[str, Any]:
    """A config as PEFT wrote it as the 16 base keys, ready for inference in every PEFT from 0.4 to today.

    ``inference_mode`` is set, dropout is 0, a base-preserving ``init_lora_weights`` becomes true (older releases
    do not know its name, and the saved weights replace the initial ones), ``target_modules`` is a sorted list: the
    given one, which is needed where the config's own is a pattern.

    Raises:
        LeyloraError: a key that would be cut changes what the adapter computes, or the adapter belongs to changed
            base weights.
    """
    config = parse_config(dict(raw), place)
    if lost := keys_lost(raw):
        raise LeyloraError(
            f"{place}: {', '.join(lost)} would be lost in a plain adapter config and the adapter would compute "
            "something else; train without it, or keep the full config and a PEFT that knows it."
        )
    _check_base_kept(config, place)
    plain = {key: raw.get(key, default) for key, default in BASE_DEFAULTS.items()}
    targets = config.target_modules if target_modules is None else list(target_modules)
    plain["target_modules"] = sorted(set(targets)) if isinstance(targets, list) else targets
    plain |= {"inference_mode": True, "init_lora_weights": True, "lora_dropout": 0.0, "bias": config.bias}
    return plain


def _check_base_kept(config: AdapterConfig, place: Path | str) -> None:
    if config.init_lora_weights not in BASE_PRESERVING_INITS:
        raise LeyloraError(
            f"{place}: init_lora_weights is {config.init_lora_weights!r}, which changed the base weights, so the "
            "adapter is only right on that changed base; save it again with PEFT's "
            "save_pretrained(..., path_initial_model_for_weight_conversion=...), which turns it into plain LoRA."
        )


def check_adapter_name(name: str) -> str:
    """Return ``name``, or raise UsageError if text-generation-webui cannot load an adapter folder of that name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # PEFT takes it as the adapter's name, in which a dot fails
        allowed = "unaccented letters, digits, _ and -"
        raise UsageError(f"{name!r} is not an adapter name that text-generation-webui can load; use only {allowed}.")
    if name.endswith("-np"):
        raise UsageError(f"{name!r} ends in -np, and text-generation-webui does not list such folders; rename it.")
    return name
