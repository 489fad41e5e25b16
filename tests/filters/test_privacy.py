"""Private things in captions, and numbers that only look like them. The numbers are published examples."""

import pytest

from filters.base import Batch
from filters.privacy import Privacy, PrivacyConfig

KINDS = ("email", "phone", "card", "iban", "person_id")
HELD = {
    "write to jo.doe+shop@mail.example.co.uk": "email",
    "call us: +49 30 901820": "phone",
    "Rent a car (212) 555-0188 today": "phone",
    "tel. 030 901820": "phone",
    "0041 44 668 18 00 Zurich": "phone",
    "4111 1111 1111 1111": "card",
    "378282246310005": "card",
    "5555-5555-5555-4444": "card",
    "IBAN DE89 3704 0044 0532 0130 00": "iban",
    "GB82WEST12345698765432": "iban",
    "CPF 529.982.247-25": "person_id",
    "DNI 12345678Z": "person_id",
    "NIE X1234567L": "person_id",
    "\u8eab\u4efd\u8bc1 11010519491231002X": "person_id",
    "RSSMRA85T10A562S": "person_id",
}
ALIKE = [
    "4111 1111 1111 1112",  # another check digit
    "0000 0000 0000 0000",
    "DE88 3704 0044 0532 0130 00",
    "529.982.247-26",
    "12345678A",
    "11010519491231002Y",
    "RSSMRA85T10A562T",
    "978-3-16-148410-0 paperback",
    "Art. no. 700-01928374",
    "Zeller MT-09 1994 1995 1996-2003",
    "user@host",
    "@handle on stage",
    "100 x 200 x 300 mm, 1234567 pieces",
    "SDSSJ1234567890",
]


def kinds_of(caption):
    found = Privacy(PrivacyConfig())(Batch(captions=[caption]))
    return [kind for kind in KINDS if found[f"caption_{kind}"][0]]


@pytest.mark.parametrize("caption", HELD)
def test_private_things(caption):
    assert kinds_of(caption) == [HELD[caption]]


@pytest.mark.parametrize("caption", ALIKE)
def test_what_only_looks_like_it(caption):
    assert kinds_of(caption) == []
