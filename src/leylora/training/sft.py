"""One supervised fine-tuning run, from checked arguments to an adapter folder. It reads from top to bottom.

    resume     the checkpoint to go on from, if there is one
    rows       render, label, check and pack every conversation    (before any weight is loaded)
    model      the base in 4 bits, really; the adapter over it
    trainer    TRL's SFTTrainer: packing, fused head, checkpoints
    preflight  what was checked on the way, as a table; a dry run ends here
    save       adapter, tokenizer, template, card and run.json, moved into place at the end

Not here: data preparation (`leylora.data`), merging (`leylora.adapters`), evaluation beyond the held-out loss.
"""

import os
import shutil
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.adapters.config import check_adapter_name
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import UsageError
from leylora.files import sha256_file
from leylora.models.families import KNOWN, family_of, shape_of
from leylora.models.load import load_base, load_config, load_tokenizer, quantized_fraction
from leylora.models.templates import instruction_template, served_template, training_template, turn_end
from leylora.models.tiny import make_stand_in
from leylora.project import shown
from leylora.training.adapter import TRAINED, adapter_folder, attach
from leylora.training.arguments import Arguments
from leylora.training.mask_report import report_masks
from leylora.training.packs import prepare_rows, source_of
from leylora.training.preflight import Preflight
from leylora.training.processes import check_processes, uses_zero3, whole_weights
from leylora.training.record import LossPoint, RunRecord, installed_versions, peak_memory_gib
from leylora.training.resume import begin, find_checkpoint, only_one, step_of
from leylora.training.rows import Rows
from leylora.training.save import save_adapter
from leylora.training.trackers import check_trackers
from leylora.training.trainer import add_sampler, build_trainer, held_out_loss, mean_loss, packing_efficiency
from leylora.training.trainer import train as train_model

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from leylora.training.engine import Engine


@dataclass(frozen=True)
class Prepared:
    """A run that is ready for its first step, every check behind it."""

    name: str
    work: Path
    checkpoint: Path | None
    revision: str
    made_from: dict[str, str | None]
    template_name: str
    template: str
    tokenizer: "PreTrainedTokenizerBase"
    train: Rows
    evaluation: Rows | None
    fraction: float
    model: "PeftModel"
    trainer: "Engine"


