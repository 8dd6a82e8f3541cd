"""Personal data that must not be trained on: cédula and RUC numbers, e-mail addresses, telephones, cards.

Registro Oficial numbers, article numbers, dates and amounts are no personal data and are left alone.
"""

import re

EMAIL = re.compile(r"\b[\w.+-]+@(?!(?:example|ejemplo|correo|dominio|email)\.)[\w-]+(?:\.[\w-]+)+\b", re.IGNORECASE)
TEN_DIGITS = re.compile(r"(?<![\d.,-])(\d{10})(001)?(?![\d]|[.,-]\d)")
# Ecuador: mobile 09 9xxx xxxx, landline (0A) xxx xxxx, both with or without +593.
PHONE = re.compile(
    r"(?<![\d.])(?:\+593[\s.-]?\(?(?:9[\s.-]?\d|[2-7])\)?|\(?09\)?[\s.-]?\d|\(0[2-7]\)|\b0[2-7][\s-])"
    r"[\s.-]?\d{3}[\s.-]?\d{4}(?!\d)|(?<!\d)\+\d{2}[\s.-]?\d{2,3}(?:[\s.-]?\d{2,4}){2,3}(?!\d)"
)
CARD = re.compile(r"(?<!\d)(?:\d{4}[\s-]?){3}\d{4}(?!\d)")
OFFICIAL = re.compile(
    r"(?:registro\s+oficial|r\.\s?o\.|suplemento|resoluci[oó]n|sentencia|acuerdo|oficio|n[úu]mero|No\.)[^.\n]{0,30}$",
    re.IGNORECASE,
)


def personal_data(text: str) -> str | None:
    """The kind of the first piece of personal data in ``text``, or None. The piece itself is never returned."""
    if EMAIL.search(text):
        return "an e-mail address"
    for match in TEN_DIGITS.finditer(text):
        if is_cedula(match.group(1)) and not OFFICIAL.search(text[max(0, match.start() - 60) : match.start()]):
            return "a RUC" if match.group(2) else "a cédula"
    if PHONE.search(text):
        return "a telephone number"
    if any(_luhn(re.sub(r"\D", "", match.group(0))) for match in CARD.finditer(text)):
        return "a card number"
    return None


def is_cedula(digits: str) -> bool:
    """Whether ten digits are a valid Ecuadorian identity number of a natural person.

    Province 01-24 or 30, third digit below 6, tenth digit by module 10 with coefficients 2,1,2,...
    """
    if len(digits) != 10 or not digits.isdigit():
        return False
    province = int(digits[:2])
    if not (1 <= province <= 24 or province == 30) or digits[2] >= "6":
        return False
    total = 0
    for position, digit in enumerate(digits[:9]):
        product = int(digit) * (2 - position % 2)
        total += product - 9 if product > 9 else product
    return (10 - total % 10) % 10 == int(digits[9])


def _luhn(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        product = int(digit) * (1 + position % 2)
        total += product - 9 if product > 9 else product
    return total % 10 == 0 and len(set(digits)) > 1
