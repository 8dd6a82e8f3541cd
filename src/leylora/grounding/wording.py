"""The words of a text as claims compare them: stems of content, everyday words as the law's, and what is denied.

concepts("Me echaron sin darme el sueldo")      stems, without articles, figures and auxiliaries
signs("no podrá extinguirse la pena")           {"termin": {False}, "pen": {True}}: said, denied, or both
"""

import re
from functools import lru_cache

from ..text import fold, words
from .quantities import HUNDREDS, SCALES, SMALL, TENS
from .search import stem

_SAME = """
    pena prision carcel preso presa encierro reclusion privacion privativa sancion sanciona castiga castigo condena
      reprimido cuesta encarcelamiento castigado sancionado
    coima donativo dadiva regalo soborno
    funcionario servidor
    menor adolescente niño niña hijo
    empleador patrono jefe empresa
    trabajador empleado obrero trabajadora
    sueldo salario remuneracion paga
    necesario indispensable falta requiere requisito exige necesita necesidad requerira precisa
    juez juzgador jueza juzgadora
    matar muerte mata muere homicidio
    conductor chofer conduce
    ebrio embriaguez borracho embriagado alcohol
    carro vehiculo auto automovil automotor bus
    celular telefono movil terminal
    dueño propietario propiedad dominio
    medico profesional
    entregar dar darle
    presentar interponer proponer propuesta interposicion
    comienza inicia inicio
    termina terminacion extingue concluye finaliza despido despedir despidio despida despidieron
    herencia sucesion acervo
    pagar abonar cobrar reconocera
    bofetada golpe golpear empujon
    pareja conyuge conviviente esposo esposa
    secuestro retener encerrar
    robar sustraer robo apoderarse apodere
    llevarse apoderarse apodere hurto
    pedir solicitar peticion pedido solicitud
    vale valido validez
    nulo nulidad
    indemnizar indemnizacion reparar reparacion
    obligacion deber obligado obligatorio
    prohibido prohibe prohibicion prohibese
    permiso autorizacion licencia
    permitir autorizar permitido permitira
    embargar embargable
    renunciar renunciable
    acceder acceso
    gratis gratuito gratuita
    escrito escritura
    verbal oral palabra oralmente
    terreno raiz inmueble
    boda matrimonio casarse casado
    plata dinero
    engaño engañar
    arriendo arrendamiento arrendar alquiler
    notificar notificacion avisar aviso
    luz electrica energia
    ciudadano ciudadana ecuatoriano ecuatoriana
    extranjero extranjera
    reelegir reelegido reelecto reeleccion
    elegir eligen elegido eleccion
    presidente presidenta
    vicepresidente vicepresidencia vicepresidenta
    apelar apelacion recurso
    inmediato inmediatamente urgente
    mitad iguales
    aumentar aumentada aumentado incrementar incrementada recargo
    reducir reducida reduccion disminuir
    durar dura duracion vigencia periodo permanecera exceder exceda pasar pase
    nocturno nocturna noche
    vacacion vacaciones descanso
    enfermedad enfermo
    hurtado hurto
    fallecer muerte fallecido
    esconder ocultar oculta
    mentir faltar falte falsear
    difundir divulgar publicar
    voto votar sufragio
    opinar escuchar oir
    semana semanal semanales hebdomadaria
    dia diario diaria diarias diarios
    mes mensual mensuales mensualmente
    año anual anuales anualmente
"""
STOP = frozenset(
    """
    a al algo algun alguna algunas alguno algunos ante asi aun aunque bajo cada como con contra cual cuales cualquier
    cualquiera cuando cuanta cuantas cuanto cuantos de del desde donde dos durante e el ella ellas ello ellos en entre
    era es esa esas ese eso esos esta estan estas este esto estos fue ha haber habra habran han hasta hay la las le les
    lo los mas me mi mis muy ni no nos o os otra otras otro otros para pero por porque pueda pueden puede podra podran
    que quien quienes se sea sean ser sera seran si sido sin sobre solo sola son su sus tal tambien tan tanto te tener
    tengo tiene tienen tendra tendran toda todas todo todos tras tu u un una uno unos unas y ya yo seria haya hayan
    hubiere hubiera caso casos deber debe deben debera deberan debiera usted ustedes conforme acuerdo segun articulo art
    arts num numeral literal lit inciso ley codigo dice prevista previsto preve establece dispone siempre nunca jamas
    tampoco unicamente exclusivamente mientras salvo excepto ademas igual misma mismo mismas mismos dicho dicha dichos
    entonces luego dentro fuera incluso inclusive cuyo cuya donde ahi aqui alli nadie ningun ninguna ninguno persona
    personas hace hacer hagan manera modo forma vez veces cosa quiere trata queda quedara estar estara estaran decir
    esta ello mediante respecto efecto efectos parte partes sino pues haga van va sigue siguiente siguientes
    horas hora ciento mil cien primer primera segundo segunda tercero tercera recibe
    necesariamente realmente
    """.split()  # noqa: SIM905
)


@lru_cache(maxsize=1)
def _same() -> dict[str, str]:
    """Stem to the first stem of its group."""
    groups: list[list[str]] = []
    for line in _SAME.strip("\n").splitlines():
        own = [_stem(word) for word in words(line)]
        if line.startswith("      "):
            groups[-1] += own
        else:
            groups.append(own)
    found: dict[str, str] = {}
    for group in groups:
        for one in group:
            found.setdefault(one, group[0])
    return found


