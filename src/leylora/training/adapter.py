"""The LoRA adapter of a run: new, on top of a frozen one, or continued."""

from pathlib import Path
from typing import TYPE_CHECKING

from leylora.errors import LeyloraError, UsageError, flattened
from leylora.models.families import Family
from leylora.training.arguments import Arguments

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

TRAINED, FROZEN = "default", "frozen"
"""Names of the adapters inside the model. PEFT saves the one called ``default`` without a sub-folder."""


def attach(base: "PreTrainedModel", arguments: Arguments, family: Family) -> "PeftModel":
    """Wrap ``base`` with the adapter that ``arguments`` describe; only that adapter is trainable.

    The same seed gives every adapter of a base the same A matrices at the start, which makes a later merge of
    two adapters to a single rank lose little.

    Raises:
        UsageError: no layer of the model has a name in ``lora_target_modules``.
        LeyloraError: the adapter to build on is missing or does not fit the base.
    """
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import set_seed

    asked = arguments.model
    set_seed(arguments.training.seed)
    if arguments.run.init_from:
        folder = adapter_folder(arguments.run.init_from)
        try:
            return PeftModel.from_pretrained(base, str(folder), is_trainable=True)
        except (ValueError, RuntimeError, KeyError) as error:
            raise _unfit(folder, error) from None
    targets = asked.lora_target_modules or list(family.linear_layers)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=asked.lora_r,
        lora_alpha=asked.lora_alpha,
        lora_dropout=asked.lora_dropout,
        target_modules=[targets] if isinstance(targets, str) and targets != "all-linear" else targets,
        use_rslora=asked.use_rslora,
        use_dora=asked.use_dora,
        bias="none",
    )
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise UsageError(f"lora_target_modules {targets} do not fit a {family.name} model: {error}") from None
    if arguments.run.on_top_of:
        folder = adapter_folder(arguments.run.on_top_of)
        try:
            model.load_adapter(str(folder), adapter_name=FROZEN, is_trainable=False)
        except (ValueError, RuntimeError, KeyError) as error:
            raise _unfit(folder, error) from None
        model.base_model.set_adapter([TRAINED, FROZEN])
        for name, parameter in model.named_parameters():  # set_adapter made both trainable
            parameter.requires_grad_(f".{TRAINED}." in name)
    return model


def keep_fp32_master_weights(model: "PeftModel") -> None:
    """Hold the trainable weights in float32, whatever the run computes in.

    TRL 1.16 casts the adapters of a quantised model to bf16 whatever was asked for (trainer/sft_trainer.py). With
    ``fp16`` the gradient scaler then fails at the first step ("not implemented for 'BFloat16'"). In bf16 most updates
    are smaller than the distance to the next number and round to nothing. To be called after the trainer is built and
    before it trains.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def adapter_folder(name: str) -> Path:
    """The folder of an adapter to build on.

    Raises:
        LeyloraError: there is no adapter in it.
    """
    folder = Path(name)
    if not (folder / "adapter_model.safetensors").is_file():
        raise LeyloraError(f"{name} is no adapter folder (adapter_model.safetensors is missing); train it first.")
    return folder


def _unfit(folder: Path, error: Exception) -> LeyloraError:
    return LeyloraError(f"The adapter {folder} does not fit this base model ({flattened(error)}).")
