"""Is a row fit to learn from? Each rule takes one conversation and gives None, or the reason to drop it in a few words.

The rules read what an answer says of its own: quoted speech, lines of dialogue and code are someone else's words. A
rule about a habit (a refusal, braces, HTML, an insult) does not hold where the question asks for just that.
"""

import functools
import re
import zlib
from collections import Counter

from leylora.data.conversation import Conversation
from leylora.text import is_foreign, is_spanish, words


def _any(*parts: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile("|".join(parts), flags)


class Phrases:
    """Phrases to look for at the start of words, in small letters whatever the text's.

    Python's `re` skips an alternative by its first letter only without IGNORECASE and without a ``\\b`` before it: a
    fifth of the time.
    """

    def __init__(self, *parts: str) -> None:
        self.pattern = re.compile(r"(?<!\w)(?:" + "|".join(parts) + ")")

    def search(self, text: str) -> re.Match[str] | None:
        return self.pattern.search(text.lower())

    def sub(self, new: str, text: str) -> str:
        return self.pattern.sub(new, text.lower())


# --- whose words, and what was asked for --------------------------------------------------------------------------

QUOTED = re.compile(r"«[^»]*»|“[^”]*”|\"[^\"\n]{1,300}\"|^\s*[—–].*$", re.MULTILINE)
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
ABOUT_CODE = Phrases(
    r"(?:html|css|xml|json|python|java|javascript|typescript|sql|bash|php|jinja|latex|markdown|regex|excel|unicode)\b",
    r"c\+\+|f-string|\\[nt]\b|utf-8|c[óo]digo\s+(?!civil|penal|org|de\s+(?:trabajo|comercio|la\s+niñez)|tribut)|"
    r"program(?:a|e|ación|ar)\b|scripts?\b|plantillas?\b|templates?\b|variables?\b|algoritmo|llaves\b",
)
ABOUT_OTHER_LANGUAGE = Phrases(
    r"(?:en|al|del|a|de)\s+(?:(?:el|su)\s+)?(?:idioma\s+)?(?:inglés|ingles|francés|frances|portugués|portugues|"
    r"italiano|alemán|aleman|catalán|gallego|quechua|kichwa|quichua|latín|japonés|chino|ruso|árabe|coreano|shuar)\b",
    r"(?:tradu(?:ce|zca|cir|cción)|idiomas?|significa|siglas?)\b",
)
ABOUT_A_VOICE = Phrases(  # somebody else may speak in the answer
    r"(?:cuento|diálogo|escena|monólogo|poema|historia|relato|novela|gui[oó]n|fábula|obra|personaje|microrrelato|"
    r"carta|correo|mensaje|nota|disculpa|respuesta|frase|responde|respond[oe]|respondo|digo|decir|rechaz\w+)\b"
)
ABOUT_VERSE = Phrases(
    r"(?:poema|canci[oó]n|canta|cante|letan[ií]a|nana|arrullo|himno|coro|estribillo|oraci[oó]n|rezo|plegaria|verso|"
    r"copla|mantra|repita|repite|repetir|conjug\w+|tabla)\b"
)
ABOUT_EMOJI = Phrases(r"emo(?:ji|tic)")
ABOUT_SALES = Phrases(
    r"anuncio|publici|eslogan|esl[oó]gan|promoci|ventas?\b|vender|marketing|canal\b|youtube|oferta|tienda"
)
ABOUT_WORDS = Phrases(
    r"palabra|significa|insult|groser|delito|legal\b|llamar|dic(?:e|en)\b|ofens|injuri|discrimin|odio"
)
ABOUT_DIALECT = Phrases(
    r"voseo|dialecto|hablan?\b|acento|buenos aires|argentin|españ|conjug|pronombre|diálogo|méxic|persona"
)
ABROAD = Phrases(
    r"(?:méxico|mexico|mexican\w+|colombia\w*|españa|español(?:a|as|es)\b|perú|peru|peruan\w+|chile\w*|argentin\w+|"
    r"bolivia\w*|venez\w+|brasil\w*|estados\s+unidos|ee\.?\s*uu|usa|estadounidens\w+|norteameric\w+|europe\w+|"
    r"california|texas|florida|nueva\s+york)\b"
)


def own_words(row: Conversation) -> str:
    """The answer without quotations, lines of dialogue and code."""
    return _own_words(row.answer)


@functools.lru_cache(1)
def _own_words(answer: str) -> str:
    return QUOTED.sub(" ", CODE.sub(" ", answer))


def _says(match: re.Match[str] | None) -> str | None:
    return f"says {' '.join(match.group(0).lower().split())[:40]!r}" if match else None


# --- empty, placeholder, markers, cut off -------------------------------------------------------------------------

PLACEHOLDERS = {"n/a", "none", "null", "nan", "undefined", "noinput", "<noinput>", "no input", "no output", "vacío"}
PLACEHOLDERS |= {"sin respuesta", "sin salida", "tbd", "todo", "pendiente", "por definir", "-", "--", "...", "…", "?"}
PLACEHOLDERS |= {"."}
PLACEHOLDER = _any(
    r"\A[\W_]*(?:x{3,}|lorem\s+ipsum\b.*)[\W_]*\Z",
    r"\A\s*[\[(<](?!\d)[^\[\]()<>{}\"'=,]{3,80}[\])>]\s*\Z",  # nothing but a bracketed remark
    r"\[(?:completar|rellenar|insert[ea]\b[^\]]*|pendiente|respuesta|texto|output)\]|(?-i:\bTODO:)",
    r"\A\W*(?:respuesta|texto|contenido)\s+pendiente\b|\A\W*(?:por|pendiente\s+de)\s+(?:redactar|completar)\b",
    r"\bx{4,}\b(?:(?!\bx{4,}\b).)*\bx{4,}\b",
    r"\A(?:(?:claro|por\s+supuesto|seguro)\W+)?aquí\s+(?:va|está|tienes?|le\s+va)\s+(?:el|la|los|las|un|una)\s+\w+\W*\Z",
)
MARKERS = _any(
    r"<\|\w+\|>|\[/?INST\]|<</?SYS>>|</?s>",
    r"^\s*#{2,}\s*(?:instruction|instrucci[oó]n|input|entrada|output|salida|response|respuesta|human|user|assistant)\s*:",
    r"\A\s*(?:instruction|input|output|response|answer|completion)\s*:\s",
    r"\bbelow\s+is\s+an\s+instruction\b",
    flags=re.IGNORECASE | re.MULTILINE,
)
SPEAKER = re.compile(r"^\s*(?:human|user|assistant|usuario|asistente|humano)\s*:", re.IGNORECASE | re.MULTILINE)
LAST_WORD_OPEN = re.compile(
    r"\b(?:a|ante|con|de|del|desde|en|entre|hacia|hasta|para|por|según|sin|sobre|y|o|u|e|ni|que|el|la|los|las|un|una|unos|"
    r"unas|al|su|sus|se|mi|tu|lo|le|les|cuyo|cuya|como|cuando|donde|porque|pero|aunque|es|son|muy)\Z",
    re.IGNORECASE,
)
ECHO = 400  # characters: a longer answer says more than the question
ITEM = re.compile(r"\s*(?:\d+[.)]|[-*•])\s+\S")


DIALOGUE = Phrases(r"diálogo|conversaci|gui[oó]n|chat\b|entrevista|escena|obra")


def empty_or_placeholder(row: Conversation) -> str | None:
    """A turn without words, a placeholder ("N/A", "[Contenido]"), a promise of an answer, or the question again."""
    for message in row.messages:
        bare = message.content.strip().strip("\"'*_").lower()
        if not bare and message.role != "system":
            return f"empty {message.role} turn"
        if message.role == "assistant" and bare in PLACEHOLDERS:
            return f"placeholder answer {bare[:20]!r}"
    if row.prompt.strip().lower() == row.answer.strip().lower():
        return "the answer repeats the question"
    if len(row.answer) < ECHO:
        asked, said = " ".join(words(row.prompt)), " ".join(words(row.answer))
        again = said.startswith(asked) and asked.count(" ") >= 2 and len(said) - len(asked) < 8
        if again or said.count(asked + " ") > 1:
            return "the answer repeats the question"
    if PLACEHOLDER.search(row.answer) and not ABOUT_CODE.search(row.prompt):
        return "a placeholder stands for the answer"
    if row.answer.endswith(":") and "\n" not in row.answer and len(row.answer) < 200:
        return "the answer is announced and not given"
    return None


def prompt_markers(row: Conversation) -> str | None:
    """What a training script or a chat log wrote around the text."""
    for message in row.messages:
        if match := MARKERS.search(CODE.sub(" ", message.content)):
            return f"holds the prompt marker {match.group(0).strip()[:30]!r}"
    if len(SPEAKER.findall(own_words(row))) >= 2 and not DIALOGUE.search(row.prompt):
        return "the answer holds the next turns of the chat"
    return None


def cut_off(row: Conversation) -> str | None:
    """An answer that stops in mid-sentence: after a word that needs another, or at a list item unlike the others."""
    if row.task == "question-answering" or "```" in row.answer or ABOUT_VERSE.search(row.prompt):
        return None
    text = row.answer.rstrip()
    if text.count(" ") >= 7 and (match := LAST_WORD_OPEN.search(text[-12:])):
        return f"the answer stops after {match.group(0).lower()!r}"
    items = [line.rstrip() for line in text.splitlines() if ITEM.match(line)]
    if len(items) >= 3 and text.endswith(items[-1]) and len(items[-1].split()) > 3:
        ends = [item[-1] in ".;!?…»)" for item in items]
        if all(ends[:-1]) and not ends[-1] and items[-1][-1].isalnum():
            return "the last item of the list is cut off"
    return None


# --- language and encoding ----------------------------------------------------------------------------------------

SENTENCE = re.compile(r"(?<=[.!?…])\s+(?=[A-ZÁÉÍÓÚÑ¿¡])|\n+")
NAME_RUN = re.compile(r"[A-Z]\w+(?:\s+(?:of|the|and|in|to|a|on|for|[A-Z]\w+))*\s+[A-Z]\w+")
ENGLISH = _any(
    r"\b(?:sure|certainly|of\s+course)[!,.]\s",
    r"\b(?:here\s+(?:is|are)|i\s+hope\s+this|let\s+me\s+know|as\s+follows)\b",
    r"(?-i:(?<!of )\b(?:the|your|let\s+it|with\s+a)\s+[a-z]{2,})",
)
ENGLISH_LABELS = {"positive", "negative", "neutral", "true", "false", "yes", "none", "not spam", "entailment"}
IN_A_WORD = re.compile(r"[a-záéíóúüñ]\?[a-záéíóúüñ]")
WRONG_LETTER = re.compile(
    r"[a-záéíóúñ](?:[À-ÖØ-ÞŒŠŸŪ](?![A-Z])|[˙¤¢£¬¨±³¥·\u0300-\u036f]+[a-z])|[˙¤\u0300-\u036f][a-z]"
)
ESCAPE = re.compile(r"\\u00[0-9a-fA-F]{2}|\\x[c-fC-F][0-9a-fA-F]")
ACCENTED = re.compile(r"[áéíóúñÁÉÍÓÚÑ]")
BARE = re.compile(
    r"\b(?:[a-z]{2,}[cs]ion|tambien|despues|ademas|segun|aqui|alli|ahi|jamas|quizas|facil|dificil|util|arbol|pais|dias?|"
    r"numero|region|poblacion|mayoria|economia|energia|historia?s?on|informacion|dificiles|rapid[oa]mente|asi|traves)\b"
)


def not_spanish(row: Conversation) -> str | None:
    """An answer, or a sentence of it, in another language. A translation needs Spanish on one side only."""
    if row.task == "translation":
        return None if is_spanish(row.answer) or is_spanish(row.prompt) else "neither side is Spanish"
    if ABOUT_OTHER_LANGUAGE.search(row.prompt):
        return None  # asked for on purpose
    # The answer to a reading question may be a foreign name or title; its question shows the language.
    reading = row.task == "question-answering"
    own = NAME_RUN.sub(" ", own_words(row))
    if not is_spanish(f"{row.prompt}\n{row.answer}" if reading else own if own.strip() else row.answer):
        return "the answer is not Spanish"
    if reading or ABOUT_CODE.search(row.prompt):
        return None
    if row.answer.strip(" .").lower() in ENGLISH_LABELS:
        return "the answer is a label in English"
    if any(is_foreign(sentence) for sentence in SENTENCE.split(own[:20_000])):
        return "a sentence is in another language"
    match = ENGLISH.search(own)
    return f"English left over: {match.group(0).strip().lower()[:30]!r}" if match else None


def damaged(row: Conversation) -> str | None:
    """Letters lost to a wrong encoding that no repair can bring back, or an answer typed without any accent."""
    for message in row.messages:
        text = CODE.sub(" ", message.content)
        if "\ufffd" in text:
            return "letters lost (the replacement character)"
        if ABOUT_CODE.search(row.prompt):
            continue
        if IN_A_WORD.search(re.sub(r"\S*://\S*", " ", text)):
            return "letters lost ('?' inside a word)"
        if WRONG_LETTER.search(text):
            return "letters of a wrong encoding"
        if ESCAPE.search(text):
            return "escape sequences left in the text"
    if not ACCENTED.search(row.answer) and len(set(BARE.findall(row.answer.lower()))) >= 3:
        return "the answer is written without accents"
    return None


# --- the habits of other models -----------------------------------------------------------------------------------

MODEL = (
    r"(?:(?:gran\s+)?modelo(?:\s+\w+)?\s+de\s+(?:lenguaje|texto|ia\b|inteligencia)|(?:sistema\s+de\s+)?inteligencia\s+artificial|"
    r"ia\b|asistente\s+(?:de\s+(?:ia\b|inteligencia)|virtual|digital)|chatbot|bot\b|programa\s+de\s+(?:ia\b|computadora))"
)
MAKER = (
    r"(?:openai|anthropic|google|meta\s+ai|microsoft|deepmind|mistral|un\s+equipo\s+de\s+(?:ingenieros|programadores))"
)
NAMED = (
    r"(?:chat\s?gpt|gpt-?\d\S*|bard|gemini|vicuna|llama-?\d?|copilot|"
    r"claude,\s+(?:un|una|el|la)\s+(?:asistente|modelo|ia))"
)
FIRST_PERSON = r"(?:tengo|puedo|poseo|dispongo|carezco|debo|soy|estoy|fui|mis?|me|experimento|recomiendo)\b"
# In the first person a model speaks of itself. These hold where no other voice was asked for.
SELF = Phrases(
    rf"soy\s+(?:solo\s+|sólo\s+|simplemente\s+)?(?:(?:un|una)\s+)?{MODEL}",
    rf"(?:como|al\s+ser|siendo|por\s+ser)\s+(?:soy\s+)?(?:(?:un|una)\s+)?{MODEL}[^.\n]{{0,60}}?\b{FIRST_PERSON}",
    rf"(?:soy|me\s+llamo|mi\s+nombre\s+es)\s+{NAMED}",
    rf"(?:fui|he\s+sido|soy)\b[^.\n]{{0,40}}\b(?:cread|desarrollad|entrenad|diseñad|programad)[oa]\s+(?:y\s+\w+\s+)?por\s+{MAKER}",
    r"no\s+tengo\s+(?:opini(?:ón|ones)|preferencias?|sentimientos|emociones|creencias)\s+(?:ni|propi|personal)",
    r"\A\W*(?:lo\s+siento|lo\s+lamento|disculpa|me\s+temo\s+que),?\s+(?:pero\s+)?no\s+(?:puedo|me\s+es\s+posible)",
    r"\A\W*(?:lamento|siento)\s+no\s+poder\s+(?:ayudar|cumplir|responder|atender|proporcionar)",
    r"\A\W*no\s+puedo\s+(?:ayudar|cumplir|proporcionar|generar)\w*\s+(?:con|en|a|ese|esa|este|esta)\b",
    r"(?:as|i\s+am|i'm)\s+an?\s+(?:ai|artificial|large)\s+(?:language\s+)?(?:model|assistant|intelligence)",
    r"no\s+(?:tengo\s+acceso|dispongo\s+de|puedo\s+acceder|cuento\s+con)\b[^.\n]{0,50}\b(?:tiempo\s+real|internet|hora\s+actual|"
    r"noticias|la\s+web)\b",
    r"(?:carezco\s+de|no\s+tengo)\s+acceso\s+a\s+(?:tu|su|internet|la\s+web)\b",
    r"no\s+puedo\s+(?:navegar|ver\s+(?:im[áa]genes|videos|fotos|ni)|acceder\s+a\s+internet|experimentar\s+emociones)",
)
# And these nobody but a model says, whatever was asked.
POLICY = Phrases(
    r"(?:mis|las|nuestras)\s+(?:políticas|directrices|pautas|normas)\s+(?:de\s+(?:contenido|uso|openai|seguridad)|éticas)",
    r"(?:contra|infringe|viola|incumple)\w*\s+(?:de\s+)?mis\s+(?:políticas|directrices|pautas|principios|normas)",
    r"como\s+(?:una\s+)?ia\s+(?:responsable|ética)",
    r"mi(?:s)?\s+(?:fecha\s+de\s+corte|última\s+actualización|(?:datos\s+de\s+)?entrenamiento\s+(?:termin|lleg|no\s+inclu|solo|sólo|"
    r"inclu|abarc|se\s+extien)\w*|conocimientos?\b[^.\n]{0,40}\b(?:corte|llegan?\s+hasta|hasta\s+(?:\w+\s+de\s+)?20\d\d))",
)


def refusal_or_identity(row: Conversation) -> str | None:
    """ "Como IA no tengo opiniones", "soy ChatGPT", "mi fecha de corte": a model of another maker speaks of itself.

    Artificial intelligence as the subject of a row, and a refusal in a story, a dialogue or a letter, are good.
    """
    spoken = QUOTED.sub(" ", "\n".join(turn.content for turn in row.messages if turn.role == "assistant"))
    if found := _says(POLICY.search(spoken)):
        return found
    if ABOUT_A_VOICE.search(row.prompt):
        return None
    answers = (QUOTED.sub(" ", turn.content) for turn in row.messages if turn.role == "assistant")
    return next((found for answer in answers if (found := _says(SELF.search(answer)))), None)


# --- what the model is not given ----------------------------------------------------------------------------------

SEEN = (
    r"(?:imagen|foto|fotografía|captura(?:\s+de\s+pantalla)?|gráfic[oa]|diagrama|pintura|vídeo|video|audio|grabación)"
)
TEXTS = (
    r"(?:texto|párrafo|documento|archivo|artículo|contrato|pasaje|poema|"
    r"correo|tabla|informe|pdf|ensayo|código|oración|frase|lista)"
)
SENT = (
    r"(?:adjunt[oa]s?\b|de\s+(?:arriba|abajo)|"
    r"que\s+(?:le|te|les)\s+(?:adjunto|envi[ée]o?|envío|mando|mandé|paso|pasé|comparto|compartí)\b)"
)
LOOK = (
    r"(?:descri[bp]\w+|mir[ea]|observ[ea]|anali[zc][ea]|vea|ve|transcrib[ae]|resum[ea]|escuch[ea]|según|identifi[cq]\w+|"
    r"interpret[ea]|de\s+acuerdo\s+con|basándo(?:te|se)\s+en|se\s+(?:ve|muestra|observa)\s+en|hay\s+en|aparece\s+en)"
)
NOT_THERE = Phrases(  # whatever follows, no text can stand for it
    rf"{LOOK}\s+(?:en\s+)?(?:la\s+siguiente|el\s+siguiente|la|el|esta|este)\s+{SEEN}\b(?!\s+(?:de|del|que\s+tiene)\s)",
    rf"{SEEN}\s+{SENT}|siguiente\s+{SEEN}\b",
    r"(?:genera|generar|genere|dibuja|dibuje|crea|diseña|diseñe)\s+(?:una?|la)\s+(?:imagen|foto|dibujo|logotipo)\b",
    r"!\[[^\]]*\]\(|<img\b|\[imagen\]|\w+\.(?:png|jpe?g|gif|webp)\b",
    r"(?:visit[ae]|abr[ae]|vea?|ve\s+a|lee|lea|resum[ae]|resumir|anali[zc][ae]|mir[ae])\b[^.\n]{0,60}https?://",
    r"(?:abr[ae]|lee|lea|resum[ae]|anali[zc][ae]|mir[ae])\s+(?:este|el\s+siguiente|ese)\s+(?:enlace|vínculo|link|sitio\s+web)",
)
NO_TEXT = Phrases(
    rf"{TEXTS}\s+{SENT}|(?:siguientes?|anterior|este)\s+{TEXTS}\b|{TEXTS}\s+(?:siguiente|anterior|a\s+continuación)\b"
)
LOOK_AT_TEXT = Phrases(
    r"(?:resum\w+|tradu\w+|corri[gj]\w+|le[ea]|lea|anali\w+|clasifi\w+|revis\w+|idea\s+principal|título|edit[ea])\b"
)
ASKS_FOR_IT = Phrases(
    rf"(?:por\s+favor,?\s+)(?:proporcion|compart|comparte|envíe|envía|env|indi[cq]|pegu?|facilit|adjunt)\w*\s+"
    rf"(?:\w+\s+)?(?:el|la|los|las|un|una)\s+(?:\w+\s+)?(?:{TEXTS}|{SEEN})"
)


def needs_missing_input(row: Conversation) -> str | None:
    """A question about a picture, a file, a page or a text that the row does not hold.

    "¿Sirve este video como prueba?" is none: nobody needs to see it to answer.
    """
    if sum(turn.role == "user" for turn in row.messages) > 1:
        return None  # it may stand in an earlier turn
    if match := NOT_THERE.search(row.prompt):
        return f"asks about {match.group(0).lower()[:40]!r}"
    if match := NO_TEXT.search(row.prompt):
        rest = row.prompt[match.end() :]
        given = len(row.prompt) > 300 or re.search(r"[:«“\"\n]\s*\S.{10,}", row.prompt, re.DOTALL)
        if not given and len(rest) < 120 and LOOK_AT_TEXT.search(row.prompt):
            return f"asks about {match.group(0).lower()[:40]!r}"
    if ASKS_FOR_IT.search(row.answer[:300]) and not ABOUT_A_VOICE.search(row.prompt):
        return "the answer asks for the missing text"
    return None


# --- templates, markup, code --------------------------------------------------------------------------------------

BRACES = re.compile(
    r"(?<![\\\w}_^$])\{\{?\s*[a-záéíóúñ_][\w.]{2,40}\s*\}?\}|\$\{[\w.]+\}|%\(\w+\)s|\[\[\w+\]\]", re.IGNORECASE
)
TAGS = re.compile(r"</?(?:p|b|i|u|div|span|br|strong|em|ul|ol|li|h[1-6]|table|tr|td|font|a)\b[^<>]*/?>", re.IGNORECASE)
ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,5});", re.IGNORECASE)
JSON_ASKED = Phrases(
    r"json|diccionario|objeto|formato|api\b|estructura|lista\s+de\s+python|clave|devuelva\s+los\s+datos"
)
KEYS_EN = {"name", "title", "city", "age", "time", "source", "answer", "text", "country", "date", "address", "phone"}
KEYS_EN |= {"job", "email", "price", "quantity", "ingredients", "steps", "author", "year", "description", "summary"}
KEYS_ES = {"nombre", "título", "titulo", "ciudad", "edad", "tiempo", "fuente", "respuesta", "texto", "país", "fecha"}
KEYS_ES |= {
    "dirección",
    "teléfono",
    "profesión",
    "precio",
    "cantidad",
    "ingredientes",
    "pasos",
    "autor",
    "año",
    "puesto",
}
KEYS_ES |= {"descripción", "resumen", "correo", "apellido"}
PSEUDOCODE = Phrases(r"pseudo|pseint")
KEY = re.compile(r"[\"'](\w+)[\"']\s*:")
SPANISH_CODE = _any(
    r"^\s*(?:para\s+\w+\s+en\s+.*:|mientras\s+.*:|(?:de)?finir\s+\w+\(.*|clase\s+\w+(?:\(.*\))?:|función\s+\w+\(.*\)\s*\{)\s*$",
    r"^\s*si\s*\(.*\)\s*\{|^\s*(?:devolver|retornar)\s+['\"\w].*[;+*'\"()=-].*$|\bdevolver\s+\w+\s*[+*/-]\s*\w+",
    r"\b(?:imprimir|consola\.registro|entrada)\(.*\)|\ben\s+rango\(\d",
    r"^\s*(?:SELECCIONAR|ELIMINAR|INSERTAR|ACTUALIZAR)\s.*\b(?:DE|DONDE|EN|ESTABLECER)\b",
    flags=re.IGNORECASE | re.MULTILINE,
)