@lru_cache(maxsize=50_000)
def concept(word: str) -> str:
    """What a folded word is compared by: its stem, or that of the law's word for it."""
    one = _stem(without_prefix(word))
    return _same().get(one, one)


def without_prefix(word: str) -> str:
    """ "renunciable" of "irrenunciable", which denies it; other words as they are."""
    match = _DENIED.fullmatch(word)
    return match[1] if match else word


_DENIED = re.compile(
    r"(?:in|im|ir)((?:renunci|embarg|alien|deleg|apel|imput|aplic|revoc|enajen|impugn)ables?"
    r"|(?:prescript|transfer|transmis|admis|divis)ibles?)"
)


def _stem(word: str) -> str:
    """Snowball's, of futures as well, which it knows by the accent that folding takes away."""
    future = re.fullmatch(r"(\w{2,}[aei]r)an?", word)
    return stem(future[1] if future and future[1] not in _NO_INFINITIVE else word)


_NO_INFINITIVE = frozenset(  # "considera" is a present tense, "considerara" the future
    """
    consider esper gener oper liber super alter toler recuper cooper deliber numer ponder reiter enter retir mir gir tir
    admir aspir inspir expir conspir ampar compar prepar separ repar declar aclar equipar dispar adquier requier quier
    muer fuer cualquier man prim front carr band cabec refier hier sufragar emper
    """.split()  # noqa: SIM905
)

_NUMBERS = frozenset({*SMALL, *TENS, *HUNDREDS, *SCALES})
VAGUE = frozenset("depend clar supuest efectiv correct exact ciert verdad afirm negat respuest result".split())  # noqa: SIM905


def concepts(text: str) -> list[str]:
    """What a text is compared by, in reading order: its words of content, without figures."""
    return [
        concept(word) for word in words(text) if word not in STOP and word not in _NUMBERS and not word[0].isdigit()
    ]


DENIES = frozenset("no nunca jamas tampoco ni sin nadie ningun ninguna ninguno ningunos".split())  # noqa: SIM905
_SKIPPED = frozenset(
    """
    se le les lo la los las me nos te podra podran puede pueden debe deben debera deberan sera seran ser es son esta
    estan ha han haya hayan habra hay hubiere sido fue era tener tiene tienen tendra tendran el un una de a al en por
    capacidad facultad posibilidad alguno alguna dolares salarios puntos veces dia dias mes meses año años hora
    horas semana semanas ningun
    ninguna caso solo necesidad que su sus hace falta lugar necesario quedara queda cabe caben puedan pueda
    del
    """.split()  # noqa: SIM905
)
# "no obstante", "sin perjuicio", "no más de", "de hacer o no hacer" deny nothing.
_NO_DENIAL = frozenset(
    "obstante perjuicio embargo solo solamente mas menos mayor menor mayores menores inferior superior hacer".split()  # noqa: SIM905
)
_REFUSES = re.compile(r"(?:neg(?:a|o|are|aren|ase|ar|arse)|nieg\w*|rehus\w*|rechaz\w*)$")
_LIMIT = re.compile(
    r"mas|menos|mayor(?:es)?|menor(?:es)?|exced\w*|superior(?:es)?|inferior(?:es)?|pas(?:ar|ara|e|a)|bajar?a?"
)
_TOKEN = re.compile(r"[^\W_]+|[.,;:()]")


def signs(text: str) -> dict[str, set[bool]]:
    """For each concept whether it is said (True) or denied (False), or both: the first word that bears on a denial."""
    found: dict[str, set[bool]] = {}
    reach = 0  # words of content that the last denial still bears on
    tokens = _TOKEN.findall(fold(text, keep_ñ=True))
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if not token[0].isalnum():
            reach = 0
        elif token in DENIES or (token == "falta" and following == "de") or _REFUSES.match(token):
            bounds = following in _NO_DENIAL or any(_LIMIT.fullmatch(one) for one in tokens[at + 1 : at + 5])
            reach = 0 if bounds else 1
        elif token.endswith("mente"):  # "no será penalmente responsable" denies the word after it too
            found.setdefault(concept(token), set()).add(reach == 0)
        elif token not in _SKIPPED and token not in STOP and token not in _NUMBERS and not token[0].isdigit():
            denied = (reach > 0) != (without_prefix(token) != token)
            one = concept(token)
            found.setdefault(one, set()).add(not denied)
            if denied and one not in _needs() and following not in ("y", "ni"):
                adjacent = following not in STOP and following not in _SKIPPED and following.isalpha()
                reach = 1 if adjacent and reach == 1 and token[-2:] != "ar" and _is_noun_pair(token, following) else 0
    return found


def _is_noun_pair(token: str, following: str) -> bool:
    """Whether a denial of the first word is one of the second as well: "no tiene efecto retroactivo"."""
    return following[-3:] in ("ivo", "iva", "ica", "ico", "ral", "nal", "ial", "uta", "uto", "ria", "rio")


@lru_cache(maxsize=1)
def _needs() -> frozenset[str]:
    return frozenset({concept("exige"), concept("requiere"), concept("necesita")})
