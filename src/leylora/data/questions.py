"""The fourteen families of questions on law: their wordings, and below them what each asks of an article.

A family takes a law, one of its articles and the lookup of the build, and yields an `LawItem` for every question the
article answers, or nothing: prefer no question over a wrong one. Answers quote the article or are built from what
`law_text` reads off it word for word. A family has at least six wordings, some with "tú", some with "usted".
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta

from leylora.data.compose import LawItem, LawLookup, of_law, spelled
from leylora.data.law_text import deadlines, defined, exceptions, first_sentence, is_deictic, sentences, single_penalty
from leylora.grounding.prompt import NO_SUCH_ARTICLE, NOT_SUPPLIED, OTHER_COUNTRY, OTHER_EDITION, REPEALED, UNKNOWN_LAW
from leylora.laws.catalog import catalog
from leylora.laws.law import Article, Law

WHOLE_BODY = 600  # characters; of a longer article the first sentence is quoted


def ask(families: Iterable[str], law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What the named families ask: reasons not to answer of any article, everything else of one in force."""
    for name in families:
        if article.in_force or name == "abstain":
            yield from FAMILIES[name](law, article, lookup)


def body_or_opening(article: Article) -> str:
    """What is quoted: the whole body of a short article, the first sentence of a long one."""
    return article.body if len(article.body) <= WHOLE_BODY else first_sentence(article.body)


TOPIC = (
    "¿Qué dispone {the_law} sobre «{topic}»?",
    "¿Qué dice la ley acerca de «{topic}»?",
    "Quiero saber qué establece {the_law} respecto de «{topic}».",
    "Explícame qué norma rige «{topic}».",
    "¿Cómo regula {the_law} «{topic}»?",
    "Infórmeme sobre «{topic}» según {the_law}.",
    "Tengo una duda sobre «{topic}»: ¿qué manda la ley?",
    "¿Cuál es la regla de {the_law} para «{topic}»?",
    "En el Ecuador, ¿qué se ha establecido sobre «{topic}»?",
)