def template_or_markup(row: Conversation) -> str | None:
    """Braces of a template never filled in, HTML, JSON nobody asked for or half translated, code put into Spanish."""
    is_code = ABOUT_CODE.search(row.prompt) or "```" in row.answer
    if is_code and SPANISH_CODE.search(row.answer) and not PSEUDOCODE.search(row.prompt):
        return "the keywords of the code are translated"
    whole = re.sub(r"\A```\w*\s*|\s*```\Z", "", row.answer.strip())
    if whole.startswith("{") and whole.endswith("}") and (keys := {key.lower() for key in KEY.findall(whole)}):
        if not JSON_ASKED.search(row.prompt) and not ABOUT_CODE.search(row.prompt):
            return "JSON that nobody asked for"
        # A key the question names is wanted as it is.
        if keys & KEYS_EN - {*words(row.prompt)} and keys & KEYS_ES:
            return "the keys of the JSON are half translated"
        return None
    if ABOUT_CODE.search(row.prompt):
        return None
    for text in (row.prompt, CODE.sub(" ", row.answer)):
        if match := BRACES.search(text):
            return f"a template's {match.group(0)[:30]!r} was never filled in"
    if match := TAGS.search(CODE.sub(" ", row.answer)) or ENTITY.search(CODE.sub(" ", row.answer)):
        return f"holds the HTML {match.group(0)[:20]!r}"
    return None


