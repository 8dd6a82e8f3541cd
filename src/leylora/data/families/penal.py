"""Questions on offences: which penalty, of what forms, compared, corrected, in a case. Answers come from `Offence`."""
# ruff: noqa: E501 - sentences stay whole

from collections.abc import Iterator
from random import Random

from leylora.data.compose import LawItem, LawLookup, plain_penalty
from leylora.data.families.wording import LONGEST_QUOTE, said, upper_first
from leylora.laws.law import Article, Law
from leylora.rules.read import Offence, Rules
from leylora.text import fold, one_line

PENALTY_BY_TOPIC = (
    "¿Qué pena tiene «{topic}» según {the_law}?",
    "¿Cómo sanciona {the_law} «{topic}»?",
    "¿Cuál es la sanción para «{topic}»?",
    "¿Con qué pena se castiga «{topic}» en el Ecuador?",
    "Indique la sanción prevista para «{topic}» en {the_law}.",
    "Dime qué sanción recibe «{topic}» según {the_law}.",
    "¿Cuánto es la pena por «{topic}»?",
    "Si alguien comete «{topic}», ¿qué le puede pasar?",
    "A mi primo le abrieron un proceso por «{topic}». ¿A qué pena se expone?",
    "Una clienta me pregunta por «{topic}». ¿Qué sanción le digo que hay?",
)
PENALTY_BY_NUMBER = (
    "¿Qué sanción fija el artículo {number} {of_law}?",
    "¿Cuál es la pena prevista en el Art. {number} {of_law}?",
    "Según el artículo {number} {of_law}, ¿cuál es la sanción?",
    "Dime la sanción que impone el artículo {number} {of_law}.",
    "Me acusan por el artículo {number} {of_law}. ¿Qué pena me pueden poner?",
    "{law}, art. {number}: ¿cuál es la sanción?",
)
PENALTY_AFTER = (
    "¿Y qué pena tiene eso?",
    "¿Y cuánto es la pena?",
    "¿Qué sanción le toca al que lo hace?",
    "y con que se castiga?",
    "¿Cuál es el castigo?",
    "¿Y a qué se expone quien haga eso?",
)
PLAIN_PENALTY = (
    "{Plain}.{note} Lo dispone así la ley: «{q}» {c}.",
    "Se expone a {plain}, según el texto que cito {c}.{note} «{q}»",
    "La respuesta corta: {plain} {c}.{note}",
    "Se castiga con {plain}.{note} El texto que lo fija es este: «{q}» {c}.",
    "Quien lo hace puede recibir {plain} {c}.{note} Las palabras de la ley son: «{q}»",
    "La sanción es {plain}.{note} Para comprobarlo, lea: «{q}» {c}.",
    "Le corresponde {plain}; el juez fija cuánto dentro de ese margen {c}.{note}",
    "{Plain}: eso es lo que prevé la ley para quien comete esta infracción {c}.{note}",
)
PLAIN_FIXED = PLAIN_PENALTY[:6] + PLAIN_PENALTY[7:]
PENALTY_IN_PARTS = (
    "La sanción no es una sola cosa; completa dice así: «{whole}» {c}.{note}",
    "Hay que leerla entera, porque junta o distingue varias cosas: «{whole}» {c}.{note}",
    "Se castiga con esto, sin dejar nada fuera: «{whole}» {c}.{note}",
    "Se expone a lo siguiente: «{whole}» {c}.{note}",
    "La ley fija esta sanción: «{whole}» {c}.{note} Cada parte cuenta.",
    "Esta es la sanción que corresponde, tal como está escrita: «{whole}» {c}.{note}",
)
OTHER_FORMS = (
    " Esa es la forma básica: el mismo artículo prevé otra sanción para otros casos.",
    " Es la forma básica; el artículo sigue con casos que se castigan de otra manera.",
    " Ojo: hay otras formas en el mismo artículo, con su propia sanción.",
)
LEGAL_PERSON_APART = (
    " A la persona jurídica que responda se le aplica otra sanción, que el artículo fija aparte.",
    " Para las personas jurídicas el artículo tiene una sanción distinta.",
)


def _note(offence: Offence, chance: Random) -> str:
    apart = len(offence.legal_person) == len(offence.others) > 0
    return chance.choice(LEGAL_PERSON_APART if apart else OTHER_FORMS) if offence.others else ""


