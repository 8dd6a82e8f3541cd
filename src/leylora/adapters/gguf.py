"""An adapter as GGUF, for llama.cpp and what is built on it: Ollama, LM Studio, the webui's llama.cpp loader.

    write_lora(Path("LORA/mistral-7b-law"), Path("law.gguf"))          # the adapter, some dozens of MB
    write_model(Path("merged"), Path("merged.gguf"), "q8_0")           # a whole model, by llama.cpp's own converter

What goes wrong elsewhere, and is done or refused here:

* The llama architecture, Mistral's too, keeps the rows of queries and keys in another order than transformers does. A
  delta has the rows of its weight, so B is reordered, with the query heads for q and the key heads for k.
* A reader knows one alpha and divides it by the rank of each module: rank-stabilised scaling and patterns of alpha are
  written as the alpha that gives the same, or multiplied into B where no single one does.
* What B·A cannot say (trained embeddings, whole modules) is refused: fold it into the base instead.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from leylora.adapters.files import Adapter, Module, open_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

FileType = Literal["f32", "f16", "bf16", "q8_0"]
ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen3": "QWEN3", "falcon": "FALCON"}
"""The name of gguf's ``MODEL_ARCH`` by the ``model_type`` of a configuration."""


class Written(NamedTuple):
    """An adapter file: how many modules it has, the alpha it names, and how many were rescaled to fit that alpha."""

    modules: int
    alpha: float
    rescaled: int


def gguf_library() -> Any:
    """The package ``gguf``. Raises LeyloraError when it is not installed."""
    try:
        import gguf
    except ImportError:
        raise LeyloraError('Writing GGUF needs one more package; pip install "leylora[gguf]".') from None
    return gguf


