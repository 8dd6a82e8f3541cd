"""Generate and translate with any local or Hub model: causal ones, and encoder-decoders such as T5, Marian and NLLB."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leylora.errors import LeyloraError, UsageError, first_line
from leylora.models.cards import find_card
from leylora.models.load import load_config, silence_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LANGUAGES = {
    "es": ("Spanish", "español", "spa_Latn"),
    "en": ("English", "inglés", "eng_Latn"),
    "fr": ("French", "francés", "fra_Latn"),
    "de": ("German", "alemán", "deu_Latn"),
    "pt": ("Portuguese", "portugués", "por_Latn"),
    "it": ("Italian", "italiano", "ita_Latn"),
    "qu": ("Quechua", "quichua", "quy_Latn"),
}
"""Name in English (T5's prompts), name in Spanish (prompts to causal models) and NLLB's code, by ISO 639-1 code."""


@dataclass(frozen=True)
class Loaded:
    """A model of either kind with its tokenizer. ``seq2seq``: it reads with an encoder and writes with a decoder."""

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    seq2seq: bool


@dataclass(frozen=True)
class Decoding:
    """How to write: at most so many tokens, greedily or drawn, with beams if more than one."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1
    seed: int | None = None


def load_any(name: str, load: str = "16bit", revision: str | None = None) -> Loaded:
    """Load a causal or encoder-decoder model, by what its configuration says it is.

    Raises:
        LeyloraError: it cannot be loaded, or writes no text.
    """
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        BitsAndBytesConfig,
    )

    silence_libraries()
    config = load_config(name, revision)
    seq2seq = bool(config.is_encoder_decoder)
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    card = find_card()
    dtype = torch.float32 if card is None else torch.bfloat16 if card.bf16 else torch.float16
    quantization = {
        "4bit": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype),
        "8bit": BitsAndBytesConfig(load_in_8bit=True),
        "16bit": None,
    }[load]
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        model = kind.from_pretrained(
            name, revision=revision, dtype=dtype, quantization_config=quantization, trust_remote_code=False,
            device_map=None if card is None else {"": torch.cuda.current_device()},
        )  # fmt: skip
    except torch.OutOfMemoryError:
        raise LeyloraError(f"{name} does not fit the GPU's free memory; try --load 4bit.") from None
    except (OSError, ValueError, ImportError) as error:
        raise LeyloraError(f"{name} cannot be loaded as a model that writes text ({first_line(error)}).") from None
    return Loaded(name, model.eval(), tokenizer, seq2seq)


def generate(loaded: Loaded, text: str, decoding: Decoding, **more: Any) -> str:
    """What the model writes after a text (causal) or about it (encoder-decoder); a prompt is not repeated.

    Raises:
        UsageError: the text is empty or longer than the model reads.
        LeyloraError: the GPU is full.
    """
    import torch
    from transformers import GenerationConfig, set_seed

    encoded = loaded.tokenizer(text, return_tensors="pt")
    length, window = encoded["input_ids"].shape[1], _window(loaded)
    if not text.strip() or length == 0:
        raise UsageError("There is nothing to read; give a text.")
    if length + (0 if loaded.seq2seq else 1) > window:
        raise UsageError(f"The text has {length} tokens and {loaded.name} reads {window}; shorten it.")
    config = GenerationConfig.from_model_config(loaded.model.config)
    if loaded.model.generation_config is not None:
        config = GenerationConfig.from_dict(loaded.model.generation_config.to_dict())
    config.update(max_new_tokens=decoding.max_new_tokens, max_length=None, num_beams=decoding.beams, **more)
    config.update(do_sample=decoding.temperature > 0)
    config.update(temperature=decoding.temperature or None, top_p=decoding.top_p if decoding.temperature else None)
    if config.pad_token_id is None:
        config.pad_token_id = loaded.tokenizer.pad_token_id or loaded.tokenizer.eos_token_id
    if decoding.seed is not None:
        set_seed(decoding.seed)
    wanted = {
        key: value.to(loaded.model.device) for key, value in encoded.items() if key in ("input_ids", "attention_mask")
    }
    try:
        with torch.inference_mode():
            out = loaded.model.generate(**wanted, generation_config=config)[0]
    except torch.OutOfMemoryError:
        raise LeyloraError("The GPU is full; shorten the text or lower --max-tokens.") from None
    return str(loaded.tokenizer.decode(out if loaded.seq2seq else out[length:], skip_special_tokens=True)).strip()


def translate(loaded: Loaded, text: str, source: str, target: str, decoding: Decoding) -> str:
    """Translate from one language to another, in the way this kind of model is asked.

    T5 is told in English, NLLB and M2M100 by language codes, Marian by its own name (one model a direction), a causal
    model by its chat template in Spanish.

    Raises:
        UsageError: an unknown language, or a Marian model for another direction.
    """
    for code in (source, target):
        if code not in LANGUAGES:
            raise UsageError(f"The language '{code}' is not known here (known: {', '.join(LANGUAGES)}).")
    kind = loaded.model.config.model_type
    if not loaded.seq2seq:
        return generate(loaded, _asked_to_translate(loaded, text, target), decoding)
    if kind == "marian":
        check_marian(loaded.name, source, target)
        return generate(loaded, text, decoding)
    if kind in ("nllb-moe", "m2m_100"):
        nllb = LANGUAGES[target][2] in loaded.tokenizer.get_vocab()
        codes = [LANGUAGES[code][2] if nllb else code for code in (source, target)]
        loaded.tokenizer.src_lang = codes[0]
        first = f"__{codes[1]}__" if not nllb else codes[1]
        return generate(loaded, text, decoding, forced_bos_token_id=loaded.tokenizer.convert_tokens_to_ids(first))
    return generate(loaded, t5_prompt(text, source, target), decoding)


def t5_prompt(text: str, source: str, target: str) -> str:
    """The prompt T5 was trained with for translation (Raffel et al., 2020, arXiv 1910.10683, appendix D)."""
    return f"translate {LANGUAGES[source][0]} to {LANGUAGES[target][0]}: {text}"


def check_marian(name: str, source: str, target: str) -> None:
    """Raise UsageError when a Marian model's name (opus-mt-es-en) says another direction than the one asked for."""
    parts = name.rstrip("/").rpartition("/")[2].split("-")
    if "mt" in parts and (named := parts[parts.index("mt") + 1 :])[:2] and named[:2] != [source, target]:
        raise UsageError(f"{name} translates from {' to '.join(named[:2])}, not from {source} to {target}.")


def _asked_to_translate(loaded: Loaded, text: str, target: str) -> str:
    request = f"Traduce al {LANGUAGES[target][1]} el texto siguiente. Responde solo con la traducción.\n\n{text}"
    if not loaded.tokenizer.chat_template:
        return f"{request}\n\nTraducción:"
    messages = [{"role": "user", "content": request}]
    rendered = str(loaded.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return rendered.removeprefix(loaded.tokenizer.bos_token or "")  # the tokenizer writes it again


def _window(loaded: Loaded) -> int:
    config = loaded.model.config
    limits = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions")]
    return min(int(limit) for limit in [*limits, loaded.tokenizer.model_max_length] if limit)
