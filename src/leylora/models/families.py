"""What must be known of a base model's architecture, by its ``model_type``, and the sizes that decide what it costs.

A family says which linear layers a LoRA adapter covers and which instruction template its recipes use when they name
none. `KNOWN` holds the sizes of the base models of the shipped recipes, as their published ``config.json`` files say,
so that a memory estimate needs neither a download nor an accepted licence.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from leylora.errors import LeyloraError, UsageError

if TYPE_CHECKING:  # light: transformers takes seconds
    from transformers import PretrainedConfig

GATED_MLP = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Family(NamedTuple):
    """One architecture, by its name in recipes and templates.

    ``linear_layers`` are the LoRA targets, the last name component of every linear layer of a block: PEFT versions
    resolve ``all-linear`` differently.
    """

    name: str
    linear_layers: tuple[str, ...]
    instruction_template: str


FAMILIES = {  # by the ``model_type`` of their configuration
    "mistral": Family("mistral", GATED_MLP, "leylora-mistral"),
    "llama": Family("llama-2", GATED_MLP, "leylora-llama-2"),
    "qwen3": Family("qwen3", GATED_MLP, "leylora-qwen3"),
    "falcon": Family(
        "falcon", ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"), "leylora-falcon"
    ),  # one fused projection for queries, keys and values; a parallel MLP without a gate
}


def family_of(config: "PretrainedConfig") -> Family:
    """The family of a loaded configuration. Raises UsageError for an architecture that has none here."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise UsageError(
            f"{config.name_or_path or 'The base model'} is of type '{config.model_type}', which has no family here "
            f"(known: {', '.join(FAMILIES)}); add one to src/leylora/models/families.py."
        )
    return family


@dataclass(frozen=True)
class Shape:
    """A decoder's sizes, in elements."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    query_width: int  # all query heads together
    key_value_width: int  # all key heads together; as many value heads
    mlp_width: int
    vocabulary: int
    context: int  # positions the model was made for
    window: int | None = None  # how far back attention sees; None when it sees everything
    tied: bool = False  # the output head is the embedding matrix itself

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate projection."""
        return self.model_type != "falcon"

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one block: last name component to (in, out)."""
        if not self.gated:
            return {
                "query_key_value": (self.hidden, self.query_width + 2 * self.key_value_width),
                "dense": (self.query_width, self.hidden),
                "dense_h_to_4h": (self.hidden, self.mlp_width),
                "dense_4h_to_h": (self.mlp_width, self.hidden),
            }
        return {
            "q_proj": (self.hidden, self.query_width),
            "k_proj": (self.hidden, self.key_value_width),
            "v_proj": (self.hidden, self.key_value_width),
            "o_proj": (self.query_width, self.hidden),
            "gate_proj": (self.hidden, self.mlp_width),
            "up_proj": (self.hidden, self.mlp_width),
            "down_proj": (self.mlp_width, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers outside the head."""
        return self.layers * sum(wide * out for wide, out in self.linear.values())

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embeddings and, unless tied, of the head."""
        return (1 if self.tied else 2) * self.vocabulary * self.hidden

    @property
    def norm_parameters(self) -> int:
        """Weights of the normalisations: RMSNorm's scale, or LayerNorm's scale and bias."""
        if not self.gated:  # one LayerNorm before both branches, one at the end
            return (self.layers + 1) * 2 * self.hidden
        per_head = 2 * (self.query_width // self.heads) if self.model_type == "qwen3" else 0  # of queries and keys
        return (2 * self.layers + 1) * self.hidden + self.layers * per_head

    @property
    def matmul_parameters(self) -> int:
        """Weights every token is multiplied with: the linear layers and the head."""
        return self.linear_parameters + self.vocabulary * self.hidden


_LLAMA_2 = Shape("llama", 4096, 32, 32, 4096, 4096, 11008, vocabulary=32000, context=4096)

KNOWN = {  # by the name a recipe gives in ``model_name_or_path``
    "mistralai/Mistral-7B-v0.1": Shape(
        "mistral", 4096, 32, 32, 4096, 1024, 14336, vocabulary=32000, context=32768, window=4096
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": Shape(
        "mistral", 4096, 32, 32, 4096, 1024, 14336, vocabulary=32768, context=32768
    ),
    "meta-llama/Llama-2-7b-hf": _LLAMA_2,
    "meta-llama/Llama-2-7b-chat-hf": _LLAMA_2,
    "meta-llama/Llama-3.1-8B-Instruct": Shape(
        "llama", 4096, 32, 32, 4096, 1024, 14336, vocabulary=128256, context=131072
    ),
    "Qwen/Qwen3-8B": Shape("qwen3", 4096, 36, 32, 4096, 1024, 12288, vocabulary=151936, context=40960),
    "HuggingFaceTB/SmolLM2-135M-Instruct": Shape(
        "llama", 576, 30, 9, 576, 192, 1536, vocabulary=49152, context=8192, tied=True
    ),
    "HuggingFaceTB/SmolLM2-360M-Instruct": Shape(
        "llama", 960, 32, 15, 960, 320, 2560, vocabulary=49152, context=8192, tied=True
    ),
    "Qwen/Qwen3-0.6B": Shape("qwen3", 1024, 28, 16, 2048, 1024, 3072, vocabulary=151936, context=40960, tied=True),
    "Qwen/Qwen3-1.7B": Shape("qwen3", 2048, 28, 16, 2048, 1024, 6144, vocabulary=151936, context=40960, tied=True),
    "Qwen/Qwen3-4B": Shape("qwen3", 2560, 36, 32, 4096, 1024, 9728, vocabulary=151936, context=40960, tied=True),
    "Qwen/Qwen3-14B": Shape("qwen3", 5120, 40, 40, 5120, 1024, 17408, vocabulary=151936, context=40960),
    "BSC-LT/salamandra-2b-instruct": Shape("llama", 2048, 24, 16, 2048, 2048, 5440, vocabulary=256000, context=8192),
    "BSC-LT/salamandra-7b-instruct": Shape("llama", 4096, 32, 32, 4096, 1024, 11008, vocabulary=256000, context=8192),
    "tiiuae/falcon-7b": Shape("falcon", 4544, 32, 71, 4544, 64, 18176, vocabulary=65024, context=2048, tied=True),
}


def shape_of(config: "PretrainedConfig") -> Shape:
    """The sizes in a loaded configuration of one of our families."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    if config.model_type == "falcon":
        if config.new_decoder_architecture or not config.multi_query or config.alibi:  # 40B and 180B
            raise LeyloraError(
                f"{config.name_or_path}: of the Falcon models only those shaped like Falcon 7B fit here."
            )
        width, pairs, mlp, window = hidden // heads, 1, config.ffn_hidden_size, None
    else:
        width = getattr(config, "head_dim", None) or hidden // heads  # older Llama configurations leave it out
        pairs, mlp = config.num_key_value_heads, config.intermediate_size
        window = getattr(config, "sliding_window", None)  # Llama has no such key
        if config.model_type == "qwen3" and not config.use_sliding_window:
            window = None
    return Shape(
        model_type=config.model_type,
        hidden=hidden,
        layers=config.num_hidden_layers,
        heads=heads,
        query_width=heads * width,
        key_value_width=pairs * width,
        mlp_width=mlp,
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        window=window,
        tied=bool(config.tie_word_embeddings),
    )
