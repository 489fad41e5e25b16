"""A folder whose every file is named, with its digest, by a manifest that is signed with ed25519.

manifest.json            {"files": {"index.html": sha256, "files/<digest>.webp": sha256, ...}, ...}
manifest.signature.json  public key and signature, both in hex

The same files and the same key are the same bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from configs import UserError

from .atomic import commit_bytes

MANIFEST, SIGNATURE = "manifest.json", "manifest.signature.json"
HEX_KEY = re.compile(r"[0-9a-f]{64}")


class Signed(NamedTuple):
    """A folder that was verified, as it was read: what changes later on the disk changes nothing here."""

    files: dict[str, bytes]  # path -> content, manifest and signature among them
    manifest: dict[str, Any]
    public_key: str  # 64 hex digits


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file; where there is none, one is made that its owner alone can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    except OSError as error:
        raise UserError(f"{path} cannot be made: {error.strerror}") from None
    key = Ed25519PrivateKey.generate()
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return key


def _read_key(path: Path) -> Ed25519PrivateKey:
    if path.stat().st_mode & 0o077:
        raise UserError(f"{path} can be read by others; a key is its owner's alone: chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no private key as PEM: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path} holds another kind of key; ed25519 is needed")
    return key


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public half, 64 hex digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def read_public_key(given: str) -> str:
    """Return a public key that was given as 64 hex digits, or as a file that holds them. Raises UserError."""
    text = given.strip()
    if not HEX_KEY.fullmatch(text.lower()):
        try:
            text = Path(given).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, ValueError):
            text = ""
    if not HEX_KEY.fullmatch(text.lower()):
        raise UserError(f"{given!r} is no public key; give its 64 hex digits, or a file that holds them")
    return text.lower()


def write_signed(
    folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, key: Ed25519PrivateKey
) -> None:
    """Commit files, then the manifest that names them, then its signature; what else lies there is removed.

    A kill in between leaves a folder that does not verify. Raises UserError for a folder that was never such a one.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists() and not _is_begun(folder):
        raise UserError(f"{folder} holds other files; give an empty folder or an earlier bundle")
    (folder / "files").mkdir(parents=True, exist_ok=True)
    content = {"files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, **manifest}
    text = (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()
    about = {"algorithm": "ed25519", "public_key": public_hex(key), "signature": key.sign(text).hex()}
    signature = (json.dumps(about, sort_keys=True, indent=1) + "\n").encode()
    for name, data in {**files, MANIFEST: text, SIGNATURE: signature}.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or path.read_bytes() != data:
            commit_bytes(path, data)
    for path in folder.rglob("*"):
        if not path.is_dir() and str(path.relative_to(folder)) not in {*files, MANIFEST, SIGNATURE}:
            path.unlink()


def _is_begun(folder: Path) -> bool:
    return {path.name for path in folder.iterdir()} <= {"files", "index.html"} and (folder / "files").is_dir()


def read_signed(folder: Path, *, public_key: str | None = None) -> Signed:
    """Return a folder whose every byte is as it was signed. Raises UserError (exit code 1) that names what is not.

    public_key: 64 hex digits that must have signed it; None takes the key that lies beside, which shows that nothing
    was changed by accident, but not by whom it was made.
    """
    found, odd = _contents(folder)
    for name in (MANIFEST, SIGNATURE):
        if name not in found:
            raise UserError(f"{folder} has no {name}; it is no finished bundle", exit_code=1)
    signer = _check_signature(found[MANIFEST], found[SIGNATURE], public_key)
    manifest, named = _named(found[MANIFEST])
    problems = [f"{name} is no plain file" for name in odd]
    for name in sorted({*named, *found} - {MANIFEST, SIGNATURE}):
        if name not in found:
            problems += [] if name in odd else [f"{name} is missing"]
        elif name not in named:
            problems.append(f"{name} is in no manifest")
        elif hashlib.sha256(found[name]).hexdigest() != named[name]:
            problems.append(f"{name} is not what was signed")
    if problems:
        raise UserError(f"{folder} is not as it was signed: {'; '.join(problems)}", exit_code=1)
    return Signed(found, manifest, signer)


def _named(data: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a manifest, and the files that it names with their digests: whoever signed it may have signed nonsense."""
    try:
        manifest = json.loads(data)
        named = {str(name): str(digest) for name, digest in manifest["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{MANIFEST} is signed, but no manifest of a bundle", exit_code=1) from None
    return manifest, named


def _contents(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the plain files of a folder, and the names of what is neither such a file nor a folder."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give that of a bundle")
    found, odd = dict[str, bytes](), list[str]()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            odd.append(name)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found, odd


def _check_signature(manifest: bytes, signature: bytes, public_key: str | None) -> str:
    try:
        about = json.loads(signature)
        signer, signed = str(about["public_key"]), bytes.fromhex(about["signature"])
        verifier = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f"{SIGNATURE} is not what was signed: it cannot be read", exit_code=1) from None
    if public_key is not None and signer != public_key:
        raise UserError(f"{SIGNATURE}: signed by {signer}, not by {public_key}", exit_code=1)
    try:
        verifier.verify(signed, manifest)
    except InvalidSignature:
        raise UserError(
            f"{MANIFEST} and {SIGNATURE} do not fit: one of them is not what was signed", exit_code=1
        ) from None
    return signer
