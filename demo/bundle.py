"""The static site: what was approved, the page, and a manifest over all of it that is signed.

index.html                   the page; it opens from a web server or from the disk
files/<digest>.js, .css ...  script, style, the vocabulary, and every picture at every size, named by their content
manifest.json, manifest.signature.json

Nothing that nobody has looked at is in it. A draft has that, too, says so on its page, and is served by nobody.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from configs import UserError, fingerprint
from report.render import clean
from report.web import CSP
from storage.demo import Picture
from storage.signed import write_signed

from .compile import Plan, drawn
from .lint import check
from .review import states
from .vocabulary import GAP, Vocabulary, combinations

VERSION = 1
NAME_CHARS = 32  # of a digest in a file's name
PAGE = Path(__file__).with_name("page")
LEFT_OUT = {  # state of a picture -> what the page says of a sentence that has no other
    "blocked": "the screen for unfit pictures held it back",
    "rejected": "a person looked at it and held it back",
    "unseen": "nobody has looked at it yet",
    "redraw": "it is to be drawn anew",
}
ENVIRONMENT = Environment(
    loader=FileSystemLoader(PAGE), autoescape=True, finalize=clean, undefined=StrictUndefined, trim_blocks=True
)


class Bundled(NamedTuple):
    """What a bundle holds."""

    sentences: int
    shown: int  # sentences with a picture
    left_out: Counter[str]  # the others, by the state of their first picture


def bundle(folder: Path, *, out: Path, key: Ed25519PrivateKey, is_draft: bool = False) -> Bundled:
    """Write the site of a demo. Raises UserError where lint refuses, shards are not fresh, or nothing is approved."""
    plan = Plan.read(folder)
    check(plan.vocabulary)
    pictures, state = list(drawn(folder)), states(folder)
    wanted = {"approved", "unseen"} if is_draft else {"approved"}
    published: dict[str, list[Picture]] = {}
    left_out: dict[str, str] = {}
    for picture in pictures:
        says = state(picture)
        if says in wanted:
            published.setdefault(picture.key, []).append(picture)
        else:
            left_out.setdefault(picture.key, says)
    left_out = {name: says for name, says in left_out.items() if name not in published}
    if not published:
        raise UserError(f'no picture is approved; look at them first: "corgi demo review {folder}"', exit_code=3)
    files, names = _pictures(published)
    data = page_data(plan.vocabulary, names, left_out, sizes=[stage["px"] for stage in plan.stages], is_draft=is_draft)
    counts = Counter(left_out.values())
    manifest = {
        "version": VERSION,
        "draft": is_draft,
        "vocabulary": fingerprint("vocabulary", plan.vocabulary.model_dump(mode="json", exclude={"policy"})),
        "policy": plan.policy,
        "model": [dict(stage) for stage in plan.stages],
        "pictures": names,
        "left_out": dict(counts),
    }
    write_signed(out, files | page_files(plan.vocabulary, data), manifest, key=key)
    return Bundled(plan.vocabulary.count, len(published), counts)


def _pictures(published: Mapping[str, Sequence[Picture]]) -> tuple[dict[str, bytes], dict[str, list[list[str]]]]:
    """Return the files of pictures, and for each sentence the names of each picture's, smallest first."""
    files: dict[str, bytes] = {}
    names: dict[str, list[list[str]]] = {}
    for key, pictures in published.items():
        for picture in pictures:
            sizes = [_named(image.data, image.kind) for image in picture.images]
            files |= {name: image.data for name, image in zip(sizes, picture.images, strict=True)}
            names.setdefault(key, []).append(sizes)
    return files, names


def _named(data: bytes, kind: str) -> str:
    return f"files/{hashlib.sha256(data).hexdigest()[:NAME_CHARS]}.{kind}"


def page_data(
    vocabulary: Vocabulary,
    names: Mapping[str, Sequence[Sequence[str]]],
    left_out: Mapping[str, str],
    *,
    sizes: Sequence[int],
    is_draft: bool,
) -> dict[str, Any]:
    """Return what the script reads: sentences, words, and the key of every combination in the product's order."""
    keys: list[list[str]] = [[] for _ in vocabulary.sentences]
    for each in combinations(vocabulary):
        keys[each.sentence].append(each.key)
    return {
        "draft": is_draft,
        "sizes": list(sizes),
        "sentences": [
            {"name": each.name, "parts": GAP.split(each.sentence), "keys": keys[number]}  # text, gap, text, ...
            for number, each in enumerate(vocabulary.sentences)
        ],
        "groups": {group: list(vocabulary.approved(group)) for group in vocabulary.groups},
        "pictures": names,
        "leftOut": left_out,
        "reasons": LEFT_OUT,
    }


def page_files(vocabulary: Vocabulary, data: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the page: index.html, its script, style and mark, and the vocabulary as a script of its own."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    contents = {
        "vocabulary": (f"const demo = {text};\n".encode(), "js"),
        "script": ((PAGE / "page.js").read_bytes(), "js"),
        "style": ((PAGE / "page.css").read_bytes(), "css"),
        "mark": ((PAGE / "mark.svg").read_bytes(), "svg"),
    }
    urls = {name: _named(*content) for name, content in contents.items()}
    files = {urls[name]: content for name, (content, _) in contents.items()}
    counts = Counter(data["leftOut"].values())
    html = ENVIRONMENT.get_template("index.html.j2").render(
        csp=CSP, urls=urls, vocabulary=vocabulary, data=data, counts=counts, reasons=LEFT_OUT
    )
    return files | {"index.html": html.encode()}
