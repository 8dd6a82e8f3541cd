"""What people say, and what the laws call it: everyday words of a question bring in the legal ones.

Every line reads "everyday words: words of the laws"; spelling is that of `leylora.grounding.words.fold`, endings do
not matter. Common legal Spanish of Ecuador, not made for any list of questions; benchmarks/retrieval.py says on
questions that were not looked at what it is worth.
"""

from functools import cache

from .words import stem

_ENTRIES = """
carcel prision presidio preso encarcelar encerrar condena: privativa libertad
castigo castigar multar penar: sancionada pena
matar mata mato asesinar asesino: muerte homicidio mate
robar robo ladron asaltar asalto: robo hurto sustraer
robado robada robadas: robo hurto
celular telefono computadora internet hackear virus: informatico electronico telecomunicaciones
borracho tomado ebrio alcohol: embriaguez alcohol
chofer manejar conducir atropellar atropello: conductor transito vehiculo
carro auto camion moto: vehiculo
golpear golpe pegar herir: lesion violencia
amenazar amenaza chantaje chantajear: intimidacion amenaza extorsion
engañar engaño estafar: estafa fraude engaño
incendiar quemar fuego: incendio
contrabando mercaderia aduana frontera: mercancias aduanero contrabando
droga drogas marihuana cocaina: estupefacientes sujetas fiscalizacion
detener arrestar apresar capturar detencion: aprehension detencion privacion libertad
soltar liberar suelten: libertad habeas corpus
sospechoso acusado imputado: procesada
victima agredido: victima ofendido
delinquir crimen criminal: delito infraccion
intentar intento: tentativa
defenderse defenderme: legitima defensa
funcionario empleado burocrata: servidor publico
alcalde prefecto concejal: autoridades eleccion popular
mandatario presidente: presidencia republica
congreso diputado congresista parlamento: asamblea nacional asambleista
echar sacar remover: destituir revocar
votar sufragar voto: voto sufragio
impuesto tributo tasa: tributo impuesto contribucion
cuartel conscripcion soldado: militar
ambiente contaminar contaminacion rio bosque: ambiental naturaleza
animal animales cazar: fauna silvestre especies
transgenico semilla: transgenicas
anciano vejez abuelo: adultas mayores
niño menor joven: niñas niños adolescentes
huelga paro sindicato trabajador obrero: trabajadoras trabajadores
universidad colegio escuela estudiar: educacion
migrante emigrar extranjero: migrar movilidad
agua: agua
indigena comunidad: pueblos nacionalidades indigenas
privacidad datos: datos personales informacion
derechos fundamentales: derechos constitucionales
amparo: accion proteccion
fallo sentenciar: sentencia
apelar apelacion impugnar reclamar: recurso apelacion
abogado defensor: abogado patrocinador
plazo: termino
cuantos dias: termino plazo
casarse casar casamiento boda: matrimonio
esposo esposa marido mujer pareja: conyuge
divorciarse separarse: divorcio disolucion
papa mama padres: padre madre
hijo hija: hijos
heredar herencia morir difunto fallecer: herencia sucesion herederos difunto
testamento: testador
terreno finca lote casa inmueble propiedad: inmueble raices predio
ocupar usucapion: posesion prescripcion
alquilar alquiler arriendo arrendar inquilino casero: arrendamiento arrendatario arrendador
vender comprar venta compra: compraventa vendedor comprador
barato: precio lesion
prestar presto prestado prestamo: comodato mutuo
gratis: gratuito
garante aval avalar: fianza fiador
deber deuda debe: deudor acreedor obligacion
acuerdo trato pacto convenio: contrato convencion
firmar firme: celebrado
incumplir: incumplimiento
anular deshacer: nulidad rescision
perjuicio daño dañar: perjuicio indemnizacion
defecto oculto fallas: redhibitorios vicios
empresa compañia: persona juridica
socio sociedad: sociedad socios
regalar regalo: donacion
loco demente: interdiccion demente
"""


@cache
def _legal() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in _ENTRIES.strip().splitlines():
        said, _, legal = line.partition(":")
        for word in said.split():
            found.setdefault(stem(word), []).extend(legal.split())
    return {word: tuple(dict.fromkeys(map(stem, legal))) for word, legal in found.items()}


def legal_stems(said: str) -> tuple[str, ...]:
    """The stems of the legal words for one stem of everyday speech; () when there are none."""
    return _legal().get(said, ())
