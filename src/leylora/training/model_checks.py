"""What must hold of the model and the trainer of a run before its first step. Each check names its remedy.

A check returns the figure a person sees in the preflight's table, or raises LeyloraError with one sentence.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import WEIGHTS_FILE, open_adapter
from leylora.errors import LeyloraError
from leylora.training.adapter import TRAINED
from leylora.training.labels import IGNORED
from leylora.training.save import write_weights

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

LEAK = 0.1
"""Most that packing may change a document's logits, as a share of what seeing the other document changes them."""
PROBE_TOKENS = 48


def check_vocabulary(model: "PeftModel", tokenizer: "PreTrainedTokenizerBase") -> str:
    """The base model's own vocabulary, with no token added to it.

    A resized vocabulary makes an adapter that fits no published base (PEFT would save whole embeddings with it).
    """
    known, rows = len(tokenizer), model.get_input_embeddings().num_embeddings  # not of the weight: ZeRO-3 splits it
    if known > rows or rows != model.config.vocab_size:
        raise LeyloraError(
            f"The tokenizer knows {known} tokens and the model has rows for {rows} of its {model.config.vocab_size}: "
            "tokens were added. Use the base model's own tokenizer; an adapter with new tokens fits no published base."
        )
    return f"{known:,} of {rows:,} rows used, none added"


def check_trainable(model: "PeftModel") -> str:
    """Adapter weights alone are trained; embeddings and head are untouched, and tied if the base ties them."""
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    others = [name for name in trained if ".lora_" not in name or f".{TRAINED}." not in name]
    if others or not trained:
        what = f"{others[0]} is trained too" if others else "nothing is trained"
        raise LeyloraError(f"The adapter alone must be trained, and {what}; leave lora_modules_to_save empty.")
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    for what, layer in (("output head", head), ("embeddings", embeddings)):
        if any("lora_" in name for name, _ in layer.named_modules()):
            raise LeyloraError(f"The {what} must not carry LoRA weights; name linear layers in lora_target_modules.")
    tied = bool(model.config.tie_word_embeddings)
    if tied and head.weight.data_ptr() != embeddings.weight.data_ptr():
        raise LeyloraError("The base model ties its head to its embeddings, and loading has parted them; report this.")
    parameters = model.get_nb_trainable_parameters()[0]
    return f"{parameters:,} adapter weights; head and embeddings untouched{', tied' if tied else ''}"


def check_precision(model: "PeftModel", args: "SFTConfig") -> str:
    """Adapters in float32: fp16's gradient scaler refuses any other type, and bf16 loses most of their updates."""
    import torch

    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype != torch.float32:
            raise LeyloraError(
                f"The trained weight {name} is held in {str(weight.dtype).removeprefix('torch.')} and must be in "
                "float32: most updates would round to nothing, and an fp16 run would stop at its first step. Something "
                "cast the adapter after it was attached."
            )
    half = "bf16" if args.bf16 else "fp16" if args.fp16 else None
    return f"adapter in float32{f', computing in {half}' if half else ''}"


def check_collator(collate: Any, rows: "Dataset", tokenizer: "PreTrainedTokenizerBase", end: int) -> str:
    """Every label survives the collator: none of an answer's ends is lost to padding, no padding is learned.

    Collators that mask every token equal to the padding also mask each end of text where both are one token, and the
    model never stops (huggingface/blog#1302, huggingface/trl#976).
    """
    lengths = [len(ids) for ids in rows["input_ids"]]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    chosen = [rows[position] for position in dict.fromkeys((order[0], order[-1]))]  # unlike lengths: padding is made
    columns = ("input_ids", "labels", "seq_lengths")
    batch = collate([{key: row[key] for key in columns if key in row} for row in chosen])
    before = sum(row["labels"].count(end) for row in chosen)
    after = int((batch["labels"] == end).sum())
    text = tokenizer.convert_ids_to_tokens(end)
    if after < before:
        raise LeyloraError(
            f"The collator leaves {after} of {before} ends of an answer ({text!r}) in the labels, so that the model "
            f"would never stop: the padding token {tokenizer.pad_token!r} must be another, or labels padded by place."
        )
    if tokenizer.pad_token_id != end and bool((batch["labels"] == tokenizer.pad_token_id).any()):
        raise LeyloraError(f"Padding ({tokenizer.pad_token!r}) carries loss; labels must be padded with {IGNORED}.")
    return f"padding {tokenizer.pad_token!r}, ends in labels {after} of {before}"


