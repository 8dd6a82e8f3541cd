"""Base models and their tokenizers, loaded so that "4-bit" means 4 bits."""

import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from leylora.errors import LeyloraError, first_line
from leylora.models.attention import avoid_unfused_grouped_attention
from leylora.models.falcon import isolate_packed_documents, plain_linear_layers, widen_keys_and_values

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

TINY_BASES = Path("data/build/models")
"""Where scripts/make_tiny_base.py puts the small stand-in models."""


def load_config(name: str, revision: str | None = None) -> "PretrainedConfig":
    """The configuration of a local folder or Hub model.

    Raises:
        LeyloraError: it is not there, may not be read, or is no model.
    """
    from transformers import AutoConfig

    if (Path(name).is_absolute() or Path(name).parts[:1] in {("data",), (".",), ("..",)}) and not Path(name).is_dir():
        remedy = "check the path"
        if Path(name).parent == TINY_BASES:
            remedy = f"make it with: python scripts/make_tiny_base.py {Path(name).name}"
        raise LeyloraError(f"The base model {name} does not exist; {remedy}.")
    try:
        return AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=without_network(name)
        )
    except (OSError, ValueError) as error:
        raise LeyloraError(
            f"The base model {name} cannot be loaded ({first_line(error)}). Check the name and the network; for "
            "a gated model such as Llama-2 accept its licence on its page, then run `hf auth login`."
        ) from None


def without_network(name: str) -> bool:
    """Whether ``name`` is a Hub model and the Hub cannot be reached, so that its cache alone is to be asked.

    huggingface_hub 1.x asks six times, over half a minute, before it says so. Behind a proxy names are the proxy's to
    resolve, and the Hub's own client is left to find out.
    """
    return not Path(name).is_dir() and not _hub_has_address()


@cache
def _hub_has_address() -> bool:
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if getproxies() or not host:
        return True
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def load_tokenizer(name: str, revision: str | None = None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a base model, with a padding token that is not the end-of-text token. No token is added.

    Raises:
        LeyloraError: it cannot be loaded, has no end-of-text token, or no token is free for padding.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False, local_files_only=without_network(name)
        )
    except (OSError, ValueError) as error:
        raise LeyloraError(
            f"The tokenizer of {name} cannot be loaded ({first_line(error)}); check the folder or the network."
        ) from None
    if tokenizer.eos_token is None:
        raise LeyloraError(f"The tokenizer of {name} has no end-of-text token, so no model of it could learn to stop.")
    tokenizer.padding_side = "right"
    tokenizer.pad_token = _padding_token(tokenizer, name)
    return tokenizer


def _padding_token(tokenizer: "PreTrainedTokenizerBase", name: str) -> str:
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
        f"The tokenizer of {name} has no special token besides its end-of-text token '{tokenizer.eos_token}' to pad "
        "with; set pad_token in its tokenizer_config.json to a token that texts do not use."
    )


def load_base(
    name: str,
    *,
    revision: str | None = None,
    load_in_4bit: bool = True,
    quant_type: str = "nf4",
    double_quant: bool = True,
    quant_storage: "torch.dtype | None" = None,
    compute_dtype: "torch.dtype",
    attn_implementation: str | None = None,
    device_map: dict[str, int] | None = None,
) -> "PreTrainedModel":
    """Load a causal language model, in 4 bits unless told otherwise, ready for packed rows.

    Args:
        compute_dtype: what matrices are multiplied in, and what the layers outside 4-bit are held in.
        quant_storage: dtype that carries the packed 4-bit weights; FSDP needs ``compute_dtype`` here.

    Raises:
        LeyloraError: the model cannot be loaded, does not fit the GPU, or stayed partly unquantised.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = load_config(name, revision)
    quantization = None
    if load_in_4bit:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quant_type,
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_compute_dtype=compute_dtype,
            bnb_4bit_quant_storage=quant_storage or torch.uint8,
        )
    try:
        with plain_linear_layers(config):
            model = AutoModelForCausalLM.from_pretrained(
                name,
                revision=revision,
                dtype=compute_dtype,
                quantization_config=quantization,
                attn_implementation=attn_implementation,
                device_map=device_map,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=without_network(name),
            )
    except torch.OutOfMemoryError:
        raise LeyloraError(
            f"{name} does not fit the GPU's free memory; close what else uses it (see `nvidia-smi`)."
        ) from None
    except (OSError, ValueError) as error:
        raise LeyloraError(f"The base model {name} cannot be loaded ({first_line(error)}).") from None
    isolate_packed_documents(model)
    widen_keys_and_values(model)
    avoid_unfused_grouped_attention()
    if load_in_4bit:
        check_quantized(model)
        if compute_dtype == torch.float32:
            keep_float32_on_cpu(model)
    return model


def keep_float32_on_cpu(model: "PreTrainedModel") -> None:
    """Let 4-bit layers compute on CPU in evaluation what they compute in training.

    bitsandbytes 0.50 repacks the weights at the first forward pass in evaluation on CPUs with AVX512-BF16 and from
    then on rounds every input to bfloat16 (nn/modules.py, backends/cpu/ops.py). Losses then depend on whether, and in
    which order, variants were scored before: by up to 0.01 per logit on the small models.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def quantized_fraction(model: "PreTrainedModel") -> tuple[float, list[str]]:
    """Share of the linear weights outside the output head that are held in 4 bits, and the layers that are not."""
    import torch.nn
    from bitsandbytes.nn import Linear4bit

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


def check_quantized(model: "PreTrainedModel") -> None:
    """Stop when a linear layer outside the output head is not 4-bit.

    Raises:
        LeyloraError: names the share and the first layer left.
    """
    fraction, unquantized = quantized_fraction(model)
    if fraction < 1.0:
        raise LeyloraError(
            f"Only {fraction:.0%} of the linear weights were loaded in 4 bits; {len(unquantized)} layers stayed as "
            f"they were ({unquantized[0] if unquantized else 'none found'} first). This model type needs a fix in "
            "src/leylora/models, or train it in 16 bits with --load_in_4bit false."
        )
