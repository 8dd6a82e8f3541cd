"""The LoRA adapter of a run: attached to the base (new, over a frozen one, or continued), written, put back."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, set_seed
from trl import ModelConfig

from leylora.adapters.config import CONFIG_FILE, plain_config
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import LeyloraError, UsageError, flattened
from leylora.files import read_json_object, write_json
from leylora.models.families import Family
from leylora.training.config import Arguments
from leylora.training.distributed import uses_zero3

TRAINED, FROZEN = "default", "frozen"
"""Names of the adapters inside the model. PEFT saves the one called ``default`` without a sub-folder."""


def attach(base: PreTrainedModel, arguments: Arguments, family: Family) -> PeftModel:
    """Wrap ``base`` with the adapter that ``arguments`` describe; only that adapter is trainable.

    The same seed gives every adapter of a base the same A matrices at the start, which makes a later merge of
    two adapters to a single rank lose little.
    """
    asked, run = arguments.model, arguments.run
    set_seed(arguments.training.seed)
    if run.resume_adapter:
        with fitting(adapter_folder(run.resume_adapter)) as folder:
            return PeftModel.from_pretrained(base, folder, is_trainable=True)
    model = new_adapter(base, asked, family.linear_layers, f"a {family.name} model")
    if run.frozen_adapter:
        with fitting(adapter_folder(run.frozen_adapter)) as folder:
            model.load_adapter(folder, adapter_name=FROZEN, is_trainable=False)
        model.base_model.set_adapter([TRAINED, FROZEN])
        for name, parameter in model.named_parameters():  # set_adapter made both trainable
            parameter.requires_grad_(f".{TRAINED}." in name)
    return model


def new_adapter(
    base: PreTrainedModel, asked: ModelConfig, targets: Sequence[str], what: str, task: str = "CAUSAL_LM"
) -> PeftModel:
    """``base`` (``what``, in words) with a new adapter, on ``targets`` unless ``asked`` names other layers."""
    layers = asked.lora_target_modules or list(targets)
    config = LoraConfig(
        task_type=task,
        r=asked.lora_r,
        lora_alpha=asked.lora_alpha,
        lora_dropout=asked.lora_dropout,
        target_modules=[layers] if isinstance(layers, str) and layers != "all-linear" else layers,
        use_rslora=asked.use_rslora,
        use_dora=asked.use_dora,
        bias="none",
    )
    try:
        return get_peft_model(base, config)
    except ValueError as error:
        raise UsageError(f"lora_target_modules {layers} do not fit {what}: {error}") from None


def adapter_folder(name: str) -> Path:
    """The folder of an adapter to build on, which must be there."""
    folder = Path(name)
    if not (folder / WEIGHTS_FILE).is_file():
        raise LeyloraError(f"{name} is not an adapter folder ({WEIGHTS_FILE} is missing); train it first.")
    return folder


@contextmanager
def fitting(folder: Path) -> Iterator[str]:
    """While PEFT loads ``folder``: what it says of weights that do not fit becomes one sentence."""
    try:
        yield str(folder)
    except (ValueError, RuntimeError, KeyError) as error:
        raise LeyloraError(f"The adapter {folder} does not fit this base model ({flattened(error)}).") from None


def keep_fp32_master_weights(model: PeftModel) -> None:
    """Hold the trainable weights in float32 in every run; to be called after the trainer is built.

    TRL 1.16 casts the adapters of a quantised model to bf16 in every run (trainer/sft_trainer.py). With
    ``fp16`` the gradient scaler then fails at the first step ("not implemented for 'BFloat16'"). In bf16 most updates
    are smaller than the distance to the next number and round to nothing.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def load_trained(model: PeftModel, checkpoint: Path) -> None:
    """Copy a checkpoint's weights into the trained adapter, in the precision the model holds them in.

    ``PeftModel.load_adapter``, which the Trainer would call, casts half-precision adapters to float32 and, with a
    frozen adapter below, also activates the wrong set.
    """
    result = set_peft_model_state_dict(model, load_file(checkpoint / WEIGHTS_FILE), adapter_name=TRAINED)
    if result.unexpected_keys:
        raise LeyloraError(f"{checkpoint} does not fit this model ({result.unexpected_keys[0]} has no place in it).")


def write_weights(
    model: PeftModel, folder: Path, place: Path, weights: dict[str, torch.Tensor] | None = None
) -> dict[str, Any]:
    """Write the trained adapter and its plain config to ``folder``, and give that config.

    ``place`` is where the folder will be in the end, for messages; ``weights`` are the model's if None.
    """
    model.save_pretrained(folder, selected_adapters=[TRAINED], state_dict=weights)
    config = plain_config(without_rslora(read_json_object(folder / CONFIG_FILE)), place=place / CONFIG_FILE)
    write_json(folder / CONFIG_FILE, dict(sorted(config.items())))
    return config


def whole_weights(model: PeftModel) -> dict[str, torch.Tensor]:
    """The trained weights of ``model`` by parameter name, on the CPU, put together if they are split.

    Every process of the run must call this, for the parts come from all of them.
    """
    named = {name: weight for name, weight in model.named_parameters() if f".{TRAINED}." in name}
    if uses_zero3():
        import deepspeed  # only where it is used

        with deepspeed.zero.GatheredParameters(list(named.values())):
            return {name: weight.detach().cpu().clone() for name, weight in named.items()}
    return {
        name: (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().cpu()
        for name, weight in named.items()
    }


def without_rslora(config: dict[str, Any]) -> dict[str, Any]:
    """The same adapter as plain LoRA: rank-stabilised alpha / sqrt(r) becomes (alpha · sqrt(r)) / r.

    PEFT before 0.8 does not know ``use_rslora``, and would silently scale such an adapter down.
    """
    if not config.get("use_rslora"):
        return config
    if config.get("rank_pattern") or config.get("alpha_pattern"):  # each module would need its own alpha
        raise LeyloraError("rsLoRA together with rank_pattern or alpha_pattern cannot be saved as plain LoRA.")
    alpha = config["lora_alpha"] * math.sqrt(config["r"])
    return {**config, "lora_alpha": int(alpha) if alpha == int(alpha) else alpha, "use_rslora": False}