def write_lora(folder: Path, out: Path, config: dict[str, Any]) -> Written:
    """Write the adapter in ``folder`` as a GGUF LoRA file in float32; ``config`` is its base's configuration.

    Raises:
        LeyloraError: the adapter holds more than factors of linear layers, a module has no place in the architecture,
            or the base is of another shape.
        UsageError: the architecture is not among `ARCHITECTURES`.
    """
    gguf = gguf_library()
    adapter = open_adapter(folder)
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise UsageError(f"The base is of type '{kind}'; adapters go to GGUF for {', '.join(ARCHITECTURES)}.")
    if adapter.full_tensors or any(module.embedding for module in adapter.modules.values()):
        raise LeyloraError(
            f"{folder} trains embeddings or whole modules, which a GGUF adapter cannot hold; write the whole model "
            "with --merge."
        )
    architecture = gguf.MODEL_ARCH[ARCHITECTURES[kind]]
    names = gguf.get_tensor_name_map(architecture, int(config["num_hidden_layers"]))
    alpha, rescaled = common_alpha(list(adapter.modules.values()))
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_type("adapter")
    writer.add_name(adapter.name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for module in adapter.modules.values():
        place = names.get_name(f"{module.name}.weight", try_suffixes=(".weight",))
        if place is None:
            raise LeyloraError(f"{folder}: {module.name} has no place in a GGUF of type {kind}.")
        for suffix, factor in zip("ab", factors(adapter, module, config, alpha), strict=True):
            writer.add_tensor(f"{place}.lora_{suffix}", factor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Written(len(adapter.modules), alpha, rescaled)


def common_alpha(modules: list[Module]) -> tuple[float, int]:
    """The alpha that most modules have, read as alpha / rank, and how many have another."""
    alphas = [module.scaling * module.rank for module in modules]
    alpha = max(set(alphas), key=lambda one: (alphas.count(one), one))
    return alpha, sum(one != alpha for one in alphas)


def factors(adapter: Adapter, module: Module, config: dict[str, Any], alpha: float) -> "Iterator[np.ndarray[Any, Any]]":
    """A, (r, d_in), and B, (d_out, r), as a reader of ``alpha`` needs them, in float32."""
    a, b = (factor.float() for factor in adapter.factors(module.name))
    own = module.scaling * module.rank
    if own != alpha:
        b = b * (own / alpha)
    yield a.contiguous().numpy()
    yield _in_order(b, module, config).contiguous().numpy()


def _in_order(b: "Tensor", module: Module, config: dict[str, Any]) -> "Tensor":
    """B's rows in the order that llama.cpp keeps the base's in."""
    leaf = module.name.rpartition(".")[2]
    heads = int(config.get("num_attention_heads") or 0)
    if config["model_type"] == "falcon" and leaf == "query_key_value":
        groups = _falcon_groups(config)
        split = b.view(groups, heads // groups + 2, -1, module.rank)
        return _joined(split[:, :-2], split[:, -2], split[:, -1], module.rank)
    if leaf not in ("q_proj", "k_proj") or ARCHITECTURES[config["model_type"]] != "LLAMA":
        return b
    own = heads if leaf == "q_proj" else int(config.get("num_key_value_heads") or heads)
    if b.shape[0] % (2 * own):
        raise LeyloraError(f"{module.name} has {b.shape[0]} rows, which {own} heads do not divide; not this base.")
    # transformers rotates the halves of a head, llama.cpp neighbouring pairs: (head, half, i) becomes (head, i, half)
    return b.view(own, 2, -1, module.rank).transpose(1, 2).reshape(-1, module.rank)


def _falcon_groups(config: dict[str, Any]) -> int:
    """How many key heads a Falcon has, by the rule of transformers."""
    if config.get("new_decoder_architecture"):
        return int(config["num_kv_heads"])
    return 1 if config.get("multi_query", True) else int(config["num_attention_heads"])


def _joined(queries: "Tensor", keys: "Tensor", values: "Tensor", rank: int) -> "Tensor":
    import torch

    return torch.cat([part.reshape(-1, rank) for part in (queries, keys, values)])


def write_model(folder: Path, out: Path, kind: FileType = "f16") -> None:
    """Write a whole model, a folder as transformers saves it, as GGUF, by the converter of llama.cpp itself.

    Raises:
        LeyloraError: the converter is not installed, or it does not know the architecture or the tokenizer.
    """
    gguf = gguf_library()
    try:
        from conversion import get_model_class
    except ImportError:
        raise LeyloraError('Whole models need llama.cpp\'s converter; pip install "leylora[gguf]".') from None
    import torch

    config = read_json_object(folder / "config.json")
    architecture = (config.get("architectures") or ["?"])[0]
    if config.get("model_type") == "falcon":
        config["num_kv_heads"] = _falcon_groups(config)  # transformers ignores the key where all share one head
    types = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    for logger in ("hf-to-gguf", "gguf.gguf_writer"):  # what they warn of is set right below
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        with torch.inference_mode():
            file_type = gguf.LlamaFileType[types[kind]]
            made = get_model_class(architecture)(folder, file_type, out, model_name=out.stem, hparams=config)
            vocabulary = made.set_vocab

            def as_in_transformers() -> None:
                vocabulary()
                for method, (key, values) in tokenizer_corrections(folder).items():
                    for part in made.gguf_writer.kv_data:
                        part.pop(key, None)
                    getattr(made.gguf_writer, method)(values)

            made.set_vocab = as_in_transformers
            made.write()
    except NotImplementedError as error:
        raise LeyloraError(f"llama.cpp's converter refuses {folder}: {str(error) or architecture}.") from None


def tokenizer_corrections(folder: Path) -> dict[str, tuple[str, Any]]:
    """What the converter has to be told of a tokenizer in SentencePiece's manner: method of gguf's writer, key, value.

    * llama.cpp puts a space before text that follows a special token. transformers does so where the tokenizer is
      marked as legacy and not elsewhere, and training saw what the tokenizer in ``folder`` does today.
    * Without a ``tokenizer.model`` the converter gives every token the same score, so that words fall apart into other
      pieces; the order of the merges, which is what a score says, stands in ``tokenizer.json``.
    """
    from leylora.models.load import load_tokenizer

    tokenizer = load_tokenizer(str(folder))
    vocabulary = tokenizer.get_vocab()
    if "▁" not in vocabulary:
        return {}  # byte-level: its merges are written as they are, and no space is added
    told: dict[str, tuple[str, Any]] = {}
    keys = gguf_library().Keys.Tokenizer
    if tokenizer.tokenize(f"{tokenizer.bos_token}[")[1:] == ["["]:
        told["add_add_space_prefix"] = keys.ADD_PREFIX, False
    model = read_json_object(folder / "tokenizer.json")["model"] if (folder / "tokenizer.json").is_file() else {}
    if not (folder / "tokenizer.model").is_file() and model.get("merges"):
        pairs = (pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"])
        order: dict[str, int] = {}
        for at, (left, right) in enumerate(pairs):
            order.setdefault(left + right, at)
        by_id = {at: token for token, at in vocabulary.items()}
        scores = [-float(order.get(by_id.get(at, ""), 0)) for at in range(max(by_id) + 1)]
        told["add_token_scores"] = keys.SCORES, scores
    return told