# --- machine translation, foreign law, dialects, insults, advertising ----------------------------------------------

TRANSLATED = Phrases(
    r"aplicar\s+(?:para|a)\s+(?:(?:un|una|el|la|los|las)\s+)?(?:trabajos?|empleos?|becas?|puestos?|universidad)",
    r"llen\w+\s+una\s+aplicación\b|ha(?:cer|ga|z)\s+seguro\s+(?:de|que)\b|hacer\s+seguro\b",
    r"en\s+orden\s+(?:de|para)\s+\w+[aei]r\b|tom(?:a|an|ó|ará|aron|ar)\s+lugar\b",
    r"ha(?:ce|cen|ría|cer)\s+(?:mucho\s+)?sentido\b|un\s+(?:buen|gran)\s+tiempo\s+(?:con|en|juntos)\b",
    r"todo\s+alrededor\s+del?\b|llam\w+\s+(?:para\s+atrás|de\s+vuelta)\b|mir\w+\s+(?:hacia\s+)?adelante\s+a\s+\w+r\b",
    r"tom\w+\s+cuidado\s+de\b|grueso\s+y\s+delgado\b|est(?:á|aba)\s+bien\s+el\s+\w+[aei]r\b|realiz\w+\s+que\b",
    r"atender\s+(?:a\s+)?(?:al|el|la|los|las)\s+(?:evento|escuela|universidad|concierto|boda|conferencia|fiesta)s?\b",
    r"(?:\A|[.;:,]\s)(?:y\s+)?esté\s+seguro\s+de\s+\w+[aei]r\b|tom\w+\s+rupturas\b|trabaj\w+\s+fuera\s+\w+\s+veces\b",
    r"en\s+ningún\s+tiempo\b|mant[ée]n\w*\s+arriba\b|alguien\s+quien\b|guard\w+\s+(?:tratando|intentando|yendo)\b",
    r"bloques?\s+(?:abajo|arriba)\b|todo\s+propósito\b|(?:hace|ayuda|ayudará|permite|hará)\s+a\s+usted\b",
    r"(?:un|una|el|la)\s+grande\s+(?!(?:y|o|de|del|como|que|pero|en)\b)\w+[aoe]s?\b|cort\w+\s+abajo\b",
    r"guillermo\s+(?:puertas|sacude|agita)|esteban\s+trabajos\b|compañía\s+manzana\b|manzana\s+inc\b|juan\s+lennon\b",
    r"(?:tiempos\s+de\s+nueva\s+york|(?:correo|poste)\s+de\s+washington|libro\s+de\s+caras|calle\s+(?:de\s+la\s+)?pared)\b",
    r"microsoft\s+(?:ventanas|palabra|punto)|google\s+mapas\b|guerras\s+de\s+estrellas\b|miguel\s+jackson\b",
    r"(?:sopor(?:ta|tan|tar)\s+a\s+su\s+familia|eventualmente,?\s+se\s+casaron|introdujo\s+a\s+su\s+(?:amigo|amiga|esposa))\b",
    r"(?:estoy|está|están|estamos)\s+(?:excitad[oa]s?\s+(?:de|por|sobre)|mirando\s+adelante)|decepcion\w*\s+abajo\b",
    r"gast\w+\s+(?:más\s+|mucho\s+|algo\s+de\s+)?tiempo\s+con\b|pag\w+\s+atención\s+a\b|hac(?:er|e|iendo)\s+una\s+decisión\b",
    r"pensar\s+sobre\s+(?:eso|ello)\b|depende\s+en\b|consiste\s+de\b|casad[oa]\s+a\b|enamorad[oa]\s+con\b",
    r"en\s+el\s+otro\s+mano\b|al\s+final\s+del\s+día,|romper\s+abajo\b|quebr\w+\s+abajo\b|encontrar\s+fuera\b",
    r"es\s+(?:una\s+)?pieza\s+de\s+(?:pastel|torta)\b|llueve\s+gatos\b|gatos\s+y\s+perros\s+(?:lloviendo|está)",
)
FOREIGN_OFFICE = Phrases(
    r"(?:irs|dmv|fafsa|fbi|fda|medicare|medicaid)\b|401\s?\(?k\)?|(?:tarjeta|número)\s+del?\s+seguro\s+social\b|"
    r"servicio\s+de\s+impuestos\s+internos\b|vehículos\s+motorizados\b|formularios?\s+(?:1040|w-?[249])\b|"
    r"(?:oficina|buró)\s+federal\s+de\s+investigaci|el\s+congreso\s+federal\b|códigos?\s+zip\b",
    r"grados\s+fahrenheit\b|\d\s*°\s?F\b|(?:\d+|media|una|pocas)\s+millas?\b(?!\s+náuticas?)",
)
USTED = re.compile(r"\busted\b", re.IGNORECASE)
UNITS_ASKED = Phrases(r"milla|fahrenheit|unidad|conv[ie]+rt|equival|velocidad|distancia|temperatura|grados")
FOREIGN_LAW = Phrases(
    r"suprema\s+corte\s+de\s+justicia\s+de\s+la\s+nación|ley\s+federal\s+del?\b|conciliación\s+y\s+arbitraje\b",
    r"estatuto\s+de\s+los\s+trabajadores\b|constitución\s+(?:española|mexicana|colombiana|peruana|política\s+del\s+perú)",
    r"agencia\s+tributaria\b|código\s+penal\s+federal\b|(?:afip|anses|dian|sunat|indecopi|imss|infonavit|condusef|"
    r"profeco|icbf|boe|curp|fonasa)\b|colpensiones\b|acción\s+de\s+tutela\b|ley\s+100\s+de\s+1993\b",
    r"ley\s+de\s+contrato\s+de\s+trabajo\b|(?:primera|segunda|cuarta|quinta|sexta|decimocuarta)\s+enmienda\b",
    r"derechos?\s+(?:de\s+)?miranda\b|fiscalía\s+general\s+de\s+la\s+nación\b|real\s+decreto\b|guardia\s+civil\b",
    r"diario\s+oficial\s+de\s+la\s+federación\b|código\s+civil\s+y\s+comercial\s+de\s+la\s+nación\b|carabineros\b",
    r"código\s+sustantivo\s+del\s+trabajo\b|agente\s+del\s+ministerio\s+público\b|procuradur[ií]a\s+federal\b",
)
FOR_ADVICE = Phrases(
    r"(?:me|mis?|tengo|aquí|ecuador|ecuatorian\w+|quito|guayaquil|cuenca|pago|puedo|debo|hago|reclamo|denuncio)\b"
)
DIALECTS = [
    Phrases(r"vosotr[oa]s\b|vuestr[oa]s?\b|os\b|\w{2,}(?:áis|éis)\b|coged\b"),
    Phrases(r"vos\b|che\b|(?:tenés|podés|querés|sabés|hacés|sos|apretá|vení|decime|fijate|mirá)\b"),
    Phrases(r"órale\b|(?:wey|güey)\b|no\s+manches\b|chido\b"),
]
GROUPS = (
    r"(?:mujeres|hombres|negr[oa]s|indi[oa]s|indígenas|migrantes|inmigrantes|extranjer[oa]s|venezolan[oa]s|colombian[oa]s|"
    r"peruan[oa]s|cuban[oa]s|homosexuales|gays|lesbianas|judí[oa]s|musulmanes|gitan[oa]s|pobres|discapacitados|viejos)"
)
INSULT = Phrases(
    r"de\s+mierda\b|(?:es|eres)\s+una\s+puta\b|(?:la|es|eres)\s+puta\b|hij[oa]s?\s+de\s+(?:la\s+gran\s+)?puta\b|malparid[oa]s?\b|culiad[oa]s?\b",
    r"(?:deberían|habría\s+que|hay\s+que|merecen?)\s+(?:morir|matar|exterminar|quemar)\w*\b[^.\n]{0,20}\btodos?\b",
    rf"{GROUPS}\s+(?:\w+\s+)?(?:son|es)\s+(?:todos\s+|todas\s+)?(?:un[oa]s?\s+)?(?:brut|tont|basura|plaga|inferior|enferm|rat|ladron|"
    r"delincuent|vag[oa]s|suci|estúpid|criminal|sucias|inútil)\w*",
    r"(?:maldit|put)[oa]s\s+" + GROUPS,
    r"(?:eres|son)\s+(?:un[oa]s?\s+)?(?:imbécil|idiota|estúpid[oa]|tarad[oa])e?s?\b",
)
SPAM = Phrases(
    r"suscr[ií]b(?:ete|ase)\s+a\s+(?:mi|nuestro)\b|dale\s+(?:un\s+)?like\b|(?:haz|haga)\s+clic\s+aquí\b|compr[ea]\s+(?:ya|ahora)\b|"
    r"gan[ae]\s+dinero\s+(?:ya|fácil|rápido)\b|oferta\s+limitada\b|llam[ea]\s+ya\b|\d\s?%\s+de\s+descuento\b|"
    r"s[ií]gue(?:me|nos)\s+en\s+(?:instagram|facebook|tiktok|mis?)"
)
LETTER = re.compile(r"[^\W_]")
PICTURE = re.compile(r"[\u2190-\u2bff\U0001f000-\U0001faff]")


