"""Who is timed by training.py, and on what.

ours             the recipe of train/sft.py --model MODEL --adapter instructions, at this row length
TRL              SFTConfig's defaults (8 padded rows a batch, no packing) with our LoRA and 4-bit settings
TRL, packing     the same with packing: one packed row a batch and 8 accumulated. TRL then sends rows without padding
                 and with positions, by which transformers keeps documents apart under sdpa too
TRL, 1 row       TRL's defaults with one row a batch and 8 accumulated: for cards where 8 do not fit
Unsloth          its loader and adapter, with packing, where the package is installed; not yet run

All but Unsloth train the same base, `random_base`. For Falcon that has our mends in it (`leylora.models.falcon`): as it
comes, no contender would have its weights in 4 bits, and packed documents would see each other.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer

CONTENDERS = {"ours": "ours", "trl": "TRL", "trl-packing": "TRL, packing", "trl-1": "TRL, 1 row", "unsloth": "Unsloth"}
PLACES = 2 * 8  # the most packed rows a step of a recipe takes: Falcon's
MEDIAN, SIGMA, PROMPT, WARM_UP = 180, 0.9, 0.4, 2
RANK, ALPHA = 16, 32


@dataclass(frozen=True)
class Job:
    """One contender on one model at one row length.

    Attributes:
        memory_gib: the most that torch may allocate; 0 for all of the card.
        attention: for every contender; with ``auto`` ours takes what its recipe would, the others sdpa.
        checkpointing: whether activations are computed again, as recipes and TRL's defaults have it.
    """

    contender: str
    family: str
    length: int
    steps: int
    memory_gib: float
    attention: str
    small: bool
    checkpointing: bool = True


def synthetic_rows(job: Job) -> "Dataset":
    """More tokens than any recipe's steps use, the same for every contender: random ids, log-normal lengths."""
    from datasets import Dataset

    draw = random.Random(0)
    vocabulary, median = (500, MEDIAN // 8) if job.small else (30000, MEDIAN)
    rows: list[dict[str, list[int]]] = []
    total = 0
    while total < (PLACES + 1) * job.length * (job.steps + WARM_UP):
        tokens = min(job.length, max(8, round(median * draw.lognormvariate(0, SIGMA))))
        ids = [*draw.choices(range(10, vocabulary), k=tokens - 1), 2]
        prompt = round(PROMPT * tokens)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
        total += tokens
    return Dataset.from_list(rows)


def base(job: Job, precision: Any, attention: str) -> "PreTrainedModel":
    import torch
    from random_base import random_base, shape

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = shape(job.family, small=job.small)
    return random_base(config, compute_dtype=precision, device=device, attn_implementation=attention)


def word_tokenizer() -> "PreTrainedTokenizerFast":
    """What the trainers ask a tokenizer for: the ids of its special tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )


def ours(job: Job, rows: "Dataset", work: Path) -> "Trainer":
    """The trainer of train/sft.py with the family's recipe."""
    import torch

    from leylora.models.cards import find_card, resolve_attention
    from leylora.models.families import family_of
    from leylora.training.adapter import attach
    from leylora.training.config import parse
    from leylora.training.data import TokenizedDataset
    from leylora.training.trainer import build_trainer

    model = f"tiny-{job.family}" if job.small else f"{job.family}-7b"
    words = [
        "--model",
        model,
        "--adapter",
        "instructions",
        "--max_length",
        str(job.length),
        "--max_steps",
        str(job.steps + WARM_UP),
    ]
    words += ["--eval_strategy", "no", "--save_strategy", "no", "--output_dir", str(work / "out")]
    if not job.checkpointing:
        words += ["--gradient_checkpointing", "false"]
    arguments = parse([*words, "--min_gpu_memory_gib", "0"])
    args = arguments.training
    dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
    attention, _ = resolve_attention(job.attention, find_card(), half_precision=args.bf16 or args.fp16)
    model = base(job, dtype, attention)
    adapted = attach(model, arguments, family_of(model.config))
    named = rows.add_column("conversation", [f"row {number}" for number in range(len(rows))])
    return build_trainer(adapted, word_tokenizer(), TokenizedDataset(named, "synthetic"), None, arguments, work)


def theirs(job: Job, rows: "Dataset", work: Path) -> "Trainer":
    """TRL's SFTTrainer as it comes, or Unsloth's model in it; the LoRA layers and ranks are ours."""
    import torch
    from peft import LoraConfig
    from random_base import shape
    from trl import SFTConfig, SFTTrainer

    from leylora.models.cards import find_card
    from leylora.models.families import family_of

    card = find_card()
    half = "fp32" if card is None else "bf16" if card.bf16 else "fp16"
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[half]
    batch: dict[str, Any] = {}
    if job.contender != "trl":
        batch = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    if job.contender in ("unsloth", "trl-packing"):
        batch |= {"packing": True}
    args = SFTConfig(
        output_dir=str(work / "out"),
        max_length=job.length,
        max_steps=job.steps + WARM_UP,
        bf16=half == "bf16",
        fp16=half == "fp16",
        use_cpu=card is None,
        gradient_checkpointing=job.checkpointing,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        include_num_input_tokens_seen="non_padding",
        **batch,
    )
    tokenizer = word_tokenizer()
    targets = list(family_of(shape(job.family)).linear_layers)
    model: Any = base(job, dtype, "sdpa" if job.attention == "auto" else job.attention)
    adapter = None
    if job.contender == "unsloth":
        from unsloth import FastLanguageModel

        model.save_pretrained(work / "base")  # in 4 bits, 4 GB: Unsloth loads from a folder
        tokenizer.save_pretrained(work / "base")
        del model
        torch.cuda.empty_cache()
        model, _ = FastLanguageModel.from_pretrained(
            str(work / "base"), max_seq_length=job.length, dtype=dtype, load_in_4bit=True
        )
        model = FastLanguageModel.get_peft_model(
            model,
            r=RANK,
            lora_alpha=ALPHA,
            lora_dropout=0.0,
            bias="none",
            target_modules=targets,
            use_gradient_checkpointing="unsloth",
        )
    else:
        adapter = LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules=targets)
    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer, peft_config=adapter)
    if half == "fp16":  # without this stock TRL 1.16 stops at its first step on cards without bf16
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    return trainer
