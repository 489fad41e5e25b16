"""The end of the way: the emoji vocabulary drawn by the stages just trained, as a page to click through.

Nobody has looked at the pictures, so it is a draft: it opens from the disk, and nobody serves it.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import configs
from configs import UserError
from storage.demo import SITE
from storage.ledger import note
from storage.processes import child_environment

VOCABULARY = Path(configs.__file__).parent / "demo" / "emoji.yaml"
WORKERS = 2


def click_words(run: Path, stages: Sequence[str], *, precision: str) -> None:
    """Run `demo compile` and `demo bundle --draft` for a run; what is there is not drawn again. Raises UserError."""
    folder = (run / SITE).parent
    trained = [str(run / "train" / stage) for stage in stages]
    how = ["--precision", precision, "--workers", str(WORKERS)]
    _command(run, "compile", [str(VOCABULARY), *trained, "--out", str(folder), *how])
    _command(run, "bundle", [str(folder), "--out", str(run / SITE), "--key", str(folder / "key.pem"), "--draft"])
    print(f"\nto publish it: corgi demo review {folder} --reviewer NAME, then corgi demo bundle without --draft")


def _command(run: Path, name: str, arguments: Sequence[str]) -> None:
    words = ["demo", name, *arguments]
    print(f"\n$ corgi {' '.join(words)}", flush=True)
    began = time.monotonic()
    code = subprocess.run([sys.executable, "-m", "corgi", *words], env=child_environment(), check=False).returncode
    seconds = round(time.monotonic() - began, 2)
    note(run, event="command", command=f"demo {name}", seconds=seconds, exit_code=code)
    if code:
        raise UserError(f"`corgi demo {name}` ended with {code}; mend what it says above", exit_code=code)