def dry_run(arguments: Arguments) -> None:
    """Everything `run` does before its first step, and nothing of it kept but the mask report.

    Without a GPU the checks of a large model are made on a small stand-in of its architecture.

    Raises:
        LeyloraError: the first check that fails; those that held stand above it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _prepare(arguments, Path(scratch))


def run(arguments: Arguments, overrides: list[str]) -> RunRecord:
    """Train the adapter that ``arguments`` describe and save it to ``arguments.output``.

    Args:
        overrides: the command line after the recipe, for the record.

    Raises:
        UsageError: the output's name is taken or one the webui could not load.
        LeyloraError: what stops a run: see `preflight`, `labels`, `models.load`, `adapter`.
    """
    work = work_folder(arguments.output)
    with only_one(work) if arguments.training.should_save else nullcontext():
        return _run(arguments, overrides, work)


def _run(arguments: Arguments, overrides: list[str], work: Path) -> RunRecord:
    started, versions = time.monotonic(), installed_versions()
    ready = _prepare(arguments, work)
    train, trainer, model, checkpoint = ready.train, ready.trainer, ready.model, ready.checkpoint

    sampler = add_sampler(trainer, ready.tokenizer, served_template(ready.template), arguments, ready.work)
    train_model(trainer, checkpoint)
    held_out = held_out_loss(trainer) if ready.evaluation is not None else None

    memory, device = peak_memory_gib()

    def record(adapter_sha256: str) -> RunRecord:
        asked = arguments.run
        return RunRecord(
            name=ready.name,
            base_model=str(arguments.model.model_name_or_path),
            revision=ready.revision,
            recipe=arguments.recipe,
            overrides=overrides,
            instruction_template=ready.template_name,
            on_top_of=asked.on_top_of,
            on_top_of_sha256=ready.made_from["the adapter below (on_top_of)"],
            init_from=asked.init_from,
            init_from_sha256=ready.made_from["the adapter it began from (init_from)"],
            seed=arguments.training.seed,
            versions=versions,
            device=device,
            processes=arguments.training.world_size,
            dataset=str(arguments.script.dataset_name),
            dataset_sha256=train.sha256,
            replay_dataset=asked.replay_dataset,
            replay_fraction=asked.replay_fraction if asked.replay_dataset else None,
            rows=len(train.dataset),
            rows_too_long=len(train.too_long),
            eval_rows=0 if ready.evaluation is None else len(ready.evaluation.dataset),
            tokens=trainer.state.num_input_tokens_seen,
            steps=trainer.state.global_step,
            quantized_fraction=ready.fraction,
            trainable_parameters=model.get_nb_trainable_parameters()[0],
            packing_efficiency=packing_efficiency(trainer),
            tokens_per_second=trainer.bar.meter.tokens_per_second,
            utilization=trainer.bar.utilization,
            peak_memory_gib=memory,
            train_loss=mean_loss(trainer.state.log_history),
            eval_loss=held_out,
            adapter_sha256=adapter_sha256,
            wall_seconds=time.monotonic() - started,
            resumed_from_step=step_of(checkpoint) if checkpoint else None,
            samples=sampler.samples if sampler else [],
            log=[LossPoint.model_validate(point) for point in trainer.state.log_history if "train_loss" not in point],
        )

    weights = whole_weights(model, TRAINED)
    if not trainer.is_world_process_zero():
        return record("")
    saved = save_adapter(
        model, weights, ready.tokenizer, served_template(ready.template), arguments.output, record,
        overwrite=arguments.run.overwrite,
    )  # fmt: skip
    shutil.rmtree(ready.work, ignore_errors=True)
    return saved


def work_folder(output: Path) -> Path:
    """Where a run keeps its checkpoints, packed rows and mask report: beside the output, so on the same disk."""
    return output.with_name(f".{output.name}.run")


def _prepare(arguments: Arguments, work: Path) -> Prepared:
    """All of a run before its first step; see the top of this file.

    The checks that held are printed also when one fails.
    """
    preflight = Preflight(arguments)
    try:
        return _prepare_with(preflight, arguments, work)
    finally:
        preflight.show()


def _prepare_with(preflight: Preflight, arguments: Arguments, work: Path) -> Prepared:
    name = check_adapter_name(arguments.output.name)
    check_processes(arguments)
    check_trackers(arguments.training.report_to)
    if arguments.output.exists() and not arguments.run.overwrite:
        raise UsageError(f"{shown(arguments.output)} exists; add --overwrite true to replace it, or change output_dir.")
    dry = arguments.run.dry_run
    checkpoint = None if dry else find_checkpoint(arguments, work)
    preflight.keys()

    base_name, base_revision = arguments.model.model_name_or_path, arguments.model.model_revision
    known = KNOWN.get(base_name)
    if known:
        preflight.memory(known)  # needs no download
    config = load_config(base_name, base_revision)
    family = family_of(config)
    shape = shape_of(config)
    if not known:
        preflight.memory(shape)
    template_name = arguments.run.instruction_template or family.instruction_template
    template = instruction_template(template_name)
    tokenizer = load_tokenizer(base_name, base_revision)
    preflight.template(tokenizer, template_name, template, training_template(template))
    preflight.parents(shape)

    source = source_of(arguments, tokenizer, training_template(template))
    revision = _revision(config, arguments)
    made_from = {
        "the base model": revision,
        "the adapter below (on_top_of)": _weights_sha256(arguments.run.on_top_of),
        "the adapter it began from (init_from)": _weights_sha256(arguments.run.init_from),
    }
    if not dry:
        begin(work, checkpoint, arguments, {**source.made_of, **made_from})
    train, evaluation = prepare_rows(source, work)
    preflight.data(source, template, train, evaluation)
    end = turn_end(tokenizer, training_template(template))
    report_masks(arguments, train, tokenizer, end, work_folder(arguments.output) / "mask_report.html")

    if preflight.takes_stand_in(shape):
        make_stand_in(config, work / "stand-in")
        base_name, base_revision = str(work / "stand-in"), None
        arguments = replace(arguments, run=replace(arguments.run, on_top_of=None, init_from=None))
    base = load_base(
        base_name,
        revision=base_revision,
        load="4bit" if arguments.model.load_in_4bit else "16bit",
        quant_type=arguments.model.bnb_4bit_quant_type,
        double_quant=arguments.model.use_bnb_nested_quant,
        quant_storage=_dtype(arguments.model.bnb_4bit_quant_storage),
        compute_dtype=_compute_dtype(arguments),
        attn_implementation=preflight.attention[0],
        device_map=_device_map(),
    )
    fraction, _ = quantized_fraction(base)
    model = attach(base, arguments, family)

    trainer = build_trainer(model, tokenizer, train, evaluation, arguments, work)
    preflight.model(model, trainer, train, fraction, end=end)
    return Prepared(
        name, work, checkpoint, revision, made_from, template_name, template, tokenizer, train, evaluation, fraction,
        model, trainer,
    )  # fmt: skip


def _compute_dtype(arguments: Arguments) -> Any:
    import torch

    if arguments.run.dry_run and not torch.cuda.is_available():
        return torch.float32  # what a CPU computes exactly
    if arguments.training.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.training.fp16 else torch.float32


def _dtype(name: str | None) -> Any:
    import torch

    return getattr(torch, name) if name else None


def _device_map() -> dict[str, int] | None:
    """Each process loads the 4-bit model on its own GPU; under ZeRO-3 DeepSpeed places each part itself."""
    import torch

    return {"": int(os.environ.get("LOCAL_RANK", "0"))} if torch.cuda.is_available() and not uses_zero3() else None


def _revision(config: Any, arguments: Arguments) -> str:
    """The Hub commit, or the hash of a local base's configuration and weights."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)
    weights = sorted(Path(arguments.model.model_name_or_path).glob("*.safetensors"))
    return f"sha256:{sha256_file(weights[0])}" if weights else str(arguments.model.model_revision)


def _weights_sha256(folder: str | None) -> str | None:
    return sha256_file(adapter_folder(folder) / WEIGHTS_FILE) if folder else None
