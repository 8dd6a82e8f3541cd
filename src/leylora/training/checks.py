"""Everything that is checked before the first step. Each check gives facts for one table, or raises with one sentence.

    processes, settings, fits, template, parents     before anything large is read
    rows                                             before a weight is loaded
    model                                            of the loaded model, its adapter and the trainer

`leylora.training.sft` prints the table once, also when a check fails.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import parse_flag_from_env
from datasets import Dataset
from huggingface_hub import constants
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from rich.table import Table
from rich.text import Text
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from trl import SFTConfig

from leylora.adapters.config import CONFIG_FILE, read_config
from leylora.adapters.files import WEIGHTS_FILE, open_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_text
from leylora.models.bases import is_here
from leylora.models.cards import GIB, Card, peak_tflops
from leylora.models.families import FAMILIES, Shape
from leylora.models.templates import PROBE, check_served_as_trained, other_format, served_template, turn_end
from leylora.project import INSTRUCTION_TEMPLATES
from leylora.training import memory
from leylora.training.adapter import TRAINED, adapter_folder, write_weights
from leylora.training.config import Arguments
from leylora.training.data import IGNORED, RunData, filled, lengths
from leylora.training.distributed import uses_zero3
from leylora.training.trainer import LoraTrainer

REAL_ROWS = 32  # conversations of the dataset whose prompts are compared token by token with what a server sends
CHAT_TEMPLATE = "chat_template.jinja"
LEAK = 0.1
"""Most that packing may change a document's logits, as a share of what seeing the other document changes them."""
PROBE_TOKENS = 48


class Fact(NamedTuple):
    """One line of the table: a check that held, or a note that stops nothing."""

    name: str
    figure: str
    held: bool = True


def table(facts: Sequence[Fact]) -> Table:
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, figure, held in facts:
        shown.add_row(Text("OK", "green") if held else Text("--", "yellow"), name, Text(figure))
    return shown


# --- before anything large is read


def processes(arguments: Arguments) -> None:
    """Refuse settings that sharded training cannot work with, before any weight is loaded.

    FSDP and ZeRO-3 flatten, split and cast whatever they hold. 4-bit weights survive that only inside a tensor of the
    dtype that the layers compute in; in bytes (the default) FSDP would leave them whole on every GPU.
    """
    fsdp, zero3 = parse_flag_from_env("ACCELERATE_USE_FSDP"), uses_zero3()
    if not (fsdp or zero3):
        return
    training, model = arguments.training, arguments.model
    name = "FSDP" if fsdp else "DeepSpeed ZeRO-3"
    needed = "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32"
    stored = model.bnb_4bit_quant_storage or "uint8"
    if model.load_in_4bit and stored != needed:
        raise UsageError(
            f"{name} can only split 4-bit weights that are stored in the dtype they are multiplied in, {needed}, and "
            f"bnb_4bit_quant_storage is {stored}; add --bnb_4bit_quant_storage {needed}."
        )
    if fsdp and os.environ.get("FSDP_VERSION") != "2":
        raise UsageError("FSDP version 1 is not supported; use train/accelerate/fsdp-qlora.yaml (fsdp_version: 2).")
    optimizer = str(getattr(training.optim, "value", training.optim))
    if fsdp and ("8bit" in optimizer or "paged" in optimizer or "bnb" in optimizer):
        raise UsageError(
            f"bitsandbytes' optimizers cannot work on weights that FSDP has split, and optim is {optimizer}; add "
            "--optim adamw_torch (the split optimizer state of an adapter is small)."
        )
    selective = training.gradient_checkpointing and (training.gradient_checkpointing_kwargs or {}).get("selective")
    if zero3 and selective:
        raise UsageError(
            "Selective checkpointing does not work with DeepSpeed ZeRO-3; add "
            "--gradient_checkpointing_kwargs '{\"use_reentrant\":true}'."
        )