def _penalty_answers(rules: Rules, offence: Offence, chance: Random) -> tuple[str, ...]:
    sentence = one_line(rules.text(offence.sentence))
    plain, note = plain_penalty(rules, offence), _note(offence, chance)
    if not plain:
        return said(PENALTY_IN_PARTS, whole=one_line(rules.text(offence.consequence)), note=note)
    quote = sentence if len(sentence) <= 450 else one_line(rules.text(offence.consequence))
    templates = PLAIN_PENALTY if " a " in plain else PLAIN_FIXED
    return said(templates, plain=plain, Plain=upper_first(plain), note=note, q=quote)


def penalty(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which penalty? All parts of the base form, and that there are other forms."""
    rules = lookup.rules(law, article)
    for offence in rules.offences:
        chance = lookup.random(law.id, article.number, "penalty")
        answers = _penalty_answers(rules, offence, chance)
        if title := lookup.title(law, article):
            slots = {"topic": title}
            for _ in range(2):
                yield LawItem(
                    "penalty", "grounded", article, PENALTY_BY_TOPIC, answers, slots, PENALTY_AFTER, rule="offence"
                )
        yield LawItem("penalty", "grounded", article, PENALTY_BY_NUMBER, answers, {}, PENALTY_AFTER, rule="offence")


LEGAL_PERSON = (
    "¿Y si «{topic}» lo comete una empresa?",
    "¿Qué le pasa a una compañía por «{topic}»?",
    "¿Responde también la persona jurídica por «{topic}»? ¿Con qué sanción?",
    "Si una fundación incurre en «{topic}», ¿qué sanción hay para ella?",
    "Represento a una empresa acusada de «{topic}». ¿Qué sanción arriesga la empresa misma?",
    "¿A la empresa la pueden sancionar por «{topic}» aparte de sus dueños?",
)
LEGAL_PERSON_AFTER = (
    "¿Y si lo hace una empresa?",
    "¿Y la empresa, qué sanción recibe?",
    "¿Y a la persona jurídica?",
    "y si fue la compañia la q lo hizo?",
    "¿Cambia algo si la responsable es una fundación?",
    "¿Y para las personas jurídicas?",
)
LEGAL_PERSON_SAID = (
    "Sí hay una sanción para la persona jurídica: «{q}» {c}.",
    "La empresa responde por separado. El artículo dice: «{q}» {c}.",
    "Para la persona jurídica rige esto otro: «{q}» {c}.",
    "A ella se le aplica su propia sanción: «{q}» {c}.",
    "No va presa, porque es una persona jurídica; lo que se le impone está aquí: «{q}» {c}.",
)


def legal_person(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """And if a company does it?"""
    rules = lookup.rules(law, article)
    title = lookup.title(law, article)
    for offence in rules.offences if title else ():
        if len(offence.legal_person) == 1:
            quote = one_line(rules.text(offence.legal_person[0]))
            if not quote.endswith((":", ";")) and len(quote) <= LONGEST_QUOTE:
                answers = said(LEGAL_PERSON_SAID, q=quote)
                slots = {"topic": title or ""}
                yield LawItem(
                    "legal-person",
                    "grounded",
                    article,
                    LEGAL_PERSON,
                    answers,
                    slots,
                    LEGAL_PERSON_AFTER,
                    rule="offence",
                )


GRAVER = (
    "¿Cuándo cambia la pena de «{topic}»?",
    "¿Hay casos de «{topic}» que se castigan de otra manera?",
    "¿Qué otras formas de «{topic}» sanciona el artículo {number} {of_law}?",
    "Aparte de la forma básica, ¿qué más castiga la ley en «{topic}»?",
    "¿Siempre es la misma pena en «{topic}»?",
    "¿Qué agravantes o formas especiales tiene «{topic}»?",
)
GRAVER_AFTER = (
    "¿Y siempre es esa la pena?",
    "¿Hay casos en que cambia?",
    "¿Y si el caso es más grave?",
    "¿Existen otras formas con otra sanción?",
    "y no hay agravantes?",
)
GRAVER_SAID = (
    "La pena cambia. El artículo añade: {list} {c}.",
    "No siempre es la misma. Después de la forma básica, dice: {list} {c}.",
    "Sí, hay que fijarse en esto otro: {list} {c}.",
    "El mismo artículo trata aparte otros supuestos: {list} {c}.",
    "Depende del caso, porque el artículo continúa así: {list} {c}.",
)


def graver(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which other forms does the article punish?"""
    rules = lookup.rules(law, article)
    title = lookup.title(law, article)
    for offence in rules.offences if title else ():
        others = [one_line(rules.text(span)) for span in offence.others]
        if (
            1 <= len(others) <= 3
            and sum(map(len, others)) <= 700
            and not any(one.endswith((":", ";")) for one in others)
        ):
            answers = said(GRAVER_SAID, list=" ".join(f"«{one}»" for one in others))
            yield LawItem(
                "other-forms",
                "grounded",
                article,
                GRAVER,
                answers,
                {"topic": title or ""},
                GRAVER_AFTER,
                rule="offence",
            )


COMPARE = (
    "¿Qué se castiga más, «{topic}» o «{other}»?",
    "Compare la pena de «{topic}» con la de «{other}».",
    "No distingo «{topic}» de «{other}». ¿Cuál tiene la pena más alta?",
    "Explique en qué se diferencian las penas de «{topic}» y «{other}».",
    "¿Es más grave «{topic}» o «{other}», según {the_law}?",
    "Mis alumnos confunden «{topic}» con «{other}»: ¿qué pena tiene cada cosa?",
)
COMPARE_SAID = (
    "Se castiga más «{harder_topic}», con {harder} {ch}, que «{lighter_topic}», con {lighter} {cl}. Son las formas básicas.",
    "Tiene pena más alta «{harder_topic}», con {harder} {ch}; «{lighter_topic}» se queda en {lighter} {cl}. Hablo de la forma básica de cada una.",
    "Comparadas en su forma básica: por «{lighter_topic}», {lighter} {cl}; por «{harder_topic}», {harder} {ch}. La segunda es la más grave.",
    "La más severa es la pena de «{harder_topic}»: {harder} {ch}. En cambio, «{lighter_topic}» se sanciona con {lighter} {cl}. Comparo las formas básicas.",
)
CLARIFY = (
    "¿Qué pena le ponen a mi hermano? No sé bien de qué lo acusan, si de «{topic}» o de «{other}».",
    "¿Cuántos años le pueden dar? En la fiscalía hablaron de «{topic}» y también de «{other}».",
    "Me detuvieron al sobrino y unos dicen que es «{topic}» y otros que es «{other}». ¿A qué pena se expone?",
    "¿Cuál es la pena? Puede que sea «{topic}», puede que sea «{other}».",
)
CLARIFY_SAID = (
    "Depende de por cuál de los dos lo procesen, y eso no me lo dice. Si es por «{topic}», {one} {c}; si es por «{other}», {two} {c2}. Son las formas básicas. ¿Cuál consta en el parte o en la denuncia?",
    "Para responder me falta un dato: el delito por el que se abrió el proceso. Por «{topic}» la ley fija {one} {c}, y por «{other}», {two} {c2}. En los dos casos hablo de la forma básica. Pregunte cuál de los dos le imputan.",
    "No es lo mismo uno que otro. «{topic}» se castiga con {one} {c}; «{other}», con {two} {c2}. Cada una puede cambiar en sus formas especiales. ¿Sabe cuál le formularon?",
)


def compare_penalties(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which of two offences is punished more? And which of the two is meant?"""
    mine = lookup.plain_offence(law, article)
    if mine is None:
        return
    for near in lookup.near(law, article, 12):
        other = lookup.plain_offence(law, near)
        if other is None or other.years == mine.years:
            continue
        titles = {"topic": mine.title, "other": other.title}
        values = {
            **{"one": mine.plain, "two": other.plain},
            **titles,
        }
        yield LawItem(
            "clarify",
            "grounded",
            article,
            CLARIFY,
            said(CLARIFY_SAID, **values),
            titles,
            others=((law, near),),
            rule="offence",
            facts=True,
        )
        low, high = sorted((mine, other), key=lambda one: one.years)
        if low.years[0] <= high.years[0] and low.years[1] <= high.years[1]:
            ch, cl = ("{c}", "{c2}") if high is mine else ("{c2}", "{c}")
            values = {
                "harder": high.plain,
                "lighter": low.plain,
                "harder_topic": high.title,
                "lighter_topic": low.title,
            }
            values |= {"ch": ch, "cl": cl}
            yield LawItem(
                "compare",
                "grounded",
                article,
                COMPARE,
                said(COMPARE_SAID, **values),
                titles,
                others=((law, near),),
                rule="offence",
            )
        return


CASE = (
    "{facts} ¿Qué delito es y qué pena tiene?",
    "Caso: {facts} Resuélvalo.",
    "{facts} ¿Lo pueden sancionar? ¿Con qué?",
    "Defiendo a la víctima. {facts} ¿Qué norma aplico y qué consecuencia tiene?",
    "Explíqueme paso a paso si esto es delito. {facts}",
    "{facts} ¿Qué puede pasar, según {the_law}?",
)
CASE_SAID = (
    "De probarse, es «{title}». Los hechos encajan porque {why}. La consecuencia es {plain} {c}.{note}",
    "Norma: «{q}» {c}. Hechos: {why}. Conclusión: es «{title}» y corresponde {plain}.{note}",
    "Encaja en «{title}»: {why}. El artículo dice «{q}» {c}.{note}",
    "Primero, la norma: «{q}» {c}. Segundo, los hechos: {why}. Por tanto, de probarse, {plain}.{note}",
)
CASE_MISSING_SAID = (
    "Con esos datos, no es «{title}»: falta {element}. La norma exige todo esto: «{q}» {c}.",
    "No por este artículo, porque falta {element}. Léalo entero: «{q}» {c}.",
    "Norma: «{q}» {c}. Hechos: no consta {element}. Conclusión: sin ese requisito no hay «{title}».",
    "No se configura «{title}» mientras no se pruebe {element}. El texto pide cada uno de sus elementos: «{q}» {c}.",
)


def case(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Facts of `data/questions/cases.tsv`: which norm, do they fit it, what follows; half of them lack an element."""
    written = lookup.cases.get(f"{law.id}:{article.number}")
    rules, title = lookup.rules(law, article), lookup.title(law, article)
    for offence in rules.offences if title else ():
        if written is None:
            return
        quote = one_line(rules.text(offence.sentence))
        plain = plain_penalty(rules, offence) or f"esta sanción: «{one_line(rules.text(offence.consequence))}»"
        if len(quote) > 600:
            continue
        chance = lookup.random(law.id, article.number, "case")
        values = {"title": title or "", "q": quote, "plain": plain, "note": _note(offence, chance)}
        for _ in range(2):
            yield LawItem(
                "case",
                "grounded",
                article,
                CASE,
                said(CASE_SAID, why=written.why, **values),
                {"facts": written.facts},
                rule="offence",
                facts=True,
            )
            answers = said(CASE_MISSING_SAID, element=written.element, **values)
            yield LawItem(
                "case-missing",
                "grounded",
                article,
                CASE,
                answers,
                {"facts": written.lacking},
                rule="offence",
                facts=True,
            )


WRONG_FIGURE = (
    "Leí que «{topic}» se castiga con prisión {wrong}. ¿Es así?",
    "Un compañero asegura que la pena de «{topic}» es {wrong} de prisión. ¿Tiene razón?",
    "En un video decían que por «{topic}» dan {wrong} de prisión. Corríjame si no es cierto.",
    "¿Es verdad que «{topic}» tiene pena {wrong}?",
    "me dijeron q por «{topic}» son {wrong}, es cierto?",
    "Tengo anotado que «{topic}»: prisión {wrong}. Revíselo, por favor.",
)
WRONG_FIGURE_SAID = (
    "No. La pena es {plain} {c}.{note}",
    "No es así: lo que fija el artículo es {plain}. «{whole}» {c}.{note}",
    "Ese dato está equivocado. Corresponde {plain} {c}.{note}",
    "Hay que corregirlo: {plain} {c}.{note} La frase completa es «{whole}».",
    "No coincide con la ley, que dice «{whole}» {c}. O sea, {plain}.{note}",
)
RIGHT_FIGURE_SAID = (
    "Sí, es correcto: {plain} {c}.{note}",
    "Así es. El artículo dice «{whole}» {c}.{note}",
    "Correcto, coincide con la ley: {plain} {c}.{note}",
)


def correction(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Somebody has heard another figure, or the right one."""
    mine = lookup.plain_offence(law, article)
    if mine is None or not mine.prison or "multa" in mine.plain:
        return
    chance = lookup.random(law.id, article.number, "correction")
    values = {"plain": mine.plain, "whole": mine.whole, "note": _note(mine.offence, chance)}
    others = sorted(lookup.prison_terms(law) - {mine.prison})
    if others:
        wrong = chance.choice(others)
        yield LawItem(
            "correction",
            "grounded",
            article,
            WRONG_FIGURE,
            said(WRONG_FIGURE_SAID, **values),
            {"topic": mine.title, "wrong": wrong},
            rule="offence",
        )
    yield LawItem(
        "correction",
        "grounded",
        article,
        WRONG_FIGURE,
        said(RIGHT_FIGURE_SAID, **values),
        {"topic": mine.title, "wrong": mine.prison},
        rule="offence",
    )


EXAM = (
    "Pregunta de examen. ¿Cuál es la pena de «{topic}»? {options} Elija una y explique.",
    "Marque la correcta: «{topic}» se castiga con… {options}",
    "Estudio para el concurso. «{topic}»: {options} ¿Cuál es y por qué?",
    "Opción múltiple sobre {the_law}: la pena de «{topic}» es {options}",
)
EXAM_SAID = (
    "La {letter}: {plain}. El artículo dice «{whole}» {c}. Las demás no son las de esta infracción.{note}",
    "Es la {letter}. La razón está en el texto: «{whole}» {c}.{note}",
    "Respuesta: {letter}), {plain} {c}. Las otras opciones llevan cifras que este artículo no fija para su forma básica.",
    "Elijo la {letter}, porque la ley castiga esta conducta con {plain} {c}.{note}",
)


def exam(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Multiple choice with the reason."""
    mine = lookup.plain_offence(law, article)
    if mine is None or not mine.prison or "multa" in mine.plain:
        return
    chance = lookup.random(law.id, article.number, "exam")
    body = fold(article.body)
    others = [one for one in sorted(lookup.prison_terms(law) - {mine.prison}) if fold(one) not in body]
    if len(others) < 3:
        return
    options = [*chance.sample(others, 3), mine.prison]
    chance.shuffle(options)
    letter = "abcd"[options.index(mine.prison)]
    listed = " ".join(f"{mark}) prisión {one}" for mark, one in zip("abcd", options, strict=True))
    values = {"plain": mine.plain, "whole": mine.whole, "letter": letter, "note": _note(mine.offence, chance)}
    yield LawItem(
        "exam",
        "grounded",
        article,
        EXAM,
        said(EXAM_SAID, **values),
        {"topic": mine.title, "options": listed},
        rule="offence",
    )


PARTIAL = (
    "¿Qué pena tiene «{topic}» y {lacking}?",
    "Sobre «{topic}»: dígame la pena y {lacking}.",
    "Necesito dos cosas de «{topic}»: qué pena hay y {lacking}.",
    "¿Cuál es la sanción de «{topic}»? Y de paso, ¿{lacking}?",
)
LACKING = (
    ("cuánto cuesta la defensa", "cuánto cuesta la defensa"),
    ("en qué juzgado de mi ciudad se tramita", "en qué juzgado de su ciudad se tramita"),
    ("cuántas personas están presas por eso", "cuántas personas están presas por eso"),
    ("cuánto suele durar el juicio", "cuánto suele durar el juicio"),
    ("qué han resuelto los jueces en casos parecidos", "qué han resuelto los jueces en casos parecidos"),
)
PARTIAL_SAID = (
    "Lo primero sí: {plain} {c}.{note} Lo segundo, {lacking}, no consta en estos artículos.",
    "Puedo responder la mitad. La sanción es {plain} {c}.{note} En cambio, {lacking} no lo dice la ley que tengo.",
    "La pena: {plain} {c}.{note} Sobre {lacking} no hay nada en estos textos, y prefiero no inventarlo.",
)


def partial(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Two questions, of which the articles answer one."""
    mine = lookup.plain_offence(law, article)
    if mine is not None:
        chance = lookup.random(law.id, article.number, "partial")
        asked, told = chance.choice(LACKING)
        values = {"plain": mine.plain, "lacking": told, "note": _note(mine.offence, chance)}
        slots = {"topic": mine.title, "lacking": asked}
        yield LawItem("partial", "grounded", article, PARTIAL, said(PARTIAL_SAID, **values), slots, rule="offence")