def topic(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does the law say about X? X is a rubric that names one article only, else the subject it opens with."""
    words = lookup.topic(law, article)
    if words is not None:
        yield LawItem("topic", "grounded", article, TOPIC, f"«{body_or_opening(article)}»", {"topic": words})


VERBATIM = (
    "¿Qué dice el artículo {number} {of_law}?",
    "¿Qué establece el Art. {number} {of_law}?",
    "Transcriba el artículo {number} {of_law}.",
    "Dime el texto del artículo {number} {of_law}.",
    "Necesito el texto exacto del art. {number} {of_law}.",
    "¿Puede citar textualmente el artículo {number} {of_law}?",
    "Cítame el artículo {number} {of_law}, por favor.",
    "¿Cuál es el contenido del artículo {number} {of_law}?",
    "Lea el Art. {number} {of_law}.",
    "{law}, artículo {number}: ¿qué dispone?",
)
LONGEST_BODY = 1_500  # characters; a longer article is asked for by its parts


def verbatim(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does article N say? The body in force, word for word."""
    if len(article.body) <= LONGEST_BODY:
        yield LawItem("verbatim", "grounded", article, VERBATIM, f"«{article.body}»")
        yield LawItem("verbatim", "closed", article, VERBATIM, f"«{article.body}»")


GOVERNING_BY_RUBRIC = (
    "¿Qué artículo {of_law} regula «{topic}»?",
    "¿En qué artículo {of_law} se trata «{topic}»?",
    "Indique el artículo {of_law} sobre «{topic}».",
    "¿Dónde encuentro «{topic}» en {the_law}?",
    "Busco el artículo {of_law} titulado «{topic}».",
    "¿Cuál es el artículo {of_law} que norma «{topic}»?",
    "Dime qué artículo {of_law} habla de «{topic}».",
    "{law}: ¿qué artículo corresponde a «{topic}»?",
)
GOVERNING_BY_WORDS = (
    "¿Qué artículo {of_law} dice «{words}…»?",
    "¿En qué artículo {of_law} consta «{words}…»?",
    "Indique el artículo {of_law} que contiene «{words}…».",
    "¿De qué artículo {of_law} son las palabras «{words}…»?",
    "¿Dónde dice {the_law} «{words}…»?",
    "Dime en qué artículo {of_law} aparece «{words}…».",
    "Identifique el artículo {of_law} que empieza «{words}…».",
    "{law}: ¿cuál artículo expresa «{words}…»?",
)


def governing_article(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which article rules X? By rubric when it names one article only, else by the first words of the article."""
    task = "governing-article"
    title = lookup.title(law, article)
    if title:
        answer, slots = f"Lo regula el artículo {spelled(article.number)}: «{article.rubric}».", {"topic": title}
        yield LawItem(task, "grounded", article, GOVERNING_BY_RUBRIC, answer, slots)
        yield LawItem(task, "closed", article, GOVERNING_BY_RUBRIC, answer, slots)
        return
    opening = first_sentence(article.body)
    words = opening.split()
    if len(words) >= 14 and not is_deictic(opening) and not re.match(r"\d|[a-z][.)]", opening):
        quote = f"«{' '.join(words[:40])}…»" if len(words) > 40 else f"«{opening}»"
        answer = f"Consta en el artículo {spelled(article.number)}: {quote}"
        asked = " ".join(words[:9]).rstrip(",;:")
        yield LawItem(task, "grounded", article, GOVERNING_BY_WORDS, answer, {"words": asked})


SANCTION_BY_TOPIC = (
    "¿Qué pena tiene «{topic}» según {the_law}?",
    "¿Cómo sanciona {the_law} «{topic}»?",
    "¿Cuál es la sanción para «{topic}»?",
    "¿Con qué pena se castiga «{topic}» en el Ecuador?",
    "Indique la sanción prevista para «{topic}» en {the_law}.",
    "Dime qué sanción recibe «{topic}» según {the_law}.",
    "¿Cuánto es la pena por «{topic}»?",
    "Si alguien comete «{topic}», ¿qué sanción le corresponde?",
)
SANCTION_BY_NUMBER = (
    "¿Qué sanción fija el artículo {number} {of_law}?",
    "¿Cuál es la pena prevista en el Art. {number} {of_law}?",
    "Indique la pena del artículo {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿cuál es la sanción?",
    "¿Qué castigo establece el art. {number} {of_law}?",
    "Dime la sanción que impone el artículo {number} {of_law}.",
    "¿Entre qué límites está la sanción del artículo {number} {of_law}?",
    "{law}, art. {number}: ¿cuál es la sanción?",
)


def sanction(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which penalty? By topic and by number, grounded; by topic also closed-book."""
    pieces = single_penalty(article.body)
    if not pieces:
        return
    answer = "La sanción es " + " y ".join(f"«{piece}»" for piece in pieces) + "."
    yield LawItem("sanction", "grounded", article, SANCTION_BY_NUMBER, answer)
    title = lookup.title(law, article)
    if title:
        yield LawItem("sanction", "grounded", article, SANCTION_BY_TOPIC, answer, {"topic": title})
        yield LawItem("sanction", "closed", article, SANCTION_BY_TOPIC, answer, {"topic": title})


DEADLINE_BY_NUMBER = (
    "¿Qué plazo o término fija el artículo {number} {of_law}?",
    "¿Cuál es el tiempo previsto en el Art. {number} {of_law}?",
    "Indique el plazo del artículo {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿en cuánto tiempo?",
    "¿Cuánto tiempo da el art. {number} {of_law}?",
    "Dime el plazo que establece el artículo {number} {of_law}.",
    "¿De cuánto es el término del artículo {number} {of_law}?",
    "{law}, art. {number}: ¿qué plazo hay?",
)
DEADLINE_BY_TOPIC = (
    "¿Qué plazo o término hay en «{topic}» según {the_law}?",
    "¿Cuánto tiempo prevé {the_law} para «{topic}»?",
    "Sobre «{topic}», ¿cuál es el plazo en {the_law}?",
    "Indique el plazo que rige en «{topic}».",
    "¿En cuánto tiempo, según {the_law}, en lo relativo a «{topic}»?",
    "Dime qué plazo se aplica a «{topic}».",
    "Quiero saber el plazo de «{topic}» en {the_law}.",
    "¿Qué tiempo señala la ley para «{topic}»?",
)
DEADLINE_GAP = (
    "Complete el plazo {of_law}: «{gapped}»",
    "¿Qué plazo falta en esta frase {of_law}? «{gapped}»",
    "Llene el espacio con el plazo legal: «{gapped}»",
    "¿Cuánto tiempo va en el espacio? «{gapped}»",
    "Completa la norma con su plazo: «{gapped}»",
    "En {the_law} se lee «{gapped}». ¿Qué plazo va en el espacio?",
)
LONGEST_DEADLINE = 420  # characters of its sentence


def deadline(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """In how much time? By number and topic when the article sets one deadline; by a gap in up to two sentences."""
    found = [(sentence, term) for sentence, term in deadlines(article.body) if len(sentence) <= LONGEST_DEADLINE]
    if len(found) == 1:
        answer = f"«{found[0][1]}»: «{found[0][0]}»"
        yield LawItem("deadline", "grounded", article, DEADLINE_BY_NUMBER, answer)
        title = lookup.title(law, article)
        if title:
            yield LawItem("deadline", "grounded", article, DEADLINE_BY_TOPIC, answer, {"topic": title})
    for sentence, term in found[:2]:
        if sentence.count(term) == 1:
            slots = {"gapped": sentence.replace(term, "____")}
            yield LawItem("deadline", "grounded", article, DEADLINE_GAP, f"«{term}».", slots)


DEFINITION = (
    "¿Qué es «{term}» según {the_law}?",
    "¿Cómo define {the_law} «{term}»?",
    "Defina «{term}» conforme a {the_law}.",
    "¿Qué se entiende por «{term}» en el derecho ecuatoriano?",
    "Dame la definición legal de «{term}».",
    "¿Cuál es el concepto de «{term}» en {the_law}?",
    "Explique qué significa «{term}» para {the_law}.",
    "¿A qué llama {the_law} «{term}»?",
    "Necesito la definición de «{term}» {of_law}.",
)


def definition(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What is X? For articles that open with a definition: the defining sentence, grounded and closed-book."""
    found = defined(article.body)
    if found is not None and not is_deictic(found[1]):
        term, sentence = found
        yield LawItem("definition", "grounded", article, DEFINITION, f"«{sentence}»", {"term": term})
        yield LawItem("definition", "closed", article, DEFINITION, f"«{sentence}»", {"term": term})


LIST_WHOLE = (
    "¿Qué enumera el artículo {number} {of_law}?",
    "Enumere los puntos del artículo {number} {of_law}.",
    "Haga la lista que contiene el Art. {number} {of_law}.",
    "¿Cuáles son los casos o requisitos del artículo {number} {of_law}?",
    "Lístame lo que señala el art. {number} {of_law}.",
    "Dime todos los elementos de la lista del artículo {number} {of_law}.",
    "{law}, art. {number}: ¿cuál es la enumeración?",
)
LIST_ONE = (
    "¿Qué dice el numeral {label} del artículo {number} {of_law}?",
    "Transcriba el numeral {label} del Art. {number} {of_law}.",
    "¿Qué establece el número {label} del artículo {number} {of_law}?",
    "Dime el numeral {label} del art. {number} {of_law}.",
    "Necesito el texto del numeral {label}, artículo {number}, {of_law}.",
    "Art. {number}, num. {label}, {of_law}: ¿qué dice?",
    "¿Cuál es el contenido del numeral {label} del artículo {number} {of_law}?",
)
LONGEST_LIST = 1_200  # characters


def list_items(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Requisites, causes, powers: the whole list when it is short enough, and up to two single items."""
    labels = [item.label for item in article.numerals]
    if len(labels) < 2 or len(set(labels)) < len(labels):  # with two lists "numeral 2" is ambiguous
        return
    listing = "\n".join(f"{item.label}. «{item.text}»" for item in article.numerals)
    if len(listing) <= LONGEST_LIST:
        yield LawItem("list-items", "grounded", article, LIST_WHOLE, f"Son {len(labels)}:\n{listing}")
    chance = lookup.random(article.law_id, article.number, "list-items")
    numbered = [item for item in article.numerals if item.label.isdigit() and 20 <= len(item.text) <= LONGEST_LIST]
    for item in chance.sample(numbered, min(2, len(numbered))):
        yield LawItem("list-items", "grounded", article, LIST_ONE, f"«{item.text}»", {"label": item.label})


LOCATION = (
    "¿En qué parte {of_law} está el artículo {number}?",
    "¿En qué título o capítulo {of_law} se ubica el Art. {number}?",
    "Ubique el artículo {number} dentro {of_law}.",
    "¿A qué sección {of_law} pertenece el artículo {number}?",
    "Dime dónde está el art. {number} en la estructura {of_law}.",
    "¿Cuál es la ubicación del artículo {number} {of_law}?",
    "{law}: ¿en qué división se halla el artículo {number}?",
)


def location(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Where in the law is article N? Libro, Título, Capítulo, Sección, as printed; closed-book only."""
    if article.path:
        answer = "Está en " + ", ".join(f"«{division}»" for division in article.path) + "."
        yield LawItem("location", "closed", article, LOCATION, answer)


EXCEPTION_BY_NUMBER = (
    "¿Qué excepción o salvedad prevé el artículo {number} {of_law}?",
    "¿Cuál es la salvedad del Art. {number} {of_law}?",
    "Indique la excepción que contiene el artículo {number} {of_law}.",
    "¿Hay alguna salvedad en el artículo {number} {of_law}?",
    "Dime qué deja a salvo el art. {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿en qué caso la regla no se aplica sin más?",
)
EXCEPTION_BY_TOPIC = (
    "¿Qué excepción o salvedad hay en «{topic}» según {the_law}?",
    "Sobre «{topic}», ¿qué salvedad hace {the_law}?",
    "¿La regla de «{topic}» tiene excepciones o salvedades?",
    "Indique la salvedad aplicable a «{topic}».",
    "¿Qué queda a salvo en materia de «{topic}»?",
    "Dime la excepción prevista para «{topic}» en {the_law}.",
)
LONGEST_EXCEPTION = 500  # characters of its sentence


def exception(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Salvo, excepto, a menos que, sin perjuicio de: articles with exactly one such clause, by number and by topic."""
    found = exceptions(article.body)
    if len(found) != 1 or len(found[0][0]) > LONGEST_EXCEPTION:
        return
    sentence, clause = found[0]
    answer = f"La salvedad es «{clause}». El texto: «{sentence}»"
    yield LawItem("exception", "grounded", article, EXCEPTION_BY_NUMBER, answer)
    words = lookup.topic(law, article)
    if words:
        yield LawItem("exception", "grounded", article, EXCEPTION_BY_TOPIC, answer, {"topic": words})


CROSS_REFERENCE = (
    "El artículo {source} {of_law} remite al {phrase}. ¿Qué dice ese otro artículo?",
    "En el Art. {source} {of_law} se menciona el {phrase}. ¿Cuál es su contenido?",
    "Siga la remisión del artículo {source} {of_law} al {phrase}.",
    "¿Qué establece el artículo al que remite el {source} {of_law} («{phrase}»)?",
    "Lee el artículo {source} {of_law} y dime qué norma invoca al citar el {phrase}.",
    "Resuelva la referencia al {phrase} del artículo {source} {of_law}.",
)


def cross_reference(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does the article say that another one points to? The prompt carries the one that points as well."""
    answer = f"Remite al artículo {spelled(article.number)}: «{body_or_opening(article)}»"
    for source, phrase in lookup.facts(law).referrers.get(article.number, [])[:2]:
        slots = {"source": spelled(source.number), "phrase": phrase}
        yield LawItem("cross-reference", "grounded", article, CROSS_REFERENCE, answer, slots, also_given=(source,))


SUMMARY = (
    "Resuma el artículo {number} {of_law}.",
    "¿Cuál es la idea central del Art. {number} {of_law}?",
    "En una frase del propio texto, ¿qué dice el artículo {number} {of_law}?",
    "Dame lo esencial del art. {number} {of_law}.",
    "Extraiga la regla principal del artículo {number} {of_law}.",
    "Sintetiza el artículo {number} {of_law} con sus palabras textuales.",
    "¿Qué es lo más importante del artículo {number} {of_law}?",
)
LONG_BODY = 400  # characters
LONG_WORD = re.compile(r"[^\W\d_]{4,}")


def summary(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """By extraction: the most central sentence of an article of three or more."""
    parts = sentences(article.body) if len(article.body) >= LONG_BODY else []
    if len(parts) >= 3:
        best = central(parts)
        if not is_deictic(best):
            yield LawItem("summary", "grounded", article, SUMMARY, f"Extracto: «{best}»")


def central(parts: list[str]) -> str:
    """The sentence of 40 to 400 characters whose words recur most in all sentences; the first one among equals."""
    words = [{word.lower() for word in LONG_WORD.findall(part)} for part in parts]
    often = Counter(word for mine in words for word in mine)

    def weight(at: int) -> float:
        first = 1 if at == 0 else 0  # statutes put the rule first
        return sum(often[word] for word in words[at]) / max(8, len(words[at])) + first

    fitting = [at for at, part in enumerate(parts) if 40 <= len(part) <= 400] or [0]
    return parts[max(fitting, key=lambda at: (weight(at), -at))]


SYLLOGISM = (
    "Se ha probado que una persona actuó así: «{conduct}». Razone con norma, hechos y conclusión.",
    "Caso: alguien incurre en «{conduct}». Resuelva en tres pasos: norma, hechos y conclusión.",
    "Aplica la ley a este caso: una persona responde por «{conduct}». ¿Qué se concluye?",
    "Si en el juicio se demuestra la conducta «{conduct}», ¿qué corresponde? Haga el silogismo jurídico.",
    "Construya el silogismo: los hechos probados son «{conduct}».",
    "Mi cliente está acusado de «{conduct}». ¿Qué norma se aplica y qué consecuencia tiene, si se prueba?",
    "Dime la consecuencia legal, paso a paso, de esta conducta probada: «{conduct}».",
)
CONDUCT = re.compile(
    r"^(?:La|El|Las|Los)\s+(?:personas?|servidor\w*|funcionari\w*|conductor\w*|empleador\w*)\s+que\s+(?P<conduct>[^;:]{15,400}?)"
    r",?\s+(?:será|serán)\s+(?:sancionad|reprimid|castigad)"
)


def syllogism(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Norma, hechos, conclusión, for penal articles with one conduct and one penalty, which is quoted."""
    pieces = single_penalty(article.body)
    if not pieces:
        return
    for sentence in sentences(article.body):
        match = CONDUCT.match(sentence)
        if match and all(piece in sentence for piece in pieces) and len(sentence) <= 700:
            conduct, consequence = match.group("conduct"), " y ".join(f"«{piece}»" for piece in pieces)
            answer = f"Norma: «{sentence}»\nHechos: «{conduct}».\nConclusión: corresponde {consequence}."
            yield LawItem("syllogism", "grounded", article, SYLLOGISM, answer, {"conduct": conduct})
            return


TODAY = (
    "¿Sigue vigente hoy el artículo {number} {of_law}?",
    "¿El texto del Art. {number} {of_law} es el actual?",
    "¿Ha cambiado el artículo {number} {of_law}?",
    "Confírmame que el art. {number} {of_law} no ha sido reformado.",
    "¿Puedo confiar en que el artículo {number} {of_law} rige en la actualidad?",
    "¿Qué dice en este momento el artículo {number} {of_law}?",
    "Dime el texto vigente del artículo {number} {of_law}.",
)
CONTRADICTED = (
    "Recuerdo otra redacción del artículo {number} {of_law}. ¿Qué dice el texto dado?",
    "Me dijeron que el Art. {number} {of_law} ya no dice eso. ¿Qué consta en la edición dada?",
    "Según la edición proporcionada, y no según su memoria, ¿qué dice el artículo {number} {of_law}?",
    "Atente al texto entregado: ¿qué establece el art. {number} {of_law}?",
    "Aunque haya otras versiones, ¿qué señala la edición aquí citada del artículo {number} {of_law}?",
    "Con base solo en la edición del {edition}, ¿qué dice el artículo {number} {of_law}?",
)
EDITION_OF_DAY = (
    "¿Qué decía el artículo {number} {of_law} en la edición del {day}?",
    "Transcriba el Art. {number} {of_law} según su texto del {day}.",
    "Necesito el artículo {number} {of_law} como estaba el {day}.",
    "¿Cuál era el texto del artículo {number} {of_law} al {day}?",
    "Dime cómo decía el art. {number} {of_law} en la versión del {day}.",
    "Edición del {day}: ¿qué disponía el artículo {number} {of_law}?",
)
CHECK = "Verifique reformas posteriores."


def temporal(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which text, of when? The edition in the prompt wins over memory; who asks about today is told to check.

    With two editions of one law, an article that changed also yields a question with both texts in the prompt.
    """
    quote = body_or_opening(article)
    yield LawItem("temporal", "abstain", article, TODAY, f"Según la edición citada: «{quote}» {CHECK}")
    slots = {"edition": law.edition or "s. f."}
    yield LawItem("temporal", "abstain", article, CONTRADICTED, f"«{quote}»", slots)
    if not law.edition:
        return
    chance = lookup.random(law.id, law.edition, article.number, "temporal")
    day = date.fromisoformat(law.edition) + timedelta(days=chance.choice((-1, 1)) * chance.randint(200, 3_000))
    if not any(other.id == law.id and other.edition == day.isoformat() for other in lookup.laws):
        answer, slots = f"{OTHER_EDITION} Tengo esta:", {"day": day.isoformat()}
        yield _declined("other-edition", article, EDITION_OF_DAY, answer, slots)
    for other in lookup.laws:
        if other.id == law.id and other.edition != law.edition and article.number in other:
            then, slots = (other, other.article(article.number)), {"day": law.edition}
            if then[1].in_force and then[1].body != article.body:
                task, answer = "temporal-editions", f"«{quote}»"
                yield LawItem(task, "grounded", article, EDITION_OF_DAY, answer, slots, other_edition=then)


ABROAD = (
    "¿Qué dice el artículo {number} {of_law} de {country}?",
    "Según el derecho de {country}, ¿qué establece el artículo {number} {of_law}?",
    "En {country}, ¿qué dispone el Art. {number} {of_law}?",
    "Dime el artículo {number} {of_law} vigente en {country}.",
    "Necesito el art. {number} {of_law} de {country}.",
    "Transcriba el artículo {number} {of_law} de {country}.",
)
COUNTRIES = ("Colombia", "Perú", "Chile", "España", "México", "Argentina", "Bolivia", "Venezuela", "Uruguay", "Panamá")
GENERIC_NAME = re.compile(r"^(Constitución|Código (?:Civil|Penal|del Trabajo|Tributario|de Comercio))\b")


def abstain(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Questions that must not be answered. A repealed article yields itself; one in force every reason that fits it."""
    chance = lookup.random(law.id, article.number, "abstain")
    if article.status == "derogado":
        for supplied in (True, False):
            yield LawItem("abstain-repealed", "abstain", article, VERBATIM, f"{REPEALED} {CHECK}", supplied=supplied)
    if not article.in_force:
        return
    yield _not_supplied(law, article, lookup)
    yield from _wrong_law(law, article, lookup)
    last = lookup.facts(law).last_number
    missing = str(last + 1 + chance.randrange(10**6) % max(60, last // 2))
    answer = f"{NO_SUCH_ARTICLE} No consta el {missing}."
    yield _declined("no-such-article", article, VERBATIM, answer, {"number": missing})
    name = GENERIC_NAME.match(law.name)
    if name and chance.random() < 0.3:
        slots = {"country": chance.choice(COUNTRIES), "of_law": of_law(law, name.group(0))}
        yield _declined("other-country", article, ABROAD, OTHER_COUNTRY, slots)
    if chance.random() < 0.3:
        known = {name for one in lookup.laws for name in (one.id, one.name)}
        absent = [entry for entry in catalog() if known.isdisjoint((entry.id, entry.name))]
        if absent:
            other = chance.choice(absent)
            slots = {"law": other.name, "of_law": of_law(other, other.name)}
            answer = f"{UNKNOWN_LAW} Tengo esta:"
            yield _declined("unknown-law", article, VERBATIM, answer, slots)


def _declined(reason: str, article: Article, wordings: tuple[str, ...], answer: str, slots: dict[str, str]) -> LawItem:
    """A question without articles in the prompt whose answer cites none."""
    return LawItem(f"abstain-{reason}", "abstain", article, wordings, answer, slots, cites=False, supplied=False)


def _not_supplied(law: Law, article: Article, lookup: LawLookup) -> LawItem:
    """A question of another family, with every given article a wrong one."""
    for item in ask(("sanction", "deadline", "exception", "governing-article"), law, article, lookup):
        words = item.slots.get("topic")
        if item.kind == "grounded" and words:
            answer = f"{NOT_SUPPLIED} Ninguno trata «{words}»."
            return LawItem("abstain-not-supplied", "abstain", article, item.phrasings, answer, item.slots, cites=False)
    answer = f"{NOT_SUPPLIED} Falta el {spelled(article.number)}."
    return LawItem("abstain-not-supplied", "abstain", article, VERBATIM, answer, cites=False)


def _wrong_law(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """The topic of an article of another law, asked of this one whose articles are given."""
    others = [other for other in lookup.laws if other.id != law.id and len(other) > 20]
    if not others:
        return
    chance = lookup.random(law.id, article.number, "wrong-law")
    other = chance.choice(others)
    foreign = chance.choice(other.articles)
    words = lookup.topic(other, foreign) if foreign.in_force and foreign.rubric else None
    if words is not None and words.lower() not in lookup.facts(law).text:
        answer = f"{NOT_SUPPLIED} Ninguno trata «{words}»."
        yield LawItem("abstain-wrong-law", "abstain", article, TOPIC, answer, {"topic": words}, cites=False)


FAMILIES: dict[str, Callable[[Law, Article, LawLookup], Iterator[LawItem]]] = {
    "topic": topic,
    "verbatim": verbatim,
    "governing-article": governing_article,
    "sanction": sanction,
    "deadline": deadline,
    "definition": definition,
    "list-items": list_items,
    "location": location,
    "exception": exception,
    "cross-reference": cross_reference,
    "summary": summary,
    "syllogism": syllogism,
    "temporal": temporal,
    "abstain": abstain,
}
