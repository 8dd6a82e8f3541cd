"""Questions on what an article orders: duties and permissions, periods, definitions, lists, exceptions."""
# ruff: noqa: E501 - sentences stay whole

import re
from collections.abc import Iterator

from leylora.data.compose import LawItem, LawLookup, heading, lower_first
from leylora.data.families.wording import LONGEST_QUOTE, MORE, counted, is_part, law_named, said, upper_first
from leylora.grounding.clauses import Modality
from leylora.grounding.wording import concepts
from leylora.laws.law import Article, Law
from leylora.rules.read import Definition, Rules
from leylora.text import one_line

# --- who must, may, must not ------------------------------------------------------------------------------------

MAY_ASKED = (
    "¿{Can} {who} {what}?",
    "¿La ley le permite a {who} {what}?",
    "Quiero saber si {who} {can} {what}.",
    "Según {the_law}, ¿{can} {who} {what}?",
    "¿Es cierto que {who} {can} {what}?",
    "Me dicen que {who} {can} {what}. ¿Es verdad?",
)
MUST_ASKED = (
    "¿Es un deber de {who} {what}?",
    "¿Es obligatorio para {who} {what}?",
    "Quiero saber si {who} {must} {what}.",
    "Según {the_law}, ¿es verdad que {who} {must} {what}?",
    "¿Es cierto que {who} {must} {what}?",
)
MAY_SAID = (
    "Sí, la ley lo permite: «{q}» {c}.{more}",
    "Sí. Es una facultad, así que queda a su decisión: «{q}» {c}.{more}",
    "Puede hacerlo, en los términos del artículo: «{q}» {c}.{more}",
    "Sí, se lo permite expresamente. El texto: «{q}» {c}.{more}",
    "Es verdad; lo dice así: «{q}» {c}.{more}",
)
MAY_IF_SAID = (
    "Sí, pero como lo fija el artículo y no de otra manera: «{q}» {c}.{more}",
    "Sí, con lo que la misma frase exige: «{q}» {c}.{more}",
    "La ley lo permite, en estos términos: «{q}» {c}.{more}",
    "En principio sí; fíjese en las condiciones: «{q}» {c}.{more}",
)
NOT_A_DUTY_SAID = (
    "No. El artículo dice «{verb}», y eso es un permiso, no un deber: «{q}» {c}.{more}",
    "No está en la obligación: la ley le da una facultad. «{q}» {c}{more}",
    "Obligatorio no es. La palabra de la ley es «{verb}»: «{q}» {c}.{more}",
)
MUST_SAID = (
    "Sí, es obligatorio: «{q}» {c}.{more}",
    "Sí. Es un deber y no una opción: «{q}» {c}.{more}",
    "Así lo manda la ley, sin dejarlo a su voluntad: «{q}» {c}.{more}",
    "Correcto, tiene ese deber. Lo dice así: «{q}» {c}.{more}",
    "Sí, porque el artículo lo ordena: «{q}» {c}.{more}",
)
MUST_IF_SAID = (
    "Sí, en los términos del artículo: «{q}» {c}.{more}",
    "Es un deber, con lo que la misma frase precisa: «{q}» {c}.{more}",
    "Sí, aunque lea la frase entera para ver cuándo y cómo: «{q}» {c}.{more}",
)
MUST_NOT_SAID = (
    "No, la ley lo prohíbe: «{q}» {c}.{more}",
    "No puede. Lo dice el artículo: «{q}» {c}.{more}",
    "No. Está vedado con estas palabras: «{q}» {c}.{more}",
    "Es falso; el texto dice lo contrario: «{q}» {c}.{more}",
)