def settings(arguments: Arguments, attention: tuple[str, str]) -> list[Fact]:
    """Keys that TRL knows and a run of ours would ignore, or that would ruin it.

    ``attention`` is the implementation the model is loaded with, and why.
    """
    training, model = arguments.training, arguments.model
    offloading = training.activation_offloading and training.use_cpu
    whole = arguments.config.get("use_peft") is not None and not model.use_peft
    wrapped = training.packing and training.packing_strategy == "wrapped"
    unusable = {
        "chat_template_path": (training.chat_template_path, "give instruction_template, which the webui serves too"),
        "eos_token": (training.eos_token, "the template's marks decide what ends an answer"),
        "pad_token": (training.pad_token, "padding is a token of the base that no text uses"),
        "activation_offloading": (offloading, "it moves activations off a GPU, and there is none"),
        "lora_modules_to_save": (model.lora_modules_to_save, "embeddings and head stay those of the base"),
        "lora_target_parameters": (model.lora_target_parameters, "name layers in lora_target_modules"),
        "load_in_8bit": (model.load_in_8bit, "use load_in_4bit, or neither"),
        "push_to_hub": (training.push_to_hub, "a run sends nothing away; upload the finished folder with `hf upload`"),
        "use_dora": (model.use_dora, "DoRA does not fit a plain adapter that loads everywhere"),
        "use_peft: false": (whole, "an adapter is what is trained; full fine-tuning is not offered"),
        "assistant_only_loss: false": (not training.assistant_only_loss, "only answers are trained"),
        "packing_strategy: wrapped": (wrapped, "it cuts documents and mixes them; use bfd"),
    }
    for key, (given, instead) in unusable.items():
        if given:
            raise UsageError(f"{arguments.recipe}: {key} cannot be used here: {instead}.")
    installed = get_available_reporting_integrations()
    for tracker in training.report_to:
        if tracker not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UsageError(f"report_to: there is no tracker '{tracker}'; there are {known}, or none.")
        if tracker not in installed:
            raise UsageError(f"report_to: {tracker} is not installed; `pip install {tracker}`, or use --report_to none")
    compiled = ", torch.compile" if training.torch_compile else ""
    return [
        Fact("recipe", f"{arguments.recipe}: all keys are valid and used"),
        Fact("attention", f"{attention[0]} ({attention[1]}){compiled}"),
    ]


def sizes_of(arguments: Arguments, shape: Shape, attention: str, card: Card | None) -> memory.Sizes:
    """What the memory estimate is made for."""
    training, model, run = arguments.training, arguments.model, arguments.run
    rank, targets, below = model.lora_r, model.lora_target_modules, run.frozen_adapter
    if run.resume_adapter and _is_adapter(run.resume_adapter):
        parent = read_config(Path(run.resume_adapter))
        rank, targets = parent.r, parent.target_modules
    if not isinstance(targets, list) or not targets:
        targets = list(FAMILIES[shape.model_type].linear_layers)
    again, details = training.gradient_checkpointing, training.gradient_checkpointing_kwargs or {}
    pays = memory.selective_pays(attention, peak_tflops(card.name) if card else None)
    return memory.Sizes(
        shape=shape,
        length=training.max_length,
        batch=training.per_device_train_batch_size,
        rank=rank,
        targets=tuple(targets),
        optimizer=str(getattr(training.optim, "value", training.optim)),
        four_bit=model.load_in_4bit,
        double_quant=model.use_bnb_nested_quant,
        half=training.bf16 or training.fp16,
        frozen_rank=0 if not below else read_config(Path(below)).r if _is_adapter(below) else model.lora_r,
        checkpointing=again,
        selective=again and pays and bool(details.get("selective")),
        attention=attention,
    )