def machine_translation(row: Conversation) -> str | None:
    """A phrase no speaker writes, a translated name, or an office of the United States given as the reader's own."""
    own = own_words(row)
    if ABOUT_WORDS.search(row.prompt):
        return None
    if any(len(USTED.findall(sentence)) > 1 for sentence in SENTENCE.split(own) if "sted" in sentence):
        return "translated word by word: 'usted' twice in a sentence"
    if match := TRANSLATED.search(own):
        return f"translated word by word: {' '.join(match.group(0).lower().split())[:40]!r}"
    match = FOREIGN_OFFICE.search(own)
    if not match or any(rule.search(row.prompt) for rule in (ABROAD, UNITS_ASKED, FOREIGN_OFFICE)):
        return None
    if ABROAD.search(own) and not FOR_ADVICE.search(row.prompt):
        return None
    return f"a thing of the United States as ours: {match.group(0).lower()[:40]!r}"


def foreign_law(row: Conversation) -> str | None:
    """Advice that rests on a court, office or law of another country which neither side names."""
    match = FOREIGN_LAW.search(row.answer)
    if not match or ABROAD.search(row.prompt) or FOREIGN_LAW.search(row.prompt) or not FOR_ADVICE.search(row.prompt):
        return None
    if ABROAD.search(FOREIGN_LAW.sub(" ", row.answer)):
        return None
    return f"foreign law as ours: {match.group(0).lower()[:40]!r}"


