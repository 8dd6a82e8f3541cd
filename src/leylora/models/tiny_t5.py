"""A small T5, made on the spot: own tokenizer, random weights. It stands in for Flan-T5 where there is no download."""

from pathlib import Path
from typing import TYPE_CHECKING

from leylora.files import read_jsonl, staged_folder
from leylora.models.bases import TINY_BASES
from leylora.models.load import silence_libraries
from leylora.project import SAMPLES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 1024
HIDDEN, HEADS, LAYERS, MLP = 64, 4, 2, 128


def tiny_t5_of_samples() -> Path:
    """Make the small T5 from the sample news, where the tiny-t5 recipe looks for it."""
    news = [row for _, row in read_jsonl(SAMPLES / "resumenes.jsonl")]
    make_tiny_t5([row[column] for row in news for column in ("text", "summary")], TINY_BASES / "tiny-t5")
    return TINY_BASES / "tiny-t5"


def make_tiny_t5(texts: list[str], out: Path, *, seed: int = 7) -> None:
    """Save a tokenizer trained on ``texts`` and a random T5 of Flan-T5's shape (gated GELU, untied head) to ``out``.

    A model that is already there is replaced.
    """
    silence_libraries()

    import torch
    from transformers import T5Config, T5ForConditionalGeneration, set_seed

    tokenizer = train_t5_tokenizer(texts)
    set_seed(seed)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=HIDDEN,
            d_kv=HIDDEN // HEADS,
            d_ff=MLP,
            num_layers=LAYERS,
            num_heads=HEADS,
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


def train_t5_tokenizer(texts: list[str]) -> "PreTrainedTokenizerFast":
    """A unigram tokenizer that ends every text with ``</s>``, as T5's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
