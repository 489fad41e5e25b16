"""The bundle: only what was approved, named by its content; a changed byte is named."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs import UserError
from corgi import app
from demo.compile import drawn
from demo.review import say, states
from demo.serve import site_of
from storage.demo import DEMO, DRAWN, REVIEW
from storage.signed import MANIFEST, SIGNATURE, load_key, public_hex, read_signed, write_signed

from .small_demo import approve, bundled, compiled, vocabulary

REJECTED = "an emoji of a pear, food"
FEW = vocabulary(thing=["a lemon"], colour=["a red"])


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


@pytest.mark.long
def test_the_bundle_holds_what_was_approved_and_nothing_of_what_was_not(demo: Path, site: Path):
    signed, state = read_signed(site), states(demo)
    held = {hashlib.sha256(data).hexdigest() for data in signed.files.values()}
    seen = {"approved": 0, "rejected": 0}
    for picture in drawn(demo):
        seen[state(picture)] += 1
        for image in picture.images:
            assert (image.sha256 in held) == (picture.prompt != REJECTED)
    assert seen == {"approved": 26, "rejected": 2}
    assert signed.manifest["left_out"] == {"rejected": 1} and len(signed.manifest["pictures"]) == 13
    for name, data in signed.files.items():
        if name.startswith("files/"):
            assert Path(name).stem == hashlib.sha256(data).hexdigest()[:32]
    assert [fact["name"] for fact in signed.manifest["model"]] == ["base16", "sr64"]
    assert {"vocabulary", "policy", "version", "draft", "files"} < {*signed.manifest}


def test_the_same_demo_and_key_are_the_same_bytes(demo: Path, site: Path, tmp_path: Path):
    again = bundled(demo, tmp_path / "site", key=demo.parent / "key.pem")
    names = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((site / name).read_bytes() == (again / name).read_bytes() for name in names)


@pytest.mark.long
def test_what_nobody_has_seen_is_in_no_bundle_and_a_draft_is_served_by_nobody(stages: list[Path], tmp_path: Path):
    folder = tmp_path / "demo"
    compiled(stages, folder, vocabulary=FEW)
    with pytest.raises(UserError, match="no picture is approved") as error:
        bundled(folder, tmp_path / "site")
    assert error.value.exit_code == 3
    first, second, *_ = drawn(folder)
    say(folder, first, "approve", reviewer="ada")
    say(folder, second, "approve", reviewer="ada")
    say(folder, second, "forget", reviewer="bob")
    site = bundled(folder, tmp_path / "site")
    assert list(read_signed(site).manifest["pictures"]) == [first.key]
    draft = bundled(folder, tmp_path / "draft", is_draft=True)
    assert len(read_signed(draft).manifest["pictures"]) == 4
    assert "A draft" in (draft / "index.html").read_text() and "A draft" not in (site / "index.html").read_text()
    with pytest.raises(UserError, match="is a draft"):
        site_of(draft)
    say(folder, first, "redraw", reviewer="ada")
    compiled(stages, folder, vocabulary=FEW)
    with pytest.raises(UserError, match="no picture is approved"):  # drawn anew, it was seen by nobody
        bundled(folder, tmp_path / "later")


@pytest.mark.long
def test_a_bundle_written_again_loses_what_was_taken_back(stages: list[Path], tmp_path: Path):
    folder = tmp_path / "demo"
    compiled(stages, folder, vocabulary=FEW)
    approve(folder)
    site = bundled(folder, tmp_path / "site")
    taken = next(iter(drawn(folder)))
    say(folder, taken, "reject", reviewer="bob", note="a second look")
    bundled(folder, site)
    assert {image.sha256 for image in taken.images}.isdisjoint(read_signed(site).manifest["files"].values())


def test_a_log_that_a_kill_tore_goes_on(demo: Path, tmp_path: Path):
    folder = copy(demo, tmp_path / "demo")
    log = folder / REVIEW
    picture = next(iter(drawn(folder)))
    log.write_bytes(log.read_bytes()[:-20])
    say(folder, picture, "reject", reviewer="bob")
    assert states(folder)(picture) == "rejected"
    last = json.loads(log.read_text().splitlines()[-1])
    assert last | {"time": ""} == {
        **{"time": "", "reviewer": "bob", "says": "reject", "note": "", "key": picture.key, "number": picture.number},
        **{"look": picture.look, "prompt": picture.prompt},
    }


def kinds(site: Path) -> dict[str, str]:
    """A file of each kind."""
    names = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
    scripts = [name for name in names if name.endswith(".js")]
    words = next(name for name in scripts if (site / name).read_bytes().startswith(b"const demo"))
    return {
        "picture": next(name for name in names if name.endswith(".png")),
        "vocabulary": words,
        "script": next(name for name in scripts if name != words),
        "style": next(name for name in names if name.endswith(".css")),
        "page": "index.html",
        "manifest": MANIFEST,
        "signature": SIGNATURE,
    }


@pytest.mark.parametrize("kind", ["picture", "vocabulary", "script", "style", "page", "manifest", "signature"])
def test_a_flipped_byte_is_named_and_refused_at_the_start(kind: str, site: Path, tmp_path: Path):
    changed = copy(site, tmp_path / "site")
    name = kinds(site)[kind]
    data = bytearray((changed / name).read_bytes())
    for place in (0, len(data) // 2, len(data) - 2):
        flipped = data.copy()
        flipped[place] ^= 1
        (changed / name).write_bytes(flipped)
        with pytest.raises(UserError, match=name):
            site_of(changed)
        told = CliRunner().invoke(app, ["demo", "verify", str(changed)])
        assert isinstance(told.exception, UserError) and told.exception.exit_code == 1


@pytest.mark.long
@pytest.mark.parametrize("place", [n / 60 for n in range(1, 60)])
def test_no_flipped_byte_of_what_was_drawn_is_published(place: float, demo: Path, tmp_path: Path):
    folder = copy(demo, tmp_path / "demo")
    path = next(folder.rglob(f"00000{DRAWN}"))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"00000{DRAWN} is (damaged; remove it|not there|stale)"):
        bundled(folder, tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"vocabulary": {}}', "\udcff"])
def test_a_plan_that_is_damaged_is_one_line(text: str, demo: Path, tmp_path: Path):
    folder = copy(demo, tmp_path / "demo")
    (folder / DEMO).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"demo.json is damaged; run the same `corgi demo compile` again"):
        list(drawn(folder))


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b'{"files": []}', b"\xff", b"[" * 100_000])
def test_nonsense_that_is_signed_is_one_line(manifest: bytes, site: Path, demo: Path, tmp_path: Path):
    folder, key = copy(site, tmp_path / "site"), load_key(demo.parent / "key.pem")
    (folder / MANIFEST).write_bytes(manifest)
    about = {"public_key": public_hex(key), "signature": key.sign(manifest).hex()}
    (folder / SIGNATURE).write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"manifest.json is signed, but no manifest of a bundle"):
        site_of(folder)


def test_a_file_of_a_kind_that_no_bundle_has_is_not_served(tmp_path: Path):
    files = {"index.html": b"", "files/run.sh": b"rm"}
    write_signed(tmp_path / "site", files, {}, key=load_key(tmp_path / "key.pem"))
    with pytest.raises(UserError, match=r"files/run.sh is of a kind that no bundle has"):
        site_of(tmp_path / "site")


def test_missing_further_and_linked_files_are_named(site: Path, tmp_path: Path):
    changed = copy(site, tmp_path / "site")
    picture, style = kinds(site)["picture"], kinds(site)["style"]
    (changed / picture).unlink()
    (changed / "files" / "extra.js").write_text("alert(1)")
    (changed / style).unlink()
    (changed / style).symlink_to(site / style)
    with pytest.raises(UserError) as error:
        read_signed(changed)
    for line in (f"{picture} is missing", "files/extra.js is in no manifest", f"{style} is no plain file"):
        assert line in str(error.value)


def test_a_bundle_signed_by_another_is_refused_where_the_key_is_known(demo: Path, site: Path, tmp_path: Path):
    forged = bundled(demo, tmp_path / "site", key=tmp_path / "mallory.pem")
    known = public_hex(load_key(demo.parent / "key.pem"))
    assert read_signed(site, public_key=known).public_key == known
    assert read_signed(forged).public_key != known
    with pytest.raises(UserError, match=f"not by {known}"):
        read_signed(forged, public_key=known)
    (tmp_path / "key.pub").write_text(f"{known}\n")
    run = CliRunner().invoke
    assert run(app, ["demo", "verify", str(site), "--public-key", str(tmp_path / "key.pub")]).exit_code == 0
    assert run(app, ["demo", "verify", str(forged), "--public-key", known]).exit_code != 0
    wrong = run(app, ["demo", "verify", str(site), "--public-key", "nothing"])
    assert "is no public key" in str(wrong.exception)


def test_a_key_is_its_owners_alone(tmp_path: Path):
    key = tmp_path / "key.pem"
    made = load_key(key)
    assert key.stat().st_mode & 0o777 == 0o600 and public_hex(load_key(key)) == public_hex(made)
    key.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        load_key(key)
    (tmp_path / "other").write_text("no key")
    (tmp_path / "other").chmod(0o600)
    with pytest.raises(UserError, match="no private key"):
        load_key(tmp_path / "other")


def test_no_folder_of_somebody_elses_is_written_over(demo: Path, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        bundled(demo, tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]


def test_text_of_a_vocabulary_stays_text(stages: list[Path], tmp_path: Path):
    attack = "</script><img src=x onerror=alert(1)>"
    folder = tmp_path / "demo"
    given = vocabulary(thing=["a pear"], colour=["a red"]).model_copy(update={"title": attack, "about": attack})
    compiled(stages, folder, vocabulary=given)
    approve(folder)
    signed = read_signed(bundled(folder, tmp_path / "site"))
    assert b"<img" not in signed.files["index.html"]
    assert all(b"</script><img" not in data for name, data in signed.files.items() if name.endswith(".js"))