def order(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """May, must, must not somebody do this? Asked straight, and with duty and permission exchanged."""
    rules = lookup.rules(law, article)
    for one in rules.orders[:2]:
        who, verb, what = (
            lower_first(rules.text(one.who)),
            rules.text(one.verb),
            one_line(rules.text(one.what)).rstrip(" .,"),
        )
        quote = one_line(rules.text(one.sentence))
        many = who.startswith(("los ", "las "))
        can, must = ("pueden", "tienen que") if many else ("puede", "tiene que")
        slots = {"who": who, "what": what, "can": can, "Can": upper_first(can), "must": must}
        chance = lookup.random(law.id, article.number, "order")
        more = chance.choice(MORE) if is_part(article, quote) else ""
        given = {"q": quote, "verb": verb.lower(), "more": more}
        match one.modality:
            case Modality.MAY:
                answers = said(MAY_IF_SAID if one.conditional else MAY_SAID, **given)
                yield LawItem("order", "grounded", article, MAY_ASKED, answers, slots, rule="order")
                yield LawItem(
                    "order-not",
                    "grounded",
                    article,
                    MUST_ASKED,
                    said(NOT_A_DUTY_SAID, **given),
                    slots,
                    rule="order",
                )
            case Modality.MUST:
                answers = said(MUST_IF_SAID if one.conditional else MUST_SAID, **given)
                yield LawItem("order", "grounded", article, MUST_ASKED, answers, slots, rule="order")
            case _ if not one.conditional and not re.search(r"\b(?:hasta|sino|ni|más\s+que)\b", what):
                answers = said(MUST_NOT_SAID, **given)
                yield LawItem("order-not", "grounded", article, MAY_ASKED, answers, slots, rule="order")


# --- periods ----------------------------------------------------------------------------------------------------

TERM_BY_NUMBER = (
    "¿Qué plazo o término fija el artículo {number} {of_law}?",
    "Según el artículo {number} {of_law}, ¿en cuánto tiempo?",
    "¿Cuánto tiempo da el art. {number} {of_law}?",
    "Dime el plazo que establece el artículo {number} {of_law}.",
    "Me aplican el artículo {number} {of_law}. ¿Cuánto tiempo hay?",
    "{law}, art. {number}: ¿qué plazo hay?",
)
TERM_BY_TOPIC = (
    "¿Qué plazo o término hay en «{topic}» según {the_law}?",
    "¿Cuánto tiempo prevé {the_law} para «{topic}»?",
    "Sobre «{topic}», ¿cuál es el plazo en {the_law}?",
    "¿La ley fija algún tiempo en lo de «{topic}»?",
    "Dime qué plazo se aplica en «{topic}».",
    "Llevo un trámite de «{topic}». ¿Qué plazo me corre?",
)
TERM_AFTER = (
    "¿Y en cuánto tiempo?",
    "¿Qué plazo hay para eso?",
    "¿Cuántos días son?",
    "y cuanto tiempo tengo?",
    "¿Y qué plazo o término fija ahí la ley?",
)
TERM_SAID = (
    "{Period}. La frase completa: «{q}» {c}.",
    "El tiempo que fija la ley: {period} {c}. Así está escrito: «{q}»",
    "{Period}, según el artículo, que dice: «{q}» {c}.",
    "Son {amount}{kind}. «{q}» {c}",
    "Hay que contar {amount}{kind} {c}. El texto dice: «{q}»",
    "Tome nota: {amount}{kind}. Para qué y desde cuándo lo dice la frase: «{q}» {c}.",
)
AMOUNT = re.compile(
    r"(?:de|los|las|a|hasta)\s+(?P<amount>(?:hasta\s+)?\S+(?:\s+(?:y\s+)?\S+){0,3}?\s*(?:\(\d+\)\s*)?(?:años?|mes(?:es)?|semanas?|días?|horas?)(?:\s+(?:hábiles|laborables|plazo|término))?)$",
    re.IGNORECASE,
)


def term(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """In how much time? For an article that sets one period."""
    rules = lookup.rules(law, article)
    if len(rules.terms) != 1:
        return
    period = one_line(rules.text(rules.terms[0].period))
    amount = AMOUNT.search(period)
    if amount is None:
        return
    kind = re.search(r"\b(plazo|término)\b", period)
    told = f", como {kind[1]}" if kind else ""
    values = {"period": lower_first(period), "Period": upper_first(period), "kind": told}
    values |= {"amount": amount["amount"], "q": one_line(rules.text(rules.terms[0].sentence))}
    bounded = re.search(r"máxim|mínim|mayor|hasta", period)
    answers = said(TERM_SAID[:3] if bounded else TERM_SAID, **values)
    yield LawItem("term", "grounded", article, TERM_BY_NUMBER, answers, {}, TERM_AFTER, rule="term")
    title = lookup.title(law, article)
    if title and set(concepts(title)) & set(concepts(values["q"])):  # else it may be the time for something else
        for _ in range(2):
            yield LawItem(
                "term",
                "grounded",
                article,
                law_named(TERM_BY_TOPIC, title),
                answers,
                {"topic": title},
                TERM_AFTER,
                rule="term",
            )


STEPS = (
    "¿Qué plazos y términos hay en «{section}» {of_law}?",
    "Llevo un trámite de «{section}». Dígame los tiempos, paso a paso.",
    "Hágame un calendario con los plazos de «{section}» {of_law}.",
    "En «{section}», ¿cuánto tiempo hay para cada cosa?",
    "Tengo que controlar los términos de «{section}» en la oficina. ¿Cuáles son?",
    "¿Qué tiempos debo cuidar en «{section}»? Por partes, por favor.",
)
STEPS_SAID = (
    "Estos son los tiempos que constan en los artículos que tengo:\n{list}",
    "Por partes, y cada uno con su artículo:\n{list}",
    "Para el calendario, tome nota:\n{list}\nNo confunda plazo con término al contarlos.",
    "Cada cosa tiene su tiempo:\n{list}\nAntes de contar, fíjese en si la ley dice plazo o término.",
)


def steps(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """The periods of a procedure: two or three articles of one division that each set one, in the order of the law."""
    name = next((one.name for one in reversed(article.path) if one.name), "")
    under = lookup.mates(law, article) if name else []
    timed = [one for one in under if len(lookup.rules(law, one).terms) == 1]
    chosen = [
        one
        for one in timed
        if len(one_line(lookup.rules(law, one).text(lookup.rules(law, one).terms[0].sentence))) <= 300
    ]
    place = next((at for at, one in enumerate(chosen) if one.number == article.number), None)
    if place is None or place % 3 or len(chosen) - place < 2:
        return
    lines = []
    for at, one in enumerate(chosen[place : place + 3]):
        rules = lookup.rules(law, one)
        period, quote = (one_line(rules.text(span)) for span in (rules.terms[0].period, rules.terms[0].sentence))
        about = f"{one.rubric}: " if lookup.title(law, one) else ""
        mark = "{c}" if at == 0 else f"{{c{at + 1}}}"
        told = lower_first(period) if about else upper_first(period)
        lines.append(f"{at + 1}. {about}{told}. «{quote}» {mark}")
    others = tuple((law, one) for one in chosen[place + 1 : place + 3])
    answers = said(STEPS_SAID, list="\n".join(lines))
    for _ in range(2):
        yield LawItem(
            "steps",
            "grounded",
            article,
            STEPS,
            answers,
            {"section": heading(name)},
            others=others,
            rule="term",
            facts=True,
        )


# --- what a thing is --------------------------------------------------------------------------------------------

DEFINITION = (
    "¿Qué significa «{term}» según {the_law}?",
    "¿Cómo define {the_law} «{term}»?",
    "¿Qué se entiende por «{term}» en el derecho ecuatoriano?",
    "Dame la definición legal de «{term}».",
    "Explique qué significa «{term}» para {the_law}.",
    "¿A qué llama {the_law} «{term}»?",
    "En la escritura dice «{term}» y no sé qué es. ¿Me lo explica?",
    "Necesito la definición de «{term}» {of_law} para una clase.",
)
DEFINITION_SAID = (
    "La ley lo define así: «{q}» {c}.",
    "En palabras del propio artículo: «{q}» {c}.",
    "Tiene una definición legal, que es la que cuenta en un juicio: «{q}» {c}.",
    "Es lo siguiente, según el texto: «{q}» {c}. Léalo por partes, sin saltarse ninguna.",
    "«{q}» {c}. Con esa definición se decide si algo es «{term}» o no.",
)
TWO_TERMS = (
    "¿En qué se diferencian «{term}» y «{other}»?",
    "Confundo «{term}» con «{other}». ¿Qué es cada cosa?",
    "Defina «{term}» y «{other}» y diga dónde está cada definición.",
    "Para un cuadro comparativo: «{term}» frente a «{other}», según {the_law}.",
    "Explique «{term}» y «{other}» a estudiantes de primer año.",
)
TWO_TERMS_SAID = (
    "Son dos cosas con su propia definición. La primera, «{term}»: «{q}» {c}. La segunda, «{other}»: «{q2}» {c2}.",
    "La ley los define por separado. Sobre «{term}» dice: «{q}» {c}. Sobre «{other}»: «{q2}» {c2}.",
    "Compare las dos definiciones. «{q}» {c}. «{q2}» {c2}. La diferencia está en lo que cada una exige.",
)


def definition(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """What is X? And how do X and Y differ?"""
    rules = lookup.rules(law, article)
    for one in rules.definitions:
        name, quote = _term(rules, one), one_line(rules.text(one.sentence))
        answers = said(DEFINITION_SAID, q=quote, term=name)
        for _ in range(2):
            yield LawItem("definition", "grounded", article, DEFINITION, answers, {"term": name}, rule="definition")
        yield LawItem("definition", "closed", article, DEFINITION, answers[:2], {"term": name}, rule="definition")
        for near in lookup.near(law, article, 8):
            for other in lookup.rules(law, near).definitions:
                second = lookup.rules(law, near)
                values = {
                    "term": name,
                    "other": _term(second, other),
                    "q": quote,
                    "q2": one_line(second.text(other.sentence)),
                }
                slots = {"term": name, "other": values["other"]}
                yield LawItem(
                    "compare-terms",
                    "grounded",
                    article,
                    TWO_TERMS,
                    said(TWO_TERMS_SAID, **values),
                    slots,
                    others=((law, near),),
                    rule="definition",
                )
                return


def _term(rules: Rules, one: Definition) -> str:
    name = one_line(rules.text(one.term))
    return name if name.isupper() else lower_first(name)


# --- lists ------------------------------------------------------------------------------------------------------

LIST_BY_NUMBER = (
    "¿Qué enumera el artículo {number} {of_law}?",
    "Enumere los puntos del artículo {number} {of_law}.",
    "¿Cuáles son los casos o requisitos del artículo {number} {of_law}?",
    "Dime todos los elementos de la lista del artículo {number} {of_law}.",
    "{law}, art. {number}: hágame la lista para un cuadro.",
)
LIST_BY_TOPIC = (
    "¿Qué reglas o puntos hay en «{topic}»?",
    "Hágame una lista de lo que la ley dice sobre «{topic}».",
    "¿Qué puntos comprende «{topic}» según {the_law}?",
    "Enumere lo relativo a «{topic}» en {the_law}.",
    "Necesito una lista de verificación sobre «{topic}».",
    "¿Qué hay que tener en cuenta en «{topic}»? Por puntos, por favor.",
)
LIST_AFTER = (
    "¿Cuáles son?",
    "¿Me los enumera?",
    "¿Y qué puntos son?",
    "dime la lista completa",
    "¿Puede ponerlo por puntos?",
)
LIST_SAID = (
    "Son {n} puntos, y no hay más en la lista, que empieza así: «{lead}»\n{list}\n{c}",
    "El artículo dice «{lead}» y enumera {n}:\n{list}\n{c}",
    "Por puntos, tal como están en la ley ({n} en total). «{lead}»\n{list}\n{c}",
    "La lista completa tiene {n}. Se abre con «{lead}»\n{list}\n{c}",
)
LIST_PART_SAID = (
    "Es una lista larga, de {n}. Empieza con «{lead}» y los tres primeros son:\n{list}\nY {rest} más, que están en el mismo artículo {c}.",
    "Son {n}; cito los tres primeros, y los demás están en el mismo artículo {c}. «{lead}»\n{list}",
)
LIST_ONE = (
    "¿Qué dice el numeral {label} del artículo {number} {of_law}?",
    "Dime el numeral {label} del art. {number} {of_law}.",
    "Art. {number}, num. {label}, {of_law}: ¿qué dice?",
    "Necesito solo el numeral {label} del artículo {number} {of_law}.",
)
LIST_ONE_SAID = (
    "Dentro de la lista «{lead}», el numeral {label} dice: «{q}» {c}.",
    "El numeral {label} es este: «{q}» {c}. La lista empieza con «{lead}».",
    "«{q}» {c}. Es el numeral {label}; el artículo enumera {n}.",
)
LONGEST_LIST = 1_000  # characters


def listing(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Requisites, causes, powers: the whole list, the first of a long one, one item with what it is an item of."""
    rules = lookup.rules(law, article)
    for one in rules.listings:
        items = [(label, re.sub(r"\s*[;,]?\s*(?:\b[yeou])?[;,]*$", "", one_line(text))) for label, text in one.items]
        count = counted(len(items))
        whole = "\n".join(f"{label}. «{text}»" for label, text in items)
        lead = one_line(rules.text(one.lead))
        if len(whole) <= LONGEST_LIST:
            answers = said(LIST_SAID, list=whole, n=count, lead=lead)
        elif len(items) > 4 and sum(len(text) for _, text in items[:3]) <= LONGEST_LIST:
            first = "\n".join(f"{label}. «{text}»" for label, text in items[:3])
            rest = len(items) - 3
            answers = said(LIST_PART_SAID, list=first, n=count, rest=counted(rest), lead=lead)
        else:
            continue
        if title := lookup.title(law, article):
            yield LawItem(
                "list",
                "grounded",
                article,
                law_named(LIST_BY_TOPIC, title),
                answers,
                {"topic": title},
                LIST_AFTER,
                rule="list",
            )
        yield LawItem("list", "grounded", article, LIST_BY_NUMBER, answers, {}, LIST_AFTER, rule="list")
        numbered = [item for item in items if item[0].isdigit() and 25 <= len(item[1]) <= LONGEST_QUOTE]
        if numbered and len(lead) <= 200:
            label, text = lookup.random(law.id, article.number, "list").choice(numbered)
            answers = said(LIST_ONE_SAID, lead=lead, label=label, q=text, n=count)
            yield LawItem("list-one", "grounded", article, LIST_ONE, answers, {"label": label}, rule="list")


# --- exceptions -------------------------------------------------------------------------------------------------

EXCEPTION_BY_NUMBER = (
    "¿La regla del artículo {number} {of_law} tiene alguna excepción?",
    "¿Hay alguna salvedad en el artículo {number} {of_law}?",
    "¿El artículo {number} {of_law} se aplica siempre?",
    "Según el artículo {number} {of_law}, ¿en qué caso no vale la regla?",
    "Me oponen el artículo {number} {of_law}. ¿Deja alguna puerta abierta?",
)
EXCEPTION_BY_TOPIC = (
    "¿La regla de «{topic}» tiene excepciones?",
    "Sobre «{topic}», ¿hay algún caso en que no se aplique?",
    "¿Siempre rige lo de «{topic}», o hay salvedades?",
    "Dime la excepción prevista para «{topic}» en {the_law}.",
    "¿Qué queda fuera de la regla en materia de «{topic}»?",
)
EXCEPTION_AFTER = (
    "¿Y siempre es así?",
    "¿Hay alguna excepción?",
    "¿No hay ningún caso en que no se aplique?",
    "y no tiene salvedades?",
    "¿Vale en todos los casos?",
)
ANOTHER_EXCEPTION = re.compile(
    r"(?:^|[.;]\s+|\n)(?:Pero|Sin\s+embargo|Con\s+todo|No\s+obstante|Se\s+exceptúa|Exceptúa|Empero)"
)
EXCEPTION_SAID = (
    "Tiene una excepción: «{clause}». La regla entera es «{q}» {c}.",
    "La propia regla deja fuera un caso, «{clause}». Léala completa: «{q}» {c}.",
    "Hay una excepción expresa, «{clause}», dentro de esta frase: «{q}» {c}.",
    "La regla no vale en este caso: «{clause}». Léalo en su contexto: «{q}» {c}.",
    "Con una salvedad, que va en la misma frase: «{q}» {c}. La salvedad es «{clause}».",
)
DESPITE_ASKED = (
    "El artículo {number} {of_law} dice «{clause}». ¿Eso es una excepción?",
    "¿Qué efecto tiene en el artículo {number} {of_law} la frase «{clause}»?",
    "En el Art. {number} {of_law} se lee «{clause}». ¿La regla deja de aplicarse entonces?",
)
DESPITE_SAID = (
    "No es una excepción propiamente dicha. «Sin perjuicio de» quiere decir que lo uno no quita lo otro: la regla rige y eso también. El texto: «{q}» {c}.",
    "No: la regla se aplica igual. Con esa fórmula la ley deja además intacto lo que nombra. «{q}» {c}",
    "Con esas palabras la ley no quita nada a lo que nombra; no exceptúan la regla. Así está escrito: «{q}» {c}.",
)


def exception(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Salvo, excepto, a menos que; and that "sin perjuicio de" excepts nothing."""
    rules = lookup.rules(law, article)
    if len(rules.exemptions) != 1 or ANOTHER_EXCEPTION.search(article.body):
        return
    (one,) = rules.exemptions
    clause, quote = one_line(rules.text(one.clause)).rstrip(" ,.;"), one_line(rules.text(one.sentence))
    if one.despite:
        yield LawItem(
            "exception-none",
            "grounded",
            article,
            DESPITE_ASKED,
            said(DESPITE_SAID, q=quote),
            {"clause": clause},
            rule="exception",
        )
        return
    answers = said(EXCEPTION_SAID, clause=clause, q=quote)
    yield LawItem("exception", "grounded", article, EXCEPTION_BY_NUMBER, answers, {}, EXCEPTION_AFTER, rule="exception")
    if title := lookup.title(law, article):
        yield LawItem(
            "exception",
            "grounded",
            article,
            law_named(EXCEPTION_BY_TOPIC, title),
            answers,
            {"topic": title},
            EXCEPTION_AFTER,
            rule="exception",
        )