def check_packing(model: "PeftModel", collate: Any, rows: "Dataset") -> str:
    """Two documents packed into one row give the logits that each gives alone.

    The change that packing makes to the second document is held against the change it would see if the first were its
    own beginning, so that the same bound serves float32 and the rounding of 16 bits. Where that change is lost in
    rounding itself (what another batch size alone changes), rounding is the bound.
    """
    import torch

    first, second = (list(rows[-i % len(rows)]["input_ids"])[:PROBE_TOKENS] for i in (0, 1))
    device = model.get_input_embeddings().weight.device
    packed = collate([{
        "input_ids": first + second,
        "labels": first + second,
        "seq_lengths": [len(first), len(second)],
    }])  # fmt: skip
    inputs = {
        key: value.to(device) if isinstance(value, torch.Tensor) else value
        for key, value in packed.items()
        if key != "labels"
    }
    was_training = model.training
    model.eval()
    with torch.no_grad():
        together = _logits(model, inputs)[0, len(first) : len(first) + len(second)]
        alone = _logits(model, {"input_ids": torch.tensor([second], device=device)})[0]
        joined = _logits(model, {"input_ids": torch.tensor([first + second], device=device)})[0, len(first) :]
        twice = _logits(model, {"input_ids": torch.tensor([second, second], device=device)})[0]
    model.train(was_training)
    error, leak = float((together - alone).abs().max()), float((joined - alone).abs().max())
    rounding = float((twice - alone).abs().max())
    if not error <= max(LEAK * leak, 2 * rounding):
        raise LeyloraError(
            f"Packed documents see each other: packing changes the second one's logits by {error:.2g} (seeing all of "
            f"the first changes them by {leak:.2g}). Use another attn_implementation (sdpa), or --packing false."
        )
    return f"packed, their logits are {error:.0g} from alone (seeing each other: {leak:.2g})"


def check_round_trip(model: "PeftModel", place: Path) -> str:
    """The adapter of step 0 can be saved as it will be at the end, read again, and put back: the same, bit for bit."""
    import torch
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_weights(model, folder, place)
        adapter = open_adapter(folder)
        for module in adapter.modules:
            adapter.factors(module)
        LoraConfig.from_pretrained(folder)
        read = load_file(folder / WEIGHTS_FILE)
        size = (folder / WEIGHTS_FILE).stat().st_size
    now = get_peft_model_state_dict(model, adapter_name=TRAINED)
    unlike = [key for key in read.keys() | now.keys() if key not in read or key not in now]
    unlike += [key for key in read.keys() & now.keys() if not torch.equal(read[key], now[key].detach().cpu())]
    if unlike or set_peft_model_state_dict(model, read, adapter_name=TRAINED).unexpected_keys:
        raise LeyloraError(
            f"The adapter does not read back as it was saved ({unlike[0] if unlike else 'keys without a place'}); "
            "training would end in a file that cannot be used."
        )
    return f"{len(adapter.modules)} layers, {size / 2**20:.1f} MiB, {len(config)} keys in {CONFIG_FILE}"


def _logits(model: "PeftModel", inputs: dict[str, Any]) -> "torch.Tensor":
    import torch

    dtype = next(
        weight.dtype for weight in model.parameters() if not weight.requires_grad and weight.is_floating_point()
    )
    half = dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(inputs["input_ids"].device.type, dtype=dtype if half else torch.bfloat16, enabled=half):
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits.float()
