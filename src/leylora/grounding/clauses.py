"""Reading a sentence of law."""

import re

DEFINITION = re.compile(
    r"^(?:Se\s+(?:entiende\s+por|llaman?|denominan?|entenderá\s+por)|Lláma(?:se|nse)|Entiéndese\s+por|Denomínase)\s+"
    r"(?P<told>[^,.;:]{3,60}?)(?=,|\s+(?:a|al|el|la|los|las|lo|todo|toda|cuando|aquel\w*|que|cualquier)\s)"
    r"|^(?P<named>(?:(?:El|La|Los|Las|Un|Una)\s+)?[A-ZÁÉÍÓÚÑa-záéíóúñ]+(?:\s+[a-záéíóúñ]+){0,5}?)\s+"
    r"(?:es|son)\s+(?:un|una|unos|unas|el|la|los|las|aquel\w*|todo|toda)\s+",
)
