"""Generate and translate with any local or Hub model: causal ones, and encoder-decoders (T5, Marian, NLLB, M2M100)."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, BitsAndBytesConfig, set_seed

from leylora.errors import LeyloraError, UsageError, first_line
from leylora.models.bases import Load
from leylora.models.load import default_dtype, here, load_config, silence_libraries
from leylora.models.templates import check_stranger, rendering

LANGUAGES = {  # ISO 639-1: name in English (for T5), in Spanish (for causal models), NLLB's code
    "es": ("Spanish", "español", "spa_Latn"),
    "en": ("English", "inglés", "eng_Latn"),
    "fr": ("French", "francés", "fra_Latn"),
    "de": ("German", "alemán", "deu_Latn"),
    "pt": ("Portuguese", "portugués", "por_Latn"),
    "it": ("Italian", "italiano", "ita_Latn"),
    "qu": ("Quechua", "quichua", "quy_Latn"),
}


def load_any(name: str, load: Load = "16bit") -> tuple[Any, Any]:
    """A model, causal or encoder-decoder by its configuration, and its tokenizer; no code of theirs is run.

    Raises:
        LeyloraError: it cannot be loaded, or does not write text.
    """
    silence_libraries()
    kind = AutoModelForSeq2SeqLM if load_config(name).is_encoder_decoder else AutoModelForCausalLM
    bits: dict[str, dict[str, Any]] = {
        "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": default_dtype()},
        "8bit": {"load_in_8bit": True},
    }
    quantization = BitsAndBytesConfig(**bits[load]) if load in bits else None
    options = {"dtype": default_dtype(), "device_map": here(), "quantization_config": quantization}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return kind.from_pretrained(name, trust_remote_code=False, **options).eval(), tokenizer
    except torch.OutOfMemoryError:
        raise LeyloraError(f"{name} does not fit the GPU's free memory; try --load 4bit.") from None
    except (OSError, ValueError, ImportError) as error:
        raise LeyloraError(f"{name} cannot be loaded as a model that writes text ({first_line(error)}).") from None


def generate(
    model: Any, tokenizer: Any, text: str, *, temperature: float = 0.0, seed: int | None = None, **how: Any
) -> str:
    """What a model writes after a text (causal) or about it (encoder-decoder); ``how`` is for its own generate."""
    encoded = tokenizer(text, return_tensors="pt", return_token_type_ids=False).to(model.device)
    length, seq2seq = encoded["input_ids"].shape[1], model.config.is_encoder_decoder
    limits = [getattr(model.config, key, None) for key in ("max_position_embeddings", "n_positions")]
    window = min(int(limit) for limit in [*limits, tokenizer.model_max_length] if limit)
    if not text.strip() or length == 0:
        raise UsageError("There is nothing to read; give a text.")
    if length + (not seq2seq) > window:
        raise UsageError(f"The text has {length} tokens and the model reads {window}; shorten it.")
    if seed is not None:
        set_seed(seed)
    greedy = {"do_sample": False, "temperature": None, "top_p": None}
    drawn = {"do_sample": True, "temperature": temperature} if temperature else greedy
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    try:
        with torch.inference_mode():
            out = model.generate(**encoded, **({"pad_token_id": pad} | how | drawn))[0]
    except torch.OutOfMemoryError:
        raise LeyloraError("The GPU is full; shorten the text or lower --max-new-tokens.") from None
    return str(tokenizer.decode(out if seq2seq else out[length:], skip_special_tokens=True)).strip()


def translate(model: Any, tokenizer: Any, text: str, source: str, target: str, **how: Any) -> str:
    """Translate, asked as this kind of model was trained: T5 in English, NLLB and M2M100 by language codes, Marian by
    its own name (one model a direction), a causal model by its chat template in Spanish.
    """
    for code in (source, target):
        if code not in LANGUAGES:
            raise UsageError(f"The language '{code}' is not known here (known: {', '.join(LANGUAGES)}).")
    kind = model.config.model_type
    if not model.config.is_encoder_decoder:
        text = f"Traduce al {LANGUAGES[target][1]} el texto siguiente. Responde solo con la traducción.\n\n{text}"
        if tokenizer.chat_template:
            asked = [{"role": "user", "content": text}]
            check_stranger(tokenizer.chat_template, model.config.name_or_path)
            with rendering(f"The chat template of {model.config.name_or_path}"):
                text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
            text = text.removeprefix(tokenizer.bos_token or "")  # the tokenizer writes it again
        else:
            text += "\n\nTraducción:"
    elif kind == "marian":
        check_marian(model.config.name_or_path, source, target)
    elif kind in ("nllb-moe", "m2m_100"):
        nllb = LANGUAGES[target][2] in tokenizer.get_vocab()
        tokenizer.src_lang = LANGUAGES[source][2] if nllb else source
        how["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(LANGUAGES[target][2] if nllb else f"__{target}__")
    else:
        text = t5_prompt(text, source, target)
    return generate(model, tokenizer, text, **how)


def t5_prompt(text: str, source: str, target: str) -> str:
    """The prompt T5 was trained with for translation (Raffel et al., 2020, arXiv 1910.10683, appendix D)."""
    return f"translate {LANGUAGES[source][0]} to {LANGUAGES[target][0]}: {text}"


def check_marian(name: str, source: str, target: str) -> None:
    """Refuse a Marian model whose name (opus-mt-es-en) says another direction than the one asked for."""
    parts = name.rstrip("/").rpartition("/")[2].split("-")
    if "mt" in parts and (named := parts[parts.index("mt") + 1 :])[:2] and named[:2] != [source, target]:
        raise UsageError(f"{name} translates from {' to '.join(named[:2])}, not from {source} to {target}.")
