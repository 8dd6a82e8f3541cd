"""One supervised fine-tuning run, from a command line to an adapter folder. It reads from top to bottom.

    parse       the recipe and the command line                      (`recipe`, `config`)
    data        render, label, check and pack every conversation     (`data`; before a weight is loaded)
    model       the base in 4 bits, the adapter over it              (`leylora.models.load`, `adapter`)
    checks      what was checked on the way, as one table            (`checks`; a dry run ends here)
    trainer     TRL's SFTTrainer: packing, fused head, checkpoints   (`trainer`, `progress`, `resume`)
    save        adapter, tokenizer, template, card and run.json, moved into place at the end

Not here: data preparation (`leylora.data`), merging (`leylora.adapters`), evaluation beyond the held-out loss.
"""

import os
import shutil
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from leylora import console
from leylora.adapters.config import check_adapter_name
from leylora.adapters.files import WEIGHTS_FILE, open_adapter
from leylora.errors import UsageError
from leylora.files import sha256_file, write_json, write_text
from leylora.folders import staged_folder
from leylora.models.bases import base_sha256
from leylora.models.cards import assumed_card, find_card, resolve_attention
from leylora.models.families import KNOWN, family_of, shape_of
from leylora.models.load import load_base, load_config, load_tokenizer, quantized_fraction
from leylora.models.templates import instruction_template, served_template, training_template, turn_end
from leylora.models.tiny import make_stand_in
from leylora.project import shown
from leylora.training import checks
from leylora.training.adapter import adapter_folder, attach, whole_weights, write_weights
from leylora.training.config import Arguments
from leylora.training.data import filled, prepare, show_masks
from leylora.training.distributed import uses_zero3
from leylora.training.progress import SampleCallback
from leylora.training.record import LossPoint, RunRecord, draw, installed_versions, model_card, peak_memory_gib
from leylora.training.resume import begin, find_checkpoint, only_one, step_of
from leylora.training.trainer import build_trainer, mean_loss

SMALL = 10**9  # weights up to which a dry run without a GPU loads the model itself and not a stand-in
MASKED_ROWS = 2  # rows of a dry run whose labels are shown


def run(arguments: Arguments, overrides: list[str]) -> RunRecord:
    """Train the adapter that ``arguments`` describe and save it to ``arguments.output``.

    Args:
        overrides: the command line, for the record.

    Raises:
        UsageError: the output's name is taken or one the webui could not load, or a key cannot be used.
        LeyloraError: what stops a run: see `checks`, `data`, `leylora.models.load`, `adapter`, `trainer`.
    """
    work = arguments.output.with_name(f".{arguments.output.name}.run")  # beside the output, so on the same disk
    with only_one(work) if arguments.training.should_save else nullcontext():
        record = train(arguments, overrides, work)
    assert record is not None
    return record


def dry_run(arguments: Arguments) -> None:
    """Everything `run` does before its first step; nothing is kept.

    Without a GPU the checks of a large model are made on a small stand-in of its architecture.
    """
    with tempfile.TemporaryDirectory() as scratch:
        train(arguments, [], Path(scratch))


