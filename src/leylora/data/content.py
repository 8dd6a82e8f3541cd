"""What makes a row unfit to learn from, as small judgements on one conversation.

Each function returns None for a good row, or a short reason that ends up in the report.
"""

import re
import zlib
from collections import Counter

from leylora.data.conversation import Conversation
from leylora.data.spanish import is_spanish

PLACEHOLDERS = {
    "n/a", "none", "null", "nan", "undefined", "noinput", "<noinput>", "no input", "no output", "sin respuesta",
    "sin salida", "vacío", "tbd", "lorem ipsum", "-", "--", "...", "…", "?", ".", "[respuesta]", "[texto]", "[output]",
}  # fmt: skip
TEMPLATE_TOKENS = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text)\|>|\[/?INST\]|<</?SYS>>")
REFUSAL = re.compile(
    r"\b(?:como|soy|siendo|al ser|por ser)\s+(?:solo\s+|sólo\s+|simplemente\s+)?(?:(?:un|una)\s+)?"
    r"(?:gran\s+)?(?:modelo(?:\s+\w+)?\s+de\s+(?:lenguaje|ia\b|inteligencia)|inteligencia\s+artificial|"
    r"ia\b|asistente\s+(?:de\s+(?:ia\b|inteligencia)|virtual|digital)|chatbot|programa\s+de\s+(?:ia\b|computadora))"
    r"|\b(?:as|i am|i'm)\s+an?\s+(?:ai|artificial|large)\s+(?:language\s+)?(?:model|assistant|intelligence)"
    r"|\bmi\s+(?:fecha\s+de\s+corte|última\s+actualización|entrenamiento\s+(?:termina|terminó|llega))"
    r"|\blo\s+siento,?\s+(?:pero\s+)?no\s+(?:puedo|me\s+es\s+posible)"
    r"|\bno\s+(?:puedo|tengo\s+(?:la\s+)?(?:capacidad|habilidad)\s+(?:de|para))\s+"
    r"(?:acceder\s+a\s+internet|navegar|ver\s+imágenes|experimentar\s+emociones)",
    re.IGNORECASE,
)
# Names of models and their makers are a fault in an answer only where the question does not speak of them.
MODEL_NAME = re.compile(r"\b(?:openai|chatgpt|gpt-?[345]|anthropic|google\s+bard|vicuna|llama-?[123])\b", re.IGNORECASE)
IMAGE_PROMPT = re.compile(
    r"\b(?:en|de|a)\s+(?:la|esta|siguiente|la\s+siguiente)\s+(?:imagen|foto|fotografía|captura)\b"
    r"|\b(?:esta|siguiente)\s+(?:imagen|foto|fotografía|pintura|captura|gráfica)\b"
    r"|\b(?:genera|generar|dibuja|crea|diseña)\s+(?:una?|la)\s+(?:imagen|foto|dibujo|logotipo)\b"
    r"|!\[[^\]]*\]\(|<img\b|\[imagen\]|\.(?:png|jpe?g|gif|webp)\b",
    re.IGNORECASE,
)
LINK_PROMPT = re.compile(
    r"\b(?:este|siguiente|ese)\s+(?:enlace|vínculo|link|vídeo|video|audio|archivo|pdf|sitio\s+web|página\s+web)\b"
    r"|\b(?:visit[ae]|abr[ae]|vea?|ve\s+a|lee|lea|resum[ae]|resumir|anali[zc][ae]|mir[ae])\b[^.\n]{0,60}https?://",
    re.IGNORECASE,
)
OTHER_LANGUAGE = re.compile(
    r"\b(?:en|al|del|a)\s+(?:idioma\s+)?(?:inglés|ingles|francés|frances|portugués|portugues|italiano|alemán|aleman|"
    r"catalán|gallego|quechua|kichwa|quichua|latín|japonés|chino|ruso|árabe|coreano|shuar)\b|\btradu(?:ce|zca|cir|cción)",
    re.IGNORECASE,
)
WORD = re.compile(r"\w+")


def empty_or_placeholder(row: Conversation) -> str | None:
    """A turn without words, a stand-in ("N/A", "[respuesta]"), or chat-template tokens left in the text."""
    for message in row.messages:
        bare = message.content.strip().strip("\"'*_").lower()
        if not bare and message.role != "system":
            return f"empty {message.role} turn"
        if message.role == "assistant" and bare in PLACEHOLDERS:
            return f"placeholder answer {bare[:20]!r}"
        if TEMPLATE_TOKENS.search(message.content):
            return "chat-template tokens inside the text"
    if row.prompt.strip().lower() == row.answer.strip().lower():
        return "the answer repeats the question"
    return None


def not_spanish(row: Conversation) -> str | None:
    """An answer in another language. A translation needs Spanish on one side only."""
    if row.task == "translation":
        return None if is_spanish(row.answer) or is_spanish(row.prompt) else "neither side is Spanish"
    if OTHER_LANGUAGE.search(row.prompt):
        return None  # asked for on purpose
    # The answer to a reading question may be a foreign name or title; its question shows the language.
    text = f"{row.prompt}\n{row.answer}" if row.task == "question-answering" else row.answer
    return None if is_spanish(text) else "the answer is not Spanish"


def refusal_or_identity(row: Conversation) -> str | None:
    """ "Como modelo de lenguaje...", "soy ChatGPT", "lo siento, no puedo": habits of another model."""
    for message in row.messages:
        if message.role == "assistant":
            match = REFUSAL.search(message.content)
            if match is None and not MODEL_NAME.search(row.prompt):
                match = MODEL_NAME.search(message.content)
            if match:
                return f"says {match.group(0).lower()[:40]!r}"
    return None


def needs_image_or_link(row: Conversation) -> str | None:
    """A question about an image, a file or a page the model cannot see."""
    match = IMAGE_PROMPT.search(row.prompt) or LINK_PROMPT.search(row.prompt)
    return f"asks about {match.group(0).lower()[:40]!r}" if match else None


def repetitive(row: Conversation) -> str | None:
    """An answer that loops: one line or word group fills it, or it compresses far beyond prose.

    The line rule follows the repetition filters of Gopher (arXiv:2112.11446, table A1): at most 30 % repeated lines.
    """
    text = row.answer
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    if len(lines) >= 6 and 1 - len(set(lines)) / len(lines) > 0.3:
        return "repeated lines"
    words = WORD.findall(text.lower())
    if len(words) >= 24:
        fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
        (_, most) = fours.most_common(1)[0]
        if most * 4 > 0.25 * len(words) and most > 3:
            return "one group of four words fills the answer"
    if len(text) > 600:
        ratio = len(text.encode()) / len(zlib.compress(text[:20_000].encode(), 1)) * min(1, 20_000 / len(text))
        if ratio > 8:
            return "compresses eightfold"
    return None
