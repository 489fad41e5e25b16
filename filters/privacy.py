"""Private things in captions: addresses of mail, numbers of phones, cards, bank accounts and persons.

Numbers that carry a check digit are only believed where it is right: cards (Luhn), IBAN (ISO 7064 mod 97), and numbers
of persons of four countries. A phone number has none: it is believed with a country's code or beside a word for it.
"""

import re
from typing import Any, ClassVar

import pyarrow as pa

from configs import Config, fingerprint

from .base import Batch

VERSION = 1  # raise when an answer changes
DIGIT = re.compile(r"[0-9]")
FEWEST = 7  # digits of any of the numbers: of most captions no more is asked
EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24}(?![\w@-])", re.IGNORECASE | re.ASCII
)
PHONE = re.compile(
    r"(?<!\d )(?<![\w.+])(?:\+|00)[1-9]\d{0,2}(?:[ .()/-]{0,3}\d){7,12}(?!\w)"
    r"|(?<![\w.+-])\(\d{3}\) ?\d{3}[ .-]\d{4}(?!\w)"
    r"|\b(?:tel|phone|telefon|mobile|handy|whatsapp|fax|call|ph|hotline)[.: ]{1,3}\+?\d(?:[ .()/-]{0,3}\d){6,13}(?!\w)",
    re.IGNORECASE | re.ASCII,
)
CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){10,12}(?![\w.-]|[ -]\d)", re.ASCII)
IBAN = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![\w-])", re.ASCII)
PERSON = re.compile(
    r"(?<![\w.-])(?:"
    r"(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})"  # Brazil, CPF
    r"|(?P<dni>[XYZ]\d{7}[A-Z]|\d{8}-?[A-Z])"  # Spain, DNI and NIE
    r"|(?P<rin>[1-9]\d{5}(?:19|20)\d{9}[\dX])"  # China, resident identity number
    r"|(?P<fiscale>[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z])"  # Italy, codice fiscale
    r")(?![\w.-])",
    re.ASCII,
)
CARD_LENGTHS = {"34": 15, "37": 15, "36": 14, "38": 14}  # by the first two digits; all others have 16
IBAN_LENGTHS = {
    **{"AT": 20, "BE": 16, "BR": 29, "CH": 21, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27},
    **{"GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IT": 27, "LT": 20, "LU": 20, "LV": 21, "NL": 18},
    **{"NO": 15, "PL": 28, "PT": 25, "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "TR": 26, "UA": 29, "AE": 23},
}
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
# Of the codice fiscale: what a character counts for at an odd place; at an even one, its digit or place among A-Z.
ODD = {
    **dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)),
    **dict(zip("ABCDEFGHIJ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)),
    **dict(zip("KLMNOPQRSTUVWXYZ", (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True)),
}


class PrivacyConfig(Config):
    """Nothing to choose yet."""


class Privacy:
    """caption_email, caption_phone, caption_card, caption_iban, caption_person_id: whether a caption holds one."""

    name: ClassVar[str] = "privacy"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        f"caption_{kind}": pa.bool_() for kind in ("email", "phone", "card", "iban", "person_id")
    }

    def __init__(self, config: PrivacyConfig) -> None:
        self.config = config
        self.fingerprint = fingerprint(self.name, VERSION, config)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        rows = [holds(caption) for caption in batch.captions]
        return {name: [row[place] for row in rows] for place, name in enumerate(self.columns)}


def holds(caption: str) -> tuple[bool, ...]:
    """Return whether a caption holds each kind, in the order of the columns."""
    email = "@" in caption and EMAIL.search(caption) is not None
    if len(DIGIT.findall(caption)) < FEWEST:
        return (email, False, False, False, False)
    return (
        email,
        PHONE.search(caption) is not None,
        any(is_card(found[0]) for found in CARD.finditer(caption)),
        any(is_iban(found[0]) for found in IBAN.finditer(caption)),
        any(is_person_id(found) for found in PERSON.finditer(caption)),
    )


def is_card(text: str) -> bool:
    """Tell whether it is a card's number: its length by its issuer, and its check digit by Luhn (ISO/IEC 7812)."""
    digits = re.sub(r"\D", "", text)
    if len(digits) != CARD_LENGTHS.get(digits[:2], 16) or len(set(digits)) == 1:
        return False
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Tell whether it begins with the number of a bank account: its country's length, and 1 modulo 97 (ISO 13616)."""
    number = text.replace(" ", "")[: IBAN_LENGTHS.get(text[:2], 0)]
    if len(number) < IBAN_LENGTHS.get(text[:2], 99):
        return False
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1


def is_person_id(found: re.Match[str]) -> bool:
    """Tell whether the check digits of a number of a person are right, by its country's rule."""
    kind, text = found.lastgroup, found[0]
    if kind == "cpf":
        digits = [int(digit) for digit in text if digit.isdigit()]
        sums = (sum((size - at) * digit for at, digit in enumerate(digits[: size - 1])) for size in (10, 11))
        return [total * 10 % 11 % 10 for total in sums] == digits[9:] and len(set(digits)) > 1
    if kind == "dni":
        number = text[:-1].rstrip("-").translate(str.maketrans("XYZ", "012"))
        return DNI_LETTERS[int(number) % 23] == text[-1]
    if kind == "rin":
        total = sum(int(digit) * 2 ** (17 - at) for at, digit in enumerate(text[:17]))
        return "10X98765432"[total % 11] == text[17] and "01" <= text[10:12] <= "12" and "01" <= text[12:14] <= "31"
    total = sum(ODD[each] if at % 2 == 0 else int(each, 36) - 10 * each.isalpha() for at, each in enumerate(text[:15]))
    return chr(ord("A") + total % 26) == text[15]
