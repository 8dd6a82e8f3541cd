"""Small models instead of large ones: trained ones for a demo, random ones for tests and checks. No download.

The tiny bases have the architecture of the real ones (grouped-query attention and sliding window of Mistral, full
attention of Llama 2, multi-query attention with a parallel MLP and a tied head of Falcon) and their special tokens.
What a preflight check asks of a model (is every layer quantised, do packed documents stay apart, do the adapter's layer
names fit) depends on its architecture and not on its weights: a random stand-in answers it in seconds.
"""

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from leylora import console
from leylora.errors import UsageError
from leylora.files import read_jsonl, write_json
from leylora.folders import staged_folder
from leylora.models.bases import TINY_BASES
from leylora.models.load import silence_libraries
from leylora.project import SAMPLES

FAMILIES = ("tiny-mistral", "tiny-llama-2", "tiny-falcon")
TOKENIZER = 2  # raised when `train_tokenizer` gives another one for the same texts
VOCABULARY = 3072
CONTEXT = 1024
HIDDEN, LAYERS, MLP = 192, 4, 512
BATCH, LENGTH, LEARNING_RATE = 8, 128, 2e-3
T5_VOCABULARY = 1024
T5_HIDDEN, T5_HEADS, T5_LAYERS, T5_MLP = 64, 4, 2, 128
STAND_IN_LAYERS = 2


def make_tiny_base(family: str, texts: list[str], out: Path, *, steps: int = 300, seed: int = 7) -> bool:
    """Train a tokenizer and a small model on ``texts`` and save both to ``out``; False when it is already there.

    It has two million parameters and takes a minute: ``steps`` of `BATCH` x `LENGTH` tokens.

    Raises:
        UsageError: an unknown family, or too little text to train a tokenizer on.
    """
    check_family(family)
    texts = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    characters = sum(map(len, texts))
    if characters < 20_000:
        raise UsageError(f"A small model needs at least 20,000 characters of text to learn from; {characters:,} given.")
    recipe: dict[str, Any] = {"family": family, "tokenizer": TOKENIZER, "steps": steps, "seed": seed}
    recipe["shape"] = [VOCABULARY, CONTEXT, HIDDEN, LAYERS, MLP]
    recipe["texts"] = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    made = out / "made_from.json"
    if made.is_file() and json.loads(made.read_text("utf-8")) == recipe:
        return False

    silence_libraries()
    tokenizer = train_tokenizer(family, texts)
    set_seed(seed)
    model = new_model(family, tokenizer)
    tokens = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts]
    pretrain(model, tokens, steps, seed)
    with staged_folder(out, overwrite=True) as folder:
        model.to(torch.float32).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / made.name, recipe)
    return True


def check_family(family: str) -> None:
    if family not in FAMILIES:
        raise UsageError(f"There is no small model '{family}'; there are {', '.join(FAMILIES)}.")


def train_tokenizer(family: str, texts: list[str]) -> PreTrainedTokenizerFast:
    """A BPE tokenizer with the special tokens and the treatment of spaces of the family's real one.

    A character without a token falls back to the tokens of its bytes, which are tokens like others, as in the
    SentencePiece models of Llama and Mistral: a decode that skips special tokens keeps them.
    """
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    if family == "tiny-falcon":
        special = [">>SUFFIX<<", "<|endoftext|>"]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        names: dict[str, Any] = {"eos_token": "<|endoftext|>", "additional_special_tokens": [">>SUFFIX<<"]}
    else:
        special = ["<unk>", "<s>", "</s>", *bytes_]
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
        alphabet = []
        names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())  # the trainer gives only special tokens a place that no text has to earn
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in bytes_]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names)


def new_model(family: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    shared: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if family == "tiny-falcon":
        return FalconForCausalLM(
            FalconConfig(
                **{**shared, "bos_token_id": tokenizer.eos_token_id},
                num_attention_heads=HIDDEN // 64,
                ffn_hidden_size=MLP * 3 // 2,  # two projections instead of three
                multi_query=True,
                parallel_attn=True,
                new_decoder_architecture=False,
                alibi=False,
                bias=False,
            )
        )
    shared |= {"intermediate_size": MLP, "num_attention_heads": HIDDEN // 32, "tie_word_embeddings": False}
    if family == "tiny-mistral":
        return MistralForCausalLM(MistralConfig(**shared, num_key_value_heads=2, sliding_window=CONTEXT))
    return LlamaForCausalLM(LlamaConfig(**shared))


def pretrain(model: PreTrainedModel, documents: list[list[int]], steps: int, seed: int) -> None:
    """Plain next-token training on the concatenated documents, in an order shuffled anew for each pass."""
    order = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 20) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
    )
    stream: list[int] = []
    model.train()
    with console.progress() as bar:
        task = bar.add_task("pre-training", total=steps)
        for _ in range(steps):
            while len(stream) < BATCH * LENGTH:
                stream += [token for document in order.sample(documents, len(documents)) for token in document]
            batch = torch.tensor(stream[: BATCH * LENGTH]).view(BATCH, LENGTH)  # (B, T)
            del stream[: BATCH * LENGTH]
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            bar.update(task, advance=1, description=f"pre-training  loss {loss.item():.3f}")
    model.eval()


def tiny_t5_of_samples() -> Path:
    """Make the small T5 from the sample news, where the tiny-t5 recipe looks for it."""
    news = [row for _, row in read_jsonl(SAMPLES / "resumenes.jsonl")]
    make_tiny_t5([row[column] for row in news for column in ("text", "summary")], TINY_BASES / "tiny-t5")
    return TINY_BASES / "tiny-t5"


def make_tiny_t5(texts: list[str], out: Path, *, seed: int = 7) -> None:
    """Save a tokenizer trained on ``texts`` and a random T5 of Flan-T5's shape (gated GELU, untied head) to ``out``."""
    silence_libraries()
    tokenizer = train_t5_tokenizer(texts)
    set_seed(seed)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=T5_VOCABULARY,
            d_model=T5_HIDDEN,
            d_kv=T5_HIDDEN // T5_HEADS,
            d_ff=T5_MLP,
            num_layers=T5_LAYERS,
            num_heads=T5_HEADS,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            initializer_factor=0.05,  # of T5's own 1.0 the first loss is 39, not the ln(1024) of a guess
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
    )
    with staged_folder(out, overwrite=True) as folder:
        model.to(torch.float32).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def train_t5_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A unigram tokenizer that ends every text with ``</s>``, as T5's does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=T5_VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def make_stand_in(config: PretrainedConfig, folder: Path, seed: int = 0) -> None:
    """Save a random model of ``config``'s architecture and vocabulary with two narrow layers to ``folder``.

    Heads keep the ratio of queries to keys; windows, ties and biases are those of ``config``.
    """
    whole = config.to_dict()
    narrow: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": STAND_IN_LAYERS}
    if config.model_type == "falcon":
        narrow |= {"num_attention_heads": 2, "ffn_hidden_size": 512}  # of 64, one key and value head for both
    else:
        shared = max(1, 4 * config.num_key_value_heads // config.num_attention_heads)
        narrow |= {"num_attention_heads": 4, "num_key_value_heads": shared, "head_dim": 32, "intermediate_size": 256}
        if kinds := whole.get("layer_types"):
            narrow["layer_types"] = kinds[:STAND_IN_LAYERS]
    small = type(config).from_dict(whole | narrow)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
    model.save_pretrained(folder)
