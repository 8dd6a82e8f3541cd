"""Questions on a matter: by its title, in everyday words, two at once, a chapter, a reference; the text; a draft."""
# ruff: noqa: E501 - sentences stay whole

import re
from collections.abc import Iterator
from random import Random

from leylora.data.compose import Kind, LawItem, LawLookup, heading, lower_first, of_law, spelled, the_law
from leylora.data.families.wording import LONGEST_QUOTE, MORE, counted, is_part, law_named, quotable, said, upper_first
from leylora.grounding.clauses import of, sentences
from leylora.grounding.prompt import REWRITE
from leylora.grounding.wording import concepts
from leylora.laws.law import Article, Law
from leylora.text import one_line

# --- what the law says of a matter ------------------------------------------------------------------------------

TOPIC = (
    "¿Qué dispone {the_law} sobre «{topic}»?",
    "Quiero saber qué establece {the_law} respecto de «{topic}».",
    "¿Cómo regula {the_law} «{topic}»?",
    "Infórmeme sobre «{topic}» según {the_law}.",
    "Tengo una duda sobre «{topic}»: ¿qué manda la ley?",
    "¿Cuál es la regla de {the_law} para «{topic}»?",
    "Explíqueme en pocas palabras «{topic}».",
    "Preparo una charla sobre «{topic}». ¿Qué dice la ley y dónde?",
)
TOPIC_SAID = (
    "Lo regula el artículo {number}, que dice: «{q}» {c}.{more}",
    "La regla principal es esta: «{q}» {c}.{more}",
    "Sobre eso hay norma expresa. Dice: «{q}» {c}.{more}",
    "En pocas palabras, lo que importa está en esta frase: «{q}» {c}.{more}",
    "La ley lo trata así: «{q}» {c}.{more} Si su caso tiene algo especial, cuéntemelo.",
    "Esto es lo que dispone: «{q}» {c}.{more}",
)


