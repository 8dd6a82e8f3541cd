"""Everything that is checked before the first step, as one table. Alone with ``--dry_run true``.

A check that holds adds a row with its figure; one that fails stops the run with a sentence, under the rows that held.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from leylora import console
from leylora.adapters.config import read_config
from leylora.adapters.files import WEIGHTS_FILE, open_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_text
from leylora.models.cards import GIB, Card, assumed_card, find_card, resolve_attention
from leylora.models.families import FAMILIES, Shape
from leylora.models.templates import PROBE, check_served_as_trained, served_template, turn_end
from leylora.training import memory, model_checks
from leylora.training.labels import IGNORED
from leylora.training.packs import Source, lengths
from leylora.training.processes import uses_zero3

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from leylora.training.arguments import Arguments
    from leylora.training.engine import Engine
    from leylora.training.rows import Rows

SMALL = 10**9
"""Weights up to which a dry run without a GPU loads the model itself and not a stand-in."""

REAL_ROWS = 32
"""Conversations of the dataset whose prompts are compared token by token with what a server sends."""

CHAT_TEMPLATE = "chat_template.jinja"


@dataclass
class Preflight:
    """The rows of the table so far.

    Attributes:
        card: what the run computes on, or is assumed to; None on CPU.
        attention: the implementation the model is loaded with, and why.
        stand_in: whether the model's checks are done on a small one of the same architecture.
    """

    arguments: "Arguments"
    card: Card | None = None
    attention: tuple[str, str] = ("sdpa", "")
    stand_in: bool = False
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    shown: bool = False

    def __post_init__(self) -> None:
        asked = self.arguments.run.assume_gpu
        if asked:
            self.card = assumed_card(asked)
        elif not self.arguments.training.use_cpu:
            self.card = find_card()
        training = self.arguments.training
        here = None if training.use_cpu else find_card()
        self.attention = resolve_attention(
            self.arguments.model.attn_implementation, here, half_precision=training.bf16 or training.fp16
        )

    def ok(self, name: str, figure: str) -> None:
        """A check that held."""
        self.rows.append(("OK", name, figure))

    def note(self, name: str, figure: str) -> None:
        """Something a person should know that stops nothing."""
        self.rows.append(("--", name, figure))

    def show(self) -> None:
        """Print the table once: a dry run's result, or a normal run's first lines."""
        if self.shown:
            return
        self.shown = True
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for mark, name, figure in self.rows:
            table.add_row(Text(mark, "green" if mark == "OK" else "yellow"), name, Text(figure))
        (console.out if self.arguments.run.dry_run else console.err).print(table)

    def keys(self) -> None:
        """Keys that TRL knows and a run of ours would not heed, or that would ruin it.

        Raises:
            UsageError: names the key and what to use instead.
        """
        training, model = self.arguments.training, self.arguments.model
        unheeded = {
            "chat_template_path": (
                training.chat_template_path,
                "give instruction_template, which the webui serves too",
            ),
            "eos_token": (training.eos_token, "the template's marks decide what ends an answer"),
            "lora_modules_to_save": (model.lora_modules_to_save, "embeddings and head stay those of the base"),
            "lora_target_parameters": (model.lora_target_parameters, "name layers in lora_target_modules"),
            "load_in_8bit": (model.load_in_8bit, "use load_in_4bit, or neither"),
            "use_dora": (model.use_dora, "DoRA does not fit a plain adapter that loads everywhere"),
            "assistant_only_loss: false": (not training.assistant_only_loss, "only answers are trained"),
            "packing_strategy: wrapped": (
                training.packing and training.packing_strategy == "wrapped",
                "it cuts documents and mixes them; use bfd",
            ),
        }
        for key, (given, instead) in unheeded.items():
            if given:
                raise UsageError(f"{self.arguments.recipe}: {key} cannot be used here: {instead}.")
        self.ok("recipe", f"{self.arguments.recipe}: every key known and heeded")
        name, why = self.attention
        compiled = ", torch.compile" if training.torch_compile else ""
        self.ok("attention", f"{name} ({why}){compiled}")

    def plan(self, shape: Shape) -> memory.Plan:
        """What the memory estimate is made for."""
        training, model, run = self.arguments.training, self.arguments.model, self.arguments.run
        targets = model.lora_target_modules
        if run.init_from and _is_adapter(run.init_from):
            parent = read_config(Path(run.init_from))
            rank, targets = parent.r, parent.target_modules
        else:
            rank = model.lora_r
        if not isinstance(targets, list) or not targets:
            targets = list(FAMILIES[shape.model_type].linear_layers)
        below = run.on_top_of or ""
        again = training.gradient_checkpointing
        here = self.attention[0]
        return memory.Plan(
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
            selective=again
            and "flash" not in here
            and bool((training.gradient_checkpointing_kwargs or {}).get("selective")),
            attention="flash" if "flash" in here else here,
        )

    def memory(self, shape: Shape) -> None:
        """The estimated peak against the card.

        Raises:
            LeyloraError: it cannot fit; the message says what does.
        """
        training, name = self.arguments.training, self.arguments.model.model_name_or_path
        if training.max_length is None:
            raise UsageError(f"{self.arguments.recipe}: max_length is missing; rows must have a bound.")
        if training.max_length > shape.context:
            raise UsageError(
                f"max_length {training.max_length} is longer than the {shape.context} positions {name} was made for; "
                "lower max_length."
            )
        if shape.window and training.max_length > shape.window:
            window = f"documents over {shape.window:,} tokens are read through a sliding window, as in its pre-training"
            self.note("window", window)
        plan = self.plan(shape)
        needed = memory.estimate(plan)
        parts = "\n".join(f"{part:<24}{value / GIB:6.2f}" for part, value in needed.parts.items())
        total = f"{parts}\n{'total':<24}{needed.total / GIB:6.2f} GiB, estimated"
        if self.card is None and not self.arguments.run.dry_run:
            return
        if self.card is None:
            self.note("memory", f"{total}\nno card to hold it against; --assume_gpu 'T4 16GB' names one")
            return
        memory_gib = self.card.memory_gib
        if needed.total / memory.TOO_HIGH > memory_gib * GIB:
            raise LeyloraError(
                f"{name} at {plan.batch} x {plan.length} tokens needs about {needed.total / GIB:.1f} GiB and "
                f"{self.card.name} has {memory_gib:.1f}, by estimate; {_what_fits(plan, memory_gib)}."
            )
        longest, most = memory.largest_length(plan, memory_gib), memory.largest_batch(plan, memory_gib)
        speed = memory.tokens_per_second(plan, self.card)
        pace = f"; about {memory.rounded(speed):,} tokens/s" if speed else ""
        fits = f"{self.card.name} has {memory_gib:.1f}{pace}\n"
        fits += f"up to {longest:,} tokens a row" + (f", or {most} rows of {plan.length:,}" if most else "")
        if needed.total > memory_gib * GIB:
            self.note("memory", f"{total}\n{fits}: it may run out; lower max_length if it does")
        else:
            self.ok("memory", f"{total}\n{fits}")

    def template(self, tokenizer: "PreTrainedTokenizerBase", name: str, template: str, trained: str) -> None:
        """The template of training is the one INSTRUCTION-TEMPLATES serves, and the adapter below used it too."""
        check_served_as_trained(tokenizer, template, trained, PROBE)
        end = turn_end(tokenizer, trained)
        mark = tokenizer.convert_ids_to_tokens(end)
        self.ok("template", f"INSTRUCTION-TEMPLATES/{name}.yaml, served as trained; answers end with {mark} ({end})")
        for parent in (self.arguments.run.on_top_of, self.arguments.run.init_from):
            file = Path(parent or "") / CHAT_TEMPLATE
            if parent and file.is_file() and read_text(file).strip() != served_template(template).strip():
                raise LeyloraError(
                    f"{parent} was trained with another chat template than {name}; give the instruction_template that "
                    "its run.json names, for both must be asked in one way."
                )

    def data(self, source: Source, template: str, train: "Rows", evaluation: "Rows | None") -> None:
        """Rows kept and left out, tokens trained; some real prompts as a server would send them."""
        for conversation in source.train[:REAL_ROWS]:
            check_served_as_trained(source.tokenizer, template, source.template, conversation["messages"])
        labels = train.dataset["labels"]
        trained = sum(sum(label != IGNORED for label in row) for row in labels)
        held_out = f", {len(evaluation.dataset):,} held out" if evaluation is not None else ", none held out"
        left = f"{len(train.too_long):,} longer than {source.args.max_length:,} left out, none cut"
        self.ok("rows", f"{len(train.dataset):,} to train on{held_out}; {left}")
        ends = turn_end(source.tokenizer, source.template)
        count = sum(row.count(ends) for row in labels)
        share = trained / max(1, train.tokens)
        self.ok("labels", f"{trained:,} of {train.tokens:,} tokens carry loss ({share:.0%})")
        self.ok("answers", f"{count:,}, each whole and with its end; no question, no second BOS")
        if source.args.packing and train.packed is not None:
            filled = lengths(train.packed)
            full = sum(filled) / (len(filled) * source.args.max_length)
            self.ok("packing", f"{len(filled):,} rows of {source.args.max_length:,}, {full:.1%} full")
        else:
            self.note("packing", "off")

    def parents(self, shape: Shape) -> None:
        """The adapters a run builds on are there and fit the base, by their sizes."""
        for parent in (self.arguments.run.on_top_of, self.arguments.run.init_from):
            if not parent:
                continue
            if not _is_adapter(parent):
                raise LeyloraError(f"{parent} is no adapter folder ({WEIGHTS_FILE} is missing); train it first.")
            for module in open_adapter(Path(parent)).modules.values():
                if shape.linear.get(module.name.rpartition(".")[2]) != (module.d_in, module.d_out):
                    raise LeyloraError(f"The adapter {parent} does not fit this base model ({module.name}).")
            self.ok("built on", parent)

    def takes_stand_in(self, shape: Shape) -> bool:
        """Whether a dry run checks a stand-in: there is no GPU and the model is a large one."""
        self.stand_in = self.arguments.run.dry_run and find_card() is None and shape.linear_parameters > SMALL
        return self.stand_in

    def model(self, model: "PeftModel", trainer: "Engine", train: "Rows", fraction: float, *, end: int) -> None:
        """What must hold of the loaded model, its adapter and the trainer; see `leylora.training.model_checks`.

        Of several processes the first looks, for all hold the same; the others wait for it where training begins, and
        end with it if it stops.
        """
        args, asked = self.arguments.training, self.arguments.model
        if args.process_index > 0:
            return
        which = "; on a small stand-in of its architecture" if self.stand_in else ""
        kind = f"{asked.bnb_4bit_quant_type}{', double quantisation' if asked.use_bnb_nested_quant else ''}"
        if asked.load_in_4bit:
            self.ok("4 bits", f"{fraction:.0%} of the linear weights ({kind}){which}")
        else:
            self.note("4 bits", "off, as load_in_4bit asks")
        self.ok("vocabulary", model_checks.check_vocabulary(model, trainer.processing_class))
        self.ok("trained", model_checks.check_trainable(model))
        self.ok("precision", model_checks.check_precision(model, args))
        rows: Any = trainer.train_dataset
        self.ok("padding", model_checks.check_collator(trainer.data_collator, rows, trainer.processing_class, end))
        if args.packing and uses_zero3() and not asked.load_in_4bit:
            # transformers splits 16-bit weights while it loads them; only DeepSpeed's engine, made later, joins them
            split = "not tried: ZeRO-3 has split the weights already; a dry run in one process tries it"
            self.note("documents", split)
        elif args.packing:
            self.ok("documents", model_checks.check_packing(model, trainer.data_collator, train.dataset))
        self.ok("adapter file", model_checks.check_round_trip(model, self.arguments.output))


def _what_fits(plan: memory.Plan, memory_gib: float) -> str:
    """The remedy for a run that does not fit."""
    if most := memory.largest_batch(plan, memory_gib):
        return f"lower per_device_train_batch_size to {most} and raise gradient_accumulation_steps"
    if longest := memory.largest_length(replace(plan, batch=1), memory_gib):
        return f"lower per_device_train_batch_size to 1 and max_length to {longest:,}"
    return "not even one row of 256 tokens fits, so take a larger card or a smaller base model"


def _is_adapter(folder: str) -> bool:
    return (Path(folder) / WEIGHTS_FILE).is_file()