def train(arguments: Arguments, overrides: list[str], work: Path) -> RunRecord | None:
    """The run, in ``work``; None for a dry run."""
    started, versions = time.monotonic(), installed_versions()
    asked, args, output, dry = arguments.run, arguments.training, arguments.output, arguments.run.dry_run
    base_name, base_revision = str(arguments.model.model_name_or_path), arguments.model.model_revision
    facts: list[checks.Fact] = []
    try:
        # ---- what needs nothing but the recipe
        name = check_adapter_name(output.name)
        checks.processes(arguments)
        if output.exists() and not asked.overwrite:
            raise UsageError(f"{shown(output)} exists; add --overwrite true to replace it, or change output_dir.")
        checkpoint = None if dry else find_checkpoint(arguments, work)
        here = None if args.use_cpu else find_card()
        card = assumed_card(asked.assume_gpu) if asked.assume_gpu else here
        attention = resolve_attention(arguments.model.attn_implementation, here, half_precision=args.bf16 or args.fp16)
        facts += checks.settings(arguments, attention)
        if known := KNOWN.get(base_name):
            facts += checks.fits(arguments, known, card, attention[0])  # needs no download
            if not dry:
                checks.disk(base_name, known)

        # ---- configuration, template, tokenizer
        config = load_config(base_name, base_revision)
        family, shape = family_of(config), shape_of(config)
        if not known:
            facts += checks.fits(arguments, shape, card, attention[0])
        template_name = asked.instruction_template or family.instruction_template
        template = instruction_template(template_name)
        trained = training_template(template)
        tokenizer = load_tokenizer(base_name, base_revision)
        checks.template_of_base(arguments, tokenizer, template_name, template)
        facts += checks.template(arguments, tokenizer, template_name, template, trained)
        facts += checks.parents(arguments, shape)

        # ---- data
        data = prepare(arguments, tokenizer, trained)
        facts += checks.rows(arguments, data, tokenizer, template, trained)
        end = turn_end(tokenizer, trained)
        revision = str(getattr(config, "_commit_hash", None) or base_sha256(base_name, base_revision))
        below, before = (
            sha256_file(adapter_folder(folder) / WEIGHTS_FILE) if folder else None
            for folder in (asked.frozen_adapter, asked.resume_adapter)
        )
        if not dry:
            parents = {"the frozen adapter": below, "the adapter it continues": before}
            begin(work, checkpoint, arguments, {"the base model": revision, **parents, **data.made_from})
        masks = asked.mask_report if asked.mask_report is not None else MASKED_ROWS if dry else 0
        if masks > 0 and args.should_save:
            (console.out if dry else console.err).print(show_masks(data.train.dataset, tokenizer, end, masks))

        # ---- model
        small = dry and find_card() is None and shape.linear_parameters > SMALL
        if small:
            make_stand_in(config, work / "stand-in")
            base_name, base_revision = str(work / "stand-in"), None
            arguments = replace(arguments, run=replace(asked, frozen_adapter=None, resume_adapter=None))
        storage = arguments.model.bnb_4bit_quant_storage
        half = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
        on_gpu = torch.cuda.is_available()
        # Each process loads the model on its own GPU; under ZeRO-3 DeepSpeed places each part itself.
        place = {"": int(os.environ.get("LOCAL_RANK", "0"))} if on_gpu and not uses_zero3() else None
        base = load_base(
            base_name,
            revision=base_revision,
            load="4bit" if arguments.model.load_in_4bit else "16bit",
            quant_type=arguments.model.bnb_4bit_quant_type,
            double_quant=arguments.model.use_bnb_nested_quant,
            quant_storage=getattr(torch, storage) if storage else None,
            compute_dtype=torch.float32 if dry and not on_gpu else half,
            attn_implementation=attention[0],
            device_map=place,
        )
        fraction, _ = quantized_fraction(base)
        model = attach(base, arguments, family)

        # ---- trainer
        trainer = build_trainer(model, tokenizer, data.train, data.held_out, arguments, work)
        facts += checks.model(arguments, model, trainer, data.train.dataset, fraction, end, small=small)
    finally:
        if facts:
            (console.out if dry else console.err).print(checks.table(facts))
    if dry:
        return None

    # ---- training
    samples = None
    if asked.sample_every and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        console.note("No sample answers: the weights are split over the GPUs.")
    elif asked.sample_every:
        samples = SampleCallback(
            tokenizer, served_template(template), work, asked.sample_every, asked.sample_prompts, trainer.bar.meter.skip
        )
        trainer.add_callback(samples)
    trainer.run(checkpoint)
    held_out_loss = trainer.held_out_loss()

    # ---- record and save
    memory_gib, device = peak_memory_gib()
    weights = whole_weights(model)  # every process must call this
    packed = data.train.packed
    record = RunRecord(
        name=name,
        base_model=base_name,
        revision=revision,
        recipe=arguments.recipe,
        overrides=overrides,
        config=arguments.config,
        instruction_template=template_name,
        frozen_adapter=asked.frozen_adapter,
        frozen_adapter_sha256=below,
        resume_adapter=asked.resume_adapter,
        resume_adapter_sha256=before,
        seed=args.seed,
        versions=versions,
        device=device,
        processes=args.world_size,
        dataset=str(arguments.script.dataset_name),
        dataset_sha256=data.train.sha256,
        replay_dataset=asked.replay_dataset,
        replay_fraction=asked.replay_fraction if asked.replay_dataset else None,
        rows=len(data.train.dataset),
        rows_too_long=len(data.train.too_long),
        eval_rows=0 if data.held_out is None else len(data.held_out.dataset),
        tokens=trainer.state.num_input_tokens_seen,
        steps=trainer.state.global_step,
        quantized_fraction=fraction,
        trainable_parameters=model.get_nb_trainable_parameters()[0],
        packing_efficiency=filled(packed, args.max_length) if args.packing and packed is not None else None,
        tokens_per_second=trainer.bar.meter.tokens_per_second,
        utilization=trainer.bar.utilization,
        peak_memory_gib=memory_gib,
        train_loss=mean_loss(trainer.state.log_history),
        eval_loss=held_out_loss,
        adapter_sha256="",
        wall_seconds=time.monotonic() - started,
        resumed_from_step=step_of(checkpoint) if checkpoint else None,
        samples=samples.samples if samples else [],
        log=[LossPoint.model_validate(point) for point in trainer.state.log_history if "train_loss" not in point],
    )
    if not trainer.is_world_process_zero():
        return record
    with staged_folder(output, overwrite=asked.overwrite) as folder:
        plain = write_weights(model, folder, output, weights)
        tokenizer.chat_template = served_template(template)
        tokenizer.save_pretrained(folder)
        adapter = open_adapter(folder)  # what was written can be read, and every factor is a number
        for module in adapter.modules:
            adapter.factors(module)
        record.adapter_sha256 = sha256_file(folder / WEIGHTS_FILE)
        record.wall_seconds = time.monotonic() - started
        write_json(folder / "run.json", record.model_dump())
        draw(record.log, record.name, folder)
        write_text(folder / "README.md", model_card(record, plain))
    shutil.rmtree(work, ignore_errors=True)
    return record
