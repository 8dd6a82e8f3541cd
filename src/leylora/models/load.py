"""Base models and their tokenizers, loaded so that "4-bit" means 4 bits. The one place where models are loaded."""

import sys
import warnings
from pathlib import Path

import torch
import transformers
from bitsandbytes.nn import Linear4bit
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from leylora.errors import LeyloraError, first_line
from leylora.files import read_json_object
from leylora.models.bases import Load, cannot_load, check_attention, check_path, check_weights, without_network
from leylora.models.cards import avoid_unfused_grouped_attention, find_card
from leylora.models.falcon import isolate_packed_documents, plain_linear_layers, widen_keys_and_values


def silence_libraries() -> None:
    """Silence what nobody can act on: announcements of next major versions, progress bars of steps that take a second.

    Errors and other warnings stay. (bitsandbytes' note on a missing optional CPU kernel, which comes with its first
    import, is silenced in ``leylora/__init__.py``.)
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"trl\..*")
    transformers.utils.logging.disable_progress_bar()
    if "datasets" in sys.modules:  # only training needs it
        sys.modules["datasets"].disable_progress_bars()


def default_dtype() -> torch.dtype:
    """What matrices are multiplied in unless a recipe says otherwise."""
    card = find_card()
    return torch.float32 if card is None else torch.bfloat16 if card.bf16 else torch.float16


def here() -> dict[str, int] | None:
    """The ``device_map`` for this process's GPU, or None for the CPU."""
    return {"": torch.cuda.current_device()} if torch.cuda.is_available() else None


def load_config(name: str, revision: str | None = None) -> PretrainedConfig:
    """The configuration of a local folder or Hub model. Raises LeyloraError when it cannot be had."""
    check_path(name)
    if (Path(name) / "config.json").is_file():
        check_attention(name, read_json_object(Path(name) / "config.json"))
    try:
        config = AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=without_network(name)
        )
    except Exception as error:  # of a stranger's config.json anything: a size that is text, a dtype that is none
        raise cannot_load(name, error) from None
    check_attention(name, config)
    return config


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model, with a padding token that is not the end-of-text token. No token is added.

    Raises:
        LeyloraError: it cannot be loaded, has no end-of-text token, or no token is free for padding.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=without_network(name)
        )
        named = tokenizer.eos_token
    except Exception as error:  # of a stranger's files anything
        raise LeyloraError(
            f"The tokenizer of {name} cannot be loaded ({first_line(error)}); check the folder or the network."
        ) from None
    if named is None:
        raise LeyloraError(f"The tokenizer of {name} has no end-of-text token, so no model of it could learn to stop.")
    tokenizer.padding_side = "right"
    tokenizer.pad_token = _padding_token(tokenizer, name)
    return tokenizer


def _padding_token(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """A special token the vocabulary already has and no text uses: the model's own, ``<unk>``, or a spare one.

    Padding with the end-of-text token makes naive collators mask every end of text, and the model never stops
    (huggingface/blog#1302 for Falcon, huggingface/trl#976 for Mistral). Adding a token would change the shape
    of the embeddings, and the adapter would no longer fit the published base.
    """
    added = [token.content for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
    named = [token for token in added if "pad" in token.lower()]  # Llama 3.1 has one and does not say so
    spare = [*named, *reversed(tokenizer.all_special_tokens), *reversed(added)]
    for token in (tokenizer.pad_token, tokenizer.unk_token, *spare):
        if token is not None and token not in (tokenizer.bos_token, tokenizer.eos_token):
            return token
    raise LeyloraError(
        f"The tokenizer of {name} has no special token other than its end-of-text token '{tokenizer.eos_token}' to pad "
        "with; set pad_token in its tokenizer_config.json to a token that texts do not use."
    )


def load_base(
    name: str,
    load: Load = "4bit",
    *,
    revision: str | None = None,
    quant_type: str = "nf4",
    double_quant: bool = True,
    quant_storage: torch.dtype | None = None,
    compute_dtype: torch.dtype | None = None,
    attn_implementation: str | None = None,
    device_map: dict[str, int] | bool | None = True,
) -> PreTrainedModel:
    """Load a causal or encoder-decoder model in evaluation mode, ready for packed rows.

    Args:
        load: precision of the linear layers; 4 bits is what adapters are trained on, and so what suits them best.
        quant_storage: dtype that carries the packed 4-bit weights; FSDP needs ``compute_dtype`` here.
        compute_dtype: of products, and of the layers outside 4-bit; by default `default_dtype`.
        device_map: True puts the model on this process's GPU if there is one.

    Raises:
        LeyloraError: the model cannot be loaded, does not fit the GPU, or stayed partly unquantised.
    """
    check_weights(name)
    config = load_config(name, revision)
    dtype = default_dtype() if compute_dtype is None else compute_dtype
    quantization = None
    if load == "4bit":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quant_type,
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=quant_storage or torch.uint8,
        )
    elif load == "8bit":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with plain_linear_layers(config):
            model = kind.from_pretrained(
                name,
                revision=revision,
                dtype=dtype,
                quantization_config=quantization,
                attn_implementation=attn_implementation,
                device_map=here() if device_map is True else device_map or None,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=without_network(name),
            )
    except torch.OutOfMemoryError:
        raise LeyloraError(
            f"{name} does not fit the GPU's free memory in {load.removesuffix('bit')} bits; close what else uses it "
            f"(see `nvidia-smi`){'' if load == '4bit' else ', or load it with --load 4bit'}."
        ) from None
    except Exception as error:  # of a stranger's files anything: sizes that do not fit, a file that was cut
        raise LeyloraError(
            f"The base model {name} cannot be loaded ({first_line(error)}); get its files anew, or take another base."
        ) from None
    isolate_packed_documents(model)
    widen_keys_and_values(model)
    avoid_unfused_grouped_attention()
    if load == "4bit":
        check_quantized(model)
        if dtype == torch.float32:
            # bitsandbytes 0.50 repacks the weights at the first forward pass in evaluation on CPUs with AVX512-BF16
            # and from then on rounds every input to bfloat16 (nn/modules.py, backends/cpu/ops.py). Losses then depend
            # on which variants were scored before: by up to 0.01 per logit on the small models.
            for module in model.modules():
                if isinstance(module, Linear4bit):
                    module.support_avx512bf16_for_cpu = False
    return model


def quantized_fraction(model: PreTrainedModel) -> tuple[float, list[str]]:
    """Share of the linear weights outside the output head that are held in 4 bits, and the layers that are not."""
    head = model.get_output_embeddings()
    quantized = total = 0
    unquantized: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or module is head or "lora_" in name:
            continue
        weights = module.in_features * module.out_features
        total += weights
        if isinstance(module, Linear4bit):
            quantized += weights
        else:
            unquantized.append(name)
    return (quantized / total if total else 0.0), unquantized


def check_quantized(model: PreTrainedModel) -> None:
    """Raise LeyloraError when a linear layer outside the output head is not 4-bit."""
    fraction, unquantized = quantized_fraction(model)
    if fraction < 1.0:
        raise LeyloraError(
            f"Only {fraction:.0%} of the linear weights were loaded in 4 bits; {len(unquantized)} layers stayed as "
            f"they were ({unquantized[0] if unquantized else 'none found'} first). This model type needs a fix in "
            "src/leylora/models, or train it in 16 bits with --load_in_4bit false."
        )
