"""Members of strangers' tars: the same as Python's own reader finds, with bounds that it has not."""

import io
import random
import tarfile
from pathlib import Path

import pytest

from storage.tar_members import DamagedTarError, Member, members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "a/" * 60 + "b" * 90 + ".jpg"


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def until_damage(path: Path) -> tuple[list[str], str | None]:
    names = []
    try:
        for member in members(path):
            names.append(member.name)
    except DamagedTarError as damage:
        return names, str(damage)
    return names, None


def by_python(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [Member(info.name, info.offset_data, info.size) for info in tar if info.isreg() and not info.issparse()]


@pytest.mark.parametrize("kind", FORMATS)
def test_members_are_those_that_python_finds(tmp_path: Path, kind: str):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=FORMATS[kind]) as tar:
        names = ["0.jpg", "ä.txt", "deep/er/x.json", "../up.jpg", "/root.jpg", "empty"]
        for number, name in enumerate([*names, *([LONG] if kind != "ustar" else [])]):
            add(tar, name, bytes(700 * number))
        add(tar, "folder", type=tarfile.DIRTYPE)
        add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "device.jpg", type=tarfile.CHRTYPE)
        add(tar, "old.jpg", b"x", type=tarfile.AREGTYPE)
        add(tar, "with_times.jpg", b"y", mtime=1.5, uname="somebody")
    assert list(members(path)) == by_python(path)
    assert len(by_python(path)) == 9 - (kind == "ustar")


def test_a_size_that_pax_or_gnu_state_otherwise_is_the_one_that_counts(tmp_path: Path):
    pax = tarfile.TarInfo("big.jpg")
    pax.size, pax.pax_headers = 5, {"size": "5", "comment": "= and \n in it"}
    gnu = tarfile.TarInfo("big.jpg")
    gnu.size = 5
    binary = bytearray(gnu.tobuf(tarfile.GNU_FORMAT))
    binary[124:136] = b"\x80" + (5).to_bytes(11, "big")
    binary[148:156] = b"%06o\0 " % (sum(binary) - sum(binary[148:156]) + 8 * 32)
    for header in (pax.tobuf(tarfile.PAX_FORMAT), bytes(binary)):
        path = tmp_path / "a.tar"
        path.write_bytes(header + b"12345".ljust(512, b"\0") + bytes(1024))
        (member,) = members(path)
        assert member == Member("big.jpg", path.stat().st_size - 3 * 512, 5)


def test_what_came_before_damage_is_good(tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(3):
            add(tar, f"{number}.jpg", bytes(1000))
    whole = path.read_bytes()
    for damaged, count, says in (
        (whole[: 2 * 1536 + 600], 2, "ends inside the member at byte 3072"),
        (whole[: 2 * 1536 + 100], 2, "ends inside the header at byte 3072"),
        (whole[:1536] + b"\1" * 512 + whole[2048:], 1, "no header at byte 1536"),
        (whole[:1536], 1, None),  # a writer that was killed between two members
    ):
        path.write_bytes(damaged)
        names, damage = until_damage(path)
        assert names == [f"{number}.jpg" for number in range(count)]
        assert (says is None) if damage is None else (says is not None and says in damage)


def test_a_name_of_gigabytes_is_not_read(tmp_path: Path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 * 2**30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with path.open("r+b") as file:
        file.truncate(4 * 2**30)  # sparse: it takes no disk
    with pytest.raises(DamagedTarError, match="bytes of a name"):
        list(members(path))


def test_no_flip_of_a_bit_does_more_than_end_the_list(tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(4):
            add(tar, f"ä{number}.jpg", bytes(300))
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 3, 20))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        until_damage(path)
    # with the sum made right again, so that a header's own fields are what is read
    for _ in range(500):
        damaged = bytearray(whole)
        start = 512 * draw.randrange(12)
        damaged[start + draw.randrange(512)] = draw.randrange(256)
        header = damaged[start : start + 512]
        damaged[start + 148 : start + 156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
        path.write_bytes(damaged)
        until_damage(path)