def topic(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does the law say about X? X is a rubric that names one article only."""
    words, quote = lookup.title(law, article), quotable(article)
    if words is None or not quote or lookup.rules(law, article).listings or lookup.rules(law, article).offences:
        return
    more = lookup.random(law.id, article.number, "more").choice(MORE) if is_part(article, quote) else ""
    answers = said(TOPIC_SAID, number=spelled(article.number), q=one_line(quote), more=more)
    yield LawItem("topic", "grounded", article, law_named(TOPIC, words), answers, {"topic": words})


EVERYDAY = (
    "{Words}, ¿qué dice la ley?",
    "Buenas, una consulta: {words}.",
    "Necesito orientación: {words}. ¿Qué norma me sirve?",
    "{Words}. ¿Dónde está eso en la ley?",
    "¿Hay alguna ley sobre esto? {Words}.",
    "{words} que articulo es",
    "Mi problema es este: {words}. ¿Qué artículo leo?",
    "Una vecina me preguntó por esto: {words}. ¿Qué le respondo?",
    "{Words}: ¿qué artículo se aplica?",
    "quiero saber: {words}",
)
EVERYDAY_SAID = (
    "Eso lo trata el artículo {number} {of_law}{titled}: «{q}» {c}.{more}",
    "La norma que busca es esta: «{q}» {c}.{more}",
    "Lea el artículo {number} {of_law}{titled}; en lo que le interesa dice: «{q}» {c}.{more}",
    "Hay una regla para eso, {in_law}: «{q}» {c}.{more}",
    "Está {in_law}, artículo {number}{titled}, con estas palabras: «{q}» {c}.{more}",
    "Sí, la ley lo prevé: «{q}» {c}.{more} Si me cuenta más de su caso, lo vemos con más detalle.",
    "Le sirve este artículo{titled}: «{q}» {c}.{more}",
    "Lo que dice la ley sobre eso: «{q}» {c}.{more}",
)
FIND_AFTER = (
    "¿Y en qué artículo está eso?",
    "¿Dónde lo dice la ley?",
    "¿Me da la cita exacta?",
    "que articulo es?",
    "¿Cómo cito eso en un escrito?",
)
FIND_AFTER_SAID = (
    "En el artículo {number} {of_law}{titled}: «{q}» {c}.{more}",
    "Lo encuentra {in_law}, artículo {number}, donde se lee: «{q}» {c}.{more}",
    "Es el artículo {number}{titled}, que dispone: «{q}» {c}.{more}",
    "La cita es al artículo {number} {of_law}; póngala con su edición: «{q}» {c}.{more}",
    "Artículo {number} {of_law}; la parte que le sirve es «{q}» {c}.{more}",
)
FIND_SHORT_SAID = (
    "En el artículo {number} {of_law}{titled} {c}.",
    "Es el artículo {number} {of_law} {c}. En un escrito ponga también la edición, como aquí.",
    "Lo que acabo de citar es el artículo {number} {of_law}{titled} {c}.",
    "Artículo {number} {of_law} {c}; así, completo, puede citarlo.",
    "Está en el artículo {number}{titled}, {in_law} {c}. No lo cite sin abrir antes el texto.",
)
FIND = (
    "¿Qué artículo {of_law} dice esto: «{words}…»?",
    "Tengo esta frase y no su fuente: «{words}…». ¿De qué artículo {of_law} es?",
    "En un alegato leí «{words}…», sin cita. ¿De dónde sale?",
    "¿Dónde está escrito «{words}…»?",
)


ASKING = re.compile(r"(?:cu[aá]l|cu[aá]n|d[oó]nde|qu[eé]|qui[eé]n|c[oó]mo|por\s+qu[eé])", re.IGNORECASE)


def everyday(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """How people call it: which article is about that, and what does it say?"""
    titled = f", «{article.rubric}»" if lookup.title(law, article) else ""
    values = {"number": spelled(article.number), "of_law": of_law(law, law.name), "titled": titled}
    values["in_law"] = f"en {the_law(law, law.name)}"
    chance = lookup.random(law.id, article.number, "everyday")
    phrases = _phrases(law, article, lookup)
    chance.shuffle(phrases)
    for phrase in phrases[:2]:
        quote = quotable(article, phrase)
        if quote and _is_about(article, quote, phrase):
            more = chance.choice(MORE) if is_part(article, quote) else ""
            # "Sí, la ley lo prevé" answers no question of when, where or how much.
            wordings = tuple(one for one in EVERYDAY_SAID if not (one.startswith("Sí") and ASKING.match(phrase)))
            answers = said(wordings, **values, q=one_line(quote), more=more)
            slots = {"words": phrase, "Words": upper_first(phrase)}
            yield LawItem("everyday", "grounded", article, EVERYDAY, answers, slots, facts=True)
    quote = quotable(article)
    if quote:
        words = one_line(quote).split()
        more = chance.choice(MORE) if is_part(article, quote) else ""
        answers = said(FIND_AFTER_SAID, **values, q=one_line(quote), more=more)
        opening = {"words": " ".join(words[:10]).rstrip(",;:.")}
        if len(words) > 14 and chance.random() < 0.2:
            yield LawItem("find", "grounded", article, FIND, answers, opening)
        yield LawItem("find", "followed", article, FIND_AFTER, said(FIND_SHORT_SAID, **values), {}, FIND_AFTER)


TWO_MATTERS = (
    "Tengo dos preguntas. La primera: {words}. La segunda: {second}.",
    "{Words}. Y otra cosa: {second}. ¿Qué dice la ley de lo uno y de lo otro?",
    "Consulta doble: {words}; y además {second}.",
    "Necesito saber sobre esto: {words}. También sobre esto: {second}.",
    "Me preguntan en el consultorio dos cosas: {words}, y {second}. ¿Qué contesto?",
    "{words} y tambien {second}, que articulos son",
)
TWO_MATTERS_SAID = (
    "Van por separado, porque cada cosa tiene su artículo. Sobre lo primero: «{q}» {c}. Sobre lo segundo: «{q2}» {c2}.{more}",
    "A la primera pregunta responde el artículo {number}: «{q}» {c}. A la segunda, el artículo {number2}{abroad}: «{q2}» {c2}.{more}",
    "Son dos artículos distintos. El que le sirve para lo primero dice: «{q}» {c}. El que necesita para lo otro: «{q2}» {c2}.{more}",
    "Empiezo por lo primero que pregunta, que está en el artículo {number}: «{q}» {c}. En cuanto a lo otro, lea el artículo {number2}{abroad}: «{q2}» {c2}.{more}",
    "Para una cosa y para la otra hay norma expresa. La una está en el artículo {number}: «{q}» {c}. La otra, en el artículo {number2}{abroad}: «{q2}» {c2}.{more}",
    "Respondo por partes. Uno: «{q}» {c}. Dos: «{q2}» {c2}.{more} Si algo no calza con su caso, cuénteme más y lo vemos.",
    "Lo primero se rige por el artículo {number}, con estas palabras: «{q}» {c}. Lo segundo, por el artículo {number2}{abroad}: «{q2}» {c2}.{more}",
)


def two_matters(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Two things asked at once, of articles that stand near each other or of two laws."""
    chance = lookup.random(law.id, article.number, "two-matters")
    phrase, quote = _called(law, article, lookup, chance)
    others = [(law, one) for one in lookup.near(law, article, 8)]
    if chance.random() < 0.25 and (abroad := lookup.elsewhere(law, chance)):
        others = [abroad, *others]
    found = 0
    for one in others if quote else ():
        second, also = _called(*one, lookup, chance)
        if also and not set(concepts(second)) <= set(concepts(phrase)):
            slots = {"words": phrase, "Words": upper_first(phrase), "second": second}
            abroad_in = f" {of_law(one[0], one[0].name)}" if one[0].id != law.id else ""
            values = {"number": spelled(article.number), "number2": spelled(one[1].number), "abroad": abroad_in}
            part = is_part(article, quote) or is_part(one[1], also)
            values["more"] = " De lo que no es breve cito solo una parte; lea el artículo entero." if part else ""
            answers = said(TWO_MATTERS_SAID, q=one_line(quote), q2=one_line(also), **values)
            yield LawItem("two-matters", "grounded", article, TWO_MATTERS, answers, slots, others=(one,), facts=True)
            found += 1
        if found == 2 or (found and chance.random() < 0.15):
            return


def _called(law: Law, article: Article, lookup: LawLookup, chance: Random) -> tuple[str, str]:
    """How people call what an article is about, and the sentence on it; or nothing."""
    phrases = _phrases(law, article, lookup)
    phrase = chance.choice(phrases) if phrases else ""
    quote = quotable(article, phrase) if phrase else ""
    if quote and _is_about(article, quote, phrase):
        return phrase, quote
    title = lookup.title(law, article)
    quote = quotable(article) if title and not lookup.rules(law, article).listings else ""
    return (f"qué dice la ley de «{title}»", quote) if quote else ("", "")


def _phrases(law: Law, article: Article, lookup: LawLookup) -> list[str]:
    """What people say of an article in four words or more: shorter ones are keys for a search, and no question."""
    return [one for one in lookup.everyday.get(f"{law.id}:{article.number}", ()) if len(one.split()) >= 4]


def _is_about(article: Article, quote: str, phrase: str) -> bool:
    """Whether what is quoted answers the phrase: it has all words of it that the article has, and more of them than any
    sentence that is left out."""
    wanted = set(concepts(phrase))
    rubric, shared = set(concepts(article.rubric or "")), wanted & set(concepts(quote))
    rest = [of(article.body, span) for span in sentences(article.body)]
    left_out = [wanted & set(concepts(one)) for one in rest if one_line(one) not in one_line(quote)]
    if any(len(one) >= len(shared) or one - shared - rubric for one in left_out if one):
        return False
    return bool(shared or wanted & rubric)


def rewrite(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """A person's words in those of the law, for the search."""
    name = law.siglas or law.name
    title = lookup.title(law, article)
    division = next((one.name for one in reversed(article.path) if one.name), "")
    parts = [title or "", heading(division)]
    if not title:
        opening = re.match(r"(?:[^\s,;:.]+\s?){1,9}", one_line(quotable(article)))
        parts.append(
            lower_first(
                re.sub(
                    r"(?:\s+(?:de|del|la|el|los|las|en|a|al|por|que|y|o|con|su|sus|se|un|una|lo|no|es|son|será|serán|ha|han|haya|tendrá\w*|podrá\w*|deberá\w*|sin))+\s*$",
                    "",
                    opening[0].strip(),
                )
            )
            if opening
            else ""
        )
    words = "; ".join(dict.fromkeys(part for part in parts if part))
    if len(words.split()) < 3 or (not parts[0] and not (parts[2:] and parts[2])):
        return
    for phrase in _phrases(law, article, lookup)[:1]:
        slots = {"words": phrase}
        answers = (f"{upper_first(words)}; {name}",)
        yield LawItem("rewrite", "rewrite", article, (REWRITE + "{words}",), answers, slots, supplied=False, facts=True)


VERBATIM = (
    "¿Qué dice el artículo {number} {of_law}?",
    "¿Qué establece el Art. {number} {of_law}?",
    "Transcriba el artículo {number} {of_law}.",
    "Necesito el texto exacto del art. {number} {of_law} para un escrito.",
    "¿Puede citar textualmente el artículo {number} {of_law}?",
    "Lea el Art. {number} {of_law}.",
)
VERBATIM_AFTER = (
    "¿Me copia el texto completo?",
    "Léamelo entero.",
    "quiero el texto exacto",
    "¿Cómo está redactado?",
    "Cópielo tal cual, por favor.",
)
VERBATIM_SAID = ("«{q}» {c}.", "Dice así: «{q}» {c}.", "El texto completo es: «{q}» {c}.")
LONGEST_BODY = 900  # characters; a longer article is asked for by its parts


def verbatim(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does article N say? The body in force, word for word."""
    if len(article.body) <= LONGEST_BODY and not article.struck:
        answers = said(VERBATIM_SAID, q=article.body)
        chance = lookup.random(law.id, article.number, "verbatim").random()
        kind: Kind = "grounded" if chance < 0.05 else "closed" if chance < 0.09 else "followed"
        yield LawItem("verbatim", kind, article, VERBATIM, answers, {}, VERBATIM_AFTER)


# --- several articles -------------------------------------------------------------------------------------------

SECTION = (
    "¿Qué regula «{section}» en {the_law}?",
    "Resuma «{section}» {of_law}.",
    "Hágame un esquema de «{section}», con sus artículos.",
    "Tengo que explicar «{section}» en clase. ¿Por dónde empiezo?",
    "¿Qué artículos debo leer sobre «{section}»?",
    "Voy a estudiar «{section}» {of_law}. ¿Qué leo primero?",
    "¿Con qué artículos empiezo para entender «{section}»?",
)
SECTION_PART_SAID = (
    "Empiece por estos {n} artículos:\n{list}",
    "De lo que tengo aquí, lea primero estos {n}:\n{list}\nHay más artículos bajo ese título.",
    "Le propongo {n} para comenzar:\n{list}\nDespués siga con los demás del mismo título.",
    "De ese título, comience con estos {n} y siga después con el resto:\n{list}",
)
SECTION_SAID = (
    "Lo esencial está en {n} artículos:\n{list}",
    "Le propongo este esquema, con lo principal de cada artículo:\n{list}",
    "Hay que leer juntos {n} artículos:\n{list}",
)


def section(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What does a chapter rule? Two or three neighbouring articles of one division, each with its main sentence."""
    under = lookup.mates(law, article) if article.path and article.path[-1].name else []
    mates = [one for one in under if quotable(one) and not lookup.rules(law, one).offences][:3]
    if len(mates) < 2 or mates[0].number != article.number:
        return
    lines, count = [], len(mates)
    for place, one in enumerate(mates):
        title = lookup.title(law, one)
        mark = "{c}" if place == 0 else f"{{c{place + 1}}}"
        lines.append(f"{place + 1}. {f'{one.rubric}: ' if title else ''}«{one_line(quotable(one))}» {mark}.")
    name = heading(article.path[-1].name)
    whole = len(lookup.facts(law).by_path[article.path]) == count
    answers = said(SECTION_SAID if whole else SECTION_PART_SAID, list="\n".join(lines), n=counted(count))
    others = tuple((law, one) for one in mates[1:])
    yield LawItem(
        "section", "grounded", article, SECTION if whole else SECTION[3:], answers, {"section": name}, others=others
    )


REFERENCE = (
    "El artículo {number} {of_law} remite al {phrase}. ¿Qué resulta de leerlos juntos?",
    "En el Art. {number} {of_law} se menciona el {phrase}. ¿Qué dice cada uno?",
    "Siga la remisión del artículo {number} {of_law} al {phrase}.",
    "No entiendo el artículo {number} {of_law} porque nombra el {phrase}. Explíqueme los dos.",
    "¿Qué tienen que ver el artículo {number} {of_law} y el {phrase} que allí se cita?",
)
REFERENCE_SAID = (
    "El primero dice: «{q}» {c}. El otro, al que remite, dispone: «{q2}» {c2}.{more}",
    "Se leen en dos pasos. Primero: «{q}» {c}. Luego, el artículo al que manda: «{q2}» {c2}.{more}",
    "La remisión funciona así. La norma de partida: «{q}» {c}. La de llegada: «{q2}» {c2}.{more}",
    "Uno se apoya en el otro: «{q}» {c}, y lo que allí se nombra es esto: «{q2}» {c2}.{more}",
)


def reference(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What do an article and the one that it points to say together?"""
    for target, phrase, sentence in lookup.points_to(law, article):
        quote = quotable(target)
        if quote and len(sentence) <= LONGEST_QUOTE and not article.struck:
            chance = lookup.random(law.id, article.number, "reference")
            more = chance.choice(MORE).replace("El artículo", "El segundo") if is_part(target, quote) else ""
            answers = said(REFERENCE_SAID, q=one_line(sentence), q2=one_line(quote), more=more)
            yield LawItem(
                "reference", "grounded", article, REFERENCE, answers, {"phrase": phrase}, others=((law, target),)
            )
            return


TWO_LAWS = (
    "¿Qué dicen {first} y {second} sobre «{topic}»?",
    "Busco normas de dos leyes sobre «{topic}»: {first} y {second}.",
    "Fundamente «{topic}» en {first} y en {second}.",
    "Sobre «{topic}», compare {first} con {second}.",
)
TWO_LAWS_SAID = (
    "Las dos leyes tienen algo. En {first}: «{q}» {c}. En {second}: «{q2}» {c2}.",
    "Cite ambas. De {first}: «{q}» {c}. De {second}: «{q2}» {c2}.",
    "Una y otra lo tratan, cada una a su manera. Según {first}, «{q}» {c}. Según {second}, «{q2}» {c2}.",
)


def two_laws(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """The same rubric, or nearly, in two laws."""
    title = lookup.title(law, article)
    twin = lookup.twin(law, article) if title else None
    if twin is None:
        return
    other, near = twin
    quote, second = quotable(article, title or ""), quotable(near, title or "")
    if quote and second:
        names = {"first": the_law(law, law.name), "second": the_law(other, other.name)}
        answers = said(TWO_LAWS_SAID, q=one_line(quote), q2=one_line(second), **names)
        for _ in range(2):
            yield LawItem(
                "two-laws",
                "grounded",
                article,
                TWO_LAWS,
                answers,
                {"topic": title or "", **names},
                others=((other, near),),
            )


# --- drafting ---------------------------------------------------------------------------------------------------

DRAFT = (
    "Redacte un párrafo de fundamento de derecho con el artículo {number} {of_law}.",
    "Ayúdeme con el párrafo de un escrito que invoque el artículo {number} {of_law}.",
    "Escriba una petición corta, con espacios en blanco, apoyada en el art. {number} {of_law}.",
    "Necesito el borrador de una solicitud que cite el artículo {number} {of_law}.",
)
DRAFT_SAID = (
    "Señor o señora [autoridad]: Yo, [nombre], con cédula [número], comparezco y digo: [hechos]. Fundo mi petición en la norma que dispone: «{q}» {c}. Por lo expuesto, solicito [petición concreta]. Firma: [firma].",
    "Fundamentos de derecho.- El caso se rige por la siguiente norma: «{q}» {c}. En el presente caso, [hecho que se ajusta a la norma], como consta en [prueba]. En consecuencia, pido [pretensión].",
    "[Ciudad y fecha]. A quien corresponda: me dirijo a usted por lo siguiente: [relato breve]. La ley dice al respecto: «{q}» {c}. Pido, por tanto, que [petición]. Atentamente, [nombre y firma].",
)


def draft(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """A paragraph of a writ, with blanks for what only the person knows."""
    quote = quotable(article)
    if quote and lookup.random(law.id, article.number, "draft").random() < 0.12:
        yield LawItem("draft", "grounded", article, DRAFT, said(DRAFT_SAID, q=one_line(quote)))