def mixed_dialect(row: Conversation) -> str | None:
    """Vosotros and vos, or the slang of two countries, in one answer."""
    own = own_words(row)
    if sum(bool(rule.search(own)) for rule in DIALECTS) < 2 or ABOUT_DIALECT.search(row.prompt):
        return None
    return "mixes the Spanish of several countries"


def insult_or_spam(row: Conversation) -> str | None:
    """Insults and hatred said as the answer's own, advertising, and answers of emoji alone."""
    own = own_words(row)
    if INSULT.search(own) and not ABOUT_WORDS.search(row.prompt) and not ABOUT_A_VOICE.search(row.prompt):
        return "insults or hatred"
    if SPAM.search(own) and not ABOUT_SALES.search(row.prompt):
        return "advertising"
    if PICTURE.search(row.answer) and not LETTER.search(row.answer) and not ABOUT_EMOJI.search(row.prompt):
        return "the answer holds no word"
    return None


def repetitive(row: Conversation) -> str | None:
    """An answer that loops: one line or word group fills it, or it compresses far beyond prose. A litany may loop."""
    text = row.answer
    if not ABOUT_VERSE.search(row.prompt):
        lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
        # As the repetition filters of Gopher (arXiv:2112.11446, table A1): at most 30 % repeated lines.
        if len(lines) >= 6 and 1 - len(set(lines)) / len(lines) > 0.3:
            return "repeated lines"
        said = words(text)
        if len(said) >= 24:
            fours = Counter(zip(said, said[1:], said[2:], said[3:], strict=False))
            most = max(fours.values())
            if most * 4 > 0.25 * len(said) and most > 3:
                return "one group of four words fills the answer"
    if len(text) > 600:
        ratio = len(text.encode()) / len(zlib.compress(text[:20_000].encode(), 1)) * min(1, 20_000 / len(text))
        if ratio > 8:
            return "compresses eightfold"
    return None