def fits(arguments: Arguments, shape: Shape, card: Card | None, attention: str) -> list[Fact]:
    """The estimated peak of memory, compared with the card."""
    training, name = arguments.training, arguments.model.model_name_or_path
    if training.max_length is None:
        raise UsageError(f"{arguments.recipe}: max_length is missing; rows must have a bound.")
    if training.max_length > shape.context:
        raise UsageError(
            f"max_length {training.max_length} is longer than the {shape.context} positions {name} was made for; "
            "lower max_length."
        )
    facts: list[Fact] = []
    if shape.window and training.max_length > shape.window:
        window = f"documents over {shape.window:,} tokens are read through a sliding window, as in its pre-training"
        facts.append(Fact("window", window, held=False))
    sizes = sizes_of(arguments, shape, attention, card)
    needed = memory.estimate(sizes)
    parts = "\n".join(f"{part:<24}{value / GIB:6.2f}" for part, value in zip(memory.PARTS, needed, strict=True))
    total = f"{parts}\n{'total':<24}{needed.total / GIB:6.2f} GiB, estimated"
    if card is None:
        if arguments.run.dry_run:
            unknown = f"{total}\nno GPU to compare with; --assume_gpu 'T4 16GB' names one"
            facts.append(Fact("memory", unknown, held=False))
        return facts
    has = card.memory_gib
    longest, most = memory.largest_length(sizes, has), memory.largest_batch(sizes, has)
    if needed.total / memory.TOO_HIGH > has * GIB:
        if most:
            remedy = f"lower per_device_train_batch_size to {most} and raise gradient_accumulation_steps"
        elif alone := memory.largest_length(replace(sizes, batch=1), has):
            remedy = f"lower per_device_train_batch_size to 1 and max_length to {alone:,}"
        else:
            remedy = "not even one row of 256 tokens fits, so take a larger card or a smaller base model"
        raise LeyloraError(
            f"{name} at {sizes.batch} x {sizes.length} tokens needs about {needed.total / GIB:.1f} GiB and "
            f"{card.name} has {has:.1f}, by estimate; {remedy}."
        )
    speed = memory.tokens_per_second(sizes, card)
    pace = f"; about {memory.rounded(speed):,} tokens/s" if speed else ""
    limits = f"{card.name} has {has:.1f}{pace}\n"
    limits += f"up to {longest:,} tokens a row" + (f", or {most} rows of {sizes.length:,}" if most else "")
    if needed.total > has * GIB:
        tight = f"{total}\n{limits}: it may run out; lower max_length if it does"
        return [*facts, Fact("memory", tight, held=False)]
    return [*facts, Fact("memory", f"{total}\n{limits}")]


def disk(base_name: str, shape: Shape) -> None:
    """Raise LeyloraError when a base that must be downloaded, at two bytes a weight, does not fit the disk."""
    if is_here(base_name):
        return
    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    needed = 2 * (shape.linear_parameters + shape.embedding_parameters) + GIB  # and what is written beside it
    free = shutil.disk_usage(there).free
    if free < needed:
        raise LeyloraError(
            f"{base_name} is a download of about {needed / GIB:.0f} GiB, and {there} has {free / GIB:.1f} free; free "
            "some space, or set HF_HOME to a larger disk."
        )


