"""A base model with random weights, in 4 bits from the start: for benchmarks and tests that must not download 15 GB.

Speed and memory do not depend on what the weights are. Each linear layer is drawn and quantised by itself on the
device, so a 7B model never exists in 16 bits: the most that is held at once is its 4-bit weights and one matrix.
"""

from typing import TYPE_CHECKING

from leylora.models.cards import avoid_unfused_grouped_attention
from leylora.models.falcon import isolate_packed_documents, plain_linear_layers, widen_keys_and_values
from leylora.models.load import check_quantized

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

FAMILIES = ("mistral", "llama-2", "falcon")
STANDARD_DEVIATION = 0.02


def shape(family: str, *, small: bool = False) -> "PretrainedConfig":
    """The configuration of Mistral-7B-v0.1, Llama-2-7B or Falcon-7B, or of a model of two narrow layers like it."""
    from transformers import FalconConfig, LlamaConfig, MistralConfig

    layers = 2 if small else 32
    if family == "falcon":  # 71 heads of 64, one key and value head, parallel attention, tied head
        width, heads, vocabulary = (128, 2, 512) if small else (4544, 71, 65024)
        return FalconConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            multi_query=True,
            parallel_attn=True,
            new_decoder_architecture=False,
            alibi=False,
            bias=False,
        )
    width, heads, vocabulary = (128, 4, 512) if small else (4096, 32, 32000)
    shared = {"vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    if family == "mistral":
        inner, groups = (256, 2) if small else (14336, 8)
        return MistralConfig(
            **shared,
            intermediate_size=inner,
            num_key_value_heads=groups,
            sliding_window=4096,
            tie_word_embeddings=False,
        )
    return LlamaConfig(
        **shared, intermediate_size=192 if small else 11008, max_position_embeddings=4096, tie_word_embeddings=False
    )


def random_base(
    config: "PretrainedConfig",
    *,
    compute_dtype: "torch.dtype",
    device: str,
    attn_implementation: str = "sdpa",
    quant_storage: "torch.dtype | None" = None,
    seed: int = 0,
) -> "PreTrainedModel":
    """A causal model of ``config``'s shape, as `load_base` gives it: NF4, double quantisation, ready for packed rows.

    Raises:
        LeyloraError: a linear layer outside the head was not quantised.
        torch.OutOfMemoryError: it does not fit the device.
    """
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.quantizers import AutoHfQuantizer

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        bnb_4bit_quant_storage=quant_storage or torch.uint8,
    )
    with plain_linear_layers(config), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=compute_dtype, attn_implementation=attn_implementation)
    torch.manual_seed(seed)
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if type(module) is torch.nn.Linear and module is not head:
            size = (module.out_features, module.in_features)
            drawn = torch.empty(size, device=device, dtype=compute_dtype).normal_(std=STANDARD_DEVIATION)
            with torch.device("meta"):
                layer = Linear4bit(
                    module.in_features, module.out_features, bias=module.bias is not None, compute_dtype=compute_dtype
                )
            layer.weight = Params4bit(
                drawn,
                requires_grad=False,
                quant_type="nf4",
                quant_storage=quantization.bnb_4bit_quant_storage,
                compress_statistics=True,
                module=layer,
            ).to(device)  # moving is what quantises
            model.set_submodule(name, layer)
        elif any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            with torch.device(device):  # rotary angles: computed, not drawn
                model.set_submodule(name, type(module)(config=config))
    for name, weight in list(model.named_parameters()):
        if weight.is_meta:
            made = torch.empty(weight.shape, device=device, dtype=compute_dtype)
            if weight.ndim == 1:
                made.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                made.normal_(std=STANDARD_DEVIATION)
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, torch.nn.Parameter(made, requires_grad=False))
    model.tie_weights()
    # What from_pretrained leaves on a quantised model, by which PEFT and the trainers know it.
    model.hf_quantizer = AutoHfQuantizer.from_config(quantization)
    model.is_quantized = model.is_loaded_in_4bit = True
    model.quantization_method = quantization.quant_method
    model.config.quantization_config = quantization
    isolate_packed_documents(model)
    widen_keys_and_values(model)
    avoid_unfused_grouped_attention()
    check_quantized(model)
    return model