def template_of_base(
    arguments: Arguments, tokenizer: PreTrainedTokenizerBase, template_name: str, template: str
) -> None:
    """Raise UsageError when the base brings a chat template of its own and would get another family's unasked."""
    if not arguments.template_asked and (mark := other_format(tokenizer, served_template(template))):
        known = ", ".join(sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml")))
        raise UsageError(
            f"{arguments.model.model_name_or_path} has a chat template of its own, which opens questions with "
            f"{mark!r}, and {template_name} does not; name the one it shall learn with --instruction_template "
            f"(there: {known})."
        )


def template(
    arguments: Arguments, tokenizer: PreTrainedTokenizerBase, name: str, text: str, trained: str
) -> list[Fact]:
    """The template of training is the one INSTRUCTION-TEMPLATES serves, and the adapter below used it too."""
    check_served_as_trained(tokenizer, text, trained, PROBE)
    end = turn_end(tokenizer, trained)
    for parent in (arguments.run.frozen_adapter, arguments.run.resume_adapter):
        file = Path(parent or "") / CHAT_TEMPLATE
        if parent and file.is_file() and read_text(file).strip() != served_template(text).strip():
            raise LeyloraError(
                f"{parent} was trained with another chat template than {name}; give the instruction_template that "
                "its run.json names, because both must be asked in the same way."
            )
    mark = tokenizer.convert_ids_to_tokens(end)
    return [Fact("template", f"INSTRUCTION-TEMPLATES/{name}.yaml, served as trained; answers end with {mark} ({end})")]


def parents(arguments: Arguments, shape: Shape) -> list[Fact]:
    """The adapters a run builds on are there and fit the base, by their sizes."""
    facts = []
    for parent in (arguments.run.frozen_adapter, arguments.run.resume_adapter):
        if not parent:
            continue
        for module in open_adapter(adapter_folder(parent)).modules.values():
            if shape.linear.get(module.name.rpartition(".")[2]) != (module.d_in, module.d_out):
                raise LeyloraError(f"The adapter {parent} does not fit this base model ({module.name}).")
        facts.append(Fact("built on", parent))
    return facts


def _is_adapter(folder: str) -> bool:
    return (Path(folder) / WEIGHTS_FILE).is_file()


# --- before a weight is loaded


def rows(
    arguments: Arguments, data: RunData, tokenizer: PreTrainedTokenizerBase, text: str, trained: str
) -> list[Fact]:
    """Rows kept and left out, tokens trained; some real prompts as a server would send them.

    ``text`` is the chat template as served, marks included, ``trained`` as trained.
    """
    args, train, held_out = arguments.training, data.train, data.held_out
    for conversation in data.conversations[:REAL_ROWS]:
        check_served_as_trained(tokenizer, text, trained, conversation["messages"])
    labels = train.dataset["labels"]
    carry = sum(sum(label != IGNORED for label in row) for row in labels)
    ends = sum(row.count(turn_end(tokenizer, trained)) for row in labels)
    evaluated = f", {len(held_out.dataset):,} held out" if held_out else ", none held out"
    left = f"{len(train.too_long):,} longer than {args.max_length:,} left out, none cut"
    facts = [
        Fact("rows", f"{len(train.dataset):,} to train on{evaluated}; {left}"),
        Fact("labels", f"{carry:,} of {train.tokens:,} tokens carry loss ({carry / max(1, train.tokens):.0%})"),
        Fact("answers", f"{ends:,}, each whole and with its end; no question, no second BOS"),
    ]
    if not args.packing or train.packed is None:
        return [*facts, Fact("packing", "off", held=False)]
    full = filled(train.packed, args.max_length)
    return [*facts, Fact("packing", f"{len(train.packed):,} rows of {args.max_length:,}, {full:.1%} full")]


# --- of the loaded model


def model(
    arguments: Arguments,
    built: PeftModel,
    trainer: LoraTrainer,
    train: Dataset,
    fraction: float,
    end: int,
    *,
    small: bool,
) -> list[Fact]:
    """What must hold of the loaded model, its adapter and the trainer.

    Of several processes the first looks, because all hold the same; the others wait for it where training begins, and
    end with it if it stops.

    Args:
        train: the rows before packing.
        fraction: of the linear weights that is in 4 bits.
        end: the token that ends an answer.
        small: whether ``built`` is a small model of the same architecture.
    """
    args, asked = arguments.training, arguments.model
    if args.process_index > 0:
        return []
    tokenizer = trainer.processing_class
    kind = f"{asked.bnb_4bit_quant_type}{', double quantisation' if asked.use_bnb_nested_quant else ''}"
    which = "; on a small stand-in of its architecture" if small else ""
    quantized = Fact("4 bits", f"{fraction:.0%} of the linear weights ({kind}){which}")
    facts = [
        quantized if asked.load_in_4bit else Fact("4 bits", "off, as load_in_4bit asks", held=False),
        Fact("vocabulary", check_vocabulary(built, tokenizer)),
        Fact("trained", check_trainable(built)),
        Fact("precision", check_precision(built, args)),
        Fact("padding", check_collator(trainer.data_collator, trainer.train_dataset, tokenizer, end)),
    ]
    if args.packing and uses_zero3() and not asked.load_in_4bit:
        # transformers splits 16-bit weights while it loads them; only DeepSpeed's engine, made later, joins them
        split = "not tried: ZeRO-3 has split the weights already; a dry run in one process tries it"
        facts.append(Fact("documents", split, held=False))
    elif args.packing:
        facts.append(Fact("documents", check_packing(built, trainer.data_collator, train)))
    return [*facts, Fact("adapter file", check_round_trip(built, arguments.output))]


def check_vocabulary(model: PeftModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """No token is added to the base model's vocabulary: PEFT would save whole embeddings with the adapter."""
    known, rows = len(tokenizer), model.get_input_embeddings().num_embeddings  # not of the weight: ZeRO-3 splits it
    if known > rows or rows != model.config.vocab_size:
        raise LeyloraError(
            f"The tokenizer knows {known} tokens and the model has rows for {rows} of its {model.config.vocab_size}: "
            "tokens were added. Use the base model's own tokenizer; an adapter with new tokens fits no published base."
        )
    return f"{known:,} of {rows:,} rows used, none added"


def check_trainable(model: PeftModel) -> str:
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


def check_precision(model: PeftModel, args: SFTConfig) -> str:
    """Adapters in float32: fp16's gradient scaler refuses any other type, and bf16 loses most of their updates."""
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype != torch.float32:
            raise LeyloraError(
                f"The trained weight {name} is held in {str(weight.dtype).removeprefix('torch.')} and must be in "
                "float32: most updates would round to nothing, and an fp16 run would stop at its first step. Something "
                "cast the adapter after it was attached."
            )
    half = "bf16" if args.bf16 else "fp16" if args.fp16 else None
    return f"adapter in float32{f', computing in {half}' if half else ''}"


def check_collator(collate: Any, rows: Dataset, tokenizer: PreTrainedTokenizerBase, end: int) -> str:
    """Every label survives the collator: none of an answer's ends is lost to padding, no padding is learned.

    Collators that mask every token equal to the padding also mask each end of text where both are one token, and the
    model never stops (huggingface/blog#1302, huggingface/trl#976).
    """
    sizes = lengths(rows)
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
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


def check_packing(model: PeftModel, collate: Any, rows: Dataset) -> str:
    """Two documents packed into one row give the logits that each gives alone.

    The change that packing makes to the second document is compared with the change it would see if the first were its
    own beginning, so that one bound serves float32 and 16 bits. Where that change is lost in rounding (what another
    batch size alone changes), rounding is the bound.
    """
    first, second = (list(rows[-i % len(rows)]["input_ids"])[:PROBE_TOKENS] for i in (0, 1))
    device = model.get_input_embeddings().weight.device
    both = first + second
    packed = collate([{"input_ids": both, "labels": both, "seq_lengths": [len(first), len(second)]}])
    del packed["labels"]
    inputs = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in packed.items()}
    was_training = model.training
    model.eval()
    with torch.no_grad():
        together = _logits(model, inputs)[0, len(first) : len(both)]
        alone = _logits(model, {"input_ids": torch.tensor([second], device=device)})[0]
        joined = _logits(model, {"input_ids": torch.tensor([both], device=device)})[0, len(first) :]
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


def check_round_trip(model: PeftModel, place: Path) -> str:
    """The adapter of step 0 can be saved as it will be at the end, read again, and put back: the same, bit for bit."""
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


def _logits(model: PeftModel, inputs: dict[str, Any]) -> torch.Tensor:
    dtype = next(
        weight.dtype for weight in model.parameters() if not weight.requires_grad and weight.is_floating_point()
    )
    half = dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(inputs["input_ids"].device.type, dtype=dtype if half else torch.bfloat16, enabled=half):
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits.float()
